"""The grid's and the pane's arithmetic, and that text of others never escapes them."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from array import array
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

import console.tui
from console.domain.filter import JobFilter, parse_filter
from console.tui.widgets import paint
from console.tui.widgets.paint import Palette, fit, fit_middle, line_breaks, one_line
from console.tui.widgets.pane import Pane, clipped_line
from console.tui.widgets.table import Column, PagedRows, TableRow, column_widths
from tests.corpus import HOSTILE
from tests.rows import each_row

COLORS = dict.fromkeys(
    ("foreground", "background", "panel", "primary", "secondary", "success", "warning", "error"), "#808080"
)
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@pytest.mark.parametrize("width", [1, 7, 40])
def test_a_hostile_cell_is_cut_to_its_width_and_carries_no_control(width: int) -> None:
    cells = {text: fit(text, width) for text in HOSTILE}
    assert [] == [text for text, cell in cells.items() if cell_len(cell) != width or UNSAFE.search(cell)]


@given(
    st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["plain", "bad", "dim"])), max_size=6), st.integers(1, 60)
)
def test_a_line_is_always_exactly_as_wide_as_requested(runs: list[tuple[str, str]], width: int) -> None:
    strip = Palette(COLORS).strip(runs, width)
    assert width == sum(cell_len(segment.text) for segment in strip)
    assert UNSAFE.search(strip.text) is None


@each_row(
    "name, width, cut",
    [
        ("etl-hosts/db07:extract_customers", 30, "etl-ho…/db07:extract_customers"),
        ("etl-hosts/db07:extract_orders", 22, "e…/db07:extract_orders"),
        ("db07:extract_orders", 17, "d…:extract_orders"),
        ("warehouse-airflow/fx_rates.publish", 12, "wareho…blish"),
        ("日本語/日本語", 10, "日…/日本語"),
        ("abc/", 3, "a…/"),
        ("batch-prod/etl/load_orders/1", 14, "batch-p…ders/1"),
        ("batch-prod/etl/load_returns/1", 14, "batch-p…urns/1"),
    ],
)
def test_a_long_name_keeps_its_last_part_if_that_fits(name: str, width: int, cut: str) -> None:
    assert fit_middle(name, width) == cut


def test_neighbours_of_one_style_become_one_segment() -> None:
    strip = Palette(COLORS).strip([("a", "plain"), ("b", "plain"), ("c", "bad")], 3)
    assert ["ab", "c"] == [segment.text for segment in strip]


@given(st.text(max_size=80), st.integers(1, 30))
def test_a_wrapped_line_loses_nothing(text: str, width: int) -> None:
    text = one_line(text)
    parts = [text[start:end] for start, end in line_breaks(text, width)]
    assert text == "".join(parts)
    assert [] == [part for part in parts if cell_len(part) > max(width, 2)]


def test_the_further_lines_of_a_wrapped_one_leave_room_to_hang() -> None:
    assert [(0, 8), (8, 12), (12, 17)] == line_breaks("one two six seven", 5, more_at_first=3)


def test_our_typography_becomes_ascii_on_a_plain_terminal() -> None:
    assert "a - b ~ |" == Palette(COLORS, plain=True).strip([("a – b … ·", "plain")], 9).text


def test_a_line_is_wrapped_at_spaces_and_keeps_its_styles() -> None:
    runs = [("one ", "dim"), ("two three", "bad")]
    assert [(0, 8), (8, 13)] == line_breaks("one two three", 8)
    assert [("one ", "dim"), ("two ", "bad")] == clipped_line(runs, 0, 8)
    assert [("three", "bad")] == clipped_line(runs, 8, 13)


def test_columns_are_dropped_by_rank_and_what_is_left_goes_to_the_flexible() -> None:
    columns = (Column("a", 5, 1), Column("b", 10, 2, flex=1), Column("c", 8, 3))
    assert [(0, 5), (1, 14)] == column_widths(columns, 20)
    assert [(0, 5), (1, 15), (2, 8)] == column_widths(columns, 30)


def test_a_filter_has_terms_exclusions_and_fields() -> None:
    expected = JobFilter(("db07",), ("tmp",), ("failed",), ("etl-hosts",), (), True)
    assert expected == parse_filter("db07 -tmp state:failed system:etl-hosts", only_problems=True)
    assert JobFilter(("a:b",)) == parse_filter("a:b -")


def test_no_widget_of_ours_is_given_text_that_textual_would_parse() -> None:
    """Static, Label, OptionList and notify parse markup: none of them is used; lines are painted by `paint`."""
    folder = Path(next(iter(console.tui.__path__)))
    forbidden = re.compile(
        r"\b(Static|Label|Button|OptionList|DataTable|Tree|RichLog|Content)\(|(app|self|board)\.notify\("
        r"|border_title = (?!Text\()|from_markup"
    )
    results = [
        f"{path.name}: {line.strip()}"
        for path in sorted(folder.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if forbidden.search(line)
    ]
    assert [] == results


class _TwoPanes(App[None]):
    def compose(self) -> ComposeResult:
        yield Pane(id="grown")
        yield Pane(id="whole")


def test_a_log_that_grows_is_laid_out_as_if_it_had_come_at_once() -> None:
    """Only what is new is laid out: a page that came costs the same however long the log is already."""
    asyncio.run(_grow())


async def _grow() -> None:
    text = "".join(random.Random(7).choices("ab \n", weights=(30, 30, 10, 3), k=4_000))
    app = _TwoPanes()
    async with app.run_test(size=(40, 24)):
        grown, whole = app.query_one("#grown", Pane), app.query_one("#whole", Pane)
        grown.wrapped = whole.wrapped = True
        cuts = [0, 1, 5, 700, 701, 2_000, len(text)]
        for start, end in itertools.pairwise(cuts):
            grown.add(text[start:end])
            whole.show(text[:end])
            assert (whole.text, whole._lines) == (grown.text, grown._lines)


def test_a_person_who_scrolls_while_a_log_arrives_stays_there() -> None:
    asyncio.run(_scroll_while_it_arrives())


async def _scroll_while_it_arrives() -> None:
    app = _TwoPanes()
    async with app.run_test(size=(40, 24)) as pilot:
        pane = app.query_one("#whole", Pane)
        pane.following = True
        pane.show("line\n" * 300)
        while not (end := pane.scroll_offset.y):
            await pilot.pause()
        pane.add("more\n")
        pane.action_move("page_up")
        await pilot.pause()
        assert 0 < pane.scroll_offset.y < end


def test_of_a_long_text_only_its_beginning_is_measured_and_what_takes_no_cell_is_no_reason_to_cut() -> None:
    accents = "e" + "\u0301" * 90
    assert accents + "xyz" + " " * 6 == fit(accents + "xyz", 10)
    assert accents + "x" * 8 + "…" == fit(accents + "x" * 9_000, 10)
    assert "x" * 8 + " …" == fit("x" * 8 + "漢" * 9_000, 10)


def test_long_outside_texts_are_not_cached() -> None:
    """A limited number of cut texts is cached; each may be a log line of megabytes."""
    before = paint._fitted.cache_info().currsize, paint._cleaned.cache_info().currsize
    assert "é" * 19 + "…" == paint.fit("é" * 100_000, 20)
    assert before == (paint._fitted.cache_info().currsize, paint._cleaned.cache_info().currsize)


class Seen(NamedTuple):
    id: int
    says: str = "good"


def test_rows_requested_again_are_not_dropped_when_somebody_scrolls_meanwhile() -> None:
    """Both are one query on the resource thread, where the newer replaces the older."""
    requests: list[list[int]] = []
    rows: PagedRows[Seen] = PagedRows(lambda view: TableRow(view.id, ((view.says, ""),)), requests.append)
    rows.ids = array("q", range(300))
    rows.arrived([Seen(number) for number in range(100)])
    rows.again(0, 9)
    rows.want(5, 14)
    assert set(range(10)) <= set(requests[-1])
    rows.arrived([Seen(number, "bad") for number in requests[-1]])
    rows.want(40, 49)
    assert not set(range(10)) & set(requests[-1])
