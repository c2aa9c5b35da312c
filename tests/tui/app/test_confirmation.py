"""Every change is confirmed first, or undone by a key; and a key that can do nothing says why."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from console.config import key_table
from console.config.key_table import ALL_SCREENS, SCREENS
from console.domain.access import Role
from console.domain.request import RequestKind
from console.tui.frame.screen import HeadwayScreen
from tests.deep import few
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import FakeRequests, draft, hold, plan_of

QUESTIONS = {"preview", "propose_bulk", "answer", "check"}
LOOKS = {RequestKind.PROBE, RequestKind.RUN_CHECK}
"""What only looks, besides what a viewer may request; all else that a console can request changes something."""
OF_THE_FAKE = {"requested_before", "advance", "go_on"}
CHANGES = {name for name, _ in inspect.getmembers(FakeRequests, inspect.isfunction) if name[0] != "_"}
CHANGES -= QUESTIONS | OF_THE_FAKE
UNDONE_BY = {("recovery", "pause"): "resume"}
"""What is sent at once, and the key of the same screen that takes it back."""
LEAVING = {"leave", "quit", "back", "suspend", "shell", "pager"}
"""What leaves the screen or the console, by the terminal's own means."""
Way = Callable[[Night], Awaitable[None]]


def pressed(*given: str, then: str = "") -> Way:
    async def go(night: Night) -> None:
        for key in given:
            await night.press(key)
            await night.answered()
        if then:
            await night.see(then)

    return go


async def plan(night: Night) -> None:
    night.app.navigation.open_plan(7)
    await night.see("PLAN 7")


SCREEN_KEYS: dict[str, Way] = {
    "services": pressed("1", then="Supply plan"),
    "incidents": pressed("2", then="INC-0412"),
    "incident": pressed("2", "enter", then="INC-0412"),
    "jobs": pressed("3", then="extract_orders"),
    "runs": pressed("7", then="extract_orders"),
    "job": pressed("3", "enter", then="JOB"),
    "run": pressed("3", "l", then="RUN"),
    "tonight": pressed("4", then="Supply plan"),
    "systems": pressed("5", then="db07"),
    "system": pressed("5", "enter"),
    "actions": pressed("6"),
    "action": pressed("6", "enter"),
    "holds": pressed(":", *"hold", "enter", then="HOLDS"),
    "shadow": pressed("6", "S"),
    "audit": pressed(":", *"audit", "enter"),
    "plan": pressed("2", "r", then="scope"),
    "recovery": plan,
    "lineage": pressed("3", "g", then="extract_orders"),
}


def full(where: str) -> Callable[[Night], None]:
    """The night with something to act on there."""

    def prepare(night: Night) -> None:
        night.reads.holds_ = [hold()]
        if where == "recovery":
            night.reads.plans_ = [plan_of(draft(), 7)]
        if where in ("actions", "action"):
            night.requests.requested_before(1, "asked-1")

    return prepare


def watched(night: Night) -> list[str]:
    """The names of the requests that change something, in order."""
    requests: list[str] = []

    def noting(name: str, method: Any) -> Any:
        def noted(*given: Any, **named: Any) -> Any:
            kind = given[0].kind if name == "ask" else None
            if kind is None or (kind.role is not Role.VIEW and kind not in LOOKS):
                requests.append(name)
            return method(*given, **named)

        return noted

    for name in CHANGES:
        if hasattr(night.requests, name):
            setattr(night.requests, name, noting(name, getattr(night.requests, name)))
    return requests


async def alone(night: Night, screen: HeadwayScreen) -> None:
    """Closes what an act has opened above the screen."""
    while night.app.screen is not screen and screen in night.app.screen_stack:
        night.app.pop_screen()
        await night.pilot.pause()


def own_acts(where: str) -> list[str]:
    """The acts of a screen; those that all have are tried on one."""
    everywhere = set(ALL_SCREENS)
    key_actions = [act for act in key_table.key_actions(where) if "(" not in act.name and act.name not in LEAVING]
    return [act.name for act in key_actions if where == "jobs" or not everywhere <= set(act.where)]


def test_a_way_to_every_screen_is_known() -> None:
    assert set() == set(SCREENS) - set(SCREEN_KEYS)


@pytest.mark.parametrize("where", few(sorted(set(SCREENS) & set(SCREEN_KEYS)), 4))
def test_every_action_of_the_key_table_has_a_command(where: str) -> None:
    @on_the_night(size=(120, 36), prepare=full(where))
    async def tried(night: Night) -> None:
        await SCREEN_KEYS[where](night)
        screen = night.app.screen
        assert isinstance(screen, HeadwayScreen)
        actions = {action.name for action in key_table.key_actions(where) if "(" not in action.name}
        assert set() == actions - screen.command_table.keys()

    tried()


@pytest.mark.deep
@pytest.mark.parametrize("where", few(sorted(set(SCREENS) & set(SCREEN_KEYS)), 4))
def test_no_key_changes_anything_without_a_question_unless_another_key_undoes_it(where: str) -> None:
    at_once: set[str] = set()

    @on_the_night(size=(120, 36), prepare=full(where))
    async def tried(night: Night) -> None:
        requests = watched(night)
        for name in own_acts(where):
            if not isinstance(night.app.screen, HeadwayScreen) or night.app.screen.WHERE != where:
                night.app.navigation.go("services")
                await SCREEN_KEYS[where](night)
            screen = night.app.screen
            assert isinstance(screen, HeadwayScreen)
            requests.clear()
            screen.run_command(name)
            await night.answered()
            if requests:
                at_once.add(name)
            await alone(night, screen)

    tried()
    assert {name for place, name in UNDONE_BY if place == where} == at_once
    for name in at_once:
        assert UNDONE_BY[where, name] in {act.name for act in key_table.key_actions(where)}


def nothing(night: Night) -> None:
    """An estate in which nothing is there yet: most keys can do nothing."""
    reads = night.reads
    reads.services_, reads.incidents_, reads.jobs_, reads.targets_ = [], [], [], []


LISTS = {"1": "services", "2": "incidents", "3": "jobs", "7": "runs", "5": "systems"}


@pytest.mark.parametrize("key", LISTS)
def test_a_key_that_can_do_nothing_says_why_in_one_line(key: str) -> None:
    where = LISTS[key]

    @on_the_night(size=(120, 36), prepare=nothing)
    async def tried(night: Night) -> None:
        await night.press(key)
        await night.at_rest()
        screen = night.app.screen
        texts = list[str]()
        assert isinstance(screen, HeadwayScreen)
        for name in [act.name for act in key_table.key_actions(where) if act.name not in LEAVING]:
            reason = screen.why_not(name)
            assert "\n" not in reason
            if reason:
                texts.append(name)
                screen.run_command(name)
                await night.see(reason[:100])
                assert screen.is_current
        assert {"copy", "record", "open"} <= set(texts) | {
            act.name for act in key_table.KEY_TABLE if where not in act.where
        }

    tried()
