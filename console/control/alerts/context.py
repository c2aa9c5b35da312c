"""The alert context: each incident with its notification history, and the notifications to be decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from console.control.incidents.correlation import IncidentMatch, ServiceDayKey, affected_runs, notified_content
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import (
    TECHNICAL,
    AcknowledgementFacts,
    AlertingSettings,
    AlertKind,
    Matchers,
    NotificationState,
    RouteNotification,
    RouteRule,
    SuppressionFacts,
)
from console.domain.decision import AffectedServiceVerdict, IncidentDecision, ServiceDayVerdict
from console.domain.service import Timeliness, service_of_instance
from console.timing.maintenance import matches_any


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

    @property
    def notified_days(self) -> frozenset[ServiceDayKey]:
        """Service days that any technical notification named."""
        return frozenset(
            day
            for notice in self.notified
            if notice.style == TECHNICAL
            for day in notified_content(notice.fingerprint).services
        )

    def values(self, root: AlertRoot) -> dict[str, tuple[str, ...]]:
        """Values for each matcher but the route; of one root."""
        return {
            "system": (root.system,),
            "job": (root.job,),
            "service": tuple(service.service for service in self.decision.services),
            "tier": (str(self.tier),) if self.tier is not None else (),
            "owner": (self.decision.owner,),
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
    errors_only: bool = False
    """True if its only news are errors of jobs that failed before, and that another job is the cause now."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why a stage suppresses a notification. `until`: None if no time ends it."""

    stage: str
    why: str
    until: datetime | None = None


SuppressionStage = Callable[["AlertContext", Notification], "Suppression | None"]


@dataclass(slots=True)
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
    explained: Mapping[int, tuple[AlertSubject, bool]] | None = None
    """Result of `inhibition.inhibiting_topics`, computed on first use."""
    explaining: Mapping[tuple[object, ...], Sequence[tuple[datetime, AlertSubject]]] | None = None
    """By topic of an inhibition: the subjects that explain, until when."""
    started: dict[tuple[str, str], datetime] | None = None
    newest_notifications: dict[tuple[str, str, ServiceDayKey], tuple[int, RouteNotification]] | None = None
    """By route, style and service day: the newest notification and its incident (`candidates`), computed on first use.
    """
    announcers: dict[tuple[str, str, ServiceDayKey], AlertSubject | None] = field(default_factory=dict)
    """By route, style and service day: the incident that notifies of the missed or lost deadline (`candidates`)."""
    open_by_day: dict[ServiceDayKey, list[AlertSubject]] | None = None
    """By affected service day, the open incidents, sorted by key; computed on first use."""
    restartable_by_day: dict[ServiceDayKey, list[AlertSubject]] | None = None
    """By service day, the incidents whose restart it needs (`joint_repair`), computed on first use."""

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

    def open_subjects(self, day: ServiceDayKey) -> Sequence[AlertSubject]:
        """The open incidents that affect the service day, sorted by key."""
        if self.open_by_day is None:
            self.open_by_day = {}
            for subject in sorted(self.subjects, key=lambda subject: subject.decision.key):
                for service in () if subject.decision.closed else subject.decision.services:
                    self.open_by_day.setdefault(service.key, []).append(subject)
        return self.open_by_day.get(day, ())

    def suppressed_since(self, stage: str, route: str) -> datetime:
        """Since when that stage suppresses anything for the route; now if it suppresses nothing yet."""
        if self.started is None:
            self.started = {}
            for fact in chain.from_iterable(self.notifications.suppressions.values()):
                key = fact.stage, fact.route
                self.started[key] = min(fact.since, self.started.get(key, fact.since))
        return self.started.get((stage, route), self.now)


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
    root = index.job(match.group.root.job_id) if match.group.root is not None else None
    number = decision.incident_id or 0
    ack = notifications.acks.get(number)
    is_valid = ack is not None and ack.until > index.now
    roots = [AlertRoot(target.system, f"{target.system}/{target.name}") for target in match.group.targets]
    roots = [AlertRoot(root.system, root.name)] if root is not None else roots or [AlertRoot("", "")]
    to_fix = match.group.job_ids_to_fix() if match.group.root is not None else []
    job_owner = index.job(to_fix[0]).owner if to_fix else ""
    return AlertSubject(
        match,
        decision,
        tuple(roots),
        job_owner=job_owner,
        tier=min((tiers[service.service] for service in decision.services if service.service in tiers), default=None),
        notified=notifications.notified.get(number, ()),
        suppressions=notifications.suppressions.get(number, ()),
        ack=ack if is_valid and not decision.ends_ack else None,
        ack_ended=is_valid and bool(decision.ends_ack),
    )


def matches_root(matchers: Matchers, subject: AlertSubject, root: AlertRoot, route: str = "") -> bool:
    """True if all matchers fit that root; no matchers fit nothing. A submission matches by its own name and its
    service's."""
    values = {**subject.values(root), "route": (route,)}
    values["service"] = (*values["service"], *map(service_of_instance, values["service"]))
    fits = (any(matches_any((pattern,), value) for value in values[name]) for name, pattern in matchers)
    return bool(matchers) and all(fits)


def resolved_since(context: AlertContext, subject: AlertSubject) -> datetime:
    """The last end of its broken runs; now if that is unknown: a duplicate is better than a missing notification."""
    match, now = subject.match, context.now
    if match.incident is None or match.incident.rule or not match.group.roots():
        return now
    runs = [*match.group.roots(), *affected_runs(context.index, match.incident)]
    return min(now, max(run.ended_at or now for run in runs))


_MISSED = (Timeliness.BREACHED, Timeliness.MET_LATE)


def deadline_passed_since(
    context: AlertContext, affected_service: AffectedServiceVerdict, before: RouteNotification
) -> bool:
    """True if its deadline passed after the route was last notified, without delivery."""
    return affected_service.timeliness in _MISSED and before.last_at <= affected_service.deadline <= context.now
