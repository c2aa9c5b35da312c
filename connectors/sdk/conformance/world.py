"""The base of the conformance tests: the world that a subclass provides, the rules of a record, faulty servers."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, TypeVar
from unittest import SkipTest

from connectors.sdk.contract import ACTION_KEY, ActionFound, ActionSpec, Connector, ConnectorKind, LookUpResult, Preview
from connectors.sdk.errors import OutcomeUnknown
from connectors.sdk.records import Inventory, Poll, RunRecord, RunRef, TargetClock, instant_key
from connectors.sdk.states import Capability, RunEvidence, RunState, Verb

T = TypeVar("T")

MOST_BITES = 500
ACTS = ("rerun", "start", "cancel", "hold", "due")


def new_key() -> str:
    """A new action key."""
    return "headway-" + secrets.token_hex(8)


def ref(run: RunRecord) -> RunRef:
    """The run as the console would hand it back: a start without a period stands for its own instant."""
    period = run.period_key or (instant_key(run.started_at) if run.started_at else run.attempt_key)
    return RunRef(run.job, period, run.attempt_key, run.native_ref, run.started_at)


Test = TypeVar("Test", bound=Callable[..., None])
Needed = str | Capability | Callable[[ConnectorKind], bool]


def requires(*needed: Needed) -> Callable[[Test], Test]:
    """Declares what a test needs: capabilities or properties of the kind, hooks of the world, and what `limits`,
    `unplayed` and `elsewhere` exclude. A class that lacks one of them has no such test."""

    def declare(test: Test) -> Test:
        REQUIREMENTS[test] = needed
        return test

    return declare


REQUIREMENTS: dict[Callable[..., None], tuple[Needed, ...]] = {}


class WorldHooks:
    """The hooks of a subclass. The first five are required; the others have defaults."""

    kind: ClassVar[ConnectorKind]
    against: ClassVar[str] = ""
    """The test environment, as in `headway connector list`: "real", "emulator", "fake" or "recorded", a
    colon, and its name with its version. "recorded" is a fake fed by replies of a real server."""
    timeout_seconds: ClassVar[float] = 30.0
    """For each call of a test that is not about deadlines."""
    patience_seconds: ClassVar[float] = 60.0
    """How long the world may take to show an action's run and its end."""
    limits: ClassVar[Mapping[str, str]] = {}
    """Limits of this world, with the reason: keys "act" (every action), "rerun", "start", "cancel", "hold", "due"
    (time does not pass, so nothing starts natively), "log", "network", "runs" (the source reports no runs),
    "success", "failure" (it reports no such run), "unknown_word", "schedule" (none of its jobs has one)."""
    unplayed: ClassVar[Mapping[str, str]] = {}
    """Hooks of `faults.FaultHooks`, and ways of `answering` (of NASTY, and ANY_STATUS), that this world does not play,
    each with one line of why."""
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Those that other tests play for this kind -> the file of these tests."""

    def __init_subclass__(cls) -> None:
        """Removes the shared tests that this class cannot play, and restores those that it can."""
        super().__init_subclass__()
        if not hasattr(cls, "kind"):
            return
        shared = {name: test for base in cls.__mro__ for name, test in vars(base).items() if _is_shared(test)}
        for name, test in shared.items():
            is_played = not any(map(cls.lacks_needed, REQUIREMENTS[test]))
            if getattr(cls, name) in (None, test) and getattr(cls, name) != (test if is_played else None):
                setattr(cls, name, test if is_played else None)

    @classmethod
    def lacks_needed(cls, needed: Needed) -> bool:
        """Whether a test that needs this cannot run."""
        if isinstance(needed, Capability):
            return needed not in cls.kind.capabilities
        return cls.lacks(needed) if isinstance(needed, str) else not needed(cls.kind)

    @classmethod
    def lacks(cls, name: str) -> bool:
        """Whether this world declares that it cannot play `name`."""
        is_action = name in ACTS and "act" in cls.limits
        return is_action or name in {*cls.limits, *cls.unplayed, *cls.elsewhere}

    def connector(self) -> Connector:
        """A fresh connector, open on the world."""
        raise NotImplementedError

    def connector_at(self, host: str, port: int) -> Connector:
        """A connector of this kind pointed at an address where something else, or nothing, listens."""
        raise NotImplementedError

    def make_success(self) -> str:
        """Native id of a job with at least one run that ended well; it has ended when this returns."""
        raise NotImplementedError

    def make_failure(self) -> str:
        """Native id of a job whose latest run failed; it has ended when this returns."""
        raise NotImplementedError

    def connector_with_an_unknown_state(self) -> Connector:
        """A connector whose first poll meets a native state word that its source does not have today."""
        raise NotImplementedError

    def a_rerunnable_failure(self) -> str:
        """Native id of a job whose latest run failed and may be rerun, as often as tests ask."""
        return self.make_failure()

    def a_startable_job(self) -> str:
        """Native id of a job that may be started out of turn, as often as tests ask, and then ends by itself."""
        return self.make_success()

    def a_running_run(self) -> RunRecord:
        """A new run, as a poll reports it, that runs for longer than `patience_seconds`."""
        raise NotImplementedError

    def a_holdable_job(self) -> str:
        """Native id of a job that is enabled, and may be held and released as often as tests ask."""
        return self.make_success()

    def a_job_to_start_held(self) -> str:
        """Native id of a job that may be held, and started while it is held (`ConnectorKind.starts_held`)."""
        return self.a_holdable_job()

    def pause_by_hand(self, job_id: str) -> None:
        """Pauses a holdable job as a person would, at its source, without Headway."""
        raise NotImplementedError

    def resume_by_hand(self, job_id: str) -> None:
        """Undoes `pause_by_hand`."""
        raise NotImplementedError

    def let_it_fall_due(self, job_id: str) -> None:
        """Lets the next native start of a holdable job fall due, and time enough pass for its run to be seen."""
        raise NotImplementedError

    def native_trace(self) -> object:
        """A comparable snapshot of everything that an action could change; None: the polls show it."""
        return None

    def advance(self) -> None:
        """Lets the world go on; called while waiting. A world with its own clock moves it here."""
        time.sleep(0.25)


def _is_shared(test: object) -> bool:
    return callable(test) and test in REQUIREMENTS


def identity(run: RunRecord) -> tuple[str, str]:
    return run.job, run.attempt_key


def is_rerun(item: RunRecord, run: RunRecord, key: str) -> bool:
    """By our key, or as a further attempt of the same period."""
    same_period = run.period_key is not None and (item.job, item.period_key) == (run.job, run.period_key)
    return item.action_key == key or (same_period and item.attempt_key != run.attempt_key)


def is_long_over(run: RunRecord) -> bool:
    """Ended more than a minute ago by our clock: it cannot change any more."""
    return (
        not run.state.is_open and run.ended_at is not None and datetime.now(UTC) - run.ended_at > timedelta(minutes=1)
    )


def through_json(preview: Preview) -> Preview:
    """As it comes back from the store: the plan was JSON in between."""
    return replace(preview, plan=json.loads(json.dumps(dict(preview.plan))))


def check_instant(at: datetime, what: str) -> None:
    assert at.utcoffset() == timedelta(0), f"{what} is not aware UTC: {at!r}"


def check_clock(clock: TargetClock | None) -> None:
    if clock is not None:
        check_instant(clock.target, "the target's clock")
        check_instant(clock.ours, "our clock")


def check_run(run: RunRecord) -> None:
    """The rules that hold for every record of every kind."""
    assert run.job, f"no job: {run}"
    assert run.attempt_key, f"no attempt key: {run}"
    assert run.native_state, f"no native word: {run}"
    assert run.evidence in (RunEvidence.NATIVE, RunEvidence.INFERRED, RunEvidence.CONFLICT), (
        f"not a connector's evidence: {run}"
    )
    assert run.state != RunState.SUCCEEDED or run.evidence == RunEvidence.NATIVE, f"green without proof: {run}"
    for name in ("period_at", "interval_start", "queued_at", "started_at", "ended_at"):
        if (at := getattr(run, name)) is not None:
            check_instant(at, f"{name} of {identity(run)}")
    if run.started_at is not None and run.ended_at is not None:
        assert run.ended_at >= run.started_at, f"ended before it started: {run}"
    assert not (run.state.is_open and run.ended_at), f"open and ended: {run}"
    assert run.action_key is None or ACTION_KEY.fullmatch(run.action_key), f"not a key of ours: {run.action_key}"
    assert json.loads(json.dumps(dict(run.context))) == dict(run.context), f"context does not survive JSON: {run}"


class ConformanceWorld(WorldHooks):
    """Helpers of the tests: polls to the end, waits with a limit."""

    @contextmanager
    def opened(self, connector: Connector | None = None) -> Iterator[Connector]:
        connector = connector or self.connector()
        try:
            yield connector
        finally:
            connector.close()

    def bites(self, connector: Connector, cursor: str) -> Iterator[Poll]:
        """Polls until there is no more. Fails when a bite moves the cursor nowhere, or when bites never end."""
        for _ in range(MOST_BITES):
            poll = connector.poll(cursor, (), self.timeout_seconds)
            json.loads(poll.cursor)
            yield poll
            if not poll.more:
                return
            assert poll.cursor != cursor, f"more is promised and the cursor stays at {cursor}"
            cursor = poll.cursor
        raise AssertionError(f"history does not end within {MOST_BITES} bites")

    def whole_inventory(self, connector: Connector) -> Inventory:
        return connector.inventory("", self.timeout_seconds)

    def runs_of(self, connector: Connector, job_id: str) -> dict[tuple[str, str], RunRecord]:
        """Last record of each attempt of the job, in the order of their first reports."""
        return {identity(run): run for poll in self.bites(connector, "") for run in poll.runs if run.job == job_id}

    def latest(self, job_id: str) -> RunRecord:
        with self.opened() as connector:
            runs = [run for run in self.runs_of(connector, job_id).values() if run.state.is_red]
        assert runs, f"no failed run of {job_id}"
        return runs[-1]

    def ask(self, run: RunRecord) -> ActionSpec:
        return ActionSpec(Verb.RERUN, ref(run), run.state)

    def found(self, connector: Connector, preview: Preview, key: str) -> LookUpResult:
        return connector.look_up(preview, key, self.timeout_seconds)

    def sent(self, connector: Connector, preview: Preview, key: str) -> str:
        """Sends it as the engine does, an unknown outcome by `look_up`. Returns the native reference."""
        for _ in range(5):
            with suppress(OutcomeUnknown):
                return connector.act(preview, key, self.timeout_seconds).native_ref
            look_up = connector.look_up(preview, key, self.timeout_seconds)
            if isinstance(look_up, ActionFound):
                return look_up.native_ref
        return connector.act(preview, key, self.timeout_seconds).native_ref

    def wait(self, what: str, read: Callable[[], T | None]) -> T:
        """The first true result of `read`; the world advances between two calls."""
        until = time.monotonic() + self.patience_seconds
        while not (answer := read()):
            assert time.monotonic() < until, f"not seen within {self.patience_seconds:.0f} s: {what}"
            self.advance()
        return answer


@contextmanager
def listener(drip: bool = False) -> Iterator[int]:
    """Port of a server that accepts and never answers; with `drip`, it sends a byte five times a second."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sockets: list[socket.socket] = []
        stop = threading.Event()

        def serve() -> None:
            server.settimeout(0.2)
            while not stop.is_set():
                with suppress(TimeoutError):
                    sockets.append(server.accept()[0])
                for item in sockets if drip else ():
                    with suppress(OSError):
                        item.send(b"H")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            stop.set()
            thread.join(5)
            for item in sockets:
                item.close()


def closed_port() -> int:
    """A port on which nothing listened a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def resident_bytes() -> int:
    """Memory of this process. Raises SkipTest where the system does not report it."""
    path = Path("/proc/self/statm")
    if not path.exists():
        raise SkipTest("this system does not report the memory of a process")
    return int(path.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
