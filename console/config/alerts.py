"""`[routes]`, `[[inhibit]]`, `[rotas]`: when a route notifies and in which text, what inhibits what, who is on call.

The keys of a route that decisions depend on are here; where it delivers to is in `RouteSettings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from connectors.sdk.option_errors import StrictOptions, Zone
from connectors.sdk.secrets import SecretRef
from console.config.templates import fault_of
from console.config.value_types import Duration, Pause, TimeOfDay
from console.domain.alert import MATCHERS, AlertingSettings, InhibitRule, Matchers, QuietHours, RotaRule, RouteRule

Tier = Annotated[int, Field(ge=1, le=5)]


def _by_tier(value: Any) -> Any:
    """A single time applies to all tiers."""
    return value if isinstance(value, dict) else {"other": value}


class QuietSettings(StrictOptions):
    begins: TimeOfDay = Field(alias="from")
    ends: TimeOfDay = Field(alias="to")
    """Earlier than `from`: the next morning."""
    timezone: Zone
    break_through: tuple[Tier, ...] = (1,)
    """Tiers that notify nevertheless."""

    @model_validator(mode="after")
    def lasts(self) -> QuietSettings:
        if self.begins == self.ends:
            raise ValueError(f'from and to are both "{self.begins:%H:%M}": that is never, or always; write two times')
        return self

    def declared(self) -> QuietHours:
        return QuietHours(self.begins, self.ends, self.timezone, self.break_through)


class TemplateSettings(StrictOptions):
    subject: str = ""
    """Jinja2; empty: Headway's default."""
    body: str = ""

    @field_validator("subject", "body")
    @classmethod
    def works(cls, source: str) -> str:
        if source and (fault := fault_of(source)):
            raise ValueError(f"the template is invalid: {fault}")
        return source


class NotificationSettings(StrictOptions):
    """The part of `[routes.NAME]` about when it notifies and in which text."""

    style: Literal["", "technical", "business"] = ""
    """Default: "technical" for the owner of the root cause, "business" for that of a service."""
    wait: Duration = Field(default=timedelta(0), alias="for")
    """How long a condition must last before it notifies; tier 1 never waits."""
    group_wait: Duration = timedelta(0)
    """Incidents within this time are sent as one message."""
    repeat_every: Pause | None = None
    """Interval of repetitions while unacknowledged."""
    escalate_after: Annotated[dict[Literal["1", "2", "3", "4", "5", "other"], Pause], BeforeValidator(_by_tier)] = {}
    """Time until escalation if unacknowledged; one for all tiers, or one per tier."""
    escalate_to: tuple[str, ...] = ()
    """Routes of the escalation: the first after that time, the second after twice that time, and so on."""
    quiet_hours: QuietSettings | None = None
    """When only some tiers notify; the rest waits until the end, and is sent if still true."""
    rota: str = ""
    """Notifies the person on call; in a gap the fallback, without one these URLs."""
    template: TemplateSettings = TemplateSettings()

    @model_validator(mode="after")
    def goes_somewhere(self) -> NotificationSettings:
        if bool(self.escalate_to) != bool(self.escalate_after):
            raise ValueError("escalate_after and escalate_to go together: write both, or neither")
        return self

    def declared_as(self, name: str, fallback: str) -> RouteRule:
        by_tier = ((0 if tier == "other" else int(tier), after) for tier, after in self.escalate_after.items())
        return RouteRule(
            name=name,
            style=self.style,
            wait=self.wait,
            group_wait=self.group_wait,
            repeat_every=self.repeat_every,
            escalate_after=tuple(by_tier),
            escalate_to=self.escalate_to,
            quiet=self.quiet_hours.declared() if self.quiet_hours is not None else None,
            rota=self.rota,
            fallback=fallback,
            templated=bool(self.template.subject or self.template.body),
        )


class InhibitSettings(StrictOptions):
    by: dict[str, str]
    """Matchers of the open incident …"""
    what: dict[str, str]
    """… and of the incidents that it suppresses."""
    equal: tuple[Literal["system", "job", "service", "tier", "owner"], ...] = ()
    """Labels that must be equal for both."""

    @field_validator("by", "what")
    @classmethod
    def known(cls, matchers: dict[str, str]) -> dict[str, str]:
        fault = matcher_fault(matchers, MATCHERS[:-1])
        if fault:
            raise ValueError(fault)
        return matchers

    def declared(self) -> InhibitRule:
        return InhibitRule(matchers_of(self.by), matchers_of(self.what), self.equal)


def matcher_fault(matchers: Mapping[str, str], known: Iterable[str] = MATCHERS) -> str:
    """Why the matchers are invalid; empty if valid."""
    names = list(known)
    wrong = [name for name in matchers if name not in names]
    if wrong:
        return f'"{wrong[0]}" is not a matcher; known are {", ".join(names)}'
    return "" if matchers else f"without a matcher it would match everything; name one of {', '.join(names)}"


def matchers_of(matchers: Mapping[str, str]) -> Matchers:
    return tuple(sorted(matchers.items()))


class RotaSettings(StrictOptions):
    ical: str | SecretRef
    """A file next to the config, or a reference to a URL."""
    refresh_every: Pause = timedelta(minutes=15)
    people: dict[str, str] = Field(min_length=1)
    """Person as the calendar names them (an event's summary or attendee) -> their route."""

    @field_validator("ical", mode="before")
    @classmethod
    def no_url(cls, ical: object) -> object:
        if isinstance(ical, str) and "://" in ical:
            raise ValueError('a URL may hold a secret and is not written here: write ical = { env = "NAME" }')
        return ical

    def declared(self, name: str) -> RotaRule:
        return RotaRule(name, tuple(sorted(self.people.items())))


def alerting(
    routes: Mapping[str, Any],
    inhibit: Iterable[InhibitSettings],
    rotas: Mapping[str, RotaSettings],
    noise_report: str,
    link: str = "",
) -> AlertingSettings:
    """All alerting settings as decisions use them. `routes`: RouteSettings by name."""
    return AlertingSettings(
        routes=tuple(route.declared_as(name, route.fallback) for name, route in routes.items()),
        inhibit=tuple(rule.declared() for rule in inhibit),
        rotas=tuple(rota.declared(name) for name, rota in rotas.items()),
        noise_report=noise_report,
        link=link,
    )
