"""What a thread still sends when its parts have ended: those after them neither repeat it nor lose what came of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.sdk.contract import Preview, Receipt
from connectors.sdk.errors import NotSupported, OutcomeUnknown
from connectors.sdk.states import Verb
from console.domain.ids import new_action_key
from console.engine.actions import sender
from console.engine.actions.in_flight import STOPPED, ActionsInFlight, SendingOutcome
from console.engine.api.action_request import ActionRequest
from console.engine.api.client import EngineClient
from console.store.actions import ActionStep
from console.store.errors import LeaseLost
from tests.engine.actions.test_actions import ask, fail, state_and_text
from tests.engine.bench import Bench
from tests.engine.holds.test_holds import Night, a_night, repair, started
from tests.engine.supervisor.test_rejected_config import watching
from tests.fakes.scheduler import FakeConnector
from tests.lab.process import HANGS_SECONDS, wait_until

KEY = "headway-0123456789abc"
SENT = ActionStep("sent", "accepted", "7")


class Line:
    """A slow connect: the first start gets through to its scheduler once it is `free`."""

    def __init__(self) -> None:
        self.free, self.begun = threading.Event(), threading.Event()
        self.error: Exception | None = None
        """What its sender is told then."""

    def pass_through(self, preview: Preview) -> None:
        if preview.plan.get("verb") == "start" and not self.begun.is_set():
            self.begun.set()
            assert self.free.wait(HANGS_SECONDS)
            if self.error is not None:
                raise self.error


@contextmanager
def while_it_connects(folder: Path, line: Line, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    """The pending start of a hold connects slowly, and its parts have ended meanwhile."""
    arrive = FakeConnector.act

    def act(connector: FakeConnector, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        line.pass_through(preview)
        return arrive(connector, preview, key, timeout_seconds)

    monkeypatch.setattr(FakeConnector, "act", act)
    with a_night(folder) as night:
        night.at("03:51").rounds().at("04:05").rounds()
        repair(night, "04:10")
        night.at("04:11").rounds(4)
        night.at("04:13").bench.turn()
        try:
            night.bench.parts.actions._begin(night.bench.fence)
            assert line.begun.wait(HANGS_SECONDS)
            night.restart()
            yield night
        finally:
            line.free.set()


def starts(night: Night) -> list[tuple[str, str]]:
    return [(state, text) for state, text in night.rows("SELECT state, text FROM action WHERE verb = 'start'")]


def over(night: Night) -> None:
    """What the old thread sends has an end now, and the parts of today have written it down."""
    wait_until(lambda: bool(night.bench.parts.actions.underway.unwritten()), "the end of the sending")
    night.at("04:17").rounds(1)


def test_an_action_an_older_thread_still_sends_is_neither_looked_up_nor_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line()
    with while_it_connects(tmp_path, line, monkeypatch) as night:
        for clock in ("04:13", "04:14", "04:15", "04:16"):
            night.at(clock).rounds()
        assert ["sending"] == [state for state, _ in starts(night)]
        line.free.set()
        over(night)
        assert [("sent", "accepted")] == starts(night)
        assert [("start", "load")] == started(night)


@pytest.mark.parametrize(
    "error, state",
    [(NotSupported("load is gone"), "refused"), (OutcomeUnknown("reset by peer"), "unknown")],
)
def test_what_came_of_it_is_written_by_the_parts_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str
) -> None:
    line = Line()
    line.error = error
    with while_it_connects(tmp_path, line, monkeypatch) as night:
        line.free.set()
        wait_until(lambda: bool(night.bench.parts.actions.underway.unwritten()), "the end of the sending")
        night.bench.parts.actions._write_down(night.bench.fence)
        assert [(state, str(error))] == starts(night)[:1]


def test_a_running_part_writes_it_as_soon_as_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store does not have it: the thread that knows can write nothing."""
    line, stop = Line(), threading.Event()
    with while_it_connects(tmp_path, line, monkeypatch) as night:
        actions = night.bench.parts.actions
        part = threading.Thread(target=actions.run, args=(night.bench.fence, stop.is_set))
        part.start()
        try:
            line.free.set()
            wait_until(lambda: starts(night) == [("sent", "accepted")], "what came of it")
        finally:
            stop.set()
            part.join(HANGS_SECONDS)


