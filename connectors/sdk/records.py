"""The reports of a connector about its target: jobs, runs, logs, and unreadable records. Facts, no judgment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors.sdk.states import (
    GLUE_TRIGGERS,
    SCHEDULE_UNREADABLE,
    SOURCE_SCHEDULE,
    PeriodKind,
    ProofLevel,
    RunEvidence,
    RunState,
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job is meant to run, as its source has it.

    `expression` and `zone` are in the dialect's own syntax: `timing.schedule` knows each dialect's rule for DST.
    `next_at` (aware, UTC) is set where the source itself names its next run; it wins over the expression.
    """

    dialect: str
    """"debian-cron", "cronie", "busybox", "pg_cron", "airflow", "systemd", ..., "none" (by hand, event or upstream)."""
    expression: str = ""
    zone: str = "UTC"
    """IANA name, or an offset such as "+01:00" where the name is unknown."""
    text: str = ""
    """The schedule for people: "daily at 03:10"."""
    next_at: datetime | None = None
    window: timedelta = timedelta(0)
    """How much later than its instant its scheduler may start it, by its settings or its documentation."""

    @property
    def has_clock(self) -> bool:
        """True where a clock starts it, also one that only its source knows, and where its schedule is unreadable."""
        return self.dialect != "none" or self.text.startswith((SOURCE_SCHEDULE, GLUE_TRIGGERS)) or self.is_unread

    @property
    def is_unread(self) -> bool:
        """True where the schedule is unreadable; the last known one may still apply."""
        return self.dialect == "none" and self.text.startswith(SCHEDULE_UNREADABLE)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job (or task) as its source defines it now."""

    native_id: str
    """Identity within the system, raw: "db07:extract_orders", "load_orders", "load_orders.publish" (a task)."""
    title: str = ""
    schedule: Schedule = field(default_factory=lambda: Schedule("none"))
    paused: bool = False
    parent: str | None = None
    """Native id of the job that this task belongs to."""
    upstreams: tuple[str, ...] = ()
    """Native ids, in this system, of jobs that the source itself makes this one wait for."""
    definition: str = ""
    """The command, the SQL or the operator, for people. Raw outside text."""
    definition_hash: str = ""
    match_keys: tuple[str, ...] = ()
    """For kinds without native ids: keys, strongest first, that identify a job whose id changed."""
    proof: ProofLevel = ProofLevel.FULL
    """How much this source can prove about this job's runs."""
    run_as: str = ""
    native_url: str = ""
    owner: str = ""
    pool: str = ""
    """Native name of the pool of which each run takes a slot; empty without one."""
    slots: int | None = None
    """Slots of the pool; None without a known limit."""


@dataclass(frozen=True, slots=True)
class SkippedRecord:
    """A record that could not be read: where it was, why, and its beginning (raw, at most 200 characters)."""

    where: str
    reason: str
    sample: str = ""
    is_relation: bool = False
    """Whether it was read, and only an upstream or a parent that it names is in doubt."""
    is_new: bool = False
    """Whether it comes from a position that advances: it is not a record of an earlier poll, even if equal to one."""


@dataclass(frozen=True, slots=True)
class TargetClock:
    """The target's own clock at one moment of ours; their difference is the skew. Both aware UTC."""

    target: datetime
    ours: datetime
    zone: str = "UTC"
    booted: datetime | None = None
    """When the target last started, by our clock; None where unknown."""

    @property
    def skew_seconds(self) -> float:
        return (self.target - self.ours).total_seconds()


