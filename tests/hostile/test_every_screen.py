"""Every screen that there is, on texts that are hostile in every field. A screen to which no way is known fails."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable

from textual.screen import Screen

import console.tui.dialogs
import console.tui.frame
import console.tui.views
from console.tui.dialogs.confirm import Confirmation, SendScreen
from console.tui.dialogs.palette import ChoiceSource, PickScreen
from tests.hostile.console import ConsoleDriver, drive
from tests.hostile.world import World
from tests.hostile.written import PLAN
from tests.rows import each_row

Way = Callable[[ConsoleDriver], Awaitable[None]]
PAGES = 40
SIZE = (120, 40)
"""Every column of every table; the first page at other sizes: test_every_size.py."""
ABSTRACT = {"ConsoleScreen", "HeadwayScreen", "Overlay", "SendScreen", "Confirmation", "ChoiceSource"}
"""What others are made of."""


def keys(*pressed: str) -> Way:
    """The way of these keys."""

    async def go(desk: ConsoleDriver) -> None:
        for key in pressed:
            await desk.pilot.press(key)
            await desk.pilot.pause(0.05)

    return go


async def plan(desk: ConsoleDriver) -> None:
    desk.app.navigation.open_plan(PLAN)


async def draft(desk: ConsoleDriver) -> None:
    await keys("2")(desk)
    await desk.until(lambda: getattr(desk.app.screen, "selected", None) is not None, "a row under the cursor")
    await desk.pilot.press("r")
    await desk.see("scope")


async def begin(desk: ConsoleDriver) -> None:
    await draft(desk)
    await desk.pilot.press("enter")


async def run(desk: ConsoleDriver) -> None:
    await job(desk)
    await desk.pilot.press("enter")


async def preview(desk: ConsoleDriver) -> None:
    await job(desk)
    await desk.pilot.press("r")


async def job(desk: ConsoleDriver) -> None:
    await keys("3", "down")(desk)
    await desk.until(lambda: "JOBS" in desk.text and "hostile/" in desk.text, "the jobs")
    await desk.pilot.press("enter")
    await desk.see("JOB ")


async def lineage(desk: ConsoleDriver) -> None:
    await job(desk)
    await desk.pilot.press("g")


async def what_if(desk: ConsoleDriver) -> None:
    await job(desk)
    await desk.pilot.press("W")


async def backfills(desk: ConsoleDriver) -> None:
    await job(desk)
    await desk.pilot.press("B")


async def heat(desk: ConsoleDriver) -> None:
    await keys("7")(desk)
    await desk.see("RUNS")
    await desk.pilot.press("H")


async def incident(desk: ConsoleDriver) -> None:
    await keys("2")(desk)
    await desk.until(lambda: getattr(desk.app.screen, "selected", None) is not None, "a row under the cursor")
    await desk.pilot.press("enter")


async def approvals(desk: ConsoleDriver) -> None:
    await desk.until(lambda: bool(desk.app.approvals), "what waits for approval")
    await desk.pilot.press("A")


async def approve(desk: ConsoleDriver) -> None:
    await approvals(desk)
    await desk.until(lambda: type(desk.app.screen).__name__ == "PickScreen", "the list")
    await desk.pilot.press("enter")


async def holds(desk: ConsoleDriver) -> None:
    await keys(":", *"holds", "enter")(desk)
    await desk.see("HOLDS")
    await desk.see("hostile/")


async def system(desk: ConsoleDriver) -> None:
    await keys("5")(desk)
    await desk.until(lambda: getattr(desk.app.screen, "selected", None) is not None, "a row under the cursor")
    await desk.pilot.press("enter")


async def action(desk: ConsoleDriver) -> None:
    await keys("6")(desk)
    await desk.until(lambda: getattr(desk.app.screen, "selected", None) is not None, "a row under the cursor")
    await desk.pilot.press("enter")


SCREEN_KEYS: dict[str, Way] = {
    "ServicesScreen": keys("1"),
    "IncidentsScreen": keys("2"),
    "IncidentScreen": incident,
    "JobsScreen": keys("3"),
    "JobScreen": job,
    "RunScreen": run,
    "RunsScreen": keys("7"),
    "HeatScreen": heat,
    "LineageScreen": lineage,
    "TonightScreen": keys("4"),
    "SystemsScreen": keys("5"),
    "SystemScreen": system,
    "ActionsScreen": keys("6"),
    "ActionScreen": action,
    "HoldsScreen": holds,
    "ShadowScreen": keys("6", "S"),
    "AuditScreen": keys(":", *"audit", "enter"),
    "DraftScreen": draft,
    "PlanConfirmation": begin,
    "StartedScreen": plan,
    "ActionConfirmation": preview,
    "WhatIfScreen": what_if,
    "BackfillChoice": backfills,
    "AskScreen": keys("F"),
    "PickScreen": approvals,
    "ApprovalConfirmation": approve,
    "JumpChoices": keys(":"),
    "HelpChoices": keys("?"),
    "TextScreen": keys("2", "i"),
}


def screens() -> set[str]:
    """The class of every screen, confirmation and source of choices, except those that others are made of."""
    classes = set[str]()
    for package in (console.tui.frame, console.tui.dialogs, console.tui.views):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            loaded = importlib.import_module(module.name)
            classes |= {
                name
                for name, value in vars(loaded).items()
                if isinstance(value, type) and issubclass(value, Screen | Confirmation | ChoiceSource)
            }
    return {name for name in classes if not name.startswith("Modal") and name != "Screen"} - ABSTRACT


def shown(screen: Screen[object]) -> str:
    if isinstance(screen, PickScreen) and type(screen.source) is not ChoiceSource:
        return type(screen.source).__name__
    return type(screen.subject if isinstance(screen, SendScreen) else screen).__name__


def test_every_screen_has_a_way_to_it() -> None:
    assert screens() == set(SCREEN_KEYS)


@each_row("name", SCREEN_KEYS)
def test_a_screen_shows_hostile_texts_as_text(written: World, name: str) -> None:
    async def steps(desk: ConsoleDriver) -> None:
        await SCREEN_KEYS[name](desk)
        await desk.until(lambda: shown(desk.app.screen) == name, name)
        desk.check_picture()
        await to_the_end(desk)

    drive(written.url, steps, SIZE)


async def to_the_end(desk: ConsoleDriver) -> None:
    """Page by page; what does not move is over."""
    for _ in range(PAGES):
        before = desk.text
        await desk.pilot.press("pagedown")
        await desk.pilot.pause(0.02)
        desk.check()
        if desk.text.splitlines()[2:] == before.splitlines()[2:]:
            return


def test_every_step_of_a_plan_prints_its_details_as_text(written: World) -> None:
    async def steps(desk: ConsoleDriver) -> None:
        await plan(desk)
        await desk.see("PLAN")
        for _ in range(60):
            await desk.pilot.press("down")
            desk.check()

    drive(written.url, steps, SIZE)
