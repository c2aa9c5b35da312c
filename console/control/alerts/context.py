"""The alert context: each incident with its notification history, and the notifications to be decided."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from console.control.incidents.causes.cause import ServiceDayKey
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.news import Change
from console.control.incidents.run_effects import affected_runs
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import (
    BUSINESS,
    SHADOW,
    AcknowledgementFacts,
    AlertingSettings,
    AlertKind,
    IncidentPhase,
    Matchers,
    NotificationState,
    NotifiedDay,
    RouteNotification,
    RouteRule,
    SuppressionFacts,
)
from console.domain.decision import IncidentDecision, KnownIncident, ServiceDayVerdict
from console.domain.text import Clock
from console.timing.formats import zoned_time
from console.timing.maintenance import matches_any

_RouteDay = tuple[str, bool, ServiceDayKey]
"""Route, whether it is notified in shadow mode, and the service day."""


class AlertRoot(NamedTuple):
    """Raw names of the root's job, or of a target; empty if both are gone from the estate."""

    system: str
    job: str


@dataclass(frozen=True, slots=True)
class AlertSubject:
    """One incident, as decided now."""

    match: IncidentMatch
    decision: IncidentDecision
    roots: tuple[AlertRoot, ...]
    """Several for targets at one endpoint."""
    job_owner: str
    tier: int | None
    """Tier of the most important affected service."""
    notified: tuple[RouteNotification, ...] = ()
    suppressions: tuple[SuppressionFacts, ...] = ()
    ack: AcknowledgementFacts | None = None
    """The valid acknowledgement."""
    ack_ended: bool = False
    """True if an acknowledgement was valid until this decision ended it."""

    def last_notification(self, route: str, text: str) -> RouteNotification | None:
        return next((notice for notice in self.notified if (notice.route, notice.style) == (route, text)), None)

    def suppressed_for(self, route: str, text: str) -> SuppressionFacts | None:
        return next((fact for fact in self.suppressions if (fact.route, fact.style) == (route, text)), None)

    def values(self, root: AlertRoot) -> dict[str, tuple[str, ...]]:
        """Values for each matcher but the route; of one root."""
        return {
            "system": (root.system,),
            "job": (root.job,),
            "service": tuple(service.service for service in self.decision.services),
            "tier": (str(self.tier),) if self.tier is not None else (),
            "owner": (self.decision.owner.name,),
        }


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification that would be sent now if no stage suppressed it."""

    subject: AlertSubject
    route: str
    style: str
    kind: AlertKind
    before: RouteNotification | None = None
    because: str = ""
    """Why it is sent again, or to another route."""
    changes: tuple[Change, ...] = ()
    """Changes that the route does not know yet."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why a stage suppresses a notification. `until`: None if no time ends it."""

    stage: str
    why: str
    until: datetime | None = None


SuppressionStage = Callable[["AlertContext", Notification], "Suppression | None"]


