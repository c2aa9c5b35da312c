"""`[routes]`, `[rotas]`: where and when a route notifies and in which text, who is on call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from connectors.sdk.option_errors import StrictOptions, Zone
from connectors.sdk.secrets import SecretRef
from console.config.validation import TableOf, extended_table, table_of
from console.config.value_types import Duration, Tier, TimeOfDay
from console.domain.alert import AlertingSettings, QuietHours, RotaRule, RouteRule


def _lasts(hours: QuietHours) -> None:
    if hours.begins == hours.ends:
        raise ValueError(f'from and to are both "{hours.begins:%H:%M}": that is never, or always; write two times')


QUIET_HOURS = table_of(
    QuietHours,
    _lasts,
    begins=Annotated[TimeOfDay, Field(alias="from")],
    ends=Annotated[TimeOfDay, Field(alias="to")],
    zone=Annotated[Zone, Field(alias="timezone")],
    break_through=tuple[Tier, ...],
)


class RouteSettings(TableOf[RouteRule]):
    """`[routes.NAME]`: the keys here are where it delivers to; `ROUTE` has those of its rule as well."""

    urls: Annotated[tuple[SecretRef, ...], Field(min_length=1)]
    """References to apprise URLs; one delivery each."""
    body: Literal["full", "link"] = "full"
    """Content of a message: everything, or no external text."""
    fallback: str = ""


def _escalates_somewhere(rule: RouteRule) -> None:
    if bool(rule.escalate_to) != (rule.escalate_after is not None):
        raise ValueError("escalate_after and escalate_to go together: write both, or neither")


ROUTE = extended_table(
    RouteSettings,
    RouteRule,
    _escalates_somewhere,
    style=Literal["", "technical", "business"],
    wait=Annotated[Duration, Field(alias="for")],
    quiet=Annotated[QUIET_HOURS | None, Field(alias="quiet_hours")],
)


class RotaSettings(StrictOptions):
    ical: str | SecretRef
    """A file next to the config, or a reference to a URL."""
    people: dict[str, str] = Field(min_length=1)
    """Person as the calendar names them (an event's summary or attendee) -> their route."""

    @field_validator("ical", mode="before")
    @classmethod
    def no_url(cls, ical: object) -> object:
        if isinstance(ical, str) and "://" in ical:
            raise ValueError('a URL may hold a secret and is not written here: write ical = { env = "NAME" }')
        return ical


def alerting(
    routes: Mapping[str, RouteSettings], rotas: Mapping[str, RotaSettings], link: str = ""
) -> AlertingSettings:
    """All alerting settings as decisions use them."""
    return AlertingSettings(
        routes=tuple(route.domain_value(name=name) for name, route in routes.items()),
        rotas=tuple(RotaRule(name, tuple(sorted(rota.people.items()))) for name, rota in rotas.items()),
        link=link,
    )
