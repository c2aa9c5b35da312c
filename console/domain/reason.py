"""Why a service has its status, an incident closed, or no step can be sent: one class per kind of reason.

It is stored and answered as JSON with its `kind`.

Programs ask the class and its fields; `text` is the clause for a reader. Names of jobs and targets are those that the
evaluation knew.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from connectors.sdk.states import RunState
from console.domain.history import timed_runs_text
from console.domain.ids import incident_name, utc_minute
from console.domain.probability import format_risk
from console.domain.stored import as_json
from console.domain.text import At, Clock, Text, filled, joined, render
from console.timing.durations import rough_duration


def kind_name(cls: type) -> str:
    """The kind of a class in documents: "native_start" for NativeStart."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in cls.__name__).lstrip("_")


@dataclass(frozen=True, slots=True)
class Reason:
    """One clause of an explanation."""

    kind: ClassVar[str] = "reason"
    clause: ClassVar[str] = ""
    """Its clause, with fields and properties in braces."""

    @property
    def text(self) -> Text:
        return filled(self.clause, self)

    def __init_subclass__(cls) -> None:
        cls.kind = kind_name(cls)

    @staticmethod
    def unknown(data: object) -> Reason:
        """The reason for data that this version cannot read."""
        return UnknownReason(str(data.get("kind", "") if isinstance(data, Mapping) else data))


@dataclass(frozen=True, slots=True)
class UnknownReason(Reason):
    """A reason that this version cannot read: of a newer engine, or malformed."""

    clause = "unknown reason ({name})"
    name: str


# -- nothing is promised or observed ----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class NoPromise(Reason):
    """The calendar leaves the date out."""

    clause = "{why}"
    why: str


@dataclass(frozen=True, slots=True)
class NotEvaluated(Reason):
    clause = "not judged yet"


@dataclass(frozen=True, slots=True)
class UnknownJobs(Reason):
    """Its config names jobs that no system has."""

    clause = "{why}"
    why: str


@dataclass(frozen=True, slots=True)
class NotObserved(Reason):
    """Its deadline was before the first poll of the target."""

    clause = "its deadline was before the first poll of {target}: not counted"
    target: str


@dataclass(frozen=True, slots=True)
class OutOfReach(Reason):
    """A target that it still needs is out of reach, or its polls are paused: its jobs may have failed since."""

    target: str
    status: str
    """ "unreachable", "refuses Headway", "not seen"; empty while its polls are paused."""
    since: datetime | None
    paused_until: datetime | None = None
    paused_by: str = ""
    needed_from: datetime | None = None

    @property
    def state(self) -> Text:
        """ "etl-hosts/db07 unreachable since 03:10", "dwh not polled until 06:13, paused by mara"."""
        if self.paused_until is not None:
            return f"{self.target} not polled until ", At(self.paused_until), f", paused by {self.paused_by}"
        return f"{self.target} {self.status}", *_at(" since ", self.since)

    @property
    def text(self) -> Text:
        return *self.state, *_at(", needed from ", self.needed_from), ": forecast unverified"


# -- delivered or due -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Delivered(Reason):
    """It was delivered; `partial` names partial data, or a job whose end was not seen."""

    at: datetime
    is_late: bool
    partial: str = ""
    unseen: Text = ()
    """ "etl-hosts/db07 unreachable since 03:10, result of extract not seen"."""

    @property
    def text(self) -> Text:
        late = ", after its deadline" if self.is_late else ""
        if self.partial:
            return "delivered ", At(self.at), f"{late}, partial: {self.partial}"
        return "delivered ", At(self.at), late, *((", data unknown: ", *self.unseen) if self.unseen else ())


@dataclass(frozen=True, slots=True)
class BadDelivery(Reason):
    """All its jobs delivered, though data that does not keep the promise: stale, or partial where that is said."""

    at: datetime
    partial: str = ""

    @property
    def text(self) -> Text:
        how = f"partial: {self.partial}" if self.partial else "stale: it read what its upstream had not finished"
        return "delivered ", At(self.at), f", {how}"


@dataclass(frozen=True, slots=True)
class NotDelivered(Reason):
    """Its deadline has passed."""

    deadline: datetime
    has_bad_data: bool

    @property
    def text(self) -> Text:
        return f"not delivered{' with good data' if self.has_bad_data else ''} by ", At(self.deadline)


@dataclass(frozen=True, slots=True)
class JobsDone(Reason):
    clause = "its jobs are done"


@dataclass(frozen=True, slots=True)
class CheckPending(Reason):
    """A check that has not passed since its jobs were done."""

    clause = "{result}"
    check: str
    result: str
    """ "check rows_match: failed since …"."""


