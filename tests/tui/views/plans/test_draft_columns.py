"""The columns of a proposed plan, and what has changed in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from console.domain.plan import ExcludedRun, StepPeriod, unpolled_warning
from console.tui.views.plans.rows import (
    DRAFT_COLUMNS,
    changed_lines,
    draft_columns,
    draft_detail,
    draft_rows,
    plan_rows,
    recap_text,
    start_lines,
    summary_lines,
)
from tests.control.recovery.test_proposal import FAILED, night
from tests.tui.fake_reads import draft, incident, plan_of
from tests.tui.views.runs.test_durations import render_context


def test_a_wait_is_shown_whole() -> None:
    plan = night(FAILED, now="03:20")[1]
    assert draft_columns(plan) == DRAFT_COLUMNS
    waiting = replace(plan, steps=(replace(plan.steps[0], after=(1, 2), wait_s=222.0),))
    [width] = [column.width for column in draft_columns(waiting) if column.title == "after"]
    assert len("1,2 +3m42s") == width


def changes_of(**changes: Any) -> str:
    """What is notified of a plan whose second step has changed."""
    plan = draft()
    first, second, *others = plan.steps
    after = replace(plan, steps=(first, replace(second, **changes), *others))
    return "\n".join("".join(text for text, _ in line) for line in changed_lines(plan, after, render_context()))


@pytest.mark.parametrize("changes", [{"after": ()}, {"preview": {"native_calls": ("curl x",)}}])
def test_a_step_that_does_something_else_has_changed(changes: dict[str, Any]) -> None:
    assert "changed  2 rerun warehouse-airflow/load_orders" in changes_of(**changes)


def test_a_plan_with_the_same_steps_says_that_only_order_or_times_changed() -> None:
    assert "Order or expected times changed; ^N shows every step" in changes_of(expected_s=9.0)


def test_an_excluded_run_of_a_planned_job_is_not_denied_and_a_removed_one_has_its_period() -> None:
    plan = draft()
    first = plan.steps[0]
    excluded = (ExcludedRun(first.job, 7, ("superseded",)), ExcludedRun("etl-airflow/other", 8, ("left out by hand",)))
    lines = summary_lines(replace(plan, excluded=excluded), render_context())
    assert "excluded other: left out by hand" == "".join(text for text, _ in lines[-1])
    earlier = replace(plan, steps=(replace(first, period=StepPeriod("2026-11-19T03:14:00Z")), *plan.steps[1:]))
    shown = "\n".join("".join(text for text, _ in line) for line in changed_lines(earlier, plan, render_context()))
    assert f"removed  rerun {first.job} 2026-11-19 04:14" in shown


def test_an_excluded_run_of_another_region_of_a_planned_job_has_its_name() -> None:
    context, plan = render_context(), draft()
    eu, us = StepPeriod("2026-11-19T03:14:00Z", "EU"), StepPeriod("2026-11-19T03:14:00Z", "US")
    first = replace(plan.steps[0], period=eu)
    excluded = tuple(ExcludedRun(first.job, 7, ("superseded",), period) for period in (eu, us))
    plan = replace(plan, steps=(first, *plan.steps[1:]), excluded=excluded)
    lines = summary_lines(plan, context)
    assert f"excluded {first.job.partition('/')[2]} US: superseded" == "".join(text for text, _ in lines[-1])
    name = f"{first.job} 2026-11-19 04:14 US"
    assert [name] == [name for row in draft_rows(plan, (first,), context) if f"{name}  superseded" in str(row.cells)]
    assert any(name in "".join(text for text, _ in line) for line in start_lines(plan, context))


def test_steps_of_two_partitions_of_a_job_read_otherwise_before_and_after_the_start() -> None:
    first, second, *_ = draft().steps
    eu, us = StepPeriod("2026-11-19T03:14:00Z", "EU"), StepPeriod("US", "US")
    plan = replace(draft(), steps=(replace(first, period=eu), replace(second, job=first.job, period=us)))
    context, names = render_context(), (f"{first.job} 2026-11-19 04:14 EU", f"{first.job} US")
    pages = (
        [row.cells for row in draft_rows(plan, (), context)],
        [row.cells for row in plan_rows(plan_of(plan), context, 160)],
        ["".join(text for text, _ in line) for line in start_lines(plan, context)],
        ["".join(text for text, _ in line) for line in draft_detail(plan.steps[1], plan, context)],
    )
    assert [names, names, names, names[:1]] == [tuple(name for name in names if name in str(page)) for page in pages]


def test_a_recap_counts_a_service_without_estimate_apart_from_late_ones() -> None:
    view = incident()
    first, *others = (replace(service, timeliness="on_time") for service in view.services)
    unknown = replace(first, timeliness="no_estimate", expected=None)
    assert "1 service without estimate" == recap_text(replace(view, services=(unknown,)), render_context())
    assert "1 of 1 service on time, 1 service without estimate" == recap_text(
        replace(view, services=(unknown, *others[:1])), render_context()
    )


def test_a_service_that_the_plan_delivers_late_is_not_called_saved() -> None:
    plan = replace(draft(), excluded=(), abandoned=())
    day = next(save for step in plan.steps for save in step.saves if save.saved)
    late = replace(day, saved=False, text=("late in this plan: 98 % risk of being late",))
    steps = tuple(replace(step, saves=(late,)) for step in plan.steps)
    lines = summary_lines(replace(plan, steps=steps), render_context())
    text = "\n".join("".join(text for text, _ in line) for line in lines)
    assert f"does not save {day.shown_title}: late in this plan: 98 % risk of being late" in text
    assert f"\nsaves {day.shown_title}" not in text


def test_a_service_without_an_estimate_is_not_promised_before_the_start() -> None:
    plan = replace(draft(), excluded=(), abandoned=())
    days = {save.day: save for step in plan.steps for save in step.saves}
    unknown, *others = days.values()
    steps = tuple(
        replace(step, saves=tuple(
            replace(save, saved=None, text=("unknown: no estimate",)) if save.day == unknown.day else save
            for save in step.saves
        ))
        for step in plan.steps
    )  # fmt: skip
    lines = summary_lines(replace(plan, steps=steps), render_context())
    text = "\n".join("".join(text for text, _ in line) for line in lines)
    assert f"may save {unknown.shown_title} " in text
    assert ": unknown: no estimate" in text
    assert f"\nsaves {others[0].shown_title} " in text
    assert f"saves {unknown.shown_title}" not in text


def test_a_plan_on_a_system_that_is_not_polled_says_what_cannot_be_verified() -> None:
    plan = plan_of(draft(), 7)
    system = plan.steps[0].system
    assert "" == unpolled_warning(plan, ["other"])
    assert unpolled_warning(plan, [system, "other"]) == (
        f"{system} not polled: no step there can be verified until polling resumes."
        f" Fix: headway system pause {system} --off"
    )
    other = replace(plan.steps[1], system="warehouse-airflow")
    both = unpolled_warning(
        replace(plan, steps=(replace(plan.steps[0], system="etl-hosts"), other)), ["etl-hosts", "warehouse-airflow"]
    )
    assert both.endswith(" Fix: headway system pause etl-hosts --off; headway system pause warehouse-airflow --off")
    for state in ("verified", "abandoned"):
        over = replace(plan, steps=tuple(replace(step, state=state) for step in plan.steps))
        assert "" == unpolled_warning(over, [system])