@dataclass(frozen=True, slots=True)
class Inventory:
    """All jobs of a target. `complete=False` (a page failed, a file was denied) deletes nothing."""

    jobs: tuple[JobRecord, ...]
    complete: bool
    hash: str = ""
    """Of everything that was read; handed back as `previous_hash` next time."""
    unchanged: bool = False
    """True when `previous_hash` still holds: `jobs` is then empty and means nothing."""
    clock: TargetClock | None = None
    skipped: tuple[SkippedRecord, ...] = ()
    more: bool = False
    """True where time ran out: the next call goes on, and is due with the next poll."""
    is_selected: Callable[[str, tuple[str, ...]], bool] | None = field(default=None, compare=False)
    """Whether the settings select a job (native id, match keys): a job that they no longer select is not watched, which
    is not drift. For jobs without parent only; tasks follow theirs. None: all jobs."""

    def unless_same(self, previous_hash: str) -> Inventory:
        """The same, without jobs and `unchanged`, where `previous_hash` still holds."""
        return replace(self, jobs=(), unchanged=True) if self.hash == previous_hash else self

    @classmethod
    def of(
        cls,
        jobs: Iterable[JobRecord],
        complete: bool = True,
        clock: TargetClock | None = None,
        skipped: Iterable[SkippedRecord] = (),
    ) -> Inventory:
        jobs, skipped = tuple(jobs), tuple(skipped)
        digest = hashlib.sha256(repr((complete, jobs, skipped)).encode("utf-8", "surrogatepass")).hexdigest()
        return cls(jobs, complete, digest, clock=clock, skipped=skipped)

    @classmethod
    def since(
        cls,
        previous_hash: str,
        jobs: Iterable[JobRecord],
        complete: bool,
        clock: TargetClock | None,
        skipped: Iterable[SkippedRecord],
        selects: Callable[[str], bool],
    ) -> Inventory:
        """The inventory of these jobs; `unchanged` where it is complete and its hash is `previous_hash`. `selects`:
        whether the settings select a job, by its native id."""
        inventory = replace(cls.of(jobs, complete, clock, skipped), is_selected=lambda name, _: selects(name))
        return inventory.unless_same(previous_hash) if complete else inventory


MAX_DIGITS = 8
MAX_REPEATED = 20
"""Attempts before one that are looked up as those of the same run."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One attempt of one run, as the source reports it. All instants aware UTC by the target's clock."""

    job: str
    """Native id of the job."""
    attempt_key: str
    """Identity in its source: cron start.pid, Airflow run id + queued_at, pg_cron runid, ARN + redrive count."""
    state: RunState
    native_state: str
    """The state as the source names it."""
    evidence: RunEvidence = RunEvidence.NATIVE
    period_key: str | None = None
    """Scheduled instant (`instant_key`), name of a period, or native run id. None: only the start is known, `control`
    matches it."""
    period_at: datetime | None = None
    """The scheduled instant, where the source knows it."""
    period_kind: PeriodKind | None = None
    """The meaning of `period_key`. None: as `denotes` has it; a connector whose key is the run's own id sets RUN."""
    period_name: str = ""
    """Its data, where that is not its `period_key`: the partition of a run that a schedule started, whose
    start, or `period_key`, names the due start that it answers; the assets or the branch of one whose key is its id."""
    formerly: str = ""
    """Former key of this attempt, from before its source had a better one (a queued run that gets its identity with its
    start). An open attempt with this key takes the new one."""
    again_of: str = ""
    """Attempt key of the run that this one repeats: without a period of its own it has that one's. Of attempt n of a
    numbered run ("run.1", "run/1"), the attempts between count as well, since the first may be unknown (`repeated`)."""
    interval_start: datetime | None = None
    """Start of a data interval that is not empty: its date is the business date."""
    business_date: date | None = None
    """The business date, where the source itself records one."""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    message: str = ""
    """The outcome as the source describes it, raw: an error line, a return message."""
    reason: str = ""
    """Why it waits: time, upstream, event, resource, slot, approval."""
    native_ref: str = ""
    """Reference to this attempt for `log`, `poll` and `preview`; opaque to the engine."""
    native_url: str = ""
    action_key: str | None = None
    """Our action id, where the native row carries it: this attempt then belongs to the run that the action repairs."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """Parameters, code version, inputs, rows: JSON-safe, small. Which upstream runs it read, where the source says so:
    "inputs": [{"job": "extract_orders" or "etl-hosts/db07:extract_orders", "period_key": …}]."""

    @property
    def denotes(self) -> PeriodKind:
        """The meaning of its period: a name where it has a name besides its key, an instant where it has one, else the
        recorded business date where it has no key, else a name."""
        if self.period_name:
            return PeriodKind.NAME
        if self.period_kind is not None:
            return self.period_kind
        if self.period_at is not None or is_instant_key(self.period_key or ""):
            return PeriodKind.INSTANT
        if self.period_key is not None:
            return PeriodKind.NAME
        return PeriodKind.RUN if self.business_date is None else PeriodKind.DATE

    def of_period(self, key: str, at: datetime | None) -> RunRecord:
        """The record with the period to which its start was matched. `at`: the instant of that key, if it is one."""
        kind = self.denotes
        is_instant = kind is PeriodKind.RUN and at is not None
        return replace(self, period_key=key, period_at=at, period_kind=PeriodKind.INSTANT if is_instant else kind)

    @property
    def repeated(self) -> tuple[str, ...]:
        """Keys of the attempts that this one repeats: `again_of`, and of a numbered run the attempts before it, the
        latest first."""
        separator = "/" if self.again_of.endswith("/1") else "."
        run, _, number = self.attempt_key.rpartition(separator)
        if self.again_of != f"{run}{separator}1" or not (number.isdecimal() and len(number) < MAX_DIGITS):
            return (self.again_of,) if self.again_of else ()
        before = range(int(number) - 1, max(1, int(number) - MAX_REPEATED), -1)
        return self.again_of, *(f"{run}{separator}{earlier}" for earlier in before)


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run of the store, as passed to its connector."""

    job: str
    period_key: str
    attempt_key: str
    native_ref: str
    started_at: datetime | None = None
    period_name: str = ""
    """The partition of it, or of its start that is due; empty without one, or where it is unknown."""


