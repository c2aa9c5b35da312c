"""What a person ordered is sent though the console is left, or is said to be not sent; questions are dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from console.engine.api.action_request import ActionRequest
from console.tui.app.navigation import HeadwayApp
from console.tui.app.start import run_console
from console.tui.frame import resource_thread as desk_module
from console.tui.frame.resource_thread import ResourceThread
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT

SECONDS = 10.0


class Counter:
    """A desk whose first question holds the line until `free`."""

    def __init__(self) -> None:
        self.free, self.begun = threading.Event(), threading.Event()
        self.done: list[str] = []
        self.told: list[str] = []
        self.desk: ResourceThread[object] = ResourceThread(object, "test")
        self.desk.attach(lambda answer: answer())

    def busy(self, order: str = "") -> None:
        def hold_up(_: object) -> None:
            self.begun.set()
            self.free.wait(SECONDS)

        self.desk.ask("header", hold_up, lambda _: None, order=order)
        assert self.begun.wait(SECONDS)

    def ask(self, key: str, order: str = "", error: str = "") -> None:
        def question(_: object) -> None:
            if error:
                raise ValueError(error)
            self.done.append(key)

        self.desk.ask(key, question, lambda _: None, lambda why: self.told.append(str(why)), order=order)

    def closed(self) -> list[str]:
        """What closing says; the line is free once it has begun."""
        said: list[str] = []
        closing = threading.Thread(target=lambda: said.extend(self.desk.close()))
        closing.start()
        wait_until(lambda: self.desk._closed)
        self.free.set()
        closing.join(SECONDS)
        return said

    def over(self) -> bool:
        self.desk._thread.join(SECONDS)
        return not self.desk._thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_waiting_request_is_sent_when_the_thread_closes_and_a_query_is_not() -> None:
    one = Counter()
    one.busy()
    one.ask("services")
    one.ask("send 1", "rerun fake/extract")
    one.ask("freeze", "freeze")
    assert [] == one.closed()
    assert (["send 1", "freeze"], True) == (one.done, one.over())


def test_no_order_replaces_another() -> None:
    one = Counter()
    one.busy()
    one.ask("approve put", "approve rerun fake/extract")
    one.ask("approve put", "approve rerun fake/load")
    one.ask("services")
    one.ask("services")
    one.free.set()
    wait_until(lambda: 3 == len(one.done))
    assert ([], ["approve put", "approve put", "services"]) == (one.closed(), one.done)


def test_a_request_refused_while_the_thread_closes_is_reported() -> None:
    one = Counter()
    one.busy()
    one.ask("send 1", "rerun fake/extract", error="you (vera) have the role view there")
    assert ["rerun fake/extract: it was NOT sent: you (vera) have the role view there"] == one.closed()
    assert ([], []) == (one.done, one.told)


def test_a_refusal_shown_by_the_screen_is_not_shown_again() -> None:
    one = Counter()
    one.ask("send 1", "rerun fake/extract", error="no role")
    wait_until(lambda: ["no role"] == one.told)
    assert [] == one.closed()


def test_a_request_that_could_not_be_sent_in_time_is_reported_and_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "ORDER_SECONDS", 0.05)
    one = Counter()
    one.busy("hold fake/load")
    one.ask("send 1", "rerun fake/extract")
    assert [
        "hold fake/load: unknown whether it was sent; headway status shows what was",
        "rerun fake/extract: it was NOT sent, the store was busy",
    ] == one.desk.close()
    one.free.set()
    assert (True, []) == (one.over(), one.done)


def held_up(night: Night) -> threading.Event:
    """Nothing can be asked until it is set."""
    free, real = threading.Event(), night.open_requests

    def opened() -> Any:
        assert free.wait(SECONDS)
        return real()

    night.open_requests = opened  # type: ignore[method-assign]
    return free


LEFT: dict[str, Any] = {}


def _slow(night: Night) -> None:
    LEFT.update(night=night, free=held_up(night))


@on_the_night(prepare=_slow)
async def leave_before_the_freeze_is_sent(night: Night) -> None:
    await night.see("Supply plan")
    await night.press("F")
    await night.typing()
    await night.type("network")
    await night.press("enter")
    await night.see("Freeze")
    await night.press("down", "enter")
    await night.until(lambda: night.app._request_thread is not None, "the order")
    asker = night.app._request_thread

    def free_it() -> None:
        wait_until(lambda: asker is not None and asker._closed)
        LEFT["free"].set()

    threading.Thread(target=free_it).start()


def test_who_leaves_the_console_has_frozen_all_the_same() -> None:
    leave_before_the_freeze_is_sent()
    night: Night = LEFT["night"]
    assert ([("freeze", "on", "network")], []) == (night.requests.turned, night.app.not_sent)


@on_the_night(size=(120, 40))
async def test_closing_the_dialog_reports_that_it_was_not_sent(night: Night) -> None:
    free, real = threading.Event(), night.requests.act

    def act(wish: ActionRequest, key: str) -> None:
        assert free.wait(SECONDS)
        real(wish, key)

    night.requests.act = act  # type: ignore[method-assign]
    night.requests.refuses = "already requested by jo 2m ago"
    night.app.navigation.open_run(1)
    await night.see("RUN " + EXTRACT)
    await night.press("r")
    await night.see("Send")
    await night.press("down", "enter")
    await night.see("the sent action continues")
    await night.press("escape")
    await night.wait_until_hidden("the sent action continues")
    free.set()
    await night.see(f"rerun {EXTRACT}: it was NOT sent: already requested by jo 2m ago")


def test_unsent_requests_are_printed_once_the_console_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    def run(app: HeadwayApp) -> int:
        app.not_sent = ["rerun fake/\x1b[31mextract: it was NOT sent, the store was busy"]
        return 0

    monkeypatch.setattr(HeadwayApp, "run", run)
    assert 0 == run_console(str(tmp_path / "headway.db"))
    assert "headway: rerun fake/extract: it was NOT sent, the store was busy\n" == capsys.readouterr().err


def test_a_query_that_is_no_longer_awaited_is_cancelled_silently() -> None:
    """As one types a filter, a long look for the letters before must not hold up the next ones."""
    stopped, begun, told = threading.Event(), threading.Event(), []
    desk: ResourceThread[object] = ResourceThread(object, "test", stop=lambda _: stopped.set())
    desk.attach(lambda answer: answer())

    def long(_: object) -> None:
        begun.set()
        if stopped.wait(SECONDS):
            raise OSError("interrupted")

    desk.ask("ids", long, lambda _: told.append("old"), lambda error: told.append(str(error)))
    assert begun.wait(SECONDS)
    desk.ask("rows", lambda _: None, lambda _: told.append("rows"), instead=True)
    assert not stopped.is_set()
    desk.ask("ids", lambda _: None, lambda _: told.append("new"), instead=True)
    wait_until(lambda: len(told) == 2)
    assert ["rows", "new"] == told
    assert [] == desk.close()


def test_a_refusal_while_nothing_was_available_is_shown_at_once_when_it_is() -> None:
    """A store that an engine makes must not wait for the next look of the clock."""
    there, told = threading.Event(), []

    def opened() -> object:
        if not there.is_set():
            raise FileNotFoundError("no store yet")
        return object()

    desk: ResourceThread[object] = ResourceThread(opened, "test", probe=lambda _: 1)
    desk.attach(lambda answer: answer(), lambda: told.append("changed"))
    desk.ask("header", lambda _: None, lambda _: None, lambda error: told.append(str(error)))
    wait_until(lambda: told == ["no store yet"])
    there.set()
    wait_until(lambda: told == ["no store yet", "changed"])
    assert [] == desk.close()


def test_a_second_thread_has_its_own_resource_and_is_closed_without_waiting() -> None:
    stopped, begun, told = threading.Event(), threading.Event(), []
    desk: ResourceThread[object] = ResourceThread(object, "test", stop=lambda _: stopped.set())
    desk.attach(lambda answer: answer())
    beside = desk.beside("long", lambda answer: answer())

    def long(_: object) -> None:
        begun.set()
        if stopped.wait(SECONDS):
            raise OSError("interrupted")

    beside.ask("verify", long, lambda _: told.append("whole"), lambda error: told.append(str(error)))
    assert begun.wait(SECONDS)
    desk.ask("rows", lambda _: None, lambda _: told.append("rows"))
    wait_until(lambda: told == ["rows"])
    beside.leave()
    assert stopped.is_set()
    wait_until(lambda: not beside._thread.is_alive())
    assert ["rows"] == told
    assert [] == desk.close()
