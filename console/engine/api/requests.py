"""Requests to the engine, a class for each: its fields, its subjects, and its JSON in the store. Clients load only
this module; the others of this package have the handlers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, dataclass_transform

from connectors.sdk.states import Verb
from console.domain.name_pattern import exact_name
from console.domain.plan import StepKey
from console.domain.request import RequestKind
from console.store import subjects
from console.store.db.session import Session


@dataclass(frozen=True, slots=True)
class RequestSubject:
    """A job, a system, or, with neither, the whole estate, for which a request needs the role of its kind."""

    job_id: int | None = None
    system: str = ""
    requested_by: str = ""
    """The requester of the action to approve or withdraw."""


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class ClientRequest:
    """A request of a person. Each subclass is a frozen dataclass, and its fields are the keys of the stored JSON. A
    field with a default may be absent there."""

    kind: ClassVar[RequestKind]

    def __init_subclass__(cls, kind: RequestKind) -> None:
        dataclass(frozen=True)(cls)
        cls.kind = kind

    def jobs(self, session: Session) -> Sequence[int]:
        """The jobs that it is about: the one of its `run_id`, `job_id` or `incident_id`, if the store knows it."""
        for name in ("run_id", "job_id", "incident_id"):
            if (number := getattr(self, name, None)) is not None:
                job_id = subjects.job_of(session, name, number)
                return () if job_id is None else (job_id,)
        return ()

    def subjects(self, session: Session) -> list[RequestSubject]:
        """Its jobs; the whole estate if it is about none."""
        return [RequestSubject(job_id) for job_id in self.jobs(session)] or [RequestSubject()]


class PreviewAction(ClientRequest, kind=RequestKind.PREVIEW):
    """Previews a verb for a run or a job."""

    run_id: int | None = None
    job_id: int | None = None
    verb: Verb = Verb.RERUN
    parameters: dict[str, Any] | None = None


class ReadLog(ClientRequest, kind=RequestKind.LOG):
    """Reads a page of the log of a run's latest or given attempt."""

    run_id: int
    attempt_id: int | None = None
    start: str | None = None


class CompareLogs(ReadLog, kind=RequestKind.COMPARE_LOGS):
    """Compares that log with the one of the last successful run."""


class ForecastScenarios(ClientRequest, kind=RequestKind.WHAT_IF):
    """Forecasts the services that depend on the job, for each of the scenarios `ways`: {"how": "restart", "skip" or
    "faster", "at": time, "factor": share of the usual duration}."""

    job_id: int
    ways: tuple[Any, ...] = ()


class AcceptDrift(ClientRequest, kind=RequestKind.ACCEPT_DRIFT):
    """Accepts drift up to change number `change`, the newest that the person saw of the job; 0 if there was none."""

    job_id: int
    change: int


class EditCard(ClientRequest, kind=RequestKind.EDIT_CARD):
    """Sets fields of a job's card; an empty value restores the config's."""

    job_id: int
    card: dict[str, str]
    why: str = ""


class RelaxRerunSafety(EditCard, kind=RequestKind.RELAX_RERUN_SAFETY):
    """Edits a card so that reruns are less cautious."""


class WithdrawAction(ClientRequest, kind=RequestKind.WITHDRAW):
    key: str
    why: str = ""

    def subjects(self, session: Session) -> list[RequestSubject]:
        return _requested_action(session, self.key)


class ApproveAction(ClientRequest, kind=RequestKind.APPROVE):
    """Approves another person's action as it was displayed (`ApprovalView.digest`)."""

    key: str
    digest: str = ""

    def subjects(self, session: Session) -> list[RequestSubject]:
        return _requested_action(session, self.key)


def _requested_action(session: Session, key: str) -> list[RequestSubject]:
    action = subjects.requested_action(session, key)
    return [RequestSubject() if action is None else RequestSubject(action.job_id, "", action.requested_by)]


class ExtendDeadline(ClientRequest, kind=RequestKind.EXTEND):
    """Extends a service day until then; without a time the extension ends."""

    service: str
    business_date: str = ""
    until_us: int | None = None
    why: str = ""

    def jobs(self, session: Session) -> Sequence[int]:
        return subjects.jobs_of_service(session, self.service)


