"""`Z` shows every time of every screen on another wall, and the header says on which."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from console.config.key_table import SCREENS
from console.domain.finding import FindingView
from console.domain.history import NO_ESTIMATE
from console.domain.reason import ScheduleChanged
from console.domain.text import At
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock, ZoneMode
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.incidents.evidence import evidence_lines
from console.tui.views.incidents.summary import summary_lines
from console.tui.views.incidents.verdict_line import service_verdict
from console.tui.views.runs.overview import run_overview
from tests.deep import few
from tests.rows import each_row
from tests.tui.app.test_confirmation import SCREEN_KEYS, full
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import NOW, ZONE, FakeReads, at, incident, services

TIME = re.compile(r"(?<![\d:.-])(\d\d:\d\d)(?=[:\s)–·,;]|$)")
NATIVE = re.compile(r"(daily|every|hourly|at|gone since) (at )?\d\d:…?\d*\S*|│\d\d:\d\d:\d\d .*")
"""Words of a scheduler and lines of a log: they stay as they were written."""


def times(night: Night) -> set[str]:
    return {result for line in night.text.splitlines() for result in TIME.findall(NATIVE.sub("", line))}


def earlier(clock: str) -> str:
    return (datetime.strptime(clock, "%H:%M") - timedelta(hours=1)).strftime("%H:%M")  # noqa: DTZ007


@pytest.mark.parametrize(
    "where", few(sorted((set(SCREENS) & set(SCREEN_KEYS)) - {"run", "shadow", "tonight", "plan"}), 4)
)
def test_every_time_is_in_the_zone_of_the_header_which_alone_names_it(where: str) -> None:
    @on_the_night(size=(120, 36), prepare=full(where))
    async def turned(night: Night) -> None:
        await SCREEN_KEYS[where](night)
        await night.at_rest()
        there = times(night)
        assert "03:17:42 CET" in night.text.splitlines()[0]
        assert 1 == NATIVE.sub("", night.text).count("CET"), night.text
        await night.press("Z")
        await night.see("times: UTC", "02:17:42 UTC")
        await night.at_rest()
        assert {earlier(name) for name in there} == times(night), night.text

    turned()


def berlin(mode: ZoneMode = ZoneMode.SERVICE) -> RenderContext:
    clock = ZonedClock()
    clock.home, clock.mode = ZONE, mode
    return RenderContext(NOW, clock, GlyphSet())


@each_row(
    "text, in_berlin, in_utc",
    [
        ("last green, 2026-11-18 23:30Z", "last green, Thu 00:30", "last green, Wed 23:30"),
        ("last 2026-11-10T09:00:00Z", "last 11-10 10:00", "last 11-10 09:00"),
        ("since 2026-07-20T05:47:00Z", "since 07-20 07:47 CEST", "since 07-20 05:47"),
        ("held until 2026-11-20T09:00:00Z", "held until 10:00", "held until 09:00"),
        ("ended 20:05 JST", "ended 20:05 JST", "ended 20:05 JST"),
        ("on 2026-02-30 10:00 UTC", "on 2026-02-30 10:00 UTC", "on 2026-02-30 10:00 UTC"),
        ("ran 03:10:00 CET", "ran 03:10:00 CET", "ran 03:10:00 CET"),
    ],
)
def test_a_text_of_the_engine_has_the_times_of_the_screen(text: str, in_berlin: str, in_utc: str) -> None:
    assert in_berlin == berlin().localized(text)
    assert in_utc == berlin(ZoneMode.UTC).localized(text)


def test_a_literal_text_names_its_local_times_behind_it_each_once() -> None:
    text = "hold 2026-10-20T03:00:00Z until 2026-11-20T03:00:00Z (2026-11-20T03:00:00Z)"
    assert f"{text} (10-20 05:00 CEST, 04:00 CET)" == berlin().with_local_times(text)
    assert text == berlin(ZoneMode.UTC).with_local_times(text)


def test_the_findings_of_a_run_are_in_the_zone_of_its_screen() -> None:
    why = "no start in the log by ", At(NOW.replace(hour=2, minute=5))
    finding = FindingView(1, "stuck", "warning", "dwh/mart", 1, "", 1, NOW, NOW, None, "", why, "", "")
    view = dataclasses.replace(FakeReads().run(1), findings=(finding,))
    blocks = run_overview(view, None, berlin(), 200)
    text = "\n".join("".join(part for part, _ in line) for block in blocks for line in block)
    assert "stuck: no start in the log by 03:05" in text
    assert ("UTC" in text, "CET" in text) == (False, False)


def test_the_reasons_of_a_service_of_another_zone_are_in_the_zone_of_the_screen() -> None:
    changes: dict[str, Any] = {"reasons": (ScheduleChanged("load", at("04:30")),), "zone": "Asia/Tokyo"}
    view = incident()
    affected = dataclasses.replace(view.services[0], **changes, basis=NO_ESTIMATE)
    view = dataclasses.replace(view, services=(affected,))
    listed = dataclasses.replace(services()[0], **changes, act_by=None, problem=None)
    lines = [*evidence_lines(view, berlin()), service_verdict([listed], berlin(), 200)]
    lines += [list(row.cells) for row in summary_lines(view, berlin(), 200)]
    text = "\n".join("".join(part for part, *_ in line) for line in lines)
    assert (2, 0) == (text.count("load starts 04:30"), text.count("JST")), text
