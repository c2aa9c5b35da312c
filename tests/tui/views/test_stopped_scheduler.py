"""A system that answers and whose scheduler does not run: its mark is red on every screen that shows it."""

from __future__ import annotations

from dataclasses import replace

from connectors.sdk.states import STOPPED
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views import systems
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import NOW, target

STOPPED_TEXT = "cron does not run on db07. Fix: systemctl start cron"
DB07 = replace(
    target("etl-hosts", "db07", "cron", warnings=("a file is ignored",)),
    error=STOPPED_TEXT, error_kind=STOPPED, failing_since=NOW,
)  # fmt: skip
CONTEXT = RenderContext(NOW, ZonedClock(), GlyphSet())


def test_its_row_is_marked_red_and_says_why() -> None:
    row = systems.target_row(DB07, CONTEXT)
    assert "bad" == row.cells[0][1]
    assert (STOPPED_TEXT, "bad") == row.cells[-1]
    well = systems.target_row(target("etl-hosts", "db07", "cron"), CONTEXT)
    assert "ok" == well.cells[0][1]


@on_the_night()
async def test_the_screens_say_it_first(night: Night) -> None:
    night.reads.targets_ = [*(target for target in night.reads.targets_ if not target.failing_since), DB07]
    await night.press("5")
    await night.see("SYSTEMS", "stopped", "cron does not run")
