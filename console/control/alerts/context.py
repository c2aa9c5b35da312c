"""The alert context: each incident with its notification history, and the notifications to be decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from console.control.incidents.correlation import IncidentMatch, ServiceDayKey, affected_runs, parse_last_notification
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import (
    SHADOW,
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


@dataclass(frozen=True, slots=True)
class AlertSubject:
    """One incident, as it is decided now."""

    match: IncidentMatch
    decision: IncidentDecision
    system: str
    job: str
    """Raw name of the root's job, or of the target; empty where the estate shows neither any more."""
    job_owner: str
    tier: int | None
    """Of the most important service that it hurts."""
    told: tuple[RouteNotification, ...] = ()
    held: tuple[SuppressionFacts, ...] = ()
    ack: AcknowledgementFacts | None = None

    def told_to(self, route: str, text: str) -> RouteNotification | None:
        return next((one for one in self.told if (one.route, one.words) == (route, text)), None)

    def held_for(self, route: str, text: str) -> SuppressionFacts | None:
        return next((one for one in self.held if (one.route, one.words) == (route, text)), None)

    @property
    def days_told(self) -> frozenset[ServiceDayKey]:
        """The service days that somebody has been told of in technical words."""
        return frozenset(day for one in self.told if one.words == TECHNICAL for day in _days(one.fingerprint))

    def values(self) -> dict[str, tuple[str, ...]]:
        """What each matcher but the route is compared with."""
        return {
            "system": (self.system,),
            "job": (self.job,),
            "service": tuple(one.service for one in self.decision.services),
            "tier": (str(self.tier),) if self.tier is not None else (),
            "owner": (self.decision.owner,),
        }


@dataclass(frozen=True, slots=True)
class Notification:
    """A notice that would leave now if no stage held it."""

    subject: AlertSubject
    route: str
    words: str
    kind: AlertKind
    before: RouteNotification | None = None
    because: str = ""
    """Why it is told again, or to somebody else."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why a stage holds a notice back. `until`: when time alone ends it; None: when what holds it is over."""

    stage: str
    why: str
    until: datetime | None = None


SuppressionStage = Callable[["AlertContext", Notification], "Suppression | None"]


@dataclass(slots=True)
class AlertContext:
    """One evaluation as the stages look at it."""

    index: EstateIndex
    subjects: tuple[AlertSubject, ...]
    days: dict[ServiceDayKey, ServiceDayVerdict] = field(default_factory=dict)
    """How every service day stands."""
    named: dict[str, str] = field(default_factory=dict)
    """Route of whoever is on call -> the route with the rota."""
    turns: list[datetime] = field(default_factory=list)
    """The instants after now at which time alone has something told."""
    explained: Mapping[int, tuple[AlertSubject, bool]] | None = None
    """What `inhibit.explained` finds, once it was asked for."""
    explaining: Mapping[tuple[object, ...], Sequence[tuple[datetime, AlertSubject]]] | None = None
    """By what both sides of an inhibition meet in: who explains, until when."""
    begun: dict[tuple[str, str], datetime] | None = None

    @property
    def now(self) -> datetime:
        return self.index.now

    @property
    def alerting(self) -> AlertingSettings:
        return self.index.estate.declared.alerting

    @property
    def telling(self) -> NotificationState:
        return self.index.estate.telling

    def rule(self, route: str) -> RouteRule:
        """What config says of it; of the route of whoever is on call, what it says of the route with the rota."""
        return self.alerting.route(self.named.get(route, route))

    def is_due(self, at: datetime) -> bool:
        """Whether that instant is here; one that is not is a turning point."""
        if at <= self.now:
            return True
        self.turns.append(at)
        return False

    def held_since(self, stage: str, route: str) -> datetime:
        """Since when that stage holds anything for the route; now, where it holds nothing yet."""
        if self.begun is None:
            self.begun = {}
            for one in chain.from_iterable(self.telling.held.values()):
                key = one.stage, one.route
                self.begun[key] = min(one.since, self.begun.get(key, one.since))
        return self.begun.get((stage, route), self.now)


def alert_context_of(
    index: EstateIndex, open_cases: Sequence[IncidentMatch], decisions: Sequence[IncidentDecision]
) -> AlertContext:
    tiers = {service.name: service.tier for service in index.estate.services}
    pairs = zip(open_cases, decisions, strict=True)
    return AlertContext(index, tuple(_subject(index, match, decision, tiers) for match, decision in pairs))


def _subject(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision, tiers: Mapping[str, int]
) -> AlertSubject:
    telling = index.estate.telling
    root = index.job(match.group.root.job_id) if match.group.root is not None else None
    target = match.group.target
    number = decision.incident_id or 0
    ack = telling.acks.get(number)
    name = root.name if root is not None else f"{target.system}/{target.name}" if target is not None else ""
    return AlertSubject(
        match,
        decision,
        system=root.system if root is not None else target.system if target is not None else "",
        job=name,
        job_owner=_owner_of(index, match),
        tier=min((tiers[one.service] for one in decision.services if one.service in tiers), default=None),
        told=telling.told.get(number, ()),
        held=telling.held.get(number, ()),
        ack=ack if ack is not None and ack.until > index.now else None,
    )


def _owner_of(index: EstateIndex, match: IncidentMatch) -> str:
    """Of the one job that is to be mended; empty for a target, a check and several."""
    to_mend = match.group.to_mend() if match.group.root is not None else []
    return index.job(to_mend[0]).owner if to_mend else ""


def _days(fingerprint: str) -> frozenset[ServiceDayKey]:
    try:
        return parse_last_notification(fingerprint).services
    except (ValueError, TypeError):
        return frozenset()


def matches_subject(matchers: Matchers, subject: AlertSubject, route: str = "") -> bool:
    """Whether all of the matchers fit; none at all fits nothing. A submission is matched by its own name and by that of
    its service."""
    values = {**subject.values(), "route": (route,)}
    values["service"] = (*values["service"], *map(service_of_instance, values["service"]))
    found = (any(matches_any((pattern,), value) for value in values[name]) for name, pattern in matchers)
    return bool(matchers) and all(found)


def is_shadow_only(notification: Notification) -> bool:
    """What only the shadow route sees passes every stage: it shows what would have been told."""
    return notification.words == SHADOW


def resolved_since(context: AlertContext, subject: AlertSubject) -> datetime:
    """The last end of all that it had broken; now, where nothing says when: once too often is better than never."""
    match, now = subject.match, context.now
    if match.incident is None or match.incident.rule or not match.group.roots():
        return now
    runs = [*match.group.roots(), *affected_runs(context.index, match.incident)]
    return min(now, max(run.ended_at or now for run in runs))


_MISSED = (Timeliness.BREACHED, Timeliness.MET_LATE)


def deadline_passed_since(
    context: AlertContext, affected_service: AffectedServiceVerdict, before: RouteNotification
) -> bool:
    """Whether its deadline passed, unkept, after what the route was told last."""
    return affected_service.timeliness in _MISSED and before.last_at <= affected_service.deadline <= context.now
