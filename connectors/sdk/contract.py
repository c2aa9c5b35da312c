"""The contract of every connector: its calls, its actions, its permissions, and the kind that the registry finds.

A connector speaks to ONE target of a system (a host, a database, an API) by plain blocking calls, each within the
`timeout_seconds` given for the whole call. It reports facts (`records`, `states`), performs actions under our key,
raises the classes of `errors`, and never decides what any of it means. Imports the stdlib and this package only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from connectors.sdk.errors import NotSupported
from connectors.sdk.records import Inventory, LogChunk, Poll, RunRef, TargetClock, instant_key
from connectors.sdk.states import Capability, ProofLevel, RunState, Verb

SENT_AT = "sent_at"
"""Key of `Preview.plan`: when the action was sent, an ISO instant by our clock. Written with the intent, before `act`,
so that `look_up` knows how long the source may still work on it."""

ACTION_KEY = re.compile(r"headway-[0-9a-z]{10,40}")
"""Our id of an action, carried in a native name where the source has one. Valid in the names of every scheduler."""


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """An action requested on one run or its job.

    `run` has an empty `attempt_key` where nothing ran yet (START, HOLD, RELEASE); HOLD and RELEASE use `run.job` only.
    A kind raises NotSupported for a verb that it lacks.
    """

    verb: Verb
    run: RunRef
    state: RunState
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """RERUN: "scope" = "failed" (default), "downstream" or "all". START: "period_at" (ISO instant) where it is known.
    HOLD: "by", "until" (ISO instant), which with the action's key make its HoldMark. RELEASE: "hold", the id of the
    mark; "enable" = "no" removes the mark only and leaves the job paused or enabled as it is. BACKFILL: "do" = "create"
    (default) with "from", "to" (ISO instants), "reprocess" ("none", "failed", "completed": which existing runs run
    again), "at_once"; or "pause", "resume", "cancel" with "backfill", its number; or "list" with "of" = "job" or
    "system": open backfills, returned in `Preview.backfills`. Any verb: "why", a person's reason, for sources that keep
    a note; never part of a command or name. A kind's page lists what it takes besides (Airflow: "version", "conf")."""

    @property
    def for_period(self) -> str:
        """ ", for 2026-11-20T03:00:00Z", for texts; "" for a run without a period."""
        return f", for {self.run.period_key}" if self.run.period_key else ""


@dataclass(frozen=True, slots=True)
class NativeBackfill:
    """An open backfill of the scheduler."""

    number: int
    """Its id at the scheduler, by which it is paused, resumed and cancelled."""
    job: str
    first: str
    last: str
    """ISO instants, as its source reports them."""
    paused: bool
    at_once: int
    created_at: str = ""
    """ISO instant."""


PreviewNote = str | tuple[str | datetime, ...]
"""A text; in parts where it has instants, which each reader sees in the zone of their screen."""


@dataclass(frozen=True, slots=True)
class Preview:
    """An action before it is sent, in the scheduler's own terms."""

    verb: str
    """Native verb: "clear failed tasks", "redrive", "start again", "run once"."""
    summary: str
    """One sentence: "run this crontab line once on db07 as etl"."""
    scope: str
    """ "3 failed tasks of load_orders 2026-11-19"."""
    affected: tuple[str, ...] = ()
    """Native names of affected tasks, lines or executions. Empty where the job itself is affected."""
    overlap: str | None = None
    """Why it may overlap with a running run; None when the source reports none."""
    native_calls: tuple[str, ...] = ()
    """The calls as they would be sent, readable, without secrets."""
    notes: tuple[PreviewNote, ...] = ()
    """Consequences: "up to 60 s until it starts", "context is lost"."""
    refused: str | None = None
    """Why the action cannot be sent now; None when it can."""
    backfills: tuple[NativeBackfill, ...] = ()
    """Open backfills at the source, for "list" (which is `refused`, since it sends nothing)."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """Input of `act` and `look_up`: JSON-safe, without secrets, opaque to the engine except for SENT_AT."""

    @classmethod
    def refusal(cls, verb: str, why: str) -> Preview:
        return cls(verb, f"cannot {verb} now", "nothing", refused=why)


HOLD_MARK = re.compile(
    r"headway-hold id=(headway-[0-9a-z]{10,40}) by=([A-Za-z0-9_.@+-]{1,64}) until=([0-9TZ:.-]{20,27})"
)

STARTED_LATER = (
    "the release itself starts nothing: Headway starts a run that was missed meanwhile once afterwards, unless the"
    " job's own clock is about to start it"
)
"""Note of every release about missed starts, which the engine handles whatever the source does by itself."""

NOT_STARTED_LATER = "the release starts nothing, and Headway cannot start this job: a run that was missed stays missed"
"""The same note of a kind that cannot start a job."""


@dataclass(frozen=True, slots=True)
class HoldMark:
    """The mark of a hold at the source: shows the hold and its owner without Headway."""

    id: str
    """The key of the action that placed it (ACTION_KEY)."""
    by: str
    """Owner of the hold: [A-Za-z0-9_.@+-], at most 64 characters."""
    until: datetime
    """Expiry of the hold. Aware UTC, whole seconds."""

    @property
    def text(self) -> str:
        """ "headway-hold id=headway-… by=alice until=2026-11-20T06:30:00Z": one line, safe in every comment."""
        return f"headway-hold id={self.id} by={self.by} until={instant_key(self.until.replace(microsecond=0))}"

    @classmethod
    def read(cls, text: str) -> HoldMark | None:
        """The first mark in an outside text; None without one."""
        match = HOLD_MARK.search(text)
        if match is None:
            return None
        try:
            return cls(match[1], match[2], datetime.fromisoformat(match[3]).astimezone(UTC))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class NativeHold:
    """A job that bears the hold mark at its source."""

    job: str
    """Native id."""
    mark: HoldMark
    where: str
    """For people: "crontab of etl on db07, line 4"."""
    bare: bool = False
    """True where the job is enabled, or paused under another mark: the hold was undone and its mark remains."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The source accepted an action. Acceptance is not success: the run that follows is."""

    native_ref: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ActionFound:
    """Looked up under our id: the action arrived."""

    native_ref: str
    message: str = ""
    waits: bool = False
    """True while the source has it and has not begun it: a start at a later minute."""


