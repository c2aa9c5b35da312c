"""Answers after their screen was left: none ends anything, and an unfinished request is reported on the current
screen."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from console.store.errors import NotAllowed
from console.tui.frame.engine_request import PendingRequest
from tests.lab.process import HANGS_SECONDS
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import FakeAnswer, approval, draft, plan_of


def slow(night: Night, name: str, fault: Exception | None = None) -> threading.Event:
    """Has the store keep this question waiting until the event is set; then it fails, where it is to."""
    go, real = threading.Event(), getattr(night.requests, name)

    def requested(*given: Any, **named: Any) -> Any:
        go.wait(HANGS_SECONDS)
        if fault is not None:
            raise fault
        return real(*given, **named)

    setattr(night.requests, name, requested)
    return go


def _runs(night: Night) -> None:
    night.reads.plans_ = [plan_of(draft(), 7)]


@on_the_night(prepare=_runs)
async def test_a_plan_paused_from_a_closed_screen_is_reported_on_the_next(night: Night) -> None:
    go = slow(night, "steer_plan")
    night.app.navigation.open_plan(7)
    await night.see("PLAN 7")
    await night.act("pause")
    await night.act("back")
    await night.see("SERVICES")
    go.set()
    await night.see("plan 7 is paused")


@pytest.mark.parametrize("name", ["turn", "steer_plan"])
def test_a_request_refused_after_its_screen_was_closed_is_reported(name: str) -> None:
    @on_the_night(prepare=_runs)
    async def tried(night: Night) -> None:
        go = slow(night, name, NotAllowed("ben may not do that"))
        night.app.navigation.open_plan(7)
        await night.see("PLAN 7")
        if name == "turn":
            await night.act("freeze")
            await night.typing()
            await night.type("moving")
            await night.press("enter")
            await night.see("Freeze")
            await night.press("down", "enter")
            await night.see("PLAN 7")
        else:
            await night.act("pause")
        await night.act("back")
        await night.see("SERVICES")
        go.set()
        await night.see("not done: ben may not do that")

    tried()


def _waits(night: Night) -> None:
    night.reads.approvals_ = [approval(1), approval(2)]
    night.reads.plans_ = [plan_of(draft(), 7)]


async def approve(night: Night) -> None:
    """Says yes to the first that waits, from the screen that is open."""
    await night.act("approvals")
    await night.see("waits for approval")
    await night.press("enter")
    await night.see("Approve")
    await night.press("down", "enter")
    await night.wait_until_hidden("Approve")


@on_the_night(prepare=_waits)
async def test_an_approval_refused_after_its_screen_was_closed_is_reported(night: Night) -> None:
    night.requests.silent = True
    night.app.navigation.open_plan(7)
    await night.see("PLAN 7")
    await approve(night)
    await night.act("back")
    await night.see("SERVICES")
    refused = FakeAnswer(False, error="nobody approves his own")
    setattr(night.requests, "answer", lambda _: refused)  # noqa: B010 - mypy knows it as a method
    await night.see("approve rerun", "nobody approves his own")


@on_the_night(prepare=_waits)
async def test_an_approval_that_could_not_be_written_after_its_screen_was_closed_is_reported(night: Night) -> None:
    go = slow(night, "ask", OSError("the store is busy"))
    night.app.navigation.open_plan(7)
    await night.see("PLAN 7")
    await approve(night)
    await night.act("back")
    await night.see("SERVICES")
    go.set()
    await night.see("approve rerun", "the store is busy")


@on_the_night()
async def test_of_two_questions_of_one_kind_each_gets_its_answer(night: Night) -> None:
    """Both are queued on the same resource thread, where a newer query replaces an older one of its kind."""
    results: list[Any] = []
    requests = iter((1, 2))
    event = threading.Event()

    def answer(request_id: int) -> FakeAnswer:
        event.wait(HANGS_SECONDS)
        return FakeAnswer(True, {"of": request_id})

    night.requests.answer = answer  # type: ignore[method-assign]
    for _ in range(2):
        PendingRequest(
            night.app.screen,
            "probe",
            lambda _: next(requests),
            lambda answer: results.append(answer.data["of"]),
            results.append,
        )
        await night.pilot.pause(0.05)
    event.set()
    await night.until(lambda: sorted(results) == [1, 2], "both answers")
