"""Alerting as values: what config says of routes, what was told and held back, and what people said.

All instants are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

TECHNICAL, BUSINESS, SHADOW = "technical", "business", "shadow"
"""The words in which a route is told."""
MATCHERS = ("system", "job", "service", "tier", "owner", "route")
"""What a silence or an inhibit rule can be about."""
Matchers = tuple[tuple[str, str], ...]
"""(name of a matcher, pattern): * for any text; all of them must fit."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """When a route is not woken: from then to then on its own clock, through midnight where the end is earlier."""

    begins: time
    ends: time
    zone: str
    break_through: tuple[int, ...] = (1,)
    """Tiers that are told all the same."""


@dataclass(frozen=True, slots=True)
class RouteRule:
    """What one `[routes.NAME]` says of when and in which words it is told."""

    name: str
    words: str = ""
    """"technical" or "business"; empty: technical to the root cause's owner, business to a service's."""
    wait: timedelta = timedelta(0)
    """`for`: how long a condition must have held before it is told; tier 1 waits for nothing."""
    group_wait: timedelta = timedelta(0)
    repeat_every: timedelta | None = None
    escalate_after: tuple[tuple[int, timedelta], ...] = ()
    """(tier, how long nobody has acknowledged it); tier 0: every other, and what hurts no service."""
    escalate_to: tuple[str, ...] = ()
    """Routes: the first after `escalate_after`, each further one as much later."""
    quiet: QuietHours | None = None
    rota: str = ""
    """Who is on call there is told in place of the route's own URLs."""
    fallback: str = ""
    templated: bool = False


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """One `[[inhibit]]`: while an open incident fits `by`, one that fits `what` is not told, where both have the same
    of each in `equal`."""

    by: Matchers
    what: Matchers
    equal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RotaRule:
    """One `[rotas.NAME]`; where its calendar is stays with the engine, for it may be a secret."""

    name: str
    people: tuple[tuple[str, str], ...] = ()
    """(person as the calendar names them, route)."""


@dataclass(frozen=True, slots=True)
class Alerting:
    """All that config declares of alerting."""

    routes: tuple[RouteRule, ...] = ()
    inhibit: tuple[InhibitRule, ...] = ()
    rotas: tuple[RotaRule, ...] = ()
    noise_report: str = ""
    """Route that is told the week's noise; empty: nobody."""

    def route(self, name: str) -> RouteRule:
        return next((one for one in self.routes if one.name == name), RouteRule(name))


NO_ALERTING = Alerting()


@dataclass(frozen=True, slots=True)
class ToldFacts:
    """What a route was last told of an incident."""

    route: str
    words: str
    fingerprint: str
    first_at: datetime
    last_at: datetime
    times: int = 1
    until: datetime | None = None
    """When the last word may leave, where it was put off; None: it left at once."""

    def left_by(self, at: datetime) -> bool:
        """Whether the last word had left when it was taken back, or would have been, at that time."""
        return self.until is None or self.until <= at


@dataclass(frozen=True, slots=True)
class HeldFacts:
    """A notice that is held back."""

    route: str
    words: str
    kind: str
    stage: str
    why: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AckFacts:
    """Somebody is on an incident."""

    by: str
    until: datetime
    why: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SilenceFacts:
    """What a person mutes."""

    id: int
    matchers: Matchers
    begins: datetime
    until: datetime
    by: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Shift:
    """Who is on call, from then (inclusive) until then."""

    person: str
    begins: datetime
    ends: datetime


def on_call(shifts: Sequence[Shift], at: datetime) -> Shift | None:
    """The shift that holds the instant; of several the one that began last: a swap lies over the regular one."""
    return max(
        (one for one in shifts if one.begins <= at < one.ends), key=lambda one: (one.begins, one.person), default=None
    )


@dataclass(frozen=True, slots=True)
class Telling:
    """What was told and said so far, of the incidents that are open."""

    told: Mapping[int, tuple[ToldFacts, ...]] = field(default_factory=dict)
    """By incident id; what was told of those merged into it is among it."""
    held: Mapping[int, tuple[HeldFacts, ...]] = field(default_factory=dict)
    acks: Mapping[int, AckFacts] = field(default_factory=dict)
    """By incident id: the newest that was not taken back."""
    silences: tuple[SilenceFacts, ...] = ()
    """Those that were not ended and are not over, oldest first."""
    shifts: Mapping[str, tuple[Shift, ...]] = field(default_factory=dict)
    """By rota."""
