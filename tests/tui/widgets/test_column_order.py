"""Columns appear in one order as a screen gets wider: none goes away again, not even for a preview."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from console.config.key_table import LIST_SCREENS
from console.tui.dialogs import approve, confirm, palette
from console.tui.frame.screen import HeadwayScreen
from console.tui.views import audit, holds, systems
from console.tui.views.actions import screen as actions
from console.tui.views.incidents import list as incidents
from console.tui.views.jobs import list as jobs
from console.tui.views.lineage import suggestions
from console.tui.views.lists import WIDE_FROM
from console.tui.views.plans import rows as plans
from console.tui.views.preview import PREVIEW_LEAST, list_width
from console.tui.views.runs import rows as runs
from console.tui.views.services import rows as services
from console.tui.widgets.grid import Grid
from console.tui.widgets.table import Column, column_widths, list_share
from tests.deep import few
from tests.rows import each_row
from tests.tui.driving import Night, on_the_night
from tests.tui.fake_reads import FakeReads

READS = FakeReads()


def shown_screen(night: Night) -> HeadwayScreen:
    assert isinstance(night.app.screen, HeadwayScreen)
    return night.app.screen


Columns = Sequence[Column]


def roomy_from(usual: Columns, roomy: Columns) -> Callable[[int], Columns]:
    return lambda width: roomy if width >= WIDE_FROM else usual


def constant(columns: Columns) -> Callable[[int], Columns]:
    return lambda width: columns


TABLES: dict[str, Callable[[int], Columns]] = {
    "services": lambda width: services.columns(READS.services_, width),
    "services by tier": lambda width: services.columns(READS.services_, width, by_tier=True),
    "jobs": roomy_from(jobs.JOB_COLUMNS, jobs.JOB_COLUMNS_ROOMY),
    "jobs by deadline": roomy_from(jobs.PROMISED_COLUMNS, jobs.JOB_COLUMNS_ROOMY),
    "jobs wide": constant(jobs.JOB_COLUMNS_WIDE),
    "runs": roomy_from(runs.RUN_COLUMNS, runs.RUN_COLUMNS_ROOMY),
    "runs wide": constant(runs.RUN_COLUMNS_WIDE),
    "runs of a job": constant(runs.JOB_RUN_COLUMNS),
    "incidents": constant(incidents.INCIDENT_COLUMNS),
    "systems": constant(systems.systems_columns(READS.targets_)),
    "holds": constant(holds.HOLD_COLUMNS),
    "actions": constant(actions.ACTION_COLUMNS),
    "audit": constant(audit.AUDIT_COLUMNS),
    "plan": constant(plans.DRAFT_COLUMNS),
    "plan progress": constant(plans.PROGRESS_COLUMNS),
    "suggestions": constant(suggestions.PAIR_COLUMNS),
    "decisions": constant(suggestions.DECISION_COLUMNS),
    "confirm": constant(confirm.CHOICES),
    "approve": constant(approve.APPROVAL_COLUMNS),
    "answers": constant(palette.ANSWER_COLUMNS),
    "jump": constant(palette.PLACE_COLUMNS),
    "keys": constant(palette.KEY_COLUMNS),
    "views": constant(palette.VIEW_COLUMNS),
}


def visible(table: str, width: int) -> set[int]:
    """The columns of a list on a screen of that width; one of its cells is the scroll bar's."""
    share = list_share(width)
    return {index for index, _ in column_widths(TABLES[table](share), list_width(width) - 1, share - 1)}


@each_row("table", TABLES)
def test_a_wider_screen_has_each_column_of_a_narrower_one(table: str) -> None:
    lost = {width: gone for width in range(61, 281) if (gone := visible(table, width - 1) - visible(table, width))}
    assert not lost


@pytest.mark.parametrize("where", few(LIST_SCREENS, 3))
def test_no_list_loses_a_column_to_its_preview(where: str) -> None:
    @on_the_night(size=(100, 45))
    async def widen(night: Night) -> None:
        await night.see("Supply plan")
        shown_screen(night).run_command(where)
        await night.until(lambda: shown_screen(night).WHERE == where, where)
        before: set[str] = set()
        for width in (100, 120, 159, 160, 169, 170, 192, 220):
            await night.pilot.resize_terminal(width, 45)
            await night.answered()
            grid = shown_screen(night).query_one("#grid", Grid)
            titles = {title.strip() for title, _ in grid._lines.titles(grid.room)}
            assert before <= titles, width
            before = titles

    widen()


def test_a_preview_has_room_for_its_lines() -> None:
    assert all(width - list_width(width) in (0, *range(PREVIEW_LEAST, width)) for width in range(100, 281))


def test_services_have_their_forecast_from_90_columns_on() -> None:
    titles = [column.title for column in services.SERVICES]
    assert all(titles.index("forecast") in visible("services", width) for width in range(90, 201))
