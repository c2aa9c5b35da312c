"""A run and a job show their three axes in words, their source's page and their place among 60 runs; the log is a key
away from both."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from console.tui.app.navigation import HeadwayApp
from console.tui.views.commands import HAS_ENDED
from console.tui.views.runs import overview
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import EXTRACT, LOG_PAGE, at, run_row, run_view
from tests.tui.views.runs.test_durations import render_context


@on_the_night(size=(120, 36))
async def test_a_run_that_has_ended_offers_no_cancel(night: Night) -> None:
    running = run_view(7, row=run_row(7, 1, EXTRACT, state="running", ended=None))
    night.reads.runs_[7] = running
    night.app.navigation.open_run(7)
    await night.see("c cancel")
    night.app.navigation.open_run(1)
    await night.see("✖ failed", "r rerun")
    await night.at_rest()
    assert "c cancel" not in night.text.splitlines()[-1]
    await night.act("cancel")
    await night.see(HAS_ENDED)


def log_notices(view_width: int, **changes: Any) -> list[str]:
    view = run_view(**changes)
    blocks = overview.run_overview(view, view.attempts[-1], render_context(), view_width)
    return ["".join(text for text, _ in line) for lines in blocks for line in lines]


async def open_job(night: Night) -> None:
    await night.press("3")
    await night.see("JOBS  row 1 of 14")
    await night.press("enter")
    await night.see("upstream etl-hosts")


@on_the_night()
async def test_a_run_shows_state_timeliness_and_evidence_separately_and_its_url(night: Night) -> None:
    night.app.navigation.open_run(1)
    await night.see("state ✖ failed   timeliness ! at risk   evidence native", 'native "exit 1"', f"web {LOG_PAGE}")
    await night.see("attempts   1 ✖ 03:10 failed   2 ✖ 03:12 failed", "extract_orders failed, exit 1")


def test_the_times_of_a_run_are_in_the_zone_of_the_header() -> None:
    """The console's header names one zone: that of the services, not of the run's system."""
    ctx = render_context()
    ctx.clock.home = "Europe/Berlin"
    utc, berlin = (run_view(zone=zone) for zone in ("UTC", "Europe/Berlin"))
    assert overview.run_overview(utc, None, ctx, 160) == overview.run_overview(berlin, None, ctx, 160)


def test_the_native_state_of_an_older_attempt_names_its_attempt() -> None:
    view = run_view()
    older, newest = (
        "\n".join(
            "".join(text for text, _ in line)
            for lines in overview.run_overview(view, attempt, render_context(), 160)
            for line in lines
        )
        for attempt in (view.attempts[0], view.attempts[-1])
    )
    assert (True, False) == ("attempt 1: native" in older, "attempt" in newest.split("native")[0].split("evidence")[-1])


def test_its_place_is_among_the_60_runs_up_to_it() -> None:
    slow = run_view().row
    slow = dataclasses.replace(slow, ended=at("03:26"))
    view = run_view()
    lines = log_notices(160, row=slow, runs=(slow, *view.runs[1:]))
    assert "took 14m, longer than 54 % of 57 successful runs (9m to 17m)" in lines[-1]
    assert 60 == len(lines[-1].split()[0])


def test_a_run_without_a_duration_says_so_beside_those_of_the_others() -> None:
    row = dataclasses.replace(run_view().row, started=None, ended=None, state="missed")
    view = run_view()
    shown = log_notices(160, row=row, runs=(row, *view.runs[1:]))[-1]
    assert "this run has no duration, 57 successful runs (9m to 17m)" in shown


def test_a_low_terminal_keeps_the_first_line_of_each_block() -> None:
    view = run_view()
    blocks = overview.run_overview(view, view.attempts[-1], render_context(), 60)
    first = overview.fit_lines(blocks, 2)
    assert [blocks[0][0], blocks[1][0]] == first
    assert len(overview.fit_lines(blocks, 40)) == sum(map(len, blocks))


@on_the_night()
async def test_a_key_leads_from_anywhere_in_the_log_to_its_first_error(night: Night) -> None:
    night.app.navigation.open_run(1)
    await night.see("extract_orders failed, exit 1")
    pane = night.widget("#log")
    for name in ("error_next", "error_next", "error_first"):
        await night.act(name)
    assert 4 == pane.marked  # type: ignore[attr-defined]


@on_the_night()
async def test_a_log_without_an_error_says_so(night: Night) -> None:
    night.requests.log_text = "all\nis well\n"
    night.app.navigation.open_run(1)
    await night.see("is well")
    await night.act("error_first")
    await night.see("no line looks like an error")


@on_the_night()
async def test_from_a_job_a_key_opens_the_log_at_its_first_error(night: Night) -> None:
    await open_job(night)
    await night.act("error_first")
    await night.see("LOG attempt", "ERROR could not extend")
    pane = night.widget("#log")
    await night.until(lambda: pane.marked == 4, "the first error")  # type: ignore[attr-defined]


@on_the_night()
async def test_a_truncated_log_in_the_store_is_not_reported_as_truncated_at_the_source(night: Night) -> None:
    night.reads.runs_[1] = run_view(1, log="the end of it", log_cut=True)
    night.requests.silent = True
    await open_job(night)
    await night.act("log")
    await night.see("the end of it", "earlier lines left out")
    night.requests.silent = False
    await night.see("connecting to db07")
    await night.wait_until_hidden("earlier lines left out")


@on_the_night()
async def test_from_a_job_a_key_searches_the_log_and_another_follows_it(night: Night) -> None:
    await open_job(night)
    await night.act("search")
    await night.typing()
    await night.type("DB07")
    await night.press("enter")
    pane = night.widget("#log")
    await night.until(lambda: pane.marked == 1, "the marked line")  # type: ignore[attr-defined]
    await night.press("escape", "escape")
    await night.see("upstream etl-hosts")
    await night.act("follow")
    await night.see("LOG attempt")
    assert night.widget("#log").following  # type: ignore[attr-defined]


@contextmanager
def _lent(app: HeadwayApp) -> Iterator[None]:
    yield


def test_from_a_job_a_key_opens_the_log_in_the_pager(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def ran(argv: Sequence[str], check: bool) -> subprocess.CompletedProcess[str]:
        shown.append(Path(argv[-1]).read_text(encoding="utf-8"))
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(HeadwayApp, "suspend", _lent)
    monkeypatch.setattr(subprocess, "run", ran)

    @on_the_night()
    async def drive(night: Night) -> None:
        night.requests.log_text = "one\nNo space left\n"
        await open_job(night)
        await night.act("pager")
        await night.until(lambda: bool(shown), "the pager")

    drive()
    assert ["one\nNo space left\n"] == shown


@on_the_night(size=(120, 40))
async def test_help_shows_the_keys_of_the_log_on_run_and_job(night: Night) -> None:
    await open_job(night)
    await night.act("help")
    await night.type("log")
    await night.see("first error line", "follow its end", "in $PAGER", "find text in the run's log")
