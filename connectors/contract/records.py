"""What a connector tells of its target: jobs, runs, logs, what it could not read. Facts, and no opinion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.words import CLOCK_OF_ITS_SOURCE, CLOCK_UNREAD, GLUE_TRIGGERS, Evidence, Proof, State


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job is meant to run, as its source has it.

    `expression` and `zone` are in the dialect's own syntax: `control.schedule` knows each dialect's rule for DST.
    `next_at` (aware, UTC) is set where the source itself names its next run; it wins over the expression.
    """

    dialect: str
    """"debian-cron", "cronie", "busybox", "pg_cron", "airflow", "systemd", ..., "none" (by hand, event or upstream)."""
    expression: str = ""
    zone: str = "UTC"
    """IANA name, or an offset such as "+01:00" where the host tells no more."""
    words: str = ""
    """The schedule for people: "daily at 03:10"."""
    next_at: datetime | None = None

    @property
    def has_clock(self) -> bool:
        """True where a clock starts it, also one that only its source can read; or where nobody could look."""
        return self.dialect != "none" or self.words.startswith((CLOCK_OF_ITS_SOURCE, GLUE_TRIGGERS)) or self.is_unread

    @property
    def is_unread(self) -> bool:
        """True where its source keeps its clock from us: what was known of it before may still hold."""
        return self.dialect == "none" and self.words.startswith(CLOCK_UNREAD)


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
    """What runs, for people: the command, the SQL, the operator. Raw outside text."""
    definition_hash: str = ""
    match_keys: tuple[str, ...] = ()
    """For kinds without native ids: keys, strongest first, by which a job whose id changed is known again."""
    proof: Proof = Proof.FULL
    """How much this source can prove about this job's runs."""
    run_as: str = ""
    native_url: str = ""
    owner: str = ""
    pool: str = ""
    """What each of its runs takes a slot of, as its source calls it; empty: nothing."""
    slots: int | None = None
    """How many slots that has; None: no limit is known."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that could not be read: where it was, why, and its beginning (raw, at most 200 characters)."""

    where: str
    reason: str
    sample: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """The target's own clock at one moment of ours; their difference is the skew. Both aware UTC."""

    target: datetime
    ours: datetime
    zone: str = "UTC"
    booted: datetime | None = None
    """When the target last started, by our clock, where its answer tells it."""

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
    clock: Clock | None = None
    skipped: tuple[Skipped, ...] = ()
    asks_for: Callable[[str, tuple[str, ...]], bool] | None = field(default=None, compare=False)
    """Whether the settings of now ask for a job (native id, match keys), where they choose: one that they leave out is
    watched no more, which is no drift. Asked of jobs without parent only; tasks go with theirs. None: all are."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One attempt of one run, as the source tells it now. All instants aware UTC by the target's clock."""

    job: str
    """Native id of the job."""
    attempt_key: str
    """Identity in its source: cron start.pid, Airflow run id + queued_at, pg_cron runid, ARN + redrive count."""
    state: State
    native_state: str
    """The source's own word, verbatim."""
    evidence: Evidence = Evidence.NATIVE
    period_key: str | None = None
    """Scheduled instant (`instant_key`) or native run id. None: only the start is known, `control` matches it."""
    period_at: datetime | None = None
    """The scheduled instant, where the source knows it."""
    formerly: str = ""
    """Attempt key under which this same attempt was told while its source had no better name for it (a queued run that
    gets its identity with its start). One that is known by it, and open, takes the new key."""
    again_of: str = ""
    """Attempt key of the job's run that this one executes again: without a period of its own it has that one's."""
    interval_start: datetime | None = None
    """Start of a data interval that is not empty: its date is the business date."""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    message: str = ""
    """The source's own word on the outcome, raw: an error line, a return message."""
    reason: str = ""
    """Why it waits, in the words of design: time, upstream, event, resource, slot, approval."""
    native_ref: str = ""
    """What `log`, `poll` and `preview` need to find this attempt again; opaque to everybody else."""
    native_url: str = ""
    action_key: str | None = None
    """Our action id, where the native row carries it: this attempt then belongs to the run that the action repairs."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """Parameters, code version, inputs, rows: JSON-safe, small. Which upstream runs it read, where the source says so:
    "inputs": [{"job": "extract_orders" or "etl-hosts/db07:extract_orders", "period_key": …}]."""


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run that Headway knows, as handed back to its connector."""

    job: str
    period_key: str
    attempt_key: str
    native_ref: str
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Evidence that is lost for good (a truncated log, purged history): from when to when, and why."""

    since: datetime | None
    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Poll:
    """What changed since the cursor, oldest first, and the cursor to ask with next time."""

    runs: tuple[RunRecord, ...]
    cursor: str
    """JSON text, opaque to the engine; stored in the transaction that stores the runs."""
    more: bool = False
    """True: there is more to fetch now; the engine polls again at once."""
    complete: bool = True
    """False: something could not be read; absence in this poll proves nothing."""
    clock: Clock | None = None
    skipped: tuple[Skipped, ...] = ()
    gaps: tuple[Gap, ...] = ()
    inventory: Inventory | None = None
    """For kinds whose poll brings the inventory in the same round trip (`ConnectorKind.inventory_rides_poll`)."""
    seen_until: datetime | None = None
    """By the target's clock: every start before this instant would be in this or an earlier poll. It proves MISSED."""
    warnings: tuple[str, ...] = ()
    """Raw words about the target that a person should read (unknown native word, file ignored by cron)."""


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
