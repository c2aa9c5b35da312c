"""What the conformance tests stand on: the world a subclass provides, the rules of a record, servers that misbehave."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from connectors.contract import (
    ACTION_KEY,
    Clock,
    Connector,
    ConnectorKind,
    Evidence,
    Preview,
    RunRecord,
    RunRef,
    State,
    instant_key,
)


def new_key() -> str:
    """An action key that nobody used before."""
    return "headway-" + secrets.token_hex(8)


def ref(run: RunRecord) -> RunRef:
    """The run as the console would hand it back: a start without a period stands for its own instant."""
    period = run.period_key or (instant_key(run.started_at) if run.started_at else run.attempt_key)
    return RunRef(run.job, period, run.attempt_key, run.native_ref, run.started_at)


class Hooks:
    """What a subclass provides. The first five are needed; the others have a default that fits most worlds."""

    kind: ClassVar[ConnectorKind]
    timeout_seconds: ClassVar[float] = 30.0
    """For each call of a test that is not about deadlines."""
    patience_seconds: ClassVar[float] = 60.0
    """How long the world may take to show an action's run and its end."""
    limits: ClassVar[Mapping[str, str]] = {}
    """What this world cannot play, with the reason: keys "act", "log", "network", "unknown_word"."""

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

    def connector_hearing_an_unknown_word(self) -> Connector:
        """A connector whose first poll meets a native state word that its source does not have today."""
        raise NotImplementedError

    def a_rerunnable_failure(self) -> str:
        """Native id of a job whose latest run failed and may be rerun, as often as tests ask."""
        return self.make_failure()

    def native_trace(self) -> object:
        """A comparable picture of all that an action could change in the world; None: what polls show is enough."""
        return None

    def advance(self) -> None:
        """Lets the world go on; called while waiting. A world with its own clock moves it here."""
        time.sleep(0.25)


def identity(run: RunRecord) -> tuple[str, str]:
    return run.job, run.attempt_key


def is_rerun(one: RunRecord, run: RunRecord, key: str) -> bool:
    """By our key, or as a further attempt of the same period."""
    same_period = run.period_key is not None and (one.job, one.period_key) == (run.job, run.period_key)
    return one.action_key == key or (same_period and one.attempt_key != run.attempt_key)


def is_long_over(run: RunRecord) -> bool:
    """Ended more than a minute ago by our clock: nothing about it can still change, so nobody need tell it again."""
    return (
        not run.state.is_open and run.ended_at is not None and datetime.now(UTC) - run.ended_at > timedelta(minutes=1)
    )


def through_json(preview: Preview) -> Preview:
    """As it comes back from the store: the plan was JSON in between."""
    return replace(preview, plan=json.loads(json.dumps(dict(preview.plan))))


def check_instant(at: datetime, what: str) -> None:
    assert at.utcoffset() == timedelta(0), f"{what} is not aware UTC: {at!r}"


def check_clock(clock: Clock | None) -> None:
    if clock is not None:
        check_instant(clock.target, "the target's clock")
        check_instant(clock.ours, "our clock")


def check_run(run: RunRecord) -> None:
    """The rules that hold for every record of every kind."""
    assert run.job, f"no job: {run}"
    assert run.attempt_key, f"no attempt key: {run}"
    assert run.native_state, f"no native word: {run}"
    assert run.evidence in (Evidence.NATIVE, Evidence.INFERRED, Evidence.CONFLICT), f"not a connector's evidence: {run}"
    assert run.state != State.SUCCEEDED or run.evidence == Evidence.NATIVE, f"green without proof: {run}"
    for name in ("period_at", "interval_start", "queued_at", "started_at", "ended_at"):
        if (at := getattr(run, name)) is not None:
            check_instant(at, f"{name} of {identity(run)}")
    if run.started_at is not None and run.ended_at is not None:
        assert run.ended_at >= run.started_at, f"ended before it started: {run}"
    assert not (run.state.is_open and run.ended_at), f"open and ended: {run}"
    assert run.action_key is None or ACTION_KEY.fullmatch(run.action_key), f"not a key of ours: {run.action_key}"
    assert json.loads(json.dumps(dict(run.context))) == dict(run.context), f"context does not survive JSON: {run}"


@contextmanager
def listener(drip: bool = False) -> Iterator[int]:
    """Port of a server that accepts and never answers; with `drip`, it sends a byte five times a second."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []
        over = threading.Event()
        thread = threading.Thread(target=_serve, args=(server, kept, over, drip), daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            over.set()
            thread.join(5)
            for one in kept:
                one.close()


def _serve(server: socket.socket, kept: list[socket.socket], over: threading.Event, drip: bool) -> None:
    server.settimeout(0.2)
    while not over.is_set():
        with suppress(TimeoutError):
            kept.append(server.accept()[0])
        for one in kept if drip else ():
            with suppress(OSError):
                one.send(b"H")


def closed_port() -> int:
    """A port on which nothing listened a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
