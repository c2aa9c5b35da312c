"""The cause of an incident: the questions that each kind answers."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar, NamedTuple

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failures import without_host
from console.domain.estate import IncidentFacts, RunFacts, TargetFacts
from console.domain.failure import FailureSignature
from console.domain.finding import Finding
from console.domain.incident_record import CauseKind, CauseRecord, RootRun, RootTarget
from console.domain.reason import Reason
from console.domain.text import Part, Text
from console.forecast.finish_times import ForecastNode, ServiceForecast
from console.text.cleaning import clean, clean_line
from console.text.normalize import constant_part, normalize_line
from console.timing.maintenance import ActiveMaintenance, maintenance_of_job

ServiceDayKey = tuple[str, date]
"""A service day: service name and business date."""
AffectedDays = dict[ServiceDayKey, tuple[ServiceForecast, list[ForecastNode]]]
"""Service days, each with the jobs of it that must be repaired."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts in which causes are found."""

    index: EstateIndex
    findings: Sequence[Finding]
    days: Sequence[ServiceForecast]


class Ended(NamedTuple):
    """The end of a cause: why its incident closes."""

    reason: Reason
    is_recovered: bool = False
    """True if it is green again, not out of view."""
    superseded: tuple[RunFacts, ...] = ()
    """Runs that failed while they could not be seen, and that a later run superseded."""


@dataclass(frozen=True, slots=True)
class Cause(ABC):
    """A thing to repair, and the red runs that it explains, its own included."""

    kind: ClassVar[CauseKind]
    end_text: ClassVar[str] = "recovered"
    """The end of the title of its resolution."""
    quotes_end: ClassVar[bool] = False
    """True if its source explains its end: messages quote it as they quote an error."""
    business_date: date
    since: datetime
    red: tuple[RunFacts, ...] = ()
    root: RunFacts | None = None
    """The latest red run of the one job that is the cause; repaired while its followers are red or stale. None for
    another cause, and once it is out of view."""

    @classmethod
    @abstractmethod
    def find(cls, evidence: Evidence, known: Sequence[Cause]) -> list[Cause]:
        """The causes that are `known`, with those of this kind; a kind may take over what others explained."""

    @classmethod
    @abstractmethod
    def of_incident(cls, index: EstateIndex, incident: IncidentFacts, red: tuple[RunFacts, ...]) -> Cause:
        """The cause of an open incident that was not found again. `red`: red runs that are left of it."""

    def name(self, index: EstateIndex) -> str:
        """The cleaned name of what is broken; empty if it is out of view."""
        return index.name(self.root.job_id) if self.root is not None else ""

    @abstractmethod
    def key(self, index: EstateIndex) -> str:
        """The dedup key of a new incident."""

    def title(self, index: EstateIndex) -> tuple[Part, ...]:
        """The title in place of that of its run. Empty: the title of its run is used."""
        return ()

    def plain_title(self, index: EstateIndex) -> str:
        """The title with nothing from outside but names. Empty: the title of its run is used."""
        return ""

    def problem(self, index: EstateIndex) -> str:
        """The problem for readers of technical names. Empty: the problem of its run is used."""
        return self.plain_title(index)

    def business_text(self, index: EstateIndex, services: Sequence[str]) -> str:
        """The problem without technical names, for owners of these services (titles). Empty: the problem of its run is
        used."""
        return ""

    def location(self, index: EstateIndex) -> str:
        """The system or data that it is about. Empty: the system of its run is used."""
        return ""

    def ended(self, index: EstateIndex, incident: IncidentFacts) -> Ended | None:
        """Its end, of a cause by `of_incident`; None while it goes on."""
        return None

    def maintenance(self, index: EstateIndex) -> ActiveMaintenance | None:
        """The active maintenance that covers it."""
        root = self.root
        return maintenance_of_job(index.estate, index.job(root.job_id), index.now) if root is not None else None

    def is_same(self, index: EstateIndex, incident: IncidentFacts) -> bool:
        """True if the open incident is about it."""
        return self.reopens(index, incident)

    def reopens(self, index: EstateIndex, incident: IncidentFacts) -> bool:
        """True if the incident, which closed lately, was about it."""
        return incident.cause == self.record

    @property
    def record(self) -> CauseRecord:
        """The cause as its incident stores it."""
        root: RootRun | RootTarget | None = None
        if self.root is not None:
            root = RootRun(self.root.job_id, self.root.period_key)
        elif self.targets:
            root = RootTarget(self.targets[0].id)
        return CauseRecord(self.kind, self.business_date, root, self.subject)

    @property
    def error(self) -> str:
        """The error that its source reported, without its fix. Empty: the reason of its incident is used."""
        return ""

    @property
    def subject(self) -> str:
        """The part of it that is not a job or target."""
        return ""

    def failure(self, index: EstateIndex) -> FailureSignature | None:
        """The signature of its failure; None if that is out of view."""
        job = index.job(self.root.job_id) if self.root is not None else None
        target = index.estate.targets.get(job.target_id) if job is not None else None
        host = target.name if target is not None else ""
        error = constant_part(without_host(host, clean(self.error)))
        task = normalize_line(clean_line(without_host(host, job.native_id))) if job is not None else ""
        kind = job.kind if job is not None else ""
        return FailureSignature(self.kind, kind, "", error or self.rule_text or clean_line(self.subject), task)

    @property
    def rule(self) -> str:
        """The rule by which it was found; empty for what failed."""
        return ""

    @property
    def rule_text(self) -> str:
        """The rule as people read it."""
        return self.rule

    @property
    def lost_by(self) -> int | None:
        """The job that loses the time, where nothing failed; None if none is clearly the cause."""
        return None

    @property
    def targets(self) -> tuple[TargetFacts, ...]:
        """Targets that are the cause, the first that failed first."""
        return ()

    @property
    def starts_nothing(self) -> bool:
        """True for a scheduler that is stopped: its next start comes only once it is restored."""
        return False

    @property
    def awaits(self) -> tuple[ServiceDayKey, ...]:
        """Service days that it is about."""
        return ()

    @property
    def can_close_itself(self) -> bool:
        """True if the next start of its jobs may end it without a repair."""
        return False

    def roots(self) -> list[RunFacts]:
        """Runs that nothing upstream explains."""
        return [self.root] if self.root is not None else []

    def job_ids_to_fix(self) -> list[int]:
        """Jobs whose owners can fix it."""
        return [run.job_id for run in self.roots()]

    def holds(self, job_id: int | None, business_date: date) -> bool:
        """True if this job is red here on that date."""
        return any(run.job_id == job_id and run.business_date == business_date for run in self.red)

    def reason(self, index: EstateIndex) -> Text:
        """The evidence, apart from the report of its run; empty without one."""
        return ()

    def affected_days(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> AffectedDays:
        """Service days that it affects by itself, not by its red and stale runs."""
        return {}

    def blocking(self, nodes: Sequence[ForecastNode]) -> Sequence[ForecastNode]:
        """Those of the affected jobs that must be restarted."""
        return nodes


KEY_NAME_LIMIT = 300
_JOINTS = frozenset("@#~")
"""Separators of the parts of a key."""


def unambiguous_name(raw: str) -> str:
    """The name for a key: unchanged if it can be shown; else cleaned, with a digest of its bytes, so that similar
    names stay distinct."""
    cleaned = clean_line(raw, KEY_NAME_LIMIT)
    if cleaned == raw and not _JOINTS & set(raw):
        return raw
    return f"{cleaned}~{hashlib.sha256(raw.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