@dataclass(frozen=True, slots=True)
class HistoryGap:
    """A permanent loss of evidence (a truncated log, purged history): from when to when, and why."""

    since: datetime | None
    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Poll:
    """Changes since the cursor, oldest first, and the next cursor."""

    runs: tuple[RunRecord, ...]
    cursor: str
    """JSON text, opaque to the engine; stored in the transaction that stores the runs."""
    more: bool = False
    """True: there is more to fetch now; the engine polls again at once."""
    complete: bool = True
    """False: something could not be read; absence in this poll proves nothing."""
    clock: TargetClock | None = None
    skipped: tuple[SkippedRecord, ...] = ()
    gaps: tuple[HistoryGap, ...] = ()
    inventory: Inventory | None = None
    """For kinds whose poll brings the inventory in the same round trip (`ConnectorKind.inventory_rides_poll`)."""
    seen_until: datetime | None = None
    """By the target's clock: every start before this instant would be in this or an earlier poll. It proves MISSED."""
    warnings: tuple[str, ...] = ()
    """Raw warnings about the target (unknown native state, file ignored by cron)."""
    stopped: str | None = ""
    """Why the scheduler starts no job of the target although the source answers, and the fix; empty while it runs. None
    where that could not be read: it is as it was."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Part of a log. `text` is raw outside text, at most `limit_bytes` long."""

    text: str
    next: str | None = None
    """Pass as `start` to go on; None at the end of an ended run."""
    more: bool = False
    """True while there is more now."""
    cut: bool = False
    """True when something before or after was left out."""


def instant_key(instant: datetime) -> str:
    """The period key of a scheduled instant: "2026-11-20T03:10:00Z". Raises ValueError for a naive time."""
    if instant.tzinfo is None:
        raise ValueError(f"instant_key needs an aware time, got {instant!r}")
    utc = instant.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S") + (f".{utc.microsecond:06d}" if utc.microsecond else "") + "Z"


def is_instant_key(key: str) -> bool:
    """True for what `instant_key` returns."""
    try:
        return key.endswith("Z") and instant_key(datetime.fromisoformat(key)) == key
    except ValueError:
        return False
