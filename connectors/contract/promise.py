"""What every connector promises: its calls, its rights, and the kind under which the registry finds it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from connectors.contract.acts import Ask, LookUp, NativeHold, Preview, Receipt
from connectors.contract.records import Clock, Inventory, LogChunk, Poll, RunRef
from connectors.words import Capability, Proof, Verb

CONTRACT_VERSION = 1


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
    opens_with_engine: bool = False
    """Not reachable, and all that is wrong may be that no engine works: its door is opened by one."""


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


class Listener(Protocol):
    """An open door of a target that reports by itself. Kept open while the engine begins anew with another config."""

    def refresh(self, options: Any, secrets: Secrets) -> str:
        """Takes up settings and secrets as they are now, and listens from the first time on; what is wrong, in words,
        or "". Called from one thread, about once a minute. Raises no ConnectorError."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong now, in words; empty when all is well."""
        ...

    def close(self) -> None:
        """Listens no more."""
        ...


class Secrets(Protocol):
    """Resolves a reference to a secret at use; its values are masked at the boundary of logs and errors."""

    def __call__(self, reference: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class Shell:
    """The program with which a person works at a target by hand, signed in as the connector is."""

    argv: tuple[str, ...]
    """Program and arguments, no secret among them: every user of the machine can read them. "{NAME}" is the path of
    that one of `files`."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to the person's own; "{NAME}" alone as in `argv`."""
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Texts that the program reads as files; they are there as long as it runs, for its user only."""


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
    lacks: Callable[[Any], Mapping[Capability, str]] | None = None
    """Of the capabilities those that one system's options leave out, and why; None where options leave out none."""
    inventory_rides_poll: bool = False
    starts_held: bool = False
    """True where START runs a job that is held, and leaves it held: it may then start before its clock."""
    may_start_early: bool = False
    """True where what starts a job goes by a clock of its own, or by hand, and not by the one that tells its runs: a
    start some minutes before an instant of its schedule is that instant's."""
    schedules: str = ""
    """The most that its inventory tells of when a job starts by itself: "expression" (one that we compute with), "next"
    (the next start alone), "" (nothing but words)."""
    ladder: str = ""
    """One paragraph: how much this kind proves, and by what."""
    proofs: frozenset[Proof] = frozenset()
    """The rungs on which its jobs may stand; empty where the kind does not tell."""
    verbs: Mapping[Verb, str] = field(default_factory=dict)
    """The source's own words for what it may be asked: RERUN: "redrive, or start again"."""
    takes: Mapping[Verb, frozenset[str]] = field(default_factory=dict)
    """Parameters of an Ask beyond those that the contract has for all kinds: {RERUN: {"version"}}. No other kind is
    sent them."""
    listen: Callable[[Any, str, Callable[[], None]], Listener] | None = None
    """For targets that report by themselves: opens the door at which the engine hears them, from the options, the
    target, and what is to be called when something arrived. What was answered there must be durable, and is told by
    `poll`. Raises OSError where the address cannot be had."""
    shell: Callable[[Any, str, Secrets], Shell] | None = None
    """How a person opens a session at a target, from the options; None where nothing but an API is there. Raises
    AccessRefused."""
    contract_version: int = CONTRACT_VERSION
