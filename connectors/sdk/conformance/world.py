"""The base of the conformance tests: the world that a subclass provides, the rules of a record, faulty servers."""

from __future__ import annotations

import inspect
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

from connectors.sdk.contract import (
    ACTION_KEY,
    SENT_AT,
    ActionAbsent,
    ActionFound,
    ActionSpec,
    Connector,
    ConnectorKind,
    LookUpResult,
    Preview,
)
from connectors.sdk.errors import ConnectorError, NotSupported, OutcomeUnknown
from connectors.sdk.records import Inventory, Poll, RunRecord, RunRef, TargetClock, instant_key
from connectors.sdk.settle import SEND_SECONDS
from connectors.sdk.states import PeriodKind, RunEvidence, RunState, Verb

T = TypeVar("T")

REST = 3.0
"""Times that a world rests before it is read again, as long as reading it took: a real scheduler works meanwhile."""
LONGEST_REST_SECONDS = 5.0
MAX_POLLS = 4000
"""Of a walk over history: 40,000 runs in pages of ten."""
ACTS = ("rerun", "start", "cancel", "hold", "due")
CHECKED = ("log", "network", "rerun", "start", "cancel", "hold")
"""Values of `ConformanceWorld.checks`."""
HOOKS = ("answering", "crowded", "long_log", "with_a_run_behind", "with_a_right_revoked")
"""The hooks that play faults: a world overrides each, or names it in `unplayed` or `elsewhere`."""


def new_key() -> str:
    return "headway-" + secrets.token_hex(8)


def ref(run: RunRecord) -> RunRef:
    """The run as the console would hand it back: a start without a period stands for its own instant."""
    period = run.period_key or (instant_key(run.started_at) if run.started_at else run.attempt_key)
    return RunRef(run.job, period, run.attempt_key, run.native_ref, run.started_at)


Test = TypeVar("Test", bound=Callable[..., None])
Needed = str | Callable[[ConnectorKind], bool]
Runs = Mapping[tuple[str, str], RunRecord]


def requires(*needed: Needed) -> Callable[[Test], Test]:
    """Declares what a test needs beyond the capability of its group: hooks, what `limits`, `unplayed` and `elsewhere`
    may exclude, or a property of the kind. A class that lacks one of them has no such test."""

    def declare(test: Test) -> Test:
        vars(test)["needed"] = needed
        return test

    return declare


def _needs(test: object) -> tuple[Needed, ...]:
    return getattr(test, "needed", ()) if inspect.isfunction(test) else ()


