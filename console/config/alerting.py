"""When and in which words a route is told, what explains what, who is on call: `[routes]`, `[[inhibit]]`, `[rotas]`.

The keys of a route that decisions go by stand here; where it leads to stands in `RouteSettings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from connectors.secrets import SecretRef
from console.config.shapes import Duration, Pause, Strict, TimeOfDay, Zone
from console.config.templates import fault_of
from console.model.alerting import MATCHERS, Alerting, InhibitRule, Matchers, QuietHours, RotaRule, RouteRule

Tier = Annotated[int, Field(ge=1, le=5)]


def _by_tier(value: Any) -> Any:
    """One time for every tier is that of the others."""
    return value if isinstance(value, dict) else {"other": value}


class QuietSettings(Strict):
    begins: TimeOfDay = Field(alias="from")
    ends: TimeOfDay = Field(alias="to")
    """Earlier than `from`: the next morning."""
    timezone: Zone
    break_through: tuple[Tier, ...] = (1,)
    """Tiers that are told all the same."""

    @model_validator(mode="after")
    def lasts(self) -> QuietSettings:
        if self.begins == self.ends:
            raise ValueError(f'from and to are both "{self.begins:%H:%M}": that is never, or always; write two times')
        return self

    def declared(self) -> QuietHours:
        return QuietHours(self.begins, self.ends, self.timezone, self.break_through)


class TemplateSettings(Strict):
    subject: str = ""
    """Jinja2; empty: as Headway writes it."""
    body: str = ""

    @field_validator("subject", "body")
    @classmethod
    def works(cls, source: str) -> str:
        if source and (fault := fault_of(source)):
            raise ValueError(f"this template does not work: {fault}")
        return source


class ToldSettings(Strict):
    """The part of `[routes.NAME]` that says when and in which words it is told."""

    words: Literal["", "technical", "business"] = ""
    """Without it the root cause's owner is told in technical, a service's in business words."""
    wait: Duration = Field(default=timedelta(0), alias="for")
    """How long a condition must have held before it is told; tier 1 waits for nothing."""
    group_wait: Duration = timedelta(0)
    """Incidents that come within it leave as one message."""
    repeat_every: Pause | None = None
    """What is open and not acknowledged is told again so often."""
    escalate_after: Annotated[dict[Literal["1", "2", "3", "4", "5", "other"], Pause], BeforeValidator(_by_tier)] = {}
    """How long it may stay unacknowledged; one time, or one for each tier."""
    escalate_to: tuple[str, ...] = ()
    """Routes that are told then, the second after twice that time, and so on."""
    quiet_hours: QuietSettings | None = None
    """When only some tiers are told; the rest waits until its end, and is told if it is still so."""
    rota: str = ""
    """Whoever is on call there is told; in a gap the fallback, without one these URLs."""
    template: TemplateSettings = TemplateSettings()

    @model_validator(mode="after")
    def goes_somewhere(self) -> ToldSettings:
        if bool(self.escalate_to) != bool(self.escalate_after):
            raise ValueError("escalate_after and escalate_to go together: write both, or neither")
        return self

    def _escalate_after(self) -> tuple[tuple[int, timedelta], ...]:
        return tuple((0 if tier == "other" else int(tier), after) for tier, after in self.escalate_after.items())

    def declared_as(self, name: str, fallback: str) -> RouteRule:
        return RouteRule(
            name=name,
            words=self.words,
            wait=self.wait,
            group_wait=self.group_wait,
            repeat_every=self.repeat_every,
            escalate_after=self._escalate_after(),
            escalate_to=self.escalate_to,
            quiet=self.quiet_hours.declared() if self.quiet_hours is not None else None,
            rota=self.rota,
            fallback=fallback,
            templated=bool(self.template.subject or self.template.body),
        )


class InhibitSettings(Strict):
    by: dict[str, str]
    """Matchers of the open incident that explains …"""
    what: dict[str, str]
    """… those that are not told meanwhile."""
    equal: tuple[Literal["system", "job", "service", "tier", "owner"], ...] = ()
    """Of these both must have the same."""

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
    """Why these are no matchers; empty when they are."""
    names = list(known)
    wrong = [name for name in matchers if name not in names]
    if wrong:
        return f'"{wrong[0]}" is no matcher; there are {", ".join(names)}'
    return "" if matchers else f"no matcher at all would fit everything; name one of {', '.join(names)}"


def matchers_of(matchers: Mapping[str, str]) -> Matchers:
    return tuple(sorted(matchers.items()))


class RotaSettings(Strict):
    ical: str | SecretRef
    """A file beside the config, or a reference to a URL."""
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
    routes: Mapping[str, Any], inhibit: Iterable[InhibitSettings], rotas: Mapping[str, RotaSettings], noise_report: str
) -> Alerting:
    """The whole, as decisions see it. `routes`: RouteSettings by name."""
    return Alerting(
        routes=tuple(one.declared_as(name, one.fallback) for name, one in routes.items()),
        inhibit=tuple(one.declared() for one in inhibit),
        rotas=tuple(one.declared(name) for name, one in rotas.items()),
        noise_report=noise_report,
    )
