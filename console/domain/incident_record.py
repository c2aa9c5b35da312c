"""Values of an incident that are decided and stored unchanged: its cause, its flaps, and its last notification."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from console.domain.alert import IncidentPhase, JobErrors, NotifiedDay, NotifiedIncident
from console.domain.failure import FailureSignature
from console.domain.incident import FailureError
from console.domain.service import UNMET_PROMISE


class CauseKind(StrEnum):
    """The kinds of causes, each a class of `control.incidents.causes`."""

    RUN = "run"
    TARGET = "target"
    SHARED = "shared"
    """A host, database or credential that many jobs name."""
    RULE = "rule"
    CHECK = "check"
    UNDELIVERED = UNMET_PROMISE
    """Service days that are late without a failure."""


class RootRun(NamedTuple):
    """The run that is the cause."""

    job_id: int
    period_key: str


class RootTarget(NamedTuple):
    """The target that is the cause: of several the first that failed."""

    target_id: int


@dataclass(frozen=True, slots=True)
class CauseRecord:
    """The kind of a cause, and what it is about."""

    kind: str
    """A `CauseKind`; text of another is kept."""
    business_date: date
    root: RootRun | RootTarget | None = None
    """None for a cause that is neither run nor target, and once it is out of view."""
    subject: str = ""
    """The part of it that is not a job or target: a shared host or credential, a check, a rule."""
    failure: FailureSignature | None = field(default=None, compare=False)
    """How it failed; not part of its identity. None in a cause that was found, and not written yet."""

    @property
    def job_id(self) -> int | None:
        """The job of its run; None for another cause."""
        return self.root.job_id if isinstance(self.root, RootRun) else None

    @property
    def target_id(self) -> int | None:
        """Its target; None for another cause."""
        return self.root.target_id if isinstance(self.root, RootTarget) else None

    @property
    def shared(self) -> str:
        """The host, database or credential that is the cause, named by `control.snapshot.failures`; else empty."""
        return self.subject if self.kind == CauseKind.SHARED else ""

    @property
    def rule(self) -> str:
        """The rule whose finding is the cause, or that of an unmet promise; else empty."""
        is_undelivered = self.kind == CauseKind.UNDELIVERED
        return self.subject if self.kind == CauseKind.RULE else UNMET_PROMISE if is_undelivered else ""


class Flaps(NamedTuple):
    """An incident that was reopened: how often since it was last steady, and since when."""

    times: int
    since: datetime


class KnownFailure(NamedTuple):
    """A way in which a job of an incident failed."""

    job: str
    state: str
    exit_code: int | None
    message: str
    succeeded_at: str
    """The last success of the job before it failed; empty if unknown."""

    @property
    def error(self) -> FailureError:
        return FailureError(self.exit_code, self.message)

    def differs_from(self, failure: KnownFailure) -> bool:
        return self.state != failure.state or self.error.differs_from(failure.error)


@dataclass(frozen=True, slots=True)
class IncidentFingerprint:
    """An incident, as its last notification has it."""

    root: str = ""
    services: frozenset[tuple[str, date]] = frozenset()
    """Service name and business date of its affected days."""
    closed: bool = False
    in_shadow: tuple[str, ...] = ()
    """Routes in shadow, sorted: they are notified once it ends."""
    quiet: str = ""
    """Suppressed by a maintenance: "new", if nothing was notified; "known", if only later changes were not."""
    errors: tuple[JobErrors, ...] = ()
    failures: tuple[KnownFailure, ...] = ()
    """Failures of each job, different or after a success, oldest first: those notified, and the first that is not."""
    causes: tuple[str, ...] = ()
    """Jobs left to repair after the root, in the order in which they became the cause; at most
    `correlation.MAX_ERRORS`."""
    repaired: bool = False
    """Its plan has repaired the cause, and goes on with all services safe."""
    heals: bool = False
    """It needed no repair so far: its next starts close it."""
    is_stop: bool = False
    """True if its target answered, and its scheduler started nothing."""
    left_by: str = ""
    """The policy whose repair did not repair it, and that sends no other."""

    @classmethod
    def from_json(cls, stored: str) -> IncidentFingerprint:
        """Reads the result of `to_json`; empty for any other text."""
        try:
            values = json.loads(stored)
            sequences = {
                "services": frozenset((name, date.fromisoformat(day)) for name, day in values["services"]),
                "in_shadow": tuple(values["in_shadow"]),
                "errors": tuple(JobErrors(**error) for error in values["errors"]),
                "failures": tuple(KnownFailure(**failure) for failure in values["failures"]),
                "causes": tuple(values["causes"]),
            }
            return cls(**values | sequences)
        except (ValueError, TypeError, KeyError):
            return cls()

    def to_json(self) -> str:
        """As its incident stores it: its fields by name."""
        sequences = {
            "services": sorted((name, business_date.isoformat()) for name, business_date in self.services),
            "errors": [error._asdict() for error in self.errors],
            "failures": [failure._asdict() for failure in self.failures],
        }
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(values | sequences, separators=(",", ":"))

    @property
    def notified(self) -> NotifiedIncident:
        """The incident as a technical notification has it, without the values of its days."""
        phases = (
            (IncidentPhase.CLOSED, self.closed), (IncidentPhase.REPAIRED, self.repaired),
            (IncidentPhase.HEALS, self.heals), (IncidentPhase.UNREPAIRED, bool(self.left_by)),
        )  # fmt: skip
        phase = next((phase for phase, holds in phases if holds), IncidentPhase.OPEN)
        days = tuple(NotifiedDay(*day, "") for day in sorted(self.services))
        return NotifiedIncident(self.root, phase, self.errors, self.causes, days)
