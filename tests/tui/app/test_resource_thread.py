"""What a person ordered is sent though the console is left, or is said to be not sent; questions are dropped."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from console.engine.api.action_request import ActionRequest
from console.tui.app.navigation import HeadwayApp
from console.tui.app.start import run_console
from console.tui.frame import resource_thread as desk_module
from console.tui.frame.resource_thread import ResourceThread
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT


class Counter:
    """A resource thread whose first query blocks until `free`."""

    def __init__(self) -> None:
        self.free, self.begun = threading.Event(), threading.Event()
        self.done: list[str] = []
        self.errors: list[str] = []
        self.thread: ResourceThread[object] = ResourceThread(object, "test")
        self.thread.attach(lambda answer: answer())

    def busy(self, order: str = "") -> None:
        def hold_up(_: object) -> None:
            self.begun.set()
            self.free.wait(HANGS_SECONDS)

        self.thread.ask("header", hold_up, lambda _: None, order=order)
        assert self.begun.wait(HANGS_SECONDS)

    def ask(self, key: str, order: str = "", error: str = "") -> None:
        def question(_: object) -> None:
            if error:
                raise ValueError(error)
            self.done.append(key)

        self.thread.ask(key, question, lambda _: None, lambda why: self.errors.append(str(why)), order=order)

    def closed(self) -> list[str]:
        """What closing says; the line is free once it has begun."""
        messages: list[str] = []
        closing = threading.Thread(target=lambda: messages.extend(self.thread.close()))
        closing.start()
        wait_until(lambda: self.thread._closed, "the close")
        self.free.set()
        closing.join(HANGS_SECONDS)
        return messages

    def over(self) -> bool:
        self.thread._thread.join(HANGS_SECONDS)
        return not self.thread._thread.is_alive()


def test_a_waiting_request_is_sent_when_the_thread_closes_and_a_query_is_not() -> None:
    counter = Counter()
    counter.busy()
    counter.ask("services")
    counter.ask("send 1", "rerun fake/extract")
    counter.ask("freeze", "freeze")
    assert [] == counter.closed()
    assert (["send 1", "freeze"], True) == (counter.done, counter.over())


def test_no_order_replaces_another() -> None:
    counter = Counter()
    counter.busy()
    counter.ask("approve put", "approve rerun fake/extract")
    counter.ask("approve put", "approve rerun fake/load")
    counter.ask("services")
    counter.ask("services")
    counter.free.set()
    wait_until(lambda: 3 == len(counter.done), "the answer")
    assert ([], ["approve put", "approve put", "services"]) == (counter.closed(), counter.done)


def test_a_request_refused_while_the_thread_closes_is_reported() -> None:
    counter = Counter()
    counter.busy()
    counter.ask("send 1", "rerun fake/extract", error="you (vera) have the role view there")
    assert ["rerun fake/extract: it was NOT sent: you (vera) have the role view there"] == counter.closed()
    assert ([], []) == (counter.done, counter.errors)


def test_a_refusal_shown_by_the_screen_is_not_shown_again() -> None:
    counter = Counter()
    counter.ask("send 1", "rerun fake/extract", error="no role")
    wait_until(lambda: ["no role"] == counter.errors, "the answer")
    assert [] == counter.closed()


def test_a_request_that_could_not_be_sent_in_time_is_reported_and_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "ORDER_SECONDS", 0.05)
    counter = Counter()
    counter.busy("hold fake/load")
    counter.ask("send 1", "rerun fake/extract")
    assert [
        "hold fake/load: unknown whether it was sent; headway status shows what was",
        "rerun fake/extract: it was NOT sent, the store was busy",
    ] == counter.thread.close()
    counter.free.set()
    assert (True, []) == (counter.over(), counter.done)


def held_up(night: Night) -> threading.Event:
    """No query is possible until it is set."""
    free, real = threading.Event(), night.open_requests

    def opened() -> Any:
        assert free.wait(HANGS_SECONDS)
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
        wait_until(lambda: asker is not None and asker._closed, "the answer")
        LEFT["free"].set()

    threading.Thread(target=free_it).start()


def test_who_leaves_the_console_has_frozen_all_the_same() -> None:
    leave_before_the_freeze_is_sent()
    night: Night = LEFT["night"]
    assert ([("freeze", "on", "network")], []) == (night.requests.turned, night.app.not_sent)


@on_the_night(size=(120, 40))
async def test_closing_the_dialog_reports_that_it_was_not_sent(night: Night) -> None:
    free, real = threading.Event(), night.requests.act

    def act(request: ActionRequest, key: str) -> None:
        assert free.wait(HANGS_SECONDS)
        real(request, key)

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
    stopped, begun, texts = threading.Event(), threading.Event(), []
    thread: ResourceThread[object] = ResourceThread(object, "test", stop=lambda _: stopped.set())
    thread.attach(lambda answer: answer())

    def long(_: object) -> None:
        begun.set()
        if stopped.wait(HANGS_SECONDS):
            raise OSError("interrupted")

    thread.ask("ids", long, lambda _: texts.append("old"), lambda error: texts.append(str(error)))
    assert begun.wait(HANGS_SECONDS)
    thread.ask("rows", lambda _: None, lambda _: texts.append("rows"), instead=True)
    assert not stopped.is_set()
    thread.ask("ids", lambda _: None, lambda _: texts.append("new"), instead=True)
    wait_until(lambda: len(texts) == 2, "the answer")
    assert ["rows", "new"] == texts
    assert [] == thread.close()


def test_a_refusal_while_nothing_was_available_is_shown_at_once_when_it_is() -> None:
    """A store that an engine makes must not wait for the next look of the clock."""
    there, texts = threading.Event(), []

    def opened() -> object:
        if not there.is_set():
            raise FileNotFoundError("no store yet")
        return object()

    thread: ResourceThread[object] = ResourceThread(opened, "test", probe=lambda _: 1)
    thread.attach(lambda answer: answer(), lambda: texts.append("changed"))
    thread.ask("header", lambda _: None, lambda _: None, lambda error: texts.append(str(error)))
    wait_until(lambda: texts == ["no store yet"], "the answer")
    there.set()
    wait_until(lambda: texts == ["no store yet", "changed"], "the answer")
    assert [] == thread.close()


def test_a_second_thread_has_its_own_resource_and_is_closed_without_waiting() -> None:
    stopped, begun, texts = threading.Event(), threading.Event(), []
    thread: ResourceThread[object] = ResourceThread(object, "test", stop=lambda _: stopped.set())
    thread.attach(lambda answer: answer())
    beside = thread.beside("long", lambda answer: answer())

    def long(_: object) -> None:
        begun.set()
        if stopped.wait(HANGS_SECONDS):
            raise OSError("interrupted")

    beside.ask("verify", long, lambda _: texts.append("whole"), lambda error: texts.append(str(error)))
    assert begun.wait(HANGS_SECONDS)
    thread.ask("rows", lambda _: None, lambda _: texts.append("rows"))
    wait_until(lambda: texts == ["rows"], "the answer")
    beside.leave()
    assert stopped.is_set()
    wait_until(lambda: not beside._thread.is_alive(), "the answer")
    assert ["rows"] == texts
    assert [] == thread.close()
