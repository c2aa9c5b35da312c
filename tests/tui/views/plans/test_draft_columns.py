"""The columns of a proposed plan, and what has changed in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from console.tui.views.plans.rows import DRAFT_COLUMNS, changed_lines, draft_columns
from tests.control.recovery.test_proposal import FAILED, night
from tests.tui.fake_reads import draft
from tests.tui.views.runs.test_durations import look


def test_a_wait_is_shown_whole() -> None:
    plan = night(FAILED, now="03:20")[1]
    assert draft_columns(plan) == DRAFT_COLUMNS
    waiting = replace(plan, steps=(replace(plan.steps[0], after=(1, 2), wait_s=222.0),))
    [width] = [one.width for one in draft_columns(waiting) if one.title == "after"]
    assert len("1,2 +3m42s") == width


def changes_of(**changes: Any) -> str:
    """What is told of a plan whose second step has changed."""
    plan = draft()
    first, second, *others = plan.steps
    after = replace(plan, steps=(first, replace(second, **changes), *others))
    return "\n".join("".join(text for text, _ in line) for line in changed_lines(plan, after, look()))


@pytest.mark.parametrize("changes", [{"after": ()}, {"wait_s": 60.0}, {"preview": {"native_calls": ("curl x",)}}])
def test_a_step_that_does_something_else_has_changed(changes: dict[str, Any]) -> None:
    assert "changed  2 rerun warehouse-airflow/load_orders" in changes_of(**changes)


def test_a_plan_with_the_same_steps_says_that_only_order_or_times_changed() -> None:
    assert "Order or expected times changed; ^N shows every step" in changes_of(expected_s=9.0)