@dataclass(frozen=True, slots=True)
class ResultUnproved(Reason):
    clause = "{job} has run; its source does not prove how it ended"
    job: str


@dataclass(frozen=True, slots=True)
class DeadlineExtended(Reason):
    clause = "deadline {deadline}, extended from {promised} {by}"
    deadline: datetime
    promised: datetime
    by: str
    """ "by mara: month end"."""


# -- its forecast -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class FinishExpected(Reason):
    at: datetime
    is_late: bool
    p_late: float | None = None

    @property
    def text(self) -> Text:
        late = ", after its deadline" if self.is_late else ""
        return *_risk(self.p_late), "expected ", At(self.at), late


@dataclass(frozen=True, slots=True)
class LateBecause(Reason):
    """The delays that cost it the most time tonight, by the simulation."""

    delays: Text
    p_late: float | None = None
    """The probability to be late that they explain."""

    @property
    def text(self) -> Text:
        return *_risk(self.p_late), *self.delays


@dataclass(frozen=True, slots=True)
class LaterRisk(Reason):
    """The first later business date in danger, behind the displayed one."""

    deadline: datetime
    timeliness: str
    p_late: float | None = None
    """None where a repair is awaited, or without a forecast."""

    @property
    def text(self) -> Text:
        known = self.timeliness.replace("_", " ") if self.p_late is None else format_risk(self.p_late, is_short=True)
        return "next: ", At(self.deadline), f", {known}"


@dataclass(frozen=True, slots=True)
class ForecastDistrusted(Reason):
    """Earlier forecasts of the service were wrong too often."""

    clause = "its forecasts are not to be trusted: {why}"
    why: str


@dataclass(frozen=True, slots=True)
class NotSimulated(Reason):
    clause = "its simulation failed: this is a sum of usual times, see headway status"


@dataclass(frozen=True, slots=True)
class NoEstimate(Reason):
    """Why there is no finish or, with `of_act_by`, no act-by: a job that nothing starts, that is held, or that has too
    few runs; without a job the reason is unknown."""

    job: str = ""
    runs: int | None = None
    needed: int | None = None
    """Runs that an estimate needs."""
    held: Text = ()
    """Why the job is held; empty if it is not."""
    of_act_by: bool = False

    @property
    def text(self) -> Text:
        what = "act-by unknown" if self.of_act_by else "no estimate"
        return (f"{what}: ", *self._why) if self.job else (what,)

    @property
    def _why(self) -> Text:
        if self.held:
            return f"{self.job} is held (", *self.held, ")"
        if self.runs is None:
            return (f"{self.job} starts neither by the clock nor after another job",)
        return (f"{self.job} has {timed_runs_text(self.runs)}, an estimate needs {self.needed}",)


@dataclass(frozen=True, slots=True)
class DeclareDuration(Reason):
    """A setting that would give an estimate: not for notifications."""

    clause = 'declare its duration: expected = "…" in [jobs."{job}"]'
    job: str


@dataclass(frozen=True, slots=True)
class ScheduleChanged(Reason):
    """A job whose changed, not yet accepted schedule starts it later than the accepted one."""

    clause = "{job} starts {at} by its changed schedule"
    job: str
    at: datetime
    start_now: bool = False
    """True where the accepted schedule would have started it by now, and only that delays the service."""


# -- what threatens it ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class CauseKnown(Reason):
    clause = "cause: {cause}"
    cause: str


@dataclass(frozen=True, slots=True)
class RepairNeeded(Reason):
    """A repair that saves it: by the act-by, before the start that would read stale data, or now."""

    cause: str
    verb: str
    """ "restart", or "start" of a cause that did not start; empty where a person must act otherwise."""
    job: str = ""
    """The job to restart first."""
    then: tuple[str, ...] = ()
    """Broken jobs to restart after the cause, upstreams first."""
    act_by: datetime | None = None
    green_by: datetime | None = None
    before: datetime | None = None
    restore: str = ""
    """The target to restore first; empty if it works."""

    @property
    def text(self) -> Text:
        if self.act_by is not None:
            return f"{self._step} by ", At(self.act_by), *_at(", green by ", self.green_by)
        return (f"{self._step} before ", At(self.before)) if self.before is not None else (f"{self._step} now",)

    @property
    def _step(self) -> str:
        first = f"restore {self.restore}, then " if self.restore else ""
        if self.then:
            rest = f" and {len(self.then) - 1} more" if len(self.then) > 1 else ""
            return f"{first}{self.verb} {self.cause}, then {self.then[0]}{rest}"
        if not self.verb:
            return f"{self.cause}: a person must act"
        cause = "" if self.cause == self.restore else f"{self.cause}: "
        return f"{cause}{first}{self.verb}{'' if self.job == self.cause else f' {self.job}'}"


