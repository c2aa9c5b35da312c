"""Six months as a table: it fits the dialog, with a bar per month for each figure."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.geometry import Size

from console.domain.report import MonthFigures
from console.tui.dialogs.overlay import text_width
from console.tui.views.months import months_text
from tests.tui.views.runs.test_durations import render_context

NARROW = text_width(Size(80, 24))
MONTHS = ("2026-06", "2026-07", "2026-08", "2026-09", "2026-10", "2026-11")
NEW = MonthFigures("system", "etl", "etl", MONTHS[0], 0, 0, 0, 0, None, 0, None, None, 0, 0, 0, 0, 0, 0, 0, None)


def month(at: int, **figures: Any) -> MonthFigures:
    values: dict[str, Any] = {"month": MONTHS[at], "runs": 100, "succeeded": 90, **figures}
    return dataclasses.replace(NEW, **values)


def rows_of(text: str) -> dict[str, str]:
    return {line[:12].strip(): line[12:].strip() for line in text.partition("\n\n")[0].splitlines()}


def test_each_figure_has_a_bar_for_each_month() -> None:
    months = [
        NEW,
        month(1, recover_s=600.0, acknowledge_s=60.0, tried_changes=4, failed_changes=1, succeeded=10),
        month(2, recover_s=4800.0, acknowledge_s=None, tried_changes=4, failed_changes=4, missed=3),
    ]
    shown = rows_of(months_text(months, render_context(), NARROW))
    assert "trend" == shown[""].split("  ")[-1]
    assert ["–", "10m", "1h20m", "▂█"] == shown["recovered"].split()
    assert ["–", "1m", "–", "█"] == shown["acknowledged"].split()
    assert ["–", "25", "%", "100", "%", "▃█"] == shown["failed after"].split()
    assert ["–", "0", "3", "▁█"] == shown["missed"].split()
    assert shown["success"].endswith("▁█")
    late = [month(0, slack_s=-600.0), month(1, slack_s=-60.0)]
    assert ["-10m", "-1m", "▁▁"] == rows_of(months_text(late, render_context(), NARROW))["slack"].split()
    assert not {"in time", "slack", "unknown", "cost"} & shown.keys()
    assert months_text(months, render_context(plain=True), NARROW).isascii()


@pytest.mark.parametrize("field, name", [("cost", "cost"), ("unknown", "unknown"), ("slack_s", "slack")])
def test_a_figure_that_a_month_has_is_a_row(field: str, name: str) -> None:
    assert name not in rows_of(months_text([NEW, month(1)], render_context(), NARROW))
    assert name in rows_of(months_text([NEW, month(1, **{field: 12})], render_context(), NARROW))


seconds = st.none() | st.floats(-40e6, 40e6)


@given(st.lists(st.tuples(seconds, st.integers(0, 10**9), st.integers(0, 10**9)), min_size=6, max_size=6))
def test_no_line_is_wider_than_a_dialog_of_80_columns(figures: list[tuple[float | None, int, int]]) -> None:
    """Where values are too wide for six months, the latest remain."""
    months = [
        month(at, slack_s=length, recover_s=length, runs=red + good, succeeded=good, unknown=red, cost=float(good))
        for at, (length, red, good) in enumerate(figures)
    ]
    text = months_text(months, render_context(), NARROW)
    assert max(map(len, text.splitlines())) <= NARROW
    assert MONTHS[-1] in rows_of(text)[""]
    usual = months_text([month(at, unknown=71, succeeded=99) for at in range(6)], render_context(), NARROW)
    assert all(name in rows_of(usual)[""] for name in MONTHS)
