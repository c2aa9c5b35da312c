"""What every connector promises, and the words that both sides of the door speak.

A connector speaks to ONE target of a system (a host, a database, an API) by plain blocking calls, each within the
`timeout_seconds` it is given for the whole call. It reports facts in the records below and never decides what they
mean for anybody else. `console` imports this module; this module imports nothing but the standard library
and its own words (`connectors.words`).

    ConnectorError
    ├── SystemUnreachable   poll again later
    ├── AccessRefused       a person must act (credentials, rights, host key)
    ├── RecordUnreadable    skip this record, count it, keep the rest
    ├── NotSupported        never: this kind or this server cannot do it
    └── OutcomeUnknown      the wire was touched and the answer lost: look it up, never repeat
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from connectors.words import OPEN_STATES as OPEN_STATES
from connectors.words import RED_STATES as RED_STATES
from connectors.words import Capability as Capability
from connectors.words import Evidence as Evidence
from connectors.words import Proof as Proof
from connectors.words import State as State
from connectors.words import Verb as Verb

CONTRACT_VERSION = 1

SENT_AT = "sent_at"
"""In `Preview.plan` of what was sent: when, an ISO instant by our clock. Whoever sends writes it down with the intent,
before `act`, so that `look_up` knows how long the source may still work on it."""

ACTION_KEY = re.compile(r"headway-[0-9a-z]{10,40}")
"""Our id of an action, carried in a native name wherever there is one. Safe in every scheduler's names."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job is meant to run, as its source has it.

    `expression` and `zone` are in the dialect's own syntax: `control.schedule` knows each dialect's rule for DST.
    `next_at` (aware, UTC) is set where the source itself names its next run; it wins over the expression.
    """

    dialect: str
    """"debian-cron", "pg_cron", "airflow", "none" (started by hand, event or upstream)."""
    expression: str = ""
    zone: str = "UTC"
    """IANA name, or an offset such as "+01:00" where the host tells no more."""
    words: str = ""
    """The schedule for people: "daily at 03:10"."""
    next_at: datetime | None = None


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
    """Parameters, code version, inputs, rows: JSON-safe, small."""


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


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted of one run, or of its job.

    `run` has an empty `attempt_key` where nothing ran yet (START, HOLD, RELEASE); for HOLD and RELEASE only `run.job`
    counts. A kind answers a verb that it lacks with NotSupported.
    """

    verb: Verb
    run: RunRef
    state: State
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """RERUN: "scope" = "failed" (default), "downstream" or "all". START: "period_at" (ISO instant) where it is known.
    HOLD: "by", "until" (ISO instant): with the action's key they make its HoldMark. RELEASE: "hold", the mark's id;
    with "enable" = "no" the mark alone is taken away, and whether the job is paused stays as it is found.
    Any: "why", a person's words, for sources that keep a note; never put into a command or a name."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action will send, in the scheduler's own words, before anything is sent."""

    verb: str
    """Native verb: "clear failed tasks", "redrive", "start again", "run once"."""
    words: str
    """One sentence: "run this crontab line once on db07 as etl"."""
    scope: str
    """What it covers: "3 failed tasks of load_orders 2026-11-19"."""
    affected: tuple[str, ...] = ()
    """Native names that it will touch (tasks, lines, executions). Empty where that is the job itself."""
    overlap: str | None = None
    """Why it may overlap with something running now; None when the source says that nothing is."""
    native_calls: tuple[str, ...] = ()
    """The calls as they will go over the wire, readable, without secrets."""
    notes: tuple[str, ...] = ()
    """What a person should know: "up to 60 s until it starts", "context is lost"."""
    refused: str | None = None
    """Why it cannot be done now; None when it can."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """What `act` and `look_up` need, JSON-safe, without secrets; opaque to everybody else, but for SENT_AT."""


HOLD_MARK = re.compile(
    r"headway-hold id=(headway-[0-9a-z]{10,40}) by=([A-Za-z0-9_.@+-]{1,64}) until=([0-9TZ:.-]{20,27})"
)
STARTED_LATER = (
    "the release itself starts nothing: what fell due while it was held Headway starts once afterwards, unless the"
    " job's own clock is about to start it"
)
"""What every release says of missed starts. It is the engine's matter, whatever the source does by itself."""


