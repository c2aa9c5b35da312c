"""Drives the console by keys and waits for what should be seen; never sleeps and hopes."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from textual._compositor import Compositor
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

from console.config import key_table
from console.domain.history import MIN_RUNS, NO_ESTIMATE
from console.domain.ids import utc_minute
from console.domain.reason import LateBecause, NoEstimate
from console.domain.text import render
from console.tui.app.navigation import HeadwayApp
from console.tui.frame.console_app import ConsoleScreen
from tests import idle
from tests.tui.fake_reads import NOW, ZONE, FakeReads, FakeRequests

idle.refresh_often()
LOOKS_OF_A_SECOND = 8
"""Looks at the screen after which what a screen does each second is done, sooner than a second."""
PAINTED_SECONDS = 120.0
"""A screen of this process shows what is waited for long before, on the slowest machine; a change that breaks twenty
screens fails within minutes."""


@dataclass
class Night:
    """The fake night in a running console."""

    reads: FakeReads = field(default_factory=FakeReads)
    requests: FakeRequests = field(init=False)
    app: HeadwayApp = field(init=False)
    pilot: Pilot[int] = field(init=False)
    factories: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.requests = FakeRequests(self.reads)

    def open_requests(self) -> Any:
        self.factories.append("requests")
        return self.requests

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def act(self, *names: str) -> None:
        """Presses the key that the table has for each of these acts on the screen that is open."""
        for name in names:
            where = getattr(self.app.screen, "WHERE", "")
            [act] = [act for act in key_table.key_actions(where) if act.name == name]
            await self.pilot.press(act.keys[0])

    async def type(self, text: str) -> None:
        await self.pilot.press(*text)

    @property
    def text(self) -> str:
        """The text of the screen."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for a condition, then until the screen is laid out: a bar with one more line moves all below it a
        moment after the line is there. Fails with the screen when the condition does not come."""
        end = time.monotonic() + PAINTED_SECONDS
        looks = 0
        while not condition():
            assert time.monotonic() < end, f"{what} never came; the screen:\n{self.text}"
            await self.pilot.pause(0.01)
            looks += 1
            if looks % LOOKS_OF_A_SECOND == 0 and self.app.is_running and isinstance(self.app.screen, ConsoleScreen):
                self.app.screen.tick()  # as each second: a preview below a list is there at the next one
        while self.app.is_running and (idle.is_on_its_way() or self.app.screen._layout_required):
            await self.pilot.pause()

    async def see(self, *texts: str) -> None:
        """Waits until every text is on the screen. A screen that shows several of them is painted once."""
        painted = ""

        def has(text: str) -> bool:
            nonlocal painted
            painted = self.text
            return text in painted

        for text in texts:
            if text not in painted:
                await self.until(functools.partial(has, text), repr(text))

    async def wait_until_hidden(self, text: str) -> None:
        await self.until(lambda: text not in self.text, f"the end of {text!r}")

    async def typing(self) -> None:
        """Waits until what one types goes into a line."""
        await self.until(lambda: isinstance(self.app.focused, Input), "the line to type in")

    async def at_rest(self) -> None:
        await idle.at_rest(self.pilot, lambda: self.text)

    async def answered(self) -> None:
        """Waits until all keys are processed and no request to a thread waits for its answer."""
        quiet = 0
        while quiet < 2:
            await self.pilot.pause()
            quiet = 0 if idle.is_busy(self.app) else quiet + 1

    def widget(self, query: str) -> Widget:
        return self.app.screen.query_one(query)


Steps = Callable[[Night], Awaitable[None]]


@contextmanager
def unseen() -> Iterator[None]:
    """Only the test reads this console: it is painted when the test reads it (`Night.text`), at its end, and for a
    picture of the whole screen. Painting it at each change was a fifth of the time of these tests."""
    whole = Compositor.render_update

    def paint(self: Compositor, full: bool = False, **options: Any) -> Any:
        if full:
            return whole(self, full, **options)
        self._dirty_regions.clear()
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Compositor, "render_update", paint)
        yield


async def _drive(steps: Steps, night: Night, size: tuple[int, int], options: dict[str, Any]) -> None:
    night.app = HeadwayApp(
        lambda: night.reads, night.open_requests, **{"frozen": NOW, "mine": ZoneInfo(ZONE), **options}
    )
    async with night.app.run_test(size=size) as pilot:
        night.pilot = pilot
        await night.until(lambda: night.app.header is not None, "the header")
        await steps(night)
        if night.app.is_running and night.app._task is not None:
            assert night.text, "nothing is painted at the end"
            night.app.exit()  # as a person leaves: `run_test` closes the screens under keys that are still on their way
            await night.app._task


def on_the_night(
    size: tuple[int, int] = (80, 24), prepare: Callable[[Night], None] | None = None, **options: Any
) -> Callable[[Steps], Callable[[], None]]:
    """Runs an async test on a console of that size; `prepare` changes the night before it opens."""

    def decorate(steps: Steps) -> Callable[[], None]:
        @functools.wraps(steps)
        def test() -> None:
            night = Night()
            if prepare is not None:
                prepare(night)
            with unseen():
                asyncio.run(_drive(steps, night, size, options))

        del test.__wrapped__  # otherwise pytest searches for a fixture named "night"
        return test

    return decorate


def without_estimates(night: Night) -> None:
    """Four services whose act-by is unknown, each for five reasons."""
    short = [render(NoEstimate("cloud/load", number, MIN_RUNS).text, utc_minute) for number in range(5)]
    reasons = tuple(LateBecause((f'{why}; declare its duration: [jobs."cloud/load"]',)) for why in short)
    view = night.reads.incident_
    first = dataclasses.replace(
        view.services[0], act_by=None, green_by=None, p_late=None, basis=NO_ESTIMATE, timeliness="no_estimate",
        reasons=reasons,
    )  # fmt: skip
    titles = ("Price list", "Stock cover", "Supply plan", "Daily revenue")
    services = tuple(dataclasses.replace(first, name=title, title=title) for title in titles)
    row = dataclasses.replace(view.row, act_by=None)
    night.reads.incident_ = dataclasses.replace(view, row=row, services=services)
