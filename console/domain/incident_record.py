"""Values of an incident that are decided and stored unchanged: its cause, its flaps, and its last notification."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from console.domain.alert import NOTHING_NOTIFIED, IncidentPhase, NotifiedIncident
from console.domain.failure import FailureSignature
from console.domain.incident import FailureError
from console.domain.service import UNMET_PROMISE
from console.domain.stored import stored_text, stored_value


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


class Withheld(StrEnum):
    """The news of an incident that its routes did not get, because a maintenance covers it."""

    NO = ""
    """No maintenance covers it."""
    NOTHING = "nothing"
    """The routes know all of it."""
    CHANGES = "known"
    """The routes know the incident, but not its later changes."""
    ALL = "new"


@dataclass(frozen=True, slots=True)
class IncidentFingerprint:
    """An incident, as its last notification has it."""

    notified: NotifiedIncident = NOTHING_NOTIFIED
    """Its days without their values, in order: a notified one stays until the incident closes."""
    quiet: Withheld = Withheld.NO
    failures: tuple[KnownFailure, ...] = ()
    """Failures of each job, different or after a success, oldest first: those notified, and the first that is not."""
    is_stop: bool = False
    """True if its target answered, and its scheduler started nothing."""
    left_by: str = ""
    """The policy whose repair did not repair it, and that sends no other."""
    came_back: bool = False
    """True if that repair succeeded, and the same failure came back."""

    @classmethod
    def from_json(cls, stored: str) -> IncidentFingerprint:
        """Reads the result of `to_json`; empty for text of another form."""
        return stored_value(cls, stored, cls())

    def to_json(self) -> str:
        """As its incident stores it."""
        return stored_text(self)

    def not_repaired_by(self, policy: str, *, came_back: bool) -> IncidentFingerprint:
        """With the policy that did not repair it; that is its phase unless it has ended or heals."""
        phase = self.notified.phase
        phase = IncidentPhase.UNREPAIRED if phase is IncidentPhase.OPEN else phase
        return replace(self, notified=self.notified._replace(phase=phase), left_by=policy, came_back=came_back)
