"""A plan that is proposed again: whether it is still the one that was displayed, and which steps differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from console.domain.plan import DraftStep, PlanDraft, StepKey

VALID_SECONDS = 60.0
"""An older proposal is proposed again before it starts."""
PLAN_CHANGED = "the plan has changed since it was shown"
_PROMISES = {False: 0, None: 1, True: 2}
"""How much a plan promises of a service day, by `SavedService.saved`."""


def is_same_plan(plan: PlanDraft, other_plan: PlanDraft) -> bool:
    """True if `other_plan` does the same, in the same order, for the same services, and promises at least as much."""
    if _effects(plan) != _effects(other_plan):
        return False
    pairs = zip(plan.steps, other_plan.steps, strict=True)
    saves = (zip(before.saves, after.saves, strict=True) for before, after in pairs)
    return all(_PROMISES[after.saved] >= _PROMISES[before.saved] for step in saves for before, after in step)


def _effects(draft: PlanDraft) -> list[tuple[object, ...]]:
    keys = {step.place: step.key for step in draft.steps}
    return [_effect(step, keys) for step in draft.steps]


def _effect(step: DraftStep, keys: Mapping[int, StepKey]) -> tuple[object, ...]:
    """Its request, predecessors, safety and services; without its place and times."""
    after = sorted(keys[place] for place in step.after if place in keys)
    services = [save.service for save in step.saves]
    return step.job_id, step.verb, step.period, after, step.safety, step.refusal, services


@dataclass(frozen=True, slots=True)
class PlanChange:
    """Differences of a plan from the one that was displayed before."""

    steps: Mapping[StepKey, str]
    """ "new" or "changed", of each step that is."""
    removed: tuple[DraftStep, ...] = ()

    @classmethod
    def between(cls, before: PlanDraft, after: PlanDraft) -> PlanChange:
        old_steps, new_steps = _displayed_effects(before), _displayed_effects(after)
        steps = {
            key: "changed" if key in old_steps else "new"
            for key, effect in new_steps.items()
            if old_steps.get(key) != effect
        }
        return cls(steps, tuple(step for step in before.steps if step.key not in new_steps))


UNCHANGED = PlanChange({})


def _displayed_effects(draft: PlanDraft) -> dict[StepKey, tuple[object, ...]]:
    """The effect of each step with what else is displayed of it: verdicts on its services, and calls."""
    effects = {}
    for step, effect in zip(draft.steps, _effects(draft), strict=True):
        labels, calls = [save.label for save in step.saves], tuple(step.preview.get("native_calls") or ())
        effects[step.key] = (*effect, labels, calls)
    return effects