@dataclass(frozen=True, slots=True)
class ActionAbsent:
    """Looked up under our id: proved that the action never arrived and can no longer arrive."""


@dataclass(frozen=True, slots=True)
class ActionUnknown:
    """Looked up under our id without proof either way."""

    why: str


LookUpResult = ActionFound | ActionAbsent | ActionUnknown

CONTRACT_VERSION = 1
"""Raised with each change after the first release that breaks a connector of another package: a call or a field that
is new and required, or one that is removed, renamed or means something else. Kinds of another version are refused."""


@dataclass(frozen=True, slots=True)
class SourcePermission:
    """One permission at the source: held, missing, or unknown (None). `fix` says how to grant it."""

    name: str
    held: bool | None
    why: str = ""
    fix: str = ""
    needed_for: str = "view"
    """"view" or "act"."""
    is_grantable: bool = True
    """Whether a grant to the account gives it. False for a service to start, a package to install, a setting."""

    @classmethod
    def checked(
        cls, name: str, held: object, why: str, fix: str, needed_for: str = "view", is_grantable: bool = True
    ) -> SourcePermission:
        """The permission after a check; `why` and `fix` count where it is not held."""
        problem = ("", "") if held else (why, fix)
        return cls(name, bool(held), *problem, needed_for, is_grantable)

    @property
    def problem(self) -> str:
        """Why it is not held, and the fix."""
        return f"{self.why}. Fix: {self.fix}"


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether the target can be read and acted on. An empty list means "no jobs" only if all permissions are held."""

    reachable: bool
    version: str = ""
    rights: tuple[SourcePermission, ...] = ()
    notes: tuple[str, ...] = ()
    clock: TargetClock | None = None
    opens_with_engine: bool = False
    """True where the target is unreachable only because no engine runs: an engine opens its listener."""
    faults: tuple[str, ...] = ()
    """Definitions that the scheduler itself refuses: jobs that it does not start."""


class Connector(Protocol):
    """One open target. Not thread safe: the engine uses one instance from one thread at a time."""

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All jobs, or `unchanged`. Raises SystemUnreachable or AccessRefused."""
        ...

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """Runs and attempts that started or changed since `cursor`, and the state of `open_runs`, oldest first.

        `cursor` is "" the first time: then the source's whole history, in batches, with `more=True` until done. An
        unreadable record is counted in `skipped`. Raises SystemUnreachable (poll again later) or AccessRefused."""
        ...

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """The tail of the attempt's log (`start=None`), or what follows `start`. Raises NotSupported without a log."""
        ...

    def preview(self, spec: ActionSpec, timeout_seconds: float) -> Preview:
        """The calls that `act` would send. Changes nothing."""
        ...

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Sends the action once under `key` (ACTION_KEY). Raises OutcomeUnknown when it may have been sent and no
        answer came; AccessRefused or NotSupported when the source refused it: then nothing happened."""
        ...

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        """Whether an action sent under `key` arrived."""
        ...

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        """All jobs of this target held under a mark, by any engine; and bare marks where they cost no extra call, at
        least those of `known` (native ids of jobs that the engine lists as held). Raises NotSupported without
        Capability.HOLD."""
        ...

    def probe(self, timeout_seconds: float) -> Probe:
        """Reachability and permissions. Raises SystemUnreachable or AccessRefused with the reason."""
        ...

    def close(self) -> None:
        """Frees connections. No call may follow."""
        ...


class Listener(Protocol):
    """The listener of a target that reports by itself. Stays open while the engine restarts with another config."""

    def refresh(self, options: Any, secrets: SecretResolver) -> str:
        """Applies current settings and secrets; the first call starts to listen. Returns problems as text, or "".
        Called from one thread, about once a minute. Raises no ConnectorError."""
        ...

    @property
    def trouble(self) -> str:
        """Current problems as text; empty without any."""
        ...

    def close(self) -> None:
        """Stops listening."""
        ...


class SecretResolver(Protocol):
    """Resolves a reference to a secret at use. Resolved values are masked in logs and errors."""

    def __call__(self, reference: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class ShellSession:
    """The program for working at a target by hand, signed in as the connector is."""

    argv: tuple[str, ...]
    """Program and arguments, without secrets, since every user of the machine can read them. "{NAME}" is the path of
    the file of that name in `files`."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to the person's own environment; a value "{NAME}" as in `argv`."""
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Texts that the program reads as files. They exist while it runs, readable by its user only."""


@dataclass(frozen=True, slots=True)
class ApiComparison:
    """A profile compared with a description of its API."""

    faults: list[tuple[tuple[str, ...], str]]
    """The key of the profile, and what the description does not have."""
    calls: int
    names: int
    """Parameters and fields that were looked up."""
    undescribed: list[tuple[tuple[str, ...], str]]
    """Those among them that a description leaves open: the key of the profile, and the field."""
    notes: list[tuple[tuple[str, ...], str]]
    """The key of the profile, and what the description has besides."""


class ProfileModel(Protocol):
    """A validated profile: a file that makes one system of a kind a kind of its own."""

    @classmethod
    def model_validate(cls, document: Any, /, *, context: dict[str, Any]) -> ProfileModel:
        """Raises pydantic's ValidationError with all faults."""
        ...

    def connector_kind(self) -> ConnectorKind: ...

    def warnings(self) -> list[tuple[tuple[str, ...], str]]:
        """Probable mistakes that are allowed: the key, and the text with its fix."""
        ...

    def compare(self, description: str) -> ApiComparison:
        """With an OpenAPI or discovery document. Raises ValueError for any other text."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectorKind:
    """A kind of scheduler, found by the registry under an entry point of `headway.connectors`."""

    kind: str
    title: str
    options: type[Any]
    """Pydantic model of the settings in `[systems.NAME]`, without those that every system has."""
    targets: Callable[[Any], list[str]]
    """Names of the targets in these options; at least one."""
    open: Callable[[Any, str, SecretResolver], Connector]
    capabilities: frozenset[Capability]
    missing: Mapping[Capability, str] = field(default_factory=dict)
    """Why a capability is missing, for people."""
    lacks: Callable[[Any], Mapping[Capability, str]] | None = None
    """Capabilities that a system's options leave out, with the reason; None where options leave out none."""
    inventory_rides_poll: bool = False
    starts_held: bool = False
    """True where START runs a held job and leaves it held; it may then start before its schedule."""
    mark_ends_with_pause: bool = False
    """True where the mark of a hold is the reason of a pause and ends with it: a job that a person enables has none."""
    start_within: timedelta = timedelta()
    """The longest time from a RERUN or START until its run begins; zero where it begins at once."""
    may_start_early: bool = False
    """True where jobs start by hand or by a clock other than the one that reports their runs: a start some minutes
    before a scheduled instant belongs to that instant."""
    dates_runs: bool = False
    """True where its records may carry a business date or a data interval: a changed cutoff does not move these."""
    schedules: str = ""
    """The most that its inventory reports of a job's schedule: "expression" (computable), "next" (the next start only),
    "" (a description only)."""
    ladder: str = ""
    """One paragraph: how much this kind proves, and by which evidence."""
    proofs: frozenset[ProofLevel] = frozenset()
    """Proof levels that its jobs may have; empty where not declared."""
    verbs: Mapping[Verb, str] = field(default_factory=dict)
    """Native names of the verbs: RERUN: "redrive, or start again"."""
    takes: Mapping[Verb, frozenset[str]] = field(default_factory=dict)
    """Parameters of an ActionSpec that only this kind takes: {RERUN: {"version"}}."""
    listen: Callable[[Any, str, Callable[[], None]], Listener] | None = None
    """For targets that report by themselves: opens their listener, from the options, the target, and a callback for
    arrivals. A report is durable before it is answered, and returned by `poll`. Raises OSError where the address cannot
    be bound."""
    shell: Callable[[Any, str, SecretResolver], ShellSession] | None = None
    """The shell session of a target, from the options; None where the target has only an API. Raises AccessRefused."""
    endpoint: Callable[[Any, str], str] | None = None
    """The address and port of a target, from the options: "db07:22", empty if unknown. Targets of several systems that
    share it fail together when it is down. None where the options do not say it."""
    poll_problem: Callable[[Any, float], str] | None = None
    """Why a poll of these options cannot end within so many seconds, with the fix; "" if it can. None where the time of
    a poll does not follow from the options."""
    profile: type[ProfileModel] | None = None
    """Pydantic model of a profile over this kind; None where it takes none."""
    contract_version: int = CONTRACT_VERSION


def check_action_key(key: str) -> None:
    if not ACTION_KEY.fullmatch(key):
        raise NotSupported(f"not an action key of ours: {key[:60]!r}")
