"""The pages with most columns fit 80 cells on a bad night, with what an operator needs still on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from console.cli import lineage, service_delay
from console.cli.output import ValueColumn, fit_columns, table_lines
from console.cli.runs import run_table
from console.cli.services import service_table
from console.control.explain.lateness import LatenessBreakdown, LatenessShare
from tests.rows import each_row
from tests.tui.fake_reads import FakeReads

NOW = datetime(2026, 11, 20, 21, 40, tzinfo=UTC)
LONG = "etl-hosts/db07.internal.example:extract_orders_of_the_day_before"
ELAPSED = timedelta(hours=11, minutes=45)
LATE = LatenessShare(LONG, NOW, NOW + ELAPSED, False, ELAPSED, -ELAPSED, ELAPSED, ELAPSED, ELAPSED, ELAPSED)
SERVICE = replace(
    FakeReads().services.list_services()[0],
    name="supply-plan-of-all-the-countries",
    title="Supply plan of all the countries",
    timeliness="will_miss", deadline=NOW + timedelta(hours=33), act_by=NOW + timedelta(hours=14, minutes=41),
    zone="Europe/Berlin", cause=LONG, expected=NOW, delivered=None, data_state="partial",
)  # fmt: skip


@pytest.mark.parametrize("width", [40, 80])
def test_where_the_minutes_went_fits_with_a_minute_in_each_column(width: int) -> None:
    night = LatenessBreakdown((LATE, LATE))
    lines = table_lines(*service_delay.delay_table(night, NOW)[:2], width)
    assert width >= max(map(cell_len, (line for line in lines if LONG not in line)))
    assert all(kind in "\n".join(lines) for kind in service_delay.DELAY_KINDS)


@each_row("seconds, text", [(0, "0s"), (45, "45s"), (4159, "1h9m19s"), (93_600, "1d2h"), (86_401, "1d1s")])
def test_minutes_are_shown_with_seconds_so_that_they_add_up(seconds: int, text: str) -> None:
    assert text == service_delay.delay_text(timedelta(seconds=seconds))


def test_what_ends_as_usual_is_neither_before_nor_after_it() -> None:
    assert "at its usual" == service_delay.compared_with(timedelta(milliseconds=300), "its usual")
    assert "22m after its usual" == service_delay.compared_with(timedelta(minutes=22), "its usual")


@pytest.mark.parametrize("width", [40, 80])
def test_the_services_that_a_job_takes_with_it_fit_with_their_clocks(width: int) -> None:
    lines = table_lines(*lineage.affected_service_table([SERVICE], NOW)[:2], width)
    assert width >= max(map(cell_len, (line for line in lines if LONG not in line)))
    assert "Sun 06:40 UTC (in 1d9h)" in "\n".join(lines)
    assert "Sat 12:21" in "\n".join(lines)


@pytest.mark.parametrize("width", [40, 80])
def test_the_board_fits_with_another_days_clocks(width: int) -> None:
    lines = table_lines(*service_table([SERVICE], NOW)[:2], width)
    assert width >= max(map(cell_len, (line for line in lines if LONG not in line)))
    assert "Sun 06:40 UTC" in "\n".join(lines)


@each_row(
    "columns, rows",
    [
        (shown.columns, shown.rows)
        for shown in (
            service_table([SERVICE], NOW),
            lineage.affected_service_table([SERVICE], NOW),
            run_table([replace(FakeReads().runs.run(9).row, job=LONG, message="exit 1 " * 8)], NOW, with_job=True),
            run_table([FakeReads().runs.run(9).row], NOW),
        )
    ],
)
def test_a_wider_terminal_has_each_column_of_a_narrower_one(
    columns: Sequence[ValueColumn[Any]], rows: Sequence[Sequence[str]]
) -> None:
    before: set[int] = set()
    for width in range(60, 201):
        visible = set(fit_columns(columns, rows, width)[0])
        assert before <= visible, width
        before = visible


@each_row("fields", [{"message": "word " * 30}, {"message": "", "reason": ("word " * 30,)}])
def test_a_terminal_and_nothing_else_shortens_the_message_of_a_run(fields: dict[str, Any]) -> None:
    run = replace(FakeReads().runs.run(9).row, **fields)
    assert ("word " * 30).strip() == run_table([run], NOW).rows[0][-1].strip()
