"""What a row says of a view: the cells alone, without a screen."""

from __future__ import annotations

from dataclasses import replace

from console.tui import service_rows as rows
from console.tui.cells import Look
from console.tui.glyphs import Glyphs
from console.tui.when import Clock
from tests.tui.fake_reads import at, service


def test_a_service_on_a_date_without_a_promise_says_so_and_has_no_deadline() -> None:
    """It looked pending before, with the time that was left."""
    words = "no promise for 2026-11-19: calendar mondays, a Thursday; the next is for 2026-11-23"
    view = service(1, "close", "Monthly close", 2, "06:30", timeliness="no_promise", expected=None, reason=words)
    look = Look(at("03:40"), Clock(), Glyphs())
    told = dict(zip([column.title for column in rows.SERVICES], rows.service(view, look, 80).cells, strict=True))
    assert ("–", "–", "–") == (told["deadline"][0], told["left"][0], told["slack"][0])
    assert ("no promise", words) == (told["stands"][0], told["cause"][0])
    assert not view.needs_a_person


def test_no_estimate_beside_an_open_incident_is_no_all_clear() -> None:
    """It stood below what was calm, and the header said "0 at risk"."""
    quiet = service(1, "prices", "Prices", 3, "06:30", timeliness="no_estimate", expected=None)
    hurt = replace(quiet, incident_id=1, cause="db07:extract_orders")
    assert (False, True) == (quiet.needs_a_person, hurt.needs_a_person)
    look = Look(at("03:40"), Clock(), Glyphs())
    assert ["plain", "strong"] == [rows.service(view, look, 80).cells[1][1] for view in (quiet, hurt)]