class UndoCompletion(ClientRequest, kind=RequestKind.UNDO_COMPLETION):
    """Reopens a completed manual step."""

    run_id: int
    why: str = ""


class RunDataCheck(ClientRequest, kind=RequestKind.RUN_CHECK):
    """Runs a check now, for a business date or the present one."""

    check: str
    business_date: str = ""


class PausePolicy(ClientRequest, kind=RequestKind.PAUSE_POLICY):
    """Pauses a policy of the config."""

    policy: str
    why: str = ""


class ResumePolicy(PausePolicy, kind=RequestKind.RESUME_POLICY):
    """Resumes it."""


class CloseBreaker(PausePolicy, kind=RequestKind.CLOSE_BREAKER):
    """Closes its breaker, which forgets the repairs that failed so far."""


class ProbeSystem(ClientRequest, kind=RequestKind.PROBE):
    """Reads reachability, version and rights of a system's targets, or of one."""

    system: str
    target: str = ""

    def subjects(self, session: Session) -> list[RequestSubject]:
        return [RequestSubject(system=self.system)]


class ProposeRecovery(ClientRequest, kind=RequestKind.PROPOSE_PLAN):
    """Proposes a plan that repairs the services affected by the incident, or `all` that it left red or stale, without
    the steps `leave_out`. The answer, as of all proposals, is a `PlanDraft` as JSON."""

    incident_id: int
    all: bool = False
    leave_out: tuple[StepKey, ...] = ()


class ProposeBulk(ClientRequest, kind=RequestKind.PROPOSE_PLAN):
    """Proposes a plan that does the same with each of these runs, without the steps `leave_out`."""

    run_ids: tuple[int, ...]
    verb: Verb
    leave_out: tuple[StepKey, ...] = ()

    def jobs(self, session: Session) -> Sequence[int]:
        return subjects.jobs_of_runs(session, self.run_ids)


class ProposeBackfill(ClientRequest, kind=RequestKind.PROPOSE_PLAN):
    """Proposes a plan for the periods without a good run on business dates `first` to `last`, both included. `limit`:
    only the oldest so many; `unseen`: also periods from before the job was first seen."""

    job_id: int
    first: str
    last: str
    limit: int | None = None
    unseen: bool = False


class Acknowledge(ClientRequest, kind=RequestKind.ACKNOWLEDGE):
    """Acknowledges an incident for so long. The same key twice is one acknowledgement. `keeps_later`: it ends no
    earlier than the one that it replaces."""

    incident_id: int
    seconds: float
    why: str = ""
    key: str = ""
    keeps_later: bool = False


class Unacknowledge(ClientRequest, kind=RequestKind.UNACKNOWLEDGE):
    incident_id: int
    why: str = ""


class AddSilence(ClientRequest, kind=RequestKind.ADD_SILENCE):
    """Silences alerts that match all matchers, from `from_us` (default: now) for so long."""

    matchers: dict[str, str]
    seconds: float
    why: str = ""
    from_us: int | None = None

    def subjects(self, session: Session) -> list[RequestSubject]:
        return _silenced(session, self.matchers)


class ExpireSilence(ClientRequest, kind=RequestKind.EXPIRE_SILENCE):
    silence: int
    why: str = ""

    def subjects(self, session: Session) -> list[RequestSubject]:
        return _silenced(session, subjects.silence_matchers(session, self.silence))


def _silenced(session: Session, matchers: Mapping[str, Any]) -> list[RequestSubject]:
    """The jobs or the system that the matchers name exactly, else the whole estate."""
    job, system = (exact_name(str(matchers.get(name, ""))) or "" for name in ("job", "system"))
    jobs = subjects.jobs_named(session, job)
    return [RequestSubject(job_id) for job_id in jobs] or [RequestSubject(system=system)]


class SendTest(ClientRequest, kind=RequestKind.TEST_ALERT):
    """Sends a test message to every URL of a route. The answer names its alert."""

    route: str


class RetryAlerts(ClientRequest, kind=RequestKind.RETRY_ALERTS):
    """Sends one parked delivery again, or all."""

    delivery: int | None = None
