"""The console on a real store, driven by keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from textual.pilot import Pilot

from console.engine.api.client import EngineClient
from console.store.queries import open_queries
from console.tui.app.navigation import HeadwayApp
from tests import idle
from tests.hostile.world import harmful
from tests.lab.process import HANGS_SECONDS
from tests.tui.driving import unseen

idle.refresh_often()


@dataclass
class ConsoleDriver:
    """The console on a real store, driven by keys."""

    app: HeadwayApp = field(init=False)
    pilot: Pilot[int] = field(init=False)

    @property
    def text(self) -> str:
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in strips)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + HANGS_SECONDS
        while not condition():
            assert time.monotonic() < end, f"{what} never came; the screen:\n{self.text}"
            await self.pilot.pause(0.01)

    async def see(self, text: str) -> None:
        await self.until(lambda: text in self.text, repr(text))

    def check(self) -> None:
        """The current screen as text."""
        assert [] == harmful(self.text)

    def check_picture(self) -> None:
        """The current screen as SVG, which costs as much as five screens."""
        self.check()
        snapshot = self.app.export_screenshot()
        ET.fromstring(snapshot)
        assert [] == harmful(snapshot.replace("\u200b", ""))


def drive(url: str, steps: Callable[[ConsoleDriver], Awaitable[None]], size: tuple[int, int] = (120, 40)) -> None:
    """Takes these steps in a console of that size, painted where a step reads it."""

    async def go() -> None:
        console = ConsoleDriver()
        console.app = HeadwayApp(lambda: open_queries(url), lambda: EngineClient(url))
        async with console.app.run_test(size=size) as pilot:
            console.pilot = pilot
            await console.until(lambda: console.app.header is not None, "the header")
            await steps(console)

    with unseen():
        asyncio.run(go())
