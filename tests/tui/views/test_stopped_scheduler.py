"""A system that answers and whose scheduler does not run: its mark is red on every screen that shows it."""

from __future__ import annotations

from connectors.sdk.states import NOTHING_STARTS
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views import systems, wallboard
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import NOW, target

STOPPED_TEXT = f"{NOTHING_STARTS}cron does not run on db07. Start it: systemctl start cron"
STOPPED = target("etl-hosts", "db07", "cron", warnings=("a file is ignored", STOPPED_TEXT))
CONTEXT = RenderContext(NOW, ZonedClock(), GlyphSet())


def test_its_row_is_marked_red_and_says_why() -> None:
    row = systems.target_row(STOPPED, CONTEXT)
    assert "bad" == row.cells[0][1]
    assert (STOPPED_TEXT, "bad") == row.cells[-1]
    well = systems.target_row(target("etl-hosts", "db07", "cron"), CONTEXT)
    assert "ok" == well.cells[0][1]


def test_the_wall_does_not_show_it_as_well() -> None:
    [expected] = wallboard._target(STOPPED, CONTEXT, is_old=False)
    assert ("bad", True) == (expected[1], expected[0].endswith("nothing starts"))


@on_the_night()
async def test_the_screens_say_it_first(night: Night) -> None:
    night.reads.targets_ = [*(target for target in night.reads.targets_ if not target.failing_since), STOPPED]
    await night.press("5")
    await night.see("SYSTEMS", "nothing starts here")