class ConformanceWorld:
    """The world that a test class provides by its hooks, and helpers that groups of checks share."""

    kind: ClassVar[ConnectorKind]
    checks: ClassVar[str] = ""
    """Of a group: the capability that it needs, or "network"; "" where every kind has its checks."""
    against: ClassVar[str] = ""
    """The test environment, as in `headway connector list`: "real", "emulator", "recorded", "described"
    or "fake", a colon, and its name with its version. "recorded" is a fake fed by replies of a real server, "described"
    one that the vendor's machine-readable description of its API judges."""
    timeout_seconds: ClassVar[float] = 30.0
    """For each call of a test that is not about deadlines."""
    patience_seconds: ClassVar[float] = 60.0
    """How long the world may take to show an action's run and its end."""
    reading_seconds = 0.0
    """How long `wait` read last."""
    limits: ClassVar[Mapping[str, str]] = {}
    """Limits of this world, with the reason: keys "act" (every action), "rerun", "start", "cancel", "hold", "due"
    (time does not pass, so nothing starts natively), "log", "network", "runs" (the source reports no runs),
    "success", "failure" (it reports no such run), "unknown_word", "schedule" (none of its jobs has one)."""
    unplayed: ClassVar[Mapping[str, str]] = {}
    """Names of HOOKS, and ways of `answering` (of NASTY, and ANY_STATUS), that this world does not play,
    each with one line of why."""
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Those that other tests play for this kind -> the file of these tests."""

    def __init_subclass__(cls) -> None:
        """Removes the shared tests that this class cannot play, and restores those that it can."""
        super().__init_subclass__()
        if not hasattr(cls, "kind"):
            return
        shared = {name: test for base in cls.__mro__ for name, test in vars(base).items() if _needs(test)}
        for name, test in shared.items():
            played = None if any(map(cls.lacks, _needs(test))) else test
            if getattr(cls, name) in (None, test) and getattr(cls, name) is not played:
                setattr(cls, name, played)

    @classmethod
    def lacks(cls, needed: Needed) -> bool:
        """Whether this world cannot play it, or its kind has no such property."""
        if not isinstance(needed, str):
            return not needed(cls.kind)
        is_action = needed in ACTS and "act" in cls.limits
        has_no_hook = needed in HOOKS and getattr(cls, needed) is getattr(ConformanceWorld, needed)
        return is_action or has_no_hook or needed in {*cls.limits, *cls.unplayed, *cls.elsewhere}

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
        """Pauses a holdable job as a person would, at its source, without Headway. Give no text where the source takes
        a pause without one: so a source is found that keeps the mark of an ended hold as the reason of this pause."""
        raise NotImplementedError

    def resume_by_hand(self, job_id: str) -> None:
        raise NotImplementedError

    def a_job_to_fall_due(self) -> str:
        """One that `let_it_fall_due` reaches."""
        return self.a_holdable_job()

    def let_it_fall_due(self, job_id: str) -> None:
        """Lets the next native start of a holdable job fall due, and time enough pass for its run to be seen."""
        raise NotImplementedError

    def native_trace(self) -> object:
        """A comparable snapshot of everything that an action could change; None: the polls show it."""
        return None

    def advance(self) -> None:
        """Lets the world go on; called while waiting. A world with its own clock moves it here."""
        time.sleep(max(0.25, min(REST * self.reading_seconds, LONGEST_REST_SECONDS)))

    lists_of_records: ClassVar[int] = 1
    """How many answers with records a poll reads, the pages of a list each: in each `answering` spoils one record."""

    def answering(self, how: str) -> Connector:
        """A connector whose queries this world answers as `how` says (one of NASTY, or STATUS and a number)."""
        raise NotImplementedError

    def crowded(self, runs: int) -> Connector:
        """A connector whose source has so many ended runs, all reported from `crowd_begins` on."""
        raise NotImplementedError

    def crowd_begins(self, connector: Connector) -> str:
        """The cursor from which the crowd is read. A source whose first poll reads only its end is polled here, before
        its crowd exists."""
        del connector
        return ""

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        """A connector, and a run of it whose log has so many bytes."""
        raise NotImplementedError

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """A connector, and a function to call after its first poll: it adds a failed run behind the cursor (in a page
        that was read, under a number below the newest), and returns its attempt_key."""
        raise NotImplementedError

    def with_a_right_revoked(self) -> Connector:
        """A connector whose account lost a right that it had."""
        raise NotImplementedError

    @contextmanager
    def opened(self, connector: Connector | None = None) -> Iterator[Connector]:
        connector = connector or self.connector()
        try:
            yield connector
        finally:
            connector.close()

    def polls_until_end(self, connector: Connector, cursor: str) -> Iterator[Poll]:
        """Polls until there is no more. Fails when a poll moves the cursor nowhere, or when polls never end."""
        for _ in range(MAX_POLLS):
            poll = connector.poll(cursor, (), self.timeout_seconds)
            json.loads(poll.cursor)
            yield poll
            if not poll.more:
                return
            assert poll.cursor != cursor, f"more is promised and the cursor stays at {cursor}"
            cursor = poll.cursor
        raise AssertionError(f"history does not end within {MAX_POLLS} polls")

    def whole_inventory(self, connector: Connector) -> Inventory:
        return connector.inventory("", self.timeout_seconds)

    def runs_of(self, connector: Connector, job_id: str) -> dict[tuple[str, str], RunRecord]:
        """Last record of each attempt of the job, in the order of their first reports."""
        return {
            identity(run): run for poll in self.polls_until_end(connector, "") for run in poll.runs if run.job == job_id
        }

    def latest(self, job_id: str) -> RunRecord:
        with self.opened() as connector:  # the last attempt of a run that has several
            polls = list(self.polls_until_end(connector, ""))
            last = {run.native_ref or run.attempt_key: run for poll in polls for run in poll.runs if run.job == job_id}
        runs = [run for run in last.values() if run.state.is_red]
        skipped = [record for poll in polls for record in poll.skipped]
        why = f"; {len(skipped)} rows skipped, {skipped[0].where}: {skipped[0].reason}" if skipped else ""
        assert runs, f"no failed run of {job_id} among {len(last)}{why}"
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
            answer = self.found(connector, preview, key)
            if isinstance(answer, ActionFound):
                return answer.native_ref
        return connector.act(preview, key, self.timeout_seconds).native_ref

    def sends_again(self, connector: Connector, preview: Preview, key: str) -> None:
        """Sends it under the same key: a receipt, a refusal or an unknown outcome. The caller then checks
        that nothing started or was held a second time."""
        with suppress(NotSupported, OutcomeUnknown):
            connector.act(preview, key, self.timeout_seconds)

    def wait(self, what: str, read: Callable[[], T | None]) -> T:
        """The first true result of `read`; the world advances between two calls."""
        began = time.monotonic()
        until = began + self.patience_seconds
        while not (answer := read()):
            ended = time.monotonic()
            assert ended < until, f"not seen within {self.patience_seconds:.0f} s: {what}"
            self.reading_seconds = ended - began
            self.advance()
            began = time.monotonic()
        return answer

    def start_ask(self, job_id: str) -> ActionSpec:
        now = datetime.now(UTC).replace(microsecond=0)
        is_round = now.second % 5 == 0  # then a schedule may have a run for the same instant, and the start is refused
        period = instant_key(now - timedelta(seconds=is_round))
        return ActionSpec(
            Verb.START, RunRef(job_id, period, "", ""), RunState.PLANNED, {"period_at": period, "why": "it is due"}
        )

    def started_under(self, connector: Connector, cursor: str, key: str) -> dict[tuple[str, str], RunRecord]:
        """The runs since `cursor` that carry our key, by identity."""
        runs = (run for poll in self.polls_until_end(connector, cursor) for run in poll.runs if run.action_key == key)
        return {identity(run): run for run in runs}

    def ended_under(self, connector: Connector, cursor: str, key: str) -> RunRecord | None:
        runs = self.started_under(connector, cursor, key).values()
        return next((run for run in runs if not run.state.is_open), None)

    def allowed(self, connector: Connector, spec: ActionSpec) -> Preview:
        """The preview as it comes back from the store. Fails where it is refused."""
        preview = connector.preview(spec, self.timeout_seconds)
        assert preview.refused is None, f"refused: {preview.refused}"
        return through_json(preview)

    def arrived(self, connector: Connector, preview: Preview, key: str) -> bool:
        return isinstance(self.found(connector, preview, key), ActionFound)

    def check_on_its_way(self, spec: ActionSpec) -> None:
        """Its intent was written down just now, and nothing of it is at the source yet."""
        with self.opened() as connector:
            preview = self.allowed(connector, spec)
            sent = replace(preview, plan={**preview.plan, SENT_AT: instant_key(datetime.now(UTC))})
            answer = self.found(connector, sent, new_key())
        assert not isinstance(answer, ActionAbsent), f"{spec.verb}: called absent while its sender may still connect"
        late = datetime.now(UTC) - timedelta(seconds=SEND_SECONDS + 10)  # suspended since: others called it absent
        with self.opened() as connector:
            try:
                connector.act(replace(preview, plan={**preview.plan, SENT_AT: instant_key(late)}), new_key(), 20)
            except ConnectorError:
                return
        raise AssertionError(f"{preview.verb}: sent {SEND_SECONDS:.0f} s after its intent")

    def truth(self) -> Runs:
        """The runs of the same world with correct replies."""
        with self.opened() as connector:
            return {identity(run): run for poll in self.polls_until_end(connector, "") for run in poll.runs}


def identity(run: RunRecord) -> tuple[str, str]:
    return run.job, run.attempt_key


def is_rerun(item: RunRecord, run: RunRecord, key: str) -> bool:
    """By our key, as a further attempt of the same period, or as one that repeats the same run."""
    same_period = run.period_key is not None and (item.job, item.period_key) == (run.job, run.period_key)
    same_run = bool(item.again_of) and item.again_of in (run.attempt_key, run.again_of)
    return item.action_key == key or ((same_period or same_run) and item.attempt_key != run.attempt_key)


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
    possible = (RunEvidence.NATIVE, RunEvidence.INFERRED, RunEvidence.CONFLICT)
    assert run.evidence in possible, f"not a connector's evidence: {run}"
    assert run.state != RunState.SUCCEEDED or run.evidence == RunEvidence.NATIVE, f"green without proof: {run}"
    is_own_id = run.period_key == run.attempt_key and run.denotes is PeriodKind.NAME and not run.period_name
    assert not is_own_id, f"its period key is its own id, so period_kind has to be PeriodKind.RUN: {run}"
    for name in ("period_at", "interval_start", "queued_at", "started_at", "ended_at"):
        if (at := getattr(run, name)) is not None:
            check_instant(at, f"{name} of {identity(run)}")
    if run.started_at is not None and run.ended_at is not None:
        assert run.ended_at >= run.started_at, f"ended before it started: {run}"
    assert not (run.state.is_open and run.ended_at), f"open and ended: {run}"
    assert run.action_key is None or ACTION_KEY.fullmatch(run.action_key), f"not a key of ours: {run.action_key}"
    assert json.loads(json.dumps(dict(run.context))) == dict(run.context), f"context does not survive JSON: {run}"


def states(runs: Runs) -> dict[tuple[str, str], RunState]:
    return {key: run.state for key, run in runs.items()}


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
