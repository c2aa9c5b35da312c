"""The wallboard: old data never looks healthy, it turns its own pages, recovers by itself, and ignores keys."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.domain.header import EngineView
from console.domain.reason import OutOfReach
from console.domain.service import ServiceView
from console.domain.switches import SystemPause
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from console.tui.views.wallboard import LATE, PAGE_SECONDS, WallboardState, wallboard_lines
from console.tui.widgets.bar import BarLine
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import NOW, at, header, incident_row, service, services, targets
from tests.tui.views.services.test_services import CALM, many

CONTEXT = RenderContext(NOW, ZonedClock(), GlyphSet())
DEAD = CALM._replace(engine=EngineView("host-1", at("22:00"), at("03:12"), False))


def wall(**changes: object) -> WallboardState:
    return dataclasses.replace(WallboardState(CALM, many(4), (), targets(), "", NOW), **changes)  # type: ignore[arg-type]


def wallboard_text(lines: list[BarLine]) -> str:
    return "\n".join("".join(text for text, _ in (*left, *right)) for left, right, _ in lines)


def green(lines: list[BarLine]) -> list[str]:
    return [text for left, right, _ in lines for text, style in (*left, *right) if style == "ok" and text.strip()]


def test_a_calm_night_is_green_and_says_what_comes_next() -> None:
    lines = wallboard_lines(wall(), CONTEXT, 120, 36)
    assert "every service is on schedule, next: Service 0 03:00 in 42m" in wallboard_text(lines)
    assert " on time" not in green(lines)
    assert ["on time     "] * 4 == [text for text in green(lines) if "on time" in text]


def test_a_paused_system_says_who_paused_it_until_when() -> None:
    pause = SystemPause("pg-dwh", "mara", "it is moved", NOW - timedelta(minutes=9), at("05:00"))
    silent = [dataclasses.replace(item, failing_since=at("02:00"), pause=pause) for item in targets()]
    text = wallboard_text(wallboard_lines(wall(targets=silent), CONTEXT, 120, 36))
    assert f"paused by mara until {CONTEXT.hm(at('05:00'))}" in text
    assert "unreachable" not in text


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"header": DEAD}, "STALE: no engine since 02:12; the data is 5m old"),
        ({"error": "disk gone"}, "STALE: the store cannot be read: disk gone"),
        ({"read": NOW - LATE - timedelta(seconds=1)}, "STALE: the store does not answer; the data is 31s old"),
        ({"header": None, "error": "no such file"}, "STALE: the store cannot be read: no such file"),
        ({"header": None}, "reading the store"),
    ],
    ids=["no engine", "no store", "no answer", "never read", "not yet read"],
)
def test_nothing_is_green_while_its_data_is_old(changes: dict[str, object], text: str) -> None:
    lines = wallboard_lines(wall(**changes), CONTEXT, 120, 36)
    assert text in wallboard_text(lines)
    assert [] == green(lines)


def test_a_service_that_needs_an_unreachable_target_is_not_green_and_says_which() -> None:
    reason = OutOfReach("etl-hosts/db07", "unreachable", at("03:00"))
    blind = dataclasses.replace(many(1)[0], reasons=(reason,))
    lines = wallboard_lines(wall(services=[blind], targets=()), CONTEXT, 120, 36)
    assert "? was on time" in wallboard_text(lines)
    assert "etl-hosts/db07 unreachable since 02:00" in wallboard_text(lines)
    assert [] == green(lines)


def test_services_that_need_somebody_are_on_every_page_and_all_others_take_turns() -> None:
    seen: set[str] = set()
    board = wall(services=[*services(), *many(60)], incidents=[incident_row()], header=header())
    for page in range(10):
        now = NOW + timedelta(seconds=page * PAGE_SECONDS)
        text = wallboard_text(wallboard_lines(dataclasses.replace(board, read=now), CONTEXT._replace(now=now), 80, 23))
        assert "Supply plan" in text
        assert "Daily revenue" in text
        seen |= {view.title for view in board.services if f"{view.title} " in text}
    assert {view.title for view in board.services} == seen


@given(
    st.integers(0, 80), st.integers(0, 12), st.integers(0, 30), st.integers(1, 220), st.integers(1, 60), st.booleans()
)
def test_a_board_of_any_size_has_exactly_its_lines(
    well: int, hurt: int, cases: int, width: int, height: int, plain: bool
) -> None:
    bad: list[ServiceView] = [service(n, f"bad-{n}", f"Bad {n}", 1, "05:00", timeliness="at_risk") for n in range(hurt)]
    board = wall(services=[*bad, *many(well)], incidents=[incident_row(id=n) for n in range(cases)])
    assert height == len(wallboard_lines(board, RenderContext(NOW, ZonedClock(), GlyphSet(plain)), width, height))


@on_the_night(screen="wallboard", size=(120, 36))
async def test_no_key_but_those_that_leave_does_anything(night: Night) -> None:
    await night.see("Supply plan", "INC-0412", "2 services need attention")
    before = night.app.screen
    await night.press("enter", "r", "a", "1", "2", ":", "F", "ctrl+p", "question_mark", "escape", "$", "space")
    await night.at_rest()
    assert before is night.app.screen
    assert ([], [], []) == (night.requests.calls, night.requests.sent, night.factories)
    await night.press("q")
    await night.until(lambda: not night.app.is_running or night.app.return_code is not None, "its end")


@on_the_night(screen="wallboard", size=(80, 24))
async def test_a_lost_store_is_found_again_without_a_key(night: Night) -> None:
    await night.see("Supply plan")
    night.reads.broken = "disk gone"
    night.reads.changed()
    night.app.read_header()
    await night.see("STALE: the store cannot be read: disk gone")
    night.reads.broken = ""
    await night.wait_until_hidden("STALE:")
    await night.see("2 services need attention")


@pytest.mark.parametrize("title", ["e\u0301" * 12 + " broken", "\u8868" * 12 + " broken"], ids=["combining", "wide"])
def test_a_title_takes_the_cells_that_it_has(title: str) -> None:
    incident = dataclasses.replace(incident_row(), title=title, act_by=None, acknowledged_by="")
    assert f"{title} unacknowledged" in wallboard_text(wallboard_lines(wall(incidents=[incident]), CONTEXT, 120, 36))
