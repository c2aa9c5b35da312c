"""What a row says of a view: the cells alone, without a screen."""

from __future__ import annotations

from dataclasses import replace

from console.domain.reason import LateBecause
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.jobs import list as job_list
from console.tui.views.services import rows
from console.tui.views.systems import target_row as target_row
from tests.tui.fake_reads import at, job_row, service, target


def test_a_service_on_a_date_without_a_promise_says_so_and_has_no_deadline() -> None:
    """It looked pending before, with the time that was left."""
    text = "no promise for 2026-11-19: calendar mondays, a Thursday; the next is for 2026-11-23"
    view = service(
        1, "close", "Monthly close", 2, "06:30", timeliness="no_promise", expected=None, reasons=(LateBecause((text,)),)
    )
    render_context = RenderContext(at("03:40"), ZonedClock(), GlyphSet())
    details = dict(
        zip([column.title for column in rows.SERVICES], rows.service_row(view, render_context, 80).cells, strict=True)
    )
    assert ("–", "–", "–") == (details["deadline"][0], details["left"][0], details["slack"][0])
    assert ("no promise", text) == (details["status"][0], details["cause"][0])
    assert not view.needs_a_person


def test_no_estimate_beside_an_open_incident_is_no_all_clear() -> None:
    """A row at risk is above calm ones, and the header counts it."""
    quiet = service(1, "prices", "Prices", 3, "06:30", timeliness="no_estimate", expected=None)
    service_view = replace(quiet, incident_id=1, cause="db07:extract_orders")
    assert (False, True) == (quiet.needs_a_person, service_view.needs_a_person)
    render_context = RenderContext(at("03:40"), ZonedClock(), GlyphSet())
    assert ["plain", "strong"] == [
        rows.service_row(view, render_context, 80).cells[1][1] for view in (quiet, service_view)
    ]


def test_a_mark_before_a_name_does_not_move_it() -> None:
    render_context, view = (
        RenderContext(at("03:40"), ZonedClock(), GlyphSet()),
        job_row(1, "etl-hosts/db07:extract_orders"),
    )
    free, marked = (job_list.job_row(view, render_context, marked=number).cells for number in (False, True))
    assert ("◆", "etl-hosts/db07:extract_orders") == (marked[1][0], marked[2][0])
    assert [text for text, _ in free[2:]] == [text for text, _ in marked[2:]]


def test_a_version_that_names_its_kind_does_not_repeat_the_kind() -> None:
    render_context = RenderContext(at("03:40"), ZonedClock(), GlyphSet())
    cells = {target_row(target("a", "a", kind, version=version), render_context).cells[2][0] for kind, version in (
        ("replay", "replay of Airflow 3.1"), ("pg_cron", "1.6"), ("cron", ""))}  # fmt: skip
    assert {"replay of Airflow 3.1", "pg_cron 1.6", "cron"} == cells
