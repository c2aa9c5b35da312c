"""The console on the fake night, to look at: `python -m tests.tui.show [--ascii] [--screen jobs] [--big]`."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from console.tui.app.navigation import HeadwayApp
from tests.tui.fake_reads import NOW, ZONE, FakeReads, FakeRequests, job_row


def app(
    ascii: bool = False, screen: str | None = None, big: bool = False, reads: FakeReads | None = None
) -> HeadwayApp:
    reads = reads or FakeReads()
    if big:
        reads.jobs_ += [job_row(100 + n, f"etl-hosts/host{n % 50:02d}:job_{n:06d}") for n in range(100_000)]
    requests: Any = FakeRequests(reads)
    return HeadwayApp(lambda: reads, lambda: requests, ascii=ascii, screen=screen, frozen=NOW, mine=ZoneInfo(ZONE))


async def write_screenshot(path: Path) -> None:
    """Writes the incident's screen, 120 columns wide, as SVG."""
    console = app()
    async with console.run_test(size=(120, 36)) as pilot:
        for key in ("2", "enter"):
            await pilot.press(key)
            await pilot.pause(0.3)
        drawn = console.export_screenshot(title="Headway")
    await asyncio.to_thread(path.write_text, drawn, encoding="utf-8")


def main() -> None:
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ascii", action="store_true")
    parser.add_argument("--screen")
    parser.add_argument("--big", action="store_true", help="100,000 jobs")
    parser.add_argument("--hostile", action="store_true", help="every text is the worst of the corpus")
    parser.add_argument("--picture", metavar="SVG", help="write a picture of the screen instead")
    options = parser.parse_args()
    if options.picture:
        asyncio.run(write_screenshot(Path(options.picture)))
        return
    app(options.ascii, options.screen, options.big, _hostile() if options.hostile else None).run()


def _hostile() -> FakeReads:
    from tests.corpus import HOSTILE
    from tests.tui.views.test_hostile_text import HostileReads

    return HostileReads(" ".join(HOSTILE))


if __name__ == "__main__":
    main()