@dataclass(frozen=True, slots=True)
class ActByPassed(Reason):
    clause = "{cause}: its act-by {act_by} has passed"
    cause: str
    act_by: datetime


class StartEffect(StrEnum):
    """Meaning of a native start for the repair."""

    LAST_IN_TIME = "last_in_time"
    NEVER_RERUN = "never_rerun"
    """Its job must read fixed data."""
    RERUN_AFTER = "rerun_after"
    """Its job can be rerun in time, or that is unknown."""


_EFFECTS = {
    StartEffect.LAST_IN_TIME: "last start that meets the deadline",
    StartEffect.NEVER_RERUN: "must read fixed data, because it is never rerun",
    StartEffect.RERUN_AFTER: "reads stale data unless fixed by then; rerun it after the fix",
}


@dataclass(frozen=True, slots=True)
class NativeStart(Reason):
    """A start by its own scheduler that limits the repair."""

    clause = "{at} {job} starts: {consequence}"
    job: str
    at: datetime
    effect: StartEffect
    is_last: bool = False
    """True if it is the last in time of several: its job starts before it, too."""
    reads_stale: bool = False
    """True if it reads stale data unless the cause is fixed before, and nothing after it limits the repair."""

    @property
    def consequence(self) -> str:
        last = self.is_last and self.effect is StartEffect.RERUN_AFTER
        return f"{_EFFECTS[StartEffect.LAST_IN_TIME]}, {_EFFECTS[self.effect]}" if last else _EFFECTS[self.effect]


@dataclass(frozen=True, slots=True)
class Repetition(Reason):
    """The next start of a job to repair by its own schedule, and how often it failed in a row."""

    job: str
    starts: datetime | None = None
    """None without a start that comes in time for the repair."""
    failures: int = 0
    """0 unless it failed more than once."""

    def as_of(self, now: datetime) -> Repetition:
        """The repetition without a start that has passed."""
        return replace(self, starts=None) if self.starts is not None and self.starts <= now else self

    @property
    def facts(self) -> Text:
        """ "starts by itself 10:34, failed 7 times in a row"."""
        failed: Text = (f"failed {self.failures} times in a row",) if self.failures else ()
        return joined(filter(None, [_at("starts by itself ", self.starts), failed]), ", ")

    @property
    def predicate(self) -> Text:
        """The facts, and that a restart alone has not helped."""
        return *self.facts, *([": a restart alone has not helped"] if self.failures else [])

    @property
    def text(self) -> Text:
        return f"{self.job} ", *self.predicate


@dataclass(frozen=True, slots=True)
class JobHeld(Reason):
    """A hold that makes it late until it is released."""

    job: str
    hold: Text
    """ "held by mara: …", "paused at its source"."""
    is_of_person: bool
    until: datetime | None = None
    deadline: datetime | None = None
    """The deadline that it is too late for, where that is said."""

    @property
    def text(self) -> Text:
        too_late = _at(": too late for ", self.deadline)
        return f"{self.job} is ", *self.hold, *_at(" until ", self.until), *too_late


# -- why an incident closed -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class GreenAgain(Reason):
    """Its root is good again, and so are all affected runs."""

    repair: str = ""
    """ "rerun by anna"; empty if nothing was requested through Headway."""
    took_s: float | None = None
    """Duration of the run that repaired it."""
    policy: str = ""
    """The policy that repaired it; empty for a person."""

    @property
    def text(self) -> Text:
        took = "" if self.took_s is None else f", ran {rough_duration(timedelta(seconds=self.took_s))}"
        return (f"green again{f' ({self.repair}{took})' if self.repair else ''}, with all affected runs",)


@dataclass(frozen=True, slots=True)
class ResultAsserted(Reason):
    """A person set the result of its root."""

    clause = "{repair}, and no affected run is red or stale"
    repair: str
    """ "marked OK by anna"."""


@dataclass(frozen=True, slots=True)
class LaterRunGood(Reason):
    """A later run of the same job succeeded."""

    repairs: tuple[str, ...] = ()
    """Repairs of affected runs: "rerun by anna"."""

    @property
    def text(self) -> Text:
        repairs = f"; affected runs {', '.join(self.repairs)}" if self.repairs else ""
        return (f"a later run of the same job succeeded{repairs}",)


@dataclass(frozen=True, slots=True)
class ScheduleAccepted(Reason):
    clause = "the new schedule is accepted: no run is missing"


@dataclass(frozen=True, slots=True)
class FindingOver(Reason):
    clause = "the problem is no longer detected"


@dataclass(frozen=True, slots=True)
class NoLongerWatched(Reason):
    clause = "no longer watched: the config no longer names it"


