"""The columns of a proposed plan."""

from __future__ import annotations

from dataclasses import replace

from console.tui.steps import DRAFT, draft_columns
from tests.control.test_plan import FAILED, night


def test_a_wait_is_shown_whole() -> None:
    plan = night(FAILED, now="03:20")[1]
    assert draft_columns(plan) == DRAFT
    waiting = replace(plan, steps=(replace(plan.steps[0], after=(1, 2), wait_s=222.0),))
    [width] = [one.width for one in draft_columns(waiting) if one.title == "after"]
    assert len("1,2 +3m42s") == width