@pytest.mark.deep
def test_an_engine_whose_config_changes_while_it_sends_sends_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, begun = threading.Event(), threading.Event()

    def hang(_: str) -> None:
        begun.set()
        assert free.wait(HANGS_SECONDS)

    with watching(tmp_path, monkeypatch) as watch:
        watch.scheduler.on_act = hang
        watch.fail("extract")
        watch.wait("the alert", lambda: watch.has_notified("extract"))
        url, key = str(watch.store.url), new_action_key()
        EngineClient(url).act(ActionRequest(Verb.RERUN, watch.runs("extract")[0]), key)
        try:
            assert begun.wait(HANGS_SECONDS)
            watch.files.config = replace(watch.files.config, digest="next")
            watch.wait("the next config", lambda: watch.header().config == "next")
            polls = watch.scheduler.polls
            watch.wait("the next polls", lambda: watch.scheduler.polls > polls + 2)
            assert ("sending", 0) == (watch.action(key)[0], watch.scheduler.look_ups)
        finally:
            free.set()
        watch.wait("what came of it", lambda: watch.action(key) == ("sent", "accepted"))
        assert ([key], 0) == (watch.scheduler.acted, watch.scheduler.look_ups)


def test_the_thread_that_holds_the_lock_of_a_system_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    with while_it_connects(tmp_path, line, monkeypatch) as night:
        underway = night.bench.parts.actions.underway
        [(system,)] = night.rows("SELECT id FROM system")
        details = night.bench.parts.actions.hanging(0)
        with underway.turns.turn(system, lambda: underway.turns._writing[system] == 1):
            assert 2 == underway.turns._writing[system]  # got only because it would not wait
        assert ["sending to fake/one"] == list(details)


def test_an_end_that_could_not_be_written_is_retried_until_it_is() -> None:
    underway = ActionsInFlight(1)

    def send() -> None:
        with underway.sending(KEY, 1) as end:
            assert ({}, True) == (underway.unwritten(), KEY in underway)
            end.step = SENT
            raise LeaseLost("fence 1 is over")

    with pytest.raises(LeaseLost):
        send()
    assert ({KEY: SendingOutcome(1, SENT)}, True) == (underway.unwritten(), KEY in underway)
    underway.written(KEY)
    assert ({}, False) == (underway.unwritten(), KEY in underway)


def test_what_broke_before_its_end_was_known_is_unknown() -> None:
    underway = ActionsInFlight(1)
    with pytest.raises(LeaseLost), underway.sending(KEY, 1):
        raise LeaseLost("fence 1 is over")
    assert {KEY: SendingOutcome(1, STOPPED)} == underway.unwritten()


def test_an_old_thread_that_gave_up_says_nothing_of_the_new_one_that_sends() -> None:
    underway = ActionsInFlight(1)
    with underway.sending(KEY, 1):
        with pytest.raises(LeaseLost), underway.sending(KEY, 1):
            raise LeaseLost("fence 1 is over")
        assert ({}, True) == (underway.unwritten(), KEY in underway)
    with underway.sending(KEY, 1):
        pass
    assert ({}, False) == (underway.unwritten(), KEY in underway)


def test_f04_the_fence_is_read_from_the_store_right_before_sending(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although this process still takes the lease for its own."""

    def lose_lease(name: str) -> None:
        if name == "action.before_wire":
            with bench.store.write(None) as session:
                session.rows("UPDATE lease SET fence = fence + 1, holder = 'other:1'")

    key = ask(bench, fail(bench, bench.scheduler))
    monkeypatch.setattr(sender, "failpoint", lose_lease)
    with pytest.raises(LeaseLost):
        bench.parts.actions.step(bench.fence)
    assert ([], "sending") == (bench.scheduler.acted, state_and_text(bench, key)[0])


def test_f04_a_lease_that_was_not_renewed_in_time_is_found_right_before_sending(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the store still has its fence."""
    is_late = threading.Event()
    key = ask(bench, fail(bench, bench.scheduler))
    monkeypatch.setattr(bench.parts.actions, "_stopping", is_late.is_set)
    monkeypatch.setattr(sender, "failpoint", lambda name: is_late.set())
    bench.parts.actions.step(bench.fence)
    assert ([], "unknown", sender.NOT_SENT.text) == (bench.scheduler.acted, *state_and_text(bench, key))