@dataclass
class AlertContext:
    """One evaluation, for the stages."""

    index: EstateIndex
    subjects: tuple[AlertSubject, ...]
    days: dict[ServiceDayKey, ServiceDayVerdict] = field(default_factory=dict)
    """Every service day."""
    named: dict[str, str] = field(default_factory=dict)
    """Route of the person on call -> the route with the rota."""
    turns: list[datetime] = field(default_factory=list)
    """Instants after now at which time alone changes a notification."""
    covered: set[_RouteDay] = field(default_factory=set)
    """Service days that the notifications of this evaluation have so far."""

    @property
    def now(self) -> datetime:
        return self.index.now

    @property
    def alerting(self) -> AlertingSettings:
        return self.index.estate.declared.alerting

    @property
    def notifications(self) -> NotificationState:
        return self.index.estate.notifications

    def rule(self, route: str) -> RouteRule:
        """Rule of the route; for the route of a person on call, that of the route with the rota."""
        return self.alerting.route(self.named.get(route, route))

    def is_due(self, at: datetime) -> bool:
        """True if that instant has come; else it becomes a turning point."""
        if at <= self.now:
            return True
        self.turns.append(at)
        return False

    @cached_property
    def open_by_day(self) -> Mapping[ServiceDayKey, Sequence[AlertSubject]]:
        """By affected service day, the open incidents, sorted by key."""
        by_day: dict[ServiceDayKey, list[AlertSubject]] = {}
        for subject in sorted(self.subjects, key=lambda subject: subject.decision.key):
            for service in () if subject.decision.closed else subject.decision.services:
                by_day.setdefault(service.key, []).append(subject)
        return by_day

    @cached_property
    def restartable_by_day(self) -> Mapping[ServiceDayKey, Sequence[AlertSubject]]:
        """By service day, the incidents whose restart it needs, without those that are acknowledged."""
        by_day: dict[ServiceDayKey, list[AlertSubject]] = {}
        for subject in self.subjects:
            for day in subject.decision.services if subject.ack is None else ():
                if day.needs_restart:
                    by_day.setdefault(day.key, []).append(subject)
        return by_day

    @cached_property
    def by_target(self) -> Mapping[int, Sequence[AlertSubject]]:
        """The incidents about each target."""
        by_target: dict[int, list[AlertSubject]] = {}
        for subject in self.subjects:
            for target in subject.match.cause.targets:
                by_target.setdefault(target.id, []).append(subject)
        return by_target

    def known_day(self, route: str, style: str, day: ServiceDayKey) -> NotifiedDay | None:
        """The service day as the newest message of the route had it; None if none had."""
        last = self._newest(route, style, day)
        return last[1] if last is not None else None

    def knows_end(self, route: str, style: str, day: ServiceDayKey) -> bool:
        """True if the newest message of the route that had the day was the end of an incident."""
        last = self._newest(route, style, day)
        return last is not None and last[0].content.phase is IncidentPhase.CLOSED

    def newest(self, route: str, style: str, days: Iterable[ServiceDayKey]) -> RouteNotification | None:
        """The newest notification of the route that named one of these days, of any incident."""
        known = (self._newest(route, style, day) for day in days)
        return max((last[0] for last in known if last is not None), key=attrgetter("last_at"), default=None)

    def business_routes(self, days: Collection[ServiceDayKey]) -> list[str]:
        """The routes whose newest message about one of these days was in business text."""
        known = self._known_days.items()
        return sorted({route for (route, _, day), (last, _) in known if day in days and last.style == BUSINESS})

    def _newest(self, route: str, style: str, day: ServiceDayKey) -> tuple[RouteNotification, NotifiedDay] | None:
        return self._known_days.get((route, style == SHADOW, day))

    @cached_property
    def _known_days(self) -> Mapping[_RouteDay, tuple[RouteNotification, NotifiedDay]]:
        """The newest message of each route about a service day."""
        sent = sorted(chain.from_iterable(self.notifications.notified.values()), key=attrgetter("last_at"))
        days = ((last, day) for last in sent for day in last.content.days if day.status)
        return {(last.route, last.style == SHADOW, day.key): (last, day) for last, day in days}

    def is_covered(self, route: str, style: str, day: ServiceDayKey) -> bool:
        return (route, style == SHADOW, day) in self.covered

    def cover(self, route: str, style: str, days: Iterable[ServiceDayKey]) -> None:
        """A notification of this evaluation has these days."""
        self.covered.update((route, style == SHADOW, day) for day in days)


def alert_context_of(
    index: EstateIndex, open_cases: Sequence[IncidentMatch], decisions: Sequence[IncidentDecision]
) -> AlertContext:
    tiers = {service.name: service.tier for service in index.estate.services}
    pairs = zip(open_cases, decisions, strict=True)
    return AlertContext(index, tuple(_subject(index, match, decision, tiers) for match, decision in pairs))


def _subject(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, tiers: Mapping[str, int]
) -> AlertSubject:
    notifications = index.estate.notifications
    root = index.job(match.cause.root.job_id) if match.cause.root is not None else None
    known = decision.incident if isinstance(decision.incident, KnownIncident) else KnownIncident(0)
    ack = notifications.acks.get(known.id)
    is_valid = ack is not None and ack.until > index.now
    roots = [AlertRoot(target.system, f"{target.system}/{target.name}") for target in match.cause.targets]
    roots = [AlertRoot(root.system, root.name)] if root is not None else roots or [AlertRoot("", "")]
    to_fix = match.cause.job_ids_to_fix() if match.cause.root is not None else []
    job_owner = index.job(to_fix[0]).owner if to_fix else ""
    return AlertSubject(
        match,
        decision,
        tuple(roots),
        job_owner=job_owner,
        tier=min((tiers[service.service] for service in decision.services if service.service in tiers), default=None),
        notified=notifications.notified.get(known.id, ()),
        suppressions=notifications.suppressions.get(known.id, ()),
        ack=ack if is_valid and not known.ends_acknowledgement else None,
        ack_ended=is_valid and bool(known.ends_acknowledgement),
    )


def clock_of(decision: IncidentDecision, now: datetime) -> Clock:
    """Writes instants in the zone of the incident, with the date where that is not today's."""
    return partial(zoned_time, zone=decision.zone, near=now)


def matches_root(matchers: Matchers, subject: AlertSubject, root: AlertRoot, route: str = "") -> bool:
    """True if all matchers fit that root; no matchers fit nothing."""
    values = {**subject.values(root), "route": (route,)}
    fits = (any(matches_any((pattern,), value) for value in values[name]) for name, pattern in matchers)
    return bool(matchers) and all(fits)


def resolved_since(context: AlertContext, subject: AlertSubject) -> datetime:
    """The last end of its broken runs; now if that is unknown: a duplicate is better than a missing notification."""
    match, now = subject.match, context.now
    if match.incident is None or match.incident.cause.rule or not match.cause.roots():
        return now
    runs = [*match.cause.roots(), *affected_runs(context.index, match.incident)]
    return min(now, max(run.ended_at or now for run in runs))
