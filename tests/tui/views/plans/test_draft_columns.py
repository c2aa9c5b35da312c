"""The columns of a proposed plan."""

from __future__ import annotations

from dataclasses import replace

from console.tui.views.plans.rows import DRAFT_COLUMNS, draft_columns
from tests.control.recovery.test_proposal import FAILED, night


def test_a_wait_is_shown_whole() -> None:
    plan = night(FAILED, now="03:20")[1]
    assert draft_columns(plan) == DRAFT_COLUMNS
    waiting = replace(plan, steps=(replace(plan.steps[0], after=(1, 2), wait_s=222.0),))
    [width] = [one.width for one in draft_columns(waiting) if one.title == "after"]
    assert len("1,2 +3m42s") == width
