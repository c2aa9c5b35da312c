"""Columns appear in one order as a table gets wider: none goes away again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from console.tui.dialogs import approve, confirm, palette
from console.tui.views import audit, holds, systems
from console.tui.views.actions import screen as actions
from console.tui.views.incidents import list as incidents
from console.tui.views.jobs import list as jobs
from console.tui.views.lineage import suggestions
from console.tui.views.lists import WIDE_FROM
from console.tui.views.plans import rows as plans
from console.tui.views.runs import rows as runs
from console.tui.views.services import rows as services
from console.tui.widgets.table import Column, column_widths
from tests.tui.fake_reads import FakeReads

READS = FakeReads()
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
    """The columns of a list of that width; one of its cells is the scroll bar's."""
    return {index for index, _ in column_widths(TABLES[table](width), width - 1)}


@pytest.mark.parametrize("table", TABLES)
def test_a_wider_table_has_each_column_of_a_narrower_one(table: str) -> None:
    lost = {width: gone for width in range(61, 201) if (gone := visible(table, width - 1) - visible(table, width))}
    assert not lost


def test_services_have_their_forecast_from_90_columns_on() -> None:
    titles = [column.title for column in services.SERVICES]
    assert all(titles.index("forecast") in visible("services", width) for width in range(90, 201))
