"""What a row says of a view: the cells alone, without a screen."""

from __future__ import annotations

from dataclasses import replace

from console.domain.service import Reason
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.jobs import list as job_list
from console.tui.views.services import rows
from console.tui.views.systems import target_row as target_row
from tests.tui.fake_reads import at, job_row, service, target


def test_a_service_on_a_date_without_a_promise_says_so_and_has_no_deadline() -> None:
    """It looked pending before, with the time that was left."""
    words = "no promise for 2026-11-19: calendar mondays, a Thursday; the next is for 2026-11-23"
    view = service(
        1, "close", "Monthly close", 2, "06:30", timeliness="no_promise", expected=None, reasons=(Reason(words),)
    )
    look = RenderContext(at("03:40"), ZonedClock(), GlyphSet())
    told = dict(zip([column.title for column in rows.SERVICES], rows.service_row(view, look, 80).cells, strict=True))
    assert ("–", "–", "–") == (told["deadline"][0], told["left"][0], told["slack"][0])
    assert ("no promise", words) == (told["status"][0], told["cause"][0])
    assert not view.needs_a_person


def test_no_estimate_beside_an_open_incident_is_no_all_clear() -> None:
    """It stood below what was calm, and the header said "0 at risk"."""
    quiet = service(1, "prices", "Prices", 3, "06:30", timeliness="no_estimate", expected=None)
    hurt = replace(quiet, incident_id=1, cause="db07:extract_orders")
    assert (False, True) == (quiet.needs_a_person, hurt.needs_a_person)
    look = RenderContext(at("03:40"), ZonedClock(), GlyphSet())
    assert ["plain", "strong"] == [rows.service_row(view, look, 80).cells[1][1] for view in (quiet, hurt)]


def test_a_mark_before_a_name_does_not_move_it() -> None:
    look, view = RenderContext(at("03:40"), ZonedClock(), GlyphSet()), job_row(1, "etl-hosts/db07:extract_orders")
    free, marked = (job_list.job_row(view, look, marked=each).cells for each in (False, True))
    assert ("◆", "etl-hosts/db07:extract_orders") == (marked[1][0], marked[2][0])
    assert [text for text, _ in free[2:]] == [text for text, _ in marked[2:]]


def test_a_version_that_names_its_kind_does_not_repeat_the_kind() -> None:
    look = RenderContext(at("03:40"), ZonedClock(), GlyphSet())
    told = {target_row(target("a", "a", kind, version=version), look).cells[2][0] for kind, version in (
        ("replay", "replay of Airflow 3.1"), ("pg_cron", "1.6"), ("cron", ""))}  # fmt: skip
    assert {"replay of Airflow 3.1", "pg_cron 1.6", "cron"} == told
