"""Failures that are recognized again: their signature, and what repaired them before."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime

from connectors.sdk.states import RunState
from console.domain.action import IN_FLIGHT_STATES
from console.domain.probability import format_percent, wilson_interval
from console.domain.reason import (
    CheckPassed,
    DaysSettled,
    FindingOver,
    GreenAgain,
    LaterRunGood,
    Reason,
    ResourceRecovered,
    WorksAgain,
)
from console.domain.stored import stored_value
from console.timing.durations import format_duration

ID_DIGITS = 8


@dataclass(frozen=True, slots=True)
class FailureSignature:
    """The parts that two failures of one cause have in common, without dates, ids, numbers and paths."""

    cause: str
    """A `CauseKind`."""
    system_kind: str
    """Empty for a cause that is not of one system."""
    error_class: str
    """ "failed", "failed, signal 9": the state of the run, or the kind of the target's error. Without an error line the
    exit code is part of it; many sources report none."""
    error: str
    """The normalized error line; empty if none is known."""
    task: str
    """The failed task, else the job; empty for a cause that is neither."""

    @property
    def is_cancelled(self) -> bool:
        """True for a run that was cancelled."""
        return self.error_class.partition(", ")[0] == RunState.CANCELLED

    @property
    def id(self) -> str:
        """ "3f9a02c1": the same for equal signatures."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:ID_DIGITS]

    @property
    def text(self) -> str:
        """ "failed: Connection refused, task load of airflow"."""
        error = ": ".join(filter(None, (self.error_class or self.cause, self.error)))
        return error + f", task {self.task}" * bool(self.task) + f" of {self.system_kind}" * bool(self.system_kind)

    def to_json(self) -> str:
        """The text that its incident stores."""
        return json.dumps(astuple(self))

    @classmethod
    def from_json(cls, stored: str) -> FailureSignature | None:
        """Reads the result of `to_json`; None for an empty text, and for one of another form."""
        values = stored_value(tuple[str, ...], stored, ())
        return cls(*values) if len(values) == len(fields(cls)) else None


AT_SOURCE = "at its source"
"""Repaired without Headway: by its scheduler's own retry, or by hand."""
LATER_RUN = "a later run"
_UNREQUESTED = (AT_SOURCE, LATER_RUN)
_RECOVERED = (
    GreenAgain,
    LaterRunGood,
    WorksAgain,
    FindingOver,
    CheckPassed,
    ResourceRecovered,
    DaysSettled,
)


@dataclass(frozen=True, slots=True)
class RepairTry:
    """A repair of an incident's root that was sent through Headway."""

    method: str
    """ "rerun", "rerun all", "start", "plan"."""
    state: str
    """The state of its action: "verified" once its run has succeeded."""
    by: str
    sent: datetime
    ended: datetime | None
    origin: str
    """ "person", "plan", "policy", "hold" or "trigger"; empty without Headway."""

    @property
    def good(self) -> datetime | None:
        """When it succeeded; None if it has not."""
        return self.ended if self.state == "verified" else None


@dataclass(frozen=True, slots=True)
class PastFailure:
    """An incident with a signature, and the repairs that were sent for it."""

    incident_id: int
    job: str
    failed_since: datetime
    closed: datetime | None
    close_reason: Reason | None
    root_good: datetime | None
    """When its root succeeded; None if it did not, or is not a run."""
    note: str
    """Its last note."""
    tries: tuple[RepairTry, ...]
    """In the order in which they were sent."""

    @property
    def repair(self) -> RepairTry | None:
        """The last that succeeded; without Headway one from the failure to its end. None if nothing repaired it, and
        while it is unknown what did."""
        if sent := [attempt for attempt in self.tries if attempt.good is not None]:
            return sent[-1]
        reason = self.close_reason
        is_requested = isinstance(reason, GreenAgain) and reason.repair != ""
        is_unknown = any(attempt.state in IN_FLIGHT_STATES for attempt in self.tries)
        if not isinstance(reason, _RECOVERED) or is_requested or is_unknown:
            return None
        method = LATER_RUN if isinstance(reason, LaterRunGood) else AT_SOURCE
        return RepairTry(method, "verified", "", self.failed_since, self.root_good or self.closed, "")

    @property
    def ended_tries(self) -> list[RepairTry]:
        """The tries that have ended, and the repair without Headway."""
        ended = [attempt for attempt in self.tries if attempt.state not in IN_FLIGHT_STATES]
        return ended + [repair for repair in (self.repair,) if repair is not None and repair.method in _UNREQUESTED]

    @property
    def outcome(self) -> str:
        """ "rerun by mara", "at its source", "not repaired", "open"."""
        if self.repair is not None:
            return f"{self.repair.method} by {self.repair.by}" if self.repair.by else self.repair.method
        return "open" if self.closed is None else "not repaired"


