"""A plan that is proposed again: whether it is the one that was confirmed, and which steps differ."""

from __future__ import annotations

import dataclasses

from console.domain.plan import WAIT, PlanDraft
from console.domain.plan_change import UNCHANGED, PlanChange, is_same_plan
from tests.rows import each_row
from tests.tui.fake_reads import draft


def saving(saved: bool | None) -> PlanDraft:
    plan = draft()
    [first, *others] = plan.steps
    assert first.saves
    saves = tuple(dataclasses.replace(save, saved=saved, waits_for="") for save in first.saves)
    return dataclasses.replace(plan, steps=(dataclasses.replace(first, saves=saves), *others))


@each_row(
    "before, after, is_same",
    [(None, True, True), (True, True, True), (True, None, False), (True, False, False), (None, False, False)],
)
def test_a_plan_is_the_same_unless_it_promises_a_service_less(
    before: bool | None, after: bool | None, is_same: bool
) -> None:
    assert is_same is is_same_plan(saving(before), saving(after))


def test_a_plan_with_other_steps_is_another_one() -> None:
    plan = draft()
    assert not is_same_plan(plan, dataclasses.replace(plan, steps=plan.steps[:1]))
    assert is_same_plan(plan, draft())


def test_steps_that_differ_are_named_whatever_their_place() -> None:
    plan = draft()
    first, second, *others = plan.steps
    waiting = dataclasses.replace(second, verb=WAIT)
    after = dataclasses.replace(plan, steps=(waiting, *others))
    change = PlanChange.between(plan, after)
    assert "changed" == change.steps[second.key], "another verb for the same run"
    assert (first,) == change.removed
    assert {first.key: "new"}.items() <= PlanChange.between(after, plan).steps.items()
    assert UNCHANGED == PlanChange.between(plan, draft())
