"""When a plan that is proposed again still is the one that was confirmed."""

from __future__ import annotations

import dataclasses

import pytest

from console.domain.plan import PlanDraft
from console.domain.plan_editing import is_same_plan
from tests.tui.fake_reads import draft


def saving(saved: bool | None) -> PlanDraft:
    plan = draft()
    [first, *others] = plan.steps
    assert first.saves
    saves = tuple(dataclasses.replace(save, saved=saved, waits_for="") for save in first.saves)
    return dataclasses.replace(plan, steps=(dataclasses.replace(first, saves=saves), *others))


@pytest.mark.parametrize(
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