@dataclass(frozen=True, slots=True)
class RepairRecord:
    """The results of one method of repair."""

    method: str
    tries: int
    """Times it was sent and has ended; of a repair without Headway the closed incidents."""
    successes: int
    at_least: float
    """Bounds of the success rate, by the Wilson interval (95 %)."""
    at_most: float
    median_s: float | None
    """Seconds from sending it to success, without Headway from the failure; None if it never succeeded."""
    last_by: str
    """The person of its last success; empty without one, and if it was not sent through Headway."""
    last: datetime | None
    """When it last succeeded."""

    @property
    def count_text(self) -> str:
        """ "rerun 2 of 2"."""
        return f"{self.method} {self.successes} of {self.tries}"

    @property
    def scope(self) -> str:
        """The scope that is not the default one: "all" of "rerun all"."""
        return self.method.partition(" ")[2]

    @property
    def is_poor(self) -> bool:
        """True if it failed more often than it worked."""
        return self.tries > 2 * self.successes

    @property
    def outcome_text(self) -> str:
        """ "rerun worked 9 of 10 times"; "rerun failed 4 of 5 times" of a poor one."""
        verb, number = ("failed", self.tries - self.successes) if self.is_poor else ("worked", self.successes)
        return f"{self.method} {verb} {number} of {self.tries} time{'s' * (self.tries != 1)}"

    @property
    def rate_text(self) -> str:
        """ "34 % to 100 %, median 14m, last by mara"."""
        rate = f"{format_percent(self.at_least)} to {format_percent(self.at_most)}{self.median_text}"
        return f"{rate}, last by {self.last_by}" if self.last_by else rate

    @property
    def text(self) -> str:
        """ "rerun 2 of 2 (34 % to 100 %, median 14m, last by mara)"."""
        return f"{self.count_text} ({self.rate_text})"

    @property
    def median_text(self) -> str:
        """ ", median 14m"; empty if it never succeeded."""
        return f", median {format_duration(self.median_s)}" if self.median_s is not None else ""


@dataclass(frozen=True, slots=True)
class FailureMemory:
    """The failures with one signature, and the results of their repairs."""

    id: str
    """The id of the signature."""
    signature: FailureSignature
    seen: int
    """The number of incidents, also of those that are not read."""
    last_seen: datetime | None
    repairs: tuple[RepairRecord, ...]
    """The highest lower bound of the success rate first; of equal ones the highest upper bound."""
    incidents: tuple[PastFailure, ...]
    """Those that are read, the newest first."""

    @property
    def best_sent(self) -> RepairRecord | None:
        """The first repair that Headway can send; None if none was sent."""
        return next((record for record in self.repairs if record.method not in _UNREQUESTED), None)

    @property
    def seen_text(self) -> str:
        """ "seen 2 times"."""
        times = "once" if self.seen == 1 else f"{self.seen} times"
        return f"seen {times}" if self.seen else "in no earlier incident"

    @property
    def text(self) -> str:
        """ "seen 2 times, rerun 2 of 2, median 14m": with its best repair."""
        best = next((f", {record.count_text}{record.median_text}" for record in self.repairs), "")
        return f"{self.seen_text}{best}"


def memory_of(signature: FailureSignature, incidents: Sequence[PastFailure]) -> FailureMemory:
    """The memory of these incidents with the signature, given newest first."""
    tries: defaultdict[str, list[RepairTry]] = defaultdict(list)
    for attempt in (attempt for incident in reversed(incidents) for attempt in incident.ended_tries):
        tries[attempt.method].append(attempt)
    closed = sum(incident.closed is not None for incident in incidents)
    records = [
        _record(method, known, closed if method in _UNREQUESTED else len(known)) for method, known in tries.items()
    ]
    repairs = tuple(sorted(records, key=lambda record: (-record.at_least, -record.at_most, record.method)))
    last = max((incident.failed_since for incident in incidents), default=None)
    return FailureMemory(signature.id, signature, len(incidents), last, repairs, tuple(incidents))


def _record(method: str, known: Sequence[RepairTry], tries: int) -> RepairRecord:
    """`known`: the oldest first."""
    good = [(attempt, attempt.good) for attempt in known if attempt.good is not None]
    last_by, last = (good[-1][0].by, good[-1][1]) if good else ("", None)
    seconds = [max((at - attempt.sent).total_seconds(), 0.0) for attempt, at in good]  # clocks may differ
    return RepairRecord(method, tries, len(good), *wilson_interval(len(good), tries), median(seconds), last_by, last)


def median(values: Sequence[float]) -> float | None:
    """The median; None without values. Importing `statistics` would delay the first paint."""
    ordered, half = sorted(values), len(values) // 2
    if not ordered:
        return None
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
