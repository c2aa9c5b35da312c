"""What the stages see: each incident with what was told and said of it, and each notice that wants to leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from console.control.cases import Case
from console.control.fingerprint import Day, read_told
from console.control.maintenance import fits_any
from console.control.picture import Picture
from console.model.alerting import (
    SHADOW,
    TECHNICAL,
    AckFacts,
    Alerting,
    HeldFacts,
    Matchers,
    RouteRule,
    Telling,
    ToldFacts,
)
from console.model.decisions import IncidentDecision, ServiceDayVerdict
from console.model.promises import service_of
from console.model.words import AlertKind


@dataclass(frozen=True, slots=True)
class Subject:
    """One incident, as it is decided now."""

    case: Case
    decision: IncidentDecision
    system: str
    job: str
    """Raw name of the root's job, or of the target; empty where the estate shows neither any more."""
    job_owner: str
    tier: int | None
    """Of the most important service that it hurts."""
    told: tuple[ToldFacts, ...] = ()
    held: tuple[HeldFacts, ...] = ()
    ack: AckFacts | None = None

    def told_to(self, route: str, words: str) -> ToldFacts | None:
        return next((one for one in self.told if (one.route, one.words) == (route, words)), None)

    def held_for(self, route: str, words: str) -> HeldFacts | None:
        return next((one for one in self.held if (one.route, one.words) == (route, words)), None)

    @property
    def days_told(self) -> frozenset[Day]:
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
class Wanted:
    """A notice that would leave now if no stage held it."""

    subject: Subject
    route: str
    words: str
    kind: AlertKind
    before: ToldFacts | None = None
    because: str = ""
    """Why it is told again, or to somebody else."""


@dataclass(frozen=True, slots=True)
class Held:
    """Why a stage holds a notice back. `until`: when time alone ends it; None: when what holds it is over."""

    stage: str
    why: str
    until: datetime | None = None


Stage = Callable[["Scene", Wanted], "Held | None"]


@dataclass(slots=True)
class Scene:
    """One evaluation as the stages look at it."""

    picture: Picture
    subjects: tuple[Subject, ...]
    days: dict[Day, ServiceDayVerdict] = field(default_factory=dict)
    """How every service day stands."""
    named: dict[str, str] = field(default_factory=dict)
    """Route of whoever is on call -> the route with the rota."""
    turns: list[datetime] = field(default_factory=list)
    """The instants after now at which time alone has something told."""
    explained: Mapping[int, tuple[Subject, bool]] | None = None
    """What `inhibit.explained` finds, once it was asked for."""
    explaining: Mapping[tuple[object, ...], Sequence[tuple[datetime, Subject]]] | None = None
    """By what both sides of an inhibition meet in: who explains, until when."""
    begun: dict[tuple[str, str], datetime] | None = None

    @property
    def now(self) -> datetime:
        return self.picture.now

    @property
    def alerting(self) -> Alerting:
        return self.picture.estate.declared.alerting

    @property
    def telling(self) -> Telling:
        return self.picture.estate.telling

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


def scene_of(picture: Picture, open_cases: Sequence[Case], decisions: Sequence[IncidentDecision]) -> Scene:
    tiers = {service.name: service.tier for service in picture.estate.services}
    pairs = zip(open_cases, decisions, strict=True)
    return Scene(picture, tuple(_subject(picture, case, decision, tiers) for case, decision in pairs))


def _subject(picture: Picture, case: Case, decision: IncidentDecision, tiers: Mapping[str, int]) -> Subject:
    telling = picture.estate.telling
    root = picture.job(case.group.root.job_id) if case.group.root is not None else None
    target = case.group.target
    number = decision.incident_id or 0
    ack = telling.acks.get(number)
    name = root.name if root is not None else f"{target.system}/{target.name}" if target is not None else ""
    return Subject(
        case,
        decision,
        system=root.system if root is not None else target.system if target is not None else "",
        job=name,
        job_owner=_owner_of(picture, case),
        tier=min((tiers[one.service] for one in decision.services if one.service in tiers), default=None),
        told=telling.told.get(number, ()),
        held=telling.held.get(number, ()),
        ack=ack if ack is not None and ack.until > picture.now else None,
    )


def _owner_of(picture: Picture, case: Case) -> str:
    """Of the one job that is to be mended; empty for a target, a check and several."""
    to_mend = case.group.to_mend() if case.group.root is not None else []
    return picture.job(to_mend[0]).owner if to_mend else ""


def _days(fingerprint: str) -> frozenset[Day]:
    try:
        return read_told(fingerprint).services
    except (ValueError, TypeError):
        return frozenset()


def fits(matchers: Matchers, subject: Subject, route: str = "") -> bool:
    """Whether all of the matchers fit; none at all fits nothing. A submission is matched by its own name and by that of
    its service."""
    values = {**subject.values(), "route": (route,)}
    values["service"] = (*values["service"], *map(service_of, values["service"]))
    found = (any(fits_any((pattern,), value) for value in values[name]) for name, pattern in matchers)
    return bool(matchers) and all(found)


def shadowed(wanted: Wanted) -> bool:
    """What only the shadow route sees passes every stage: it shows what would have been told."""
    return wanted.words == SHADOW
