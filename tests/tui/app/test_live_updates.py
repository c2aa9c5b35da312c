"""Live without flicker: what changed is lit for a moment, cursor and marks stay, a flood is painted at most ten times a
second, and what cannot be read any more says from when it is what one sees."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from console.domain.header import EngineView, HeaderView
from console.domain.service import ServiceView
from console.domain.text import Title
from console.store.errors import STORE_GONE
from console.tui.frame.console_app import SILENT_TICKS
from console.tui.views.jobs.list import JobsScreen
from console.tui.widgets.grid import Grid, Highlights
from console.tui.widgets.table import Column, TableRow
from tests.bench.bigstore import make_store
from tests.lab.process import HANGS_SECONDS
from tests.pty.terminal import Terminal
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import at, job_row

COLUMNS = (Column("", 1), Column("job", 9), Column("state", 9), Column("took", 5))


def row(state: str, took: str = "4s", name: str = "a") -> TableRow:
    return TableRow(1, (("x", "bad"), (name, "plain"), (state, "plain"), (took, "plain")))


def test_a_row_that_says_something_else_is_news_and_time_alone_is_none() -> None:
    lit = Highlights()
    assert set() == lit.update([row("running")], COLUMNS)
    assert set() == lit.update([row("running", "5s", "x a")], COLUMNS)
    assert {1} == lit.update([row("failed")], COLUMNS)
    assert set() == lit.update([row("failed")], COLUMNS)
    assert set() == Highlights().update([row("unknown 4m")], COLUMNS)


def test_an_age_in_the_state_is_no_news() -> None:
    lit = Highlights()
    lit.update([row("unknown 4m")], COLUMNS)
    assert set() == lit.update([row("unknown 5m")], COLUMNS)


def becomes(night: Night, job: str, state: str) -> None:
    for index, candidate in enumerate(night.reads.jobs_):
        if candidate.name == job:
            night.reads.jobs_[index] = dataclasses.replace(candidate, state=state)
    night.reads.changed()


def starred(night: Night) -> list[str]:
    return [line for line in night.text.splitlines() if line.endswith(" *")]


def lit_rows(night: Night) -> set[object]:
    return set(night.app.screen.query_one(Grid)._lit_rows.keys)


@pytest.mark.deep
@on_the_night(size=(120, 36))
async def test_what_changed_is_lit_and_goes_out_again_by_itself(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.at_rest()
    becomes(night, "pg-dwh/refresh_stock", "failed")
    await night.until(lambda: lit_rows(night) == {11}, "the lit row")
    await night.until(lambda: not lit_rows(night), "its end")


@on_the_night(size=(120, 36))
async def test_the_screen_below_a_dialog_follows_the_store(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    jobs = night.app.screen
    assert isinstance(jobs, JobsScreen)
    await night.act("help")
    await night.until(lambda: night.app.screen is not jobs, "the help")
    becomes(night, "pg-dwh/refresh_stock", "failed")
    await night.until(lambda: getattr(jobs.list.source.view(11), "state", "") == "failed", "the news below the help")


@pytest.mark.deep
@on_the_night(size=(120, 36))
async def test_a_new_row_is_lit_like_a_changed_one_and_a_filter_that_shows_it_again_lights_nothing(
    night: Night,
) -> None:
    await night.press("2")
    await night.see("✖ INC-0412")
    await night.at_rest()
    night.reads.incidents_.append(
        dataclasses.replace(night.reads.incidents_[0], id=413, title=Title(("db07", " is unreachable")))
    )
    night.reads.changed()
    await night.until(lambda: lit_rows(night) == {413}, "the lit row")
    await night.until(lambda: not lit_rows(night), "its end")
    await night.press("/")
    await night.typing()
    await night.type("out")
    await night.wait_until_hidden("✖ INC-0412")
    await night.press("escape")
    await night.see("✖ INC-0412")
    assert not lit_rows(night)


@pytest.mark.deep
@on_the_night(size=(120, 36))
async def test_a_new_job_in_the_big_table_is_lit_too(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.at_rest()
    night.reads.jobs_.insert(0, job_row(900, "etl-hosts/db07:brand_new"))
    night.app.screen.list.sort_again()  # type: ignore[attr-defined]
    await night.until(lambda: lit_rows(night) == {900}, "the lit row")
    await night.until(lambda: not lit_rows(night), "its end")


@pytest.mark.deep
@on_the_night(size=(120, 36), ascii=True)
async def test_without_colours_a_mark_says_what_changed(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.at_rest()
    becomes(night, "pg-dwh/refresh_stock", "failed")
    await night.until(
        lambda: any("refresh_stock" in line and line.endswith(" *") for line in night.text.splitlines()), "*"
    )
    await night.until(lambda: not any(line.endswith(" *") for line in night.text.splitlines()), "its end")


@on_the_night(size=(120, 36))
async def test_the_cursor_and_the_marks_stay_on_their_rows_when_the_order_changes(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("down", "space", "down")
    await night.see("1 marked")
    here = night.app.screen.query_one(Grid).key
    night.reads.jobs_.reverse()
    night.reads.changed()
    await night.see("order changed")
    night.app.screen.list.sort_again()  # type: ignore[attr-defined]
    await night.wait_until_hidden("order changed")
    assert here == night.app.screen.query_one(Grid).key
    await night.see("1 marked")


@pytest.mark.deep
@on_the_night(size=(120, 36))
async def test_a_change_right_after_a_sort_is_sorted_in_without_another_change(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    night.app.screen.list._sort_seconds = 1.0  # type: ignore[attr-defined]
    night.app.screen.list.sort_again()  # type: ignore[attr-defined]
    await night.answered()
    night.reads.jobs_.append(job_row(900, "etl-hosts/db07:brand_new"))
    night.reads.changed()
    await night.see("JOBS  row 1 of 15")


# what is lost


@on_the_night(size=(80, 24))
async def test_a_silent_engine_is_shown_with_the_age_of_the_data_on_every_screen(night: Night) -> None:
    await night.see("Supply plan")
    dead = EngineView("host-1", at("22:00"), at("03:15:42"), False)
    whole = night.reads.head
    night.reads.head = whole._replace(engine=dead)
    night.reads.changed()
    for key, rows in (
        ("1", "Supply plan"),
        ("2", "INC-0412"),
        ("3", "extract_orders"),
        ("4", ""),
        ("5", "db07"),
        ("7", ""),
    ):
        await night.press(key)
        await night.see('no engine for 2m: data from 03:15:42 CET; run "headway engine"', rows)
    night.reads.head = whole._replace(engine=dead, at_risk=0, open_incidents=0)
    night.reads.changed()
    await night.wait_until_hidden("at risk · ")
    assert "incident" not in night.text.splitlines()[0], "nobody knows"
    night.reads.head = whole
    night.reads.changed()
    await night.wait_until_hidden("no engine for")


@on_the_night(size=(120, 36))
async def test_every_list_keeps_its_rows_while_the_store_is_unreachable_and_continues_by_itself(night: Night) -> None:
    for key, rows in (("3", "extract_orders"), ("2", "INC-0412"), ("5", "warehouse-airflow"), ("1", "Supply plan")):
        await night.press(key)
        await night.see(rows)
        night.reads.broken = "it is gone"
        night.app.read_header()
        await night.see("data from 03:17:42 CET: it is gone", rows)
        night.reads.broken = ""
        night.app.read_header()
        await night.wait_until_hidden("data from")
        await night.see(rows)


@on_the_night(size=(120, 36))
async def test_a_hung_store_is_shown_with_the_age_of_the_data(night: Night) -> None:
    await night.see("Supply plan")
    go, whole = threading.Event(), night.reads.header

    def hangs(services: Sequence[ServiceView] = ()) -> HeaderView:
        go.wait(HANGS_SECONDS)
        return whole(services)

    setattr(night.reads, "header", hangs)  # noqa: B010 - mypy knows it as a method
    night.app.read_header()
    for _ in range(SILENT_TICKS + 1):
        night.app._tick()
    await night.see("data from 03:17:42 CET: the store has not answered for 30 s")
    go.set()
    await night.wait_until_hidden("data from")


@on_the_night()
async def test_a_small_terminal_calls_nothing_green_that_is_old_also_while_a_box_is_open(night: Night) -> None:
    night.reads.services_ = [
        dataclasses.replace(service, timeliness="on_time", act_by=None) for service in night.reads.services_
    ]
    night.reads.changed()
    await night.act("help")
    await night.see("keys of")
    await night.pilot.resize_terminal(50, 12)
    await night.see("terminal too small", "on time")
    night.reads.broken = "it is gone"
    night.app.read_header()
    await night.see("it is gone", "was on time")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "headway.db"
    make_store(path, 400, 2_000)
    return path


@pytest.mark.deep
def test_a_store_moved_away_under_an_open_console_is_reported_and_found_again(made: Path, tmp_path: Path) -> None:
    store = tmp_path / "headway.db"
    shutil.copy(made, store)
    argv = [sys.executable, "-m", "console", "console", "--no-engine", "--store", str(store)]
    with Terminal(argv, size=(120, 36)) as terminal:
        terminal.wait_for("Service 12")
        terminal.press("3")
        terminal.wait_for("JOBS  row 1 of 400")
        store.rename(tmp_path / "away.db")
        terminal.wait_for(lambda text: STORE_GONE in text and "row 1 of 400" in text)
        assert "data from" in terminal.text
        (tmp_path / "away.db").rename(store)
        terminal.wait_for(lambda text: "data from" not in text and "row 1 of 400" in text)
        other = tmp_path / "other.db"
        make_store(other, 40, 200)
        other.replace(store)
        terminal.press("7")
        terminal.wait_for("of 200")