@dataclass(frozen=True, slots=True)
class OutOfView(Reason):
    """Its root, or its service day, is older than the lookback."""

    hours: int | None = None
    """The lookback, of a root that was not seen green."""

    @property
    def text(self) -> Text:
        root = f"its failure is older than {self.hours} h, and no success was seen"
        return (root if self.hours is not None else "it is too old to be evaluated",)


@dataclass(frozen=True, slots=True)
class WorksAgain(Reason):
    clause = "it works again"


@dataclass(frozen=True, slots=True)
class CheckPassed(Reason):
    clause = "the check passes: {result}"
    result: str


@dataclass(frozen=True, slots=True)
class CheckNotAwaited(Reason):
    clause = "no service waits for it"


@dataclass(frozen=True, slots=True)
class ResourceRecovered(Reason):
    """Jobs that failed with the same error are good again."""

    red: tuple[str, ...] = ()
    """Those of its jobs that are red now, with a cause of their own."""
    further: int = 0

    @property
    def text(self) -> Text:
        if not self.red:
            return ("all its jobs recovered",)
        further = f" and {self.further} more" if self.further else ""
        return (f"its other jobs recovered; still red: {', '.join(self.red)}{further}",)


@dataclass(frozen=True, slots=True)
class DaysSettled(Reason):
    """Its service days are delivered, no longer expected late, or unknown."""

    days: Text

    @property
    def text(self) -> Text:
        return self.days


@dataclass(frozen=True, slots=True)
class SymptomOf(Reason):
    clause = "a symptom of {name}"
    incident: int

    @property
    def name(self) -> str:
        return incident_name(self.incident)


@dataclass(frozen=True, slots=True)
class EarlierRun(Reason):
    """The outcome of an earlier run of its job that needed a repair."""

    state: str
    exit_code: int | None = None
    attempts: int = 0
    by: str = ""
    """The person who reran it."""

    @property
    def text(self) -> Text:
        if self.state == RunState.SUCCEEDED:
            return (f"repaired by attempt {self.attempts}{f', rerun by {self.by}' if self.by else ''}",)
        return (self.state if self.exit_code is None else f"{self.state}: exit {self.exit_code}",)


# -- why no step of an incident can be sent ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class StepsUnderWay(Reason):
    clause = "no step to send now: it waits for {jobs}"
    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetSilent(Reason):
    target: str

    @property
    def text(self) -> Text:
        probe = f"headway system probe {shlex.quote(self.target)}"
        return (f"{self.target} does not answer: nothing to rerun. Fix: restore it, then {probe}",)


@dataclass(frozen=True, slots=True)
class NoRunToRepeat(Reason):
    clause = "its root cause is not a run: nothing to rerun"


@dataclass(frozen=True, slots=True)
class NoStepLeft(Reason):
    clause = "no step is left to send: it closes as soon as its runs are seen to be green"


def _risk(p_late: float | None) -> Text:
    return () if p_late is None else (f"{format_risk(p_late)}: ",)


def _at(before: str, at: datetime | None) -> Text:
    return () if at is None else (before, At(at))


def is_in_figures(reason: Reason) -> bool:
    """True where the service has as values all that the clause has: its deadline, delivery, act-by."""
    match reason:
        case NotDelivered() | ActByPassed():
            return True
        case Delivered():
            return not reason.partial and not reason.unseen
        case RepairNeeded():
            return not reason.then
    return False


# -- as lines, and as JSON --------------------------------------------------------------------------------------------
def reasons_text(reasons: Iterable[Reason], clock: Clock) -> str:
    """The clauses in one line."""
    return render(joined((reason.text for reason in reasons), "; "), clock)


def reason_lines(reasons: Sequence[Reason], clock: Clock) -> list[str]:
    """The clauses, one per line; native starts as a table of time, job and consequence."""
    starts = [(clock(reason.at), reason) for reason in reasons if isinstance(reason, NativeStart)]
    at_width = max((len(at) for at, _ in starts), default=0)
    job_width = max((len(f"{start.job} starts:") for _, start in starts), default=0)
    return [
        f"{clock(reason.at):<{at_width}}  {f'{reason.job} starts:':<{job_width}} {reason.consequence}"
        if isinstance(reason, NativeStart)
        else render(reason.text, clock)
        for reason in reasons
    ]


def stale_starts(reasons: Iterable[Reason]) -> list[NativeStart]:
    """The native starts that read stale data unless the cause is fixed before, and that no act-by allows for."""
    return [start for start in reasons if isinstance(start, NativeStart) and start.reads_stale]


def reason_document(reason: Reason) -> dict[str, Any]:
    """The reason as data for a program: its fields, and its clause as `text`, times in UTC."""
    document: dict[str, Any] = as_json(reason)
    return document | {"text": render(reason.text, utc_minute)}