@dataclass(frozen=True, slots=True)
class HoldMark:
    """What a hold leaves at the source, so that a person finds it, and who to ask, without Headway and its store."""

    id: str
    """The key of the action that placed it (ACTION_KEY)."""
    by: str
    """Who holds: [A-Za-z0-9_.@+-], at most 64."""
    until: datetime
    """After it, nobody should hold any more. Aware UTC, whole seconds."""

    @property
    def text(self) -> str:
        """ "headway-hold id=headway-… by=alice until=2026-11-20T06:30:00Z": one line, safe in every comment."""
        return f"headway-hold id={self.id} by={self.by} until={instant_key(self.until.replace(microsecond=0))}"

    @classmethod
    def read(cls, text: str) -> HoldMark | None:
        """The first mark in a text from outside; None without one."""
        found = HOLD_MARK.search(text)
        if found is None:
            return None
        try:
            return cls(found[1], found[2], datetime.fromisoformat(found[3]).astimezone(UTC))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class NativeHold:
    """A job that bears our mark at its source."""

    job: str
    """Native id."""
    mark: HoldMark
    where: str
    """For people: "crontab of etl on db07, line 4"."""
    bare: bool = False
    """True where the job is enabled all the same, or paused under another mark: its hold was undone, the mark left."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The source accepted an action. Acceptance is not success: the run that follows is."""

    native_ref: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Looked up under our id: it did arrive."""

    native_ref: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """Looked up under our id: proved that it never arrived, and cannot any more."""


@dataclass(frozen=True, slots=True)
class CannotTell:
    """Looked up under our id without proof either way."""

    why: str


LookUp = Found | Absent | CannotTell


@dataclass(frozen=True, slots=True)
class Right:
    """One right at the source: held, missing, or None when it cannot be told. `mend` says how to get it."""

    name: str
    held: bool | None
    why: str = ""
    mend: str = ""
    needed_for: str = "view"
    """"view" or "act"."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Can we see and act here? An empty list never means "no jobs" before the rights are proved."""

    reachable: bool
    version: str = ""
    rights: tuple[Right, ...] = ()
    notes: tuple[str, ...] = ()
    clock: Clock | None = None


class Connector(Protocol):
    """One open target. Not thread safe: the engine uses one instance from one thread at a time."""

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All jobs, or `unchanged`. Raises SystemUnreachable or AccessRefused."""
        ...

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """Runs and attempts that started or changed since `cursor` ("" the first time: as much history as the source
        still has, in bites, `more=True` until done), and the state of `open_runs`, oldest first.

        A record that cannot be read is counted in `skipped`; the rest is kept.
        Raises SystemUnreachable (poll again later) or AccessRefused (a person must act)."""
        ...

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """The tail of the attempt's log (`start=None`), or what follows `start`. Raises NotSupported without a log."""
        ...

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """What `act` would send; nothing is sent that changes anything."""
        ...

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Sends it once under `key` (ACTION_KEY). Raises OutcomeUnknown when the wire was touched and no answer came;
        AccessRefused or NotSupported when the source refused: then nothing happened."""
        ...

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """Whether an action sent under `key` arrived."""
        ...

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        """Every job of this target that is held under our mark now, whoever placed it; and bare marks, where they cost
        nothing to see, at least those of `known`: jobs (native ids) that are thought held. Raises NotSupported without
        Capability.HOLD."""
        ...

    def probe(self, timeout_seconds: float) -> Probe:
        """What is reachable and which rights are held. Raises SystemUnreachable or AccessRefused with the reason."""
        ...

    def close(self) -> None:
        """Frees connections; the connector may be used no more."""
        ...


class Secrets(Protocol):
    """Resolves a reference to a secret at use; its values are masked at the boundary of logs and errors."""

    def __call__(self, reference: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class ConnectorKind:
    """A kind of scheduler: what the registry finds under an entry point `headway.connectors`."""

    kind: str
    title: str
    options: type[Any]
    """Pydantic model of the settings in `[systems.NAME]`, less those that every system has."""
    targets: Callable[[Any], list[str]]
    """Names of the targets in these options; at least one."""
    open: Callable[[Any, str, Secrets], Connector]
    capabilities: frozenset[Capability]
    missing: Mapping[Capability, str] = field(default_factory=dict)
    """Why a capability is missing, for people."""
    inventory_rides_poll: bool = False
    starts_held: bool = False
    """True where START runs a job that is held, and leaves it held: it may then start before its clock."""
    ladder: str = ""
    """One paragraph: how much this kind proves, and by what."""
    contract_version: int = CONTRACT_VERSION


class ConnectorError(Exception):
    """An expected failure at a scheduler. The message has place, value and mend, and no secret."""


class SystemUnreachable(ConnectorError):
    """No useful answer now. `retry_after_seconds` is what the source asked for, if it did."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class AccessRefused(ConnectorError):
    """Credentials, rights or a host key are refused; retrying changes nothing."""


class RecordUnreadable(ConnectorError):
    """One record of a reply cannot be read."""


class NotSupported(ConnectorError):
    """This kind, or this server, cannot do it."""


class OutcomeUnknown(ConnectorError):
    """The request may have arrived; the answer was lost."""


def instant_key(instant: datetime) -> str:
    """The period key of a scheduled instant: "2026-11-20T03:10:00Z". Raises ValueError for a naive time."""
    if instant.tzinfo is None:
        raise ValueError(f"instant_key needs an aware time, got {instant!r}")
    utc = instant.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S") + (f".{utc.microsecond:06d}" if utc.microsecond else "") + "Z"
