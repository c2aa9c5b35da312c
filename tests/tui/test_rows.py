"""What a row says of a view: the cells alone, without a screen."""

from __future__ import annotations

from console.tui import rows
from console.tui.cells import Look
from console.tui.glyphs import Glyphs
from console.tui.when import Clock
from tests.tui.fake_reads import at, service


def test_a_service_on_a_date_without_a_promise_says_so_and_has_no_deadline() -> None:
    """It looked pending before, with the time that was left."""
    words = "no promise for 2026-11-19: calendar mondays, a Thursday; the next is for 2026-11-23"
    view = service(1, "close", "Monthly close", 2, "06:30", timeliness="no_promise", expected=None, reason=words)
    look = Look(at("03:40"), Clock(), Glyphs())
    told = dict(zip([column.title for column in rows.SERVICES], rows.service(view, look).cells, strict=True))
    assert ("–", "–", "–") == (told["deadline"][0], told["left"][0], told["slack"][0])
    assert ("no promise", words) == (told["stands"][0], told["cause"][0])
    assert not rows.is_problem(view)
