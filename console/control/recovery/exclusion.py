"""Exclusion: a plan without the steps that a person leaves out, and the services that it then does not save."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from console.domain.plan import HOLD_VERBS, WAIT, DraftStep, ExcludedRun, PlanDraft, SavedService, StepKey
from console.domain.step_graph import StepGraph
from console.domain.text import Text


def without_steps(draft: PlanDraft, left_out: Collection[StepKey]) -> PlanDraft:
    """The draft without these steps, renumbered: steps behind one that is left out wait for what it waited for. No
    service day that needs one of them is saved. Keys of steps that it does not have are ignored."""
    places = _with_their_holds(draft.steps, {step.place for step in draft.steps if step.key in left_out})
    dropped = [step for step in draft.steps if step.place in places]
    steps = [step for step in draft.steps if step.place not in places]
    graph, numbers = StepGraph.of(draft.steps), {step.place: number for number, step in enumerate(steps, 1)}
    excluded = (ExcludedRun(step.job, step.run_id, ("left out by hand",), step.period) for step in dropped)
    helped = {save.day for step in steps for save in step.saves}
    shortened = replace(
        draft,
        steps=tuple(
            replace(
                step,
                place=numbers[step.place],
                after=tuple(numbers[place] for place in graph.nearest(step.place, numbers)),
            )
            for step in steps
        ),
        excluded=(*draft.excluded, *excluded),
        notes=(*draft.notes, *_warnings(steps, dropped)),
        abandoned=tuple(save for step in dropped for save in step.saves if save.day not in helped),
    )
    return without_saves(shortened, dropped, "is left out")


def without_saves(draft: PlanDraft, steps: Iterable[DraftStep], reason: str) -> PlanDraft:
    """The draft, saving none of the service days that need these steps. `reason`: after the name of the job."""
    lost: dict[tuple[str, str], SavedService] = {}
    for step in steps:
        for save in step.saves:
            text = (f"not by this plan: {step.job} {reason}",)
            unsaved = replace(save, saved=False, text=text, waits_for=step.job, expected=None, late=None)
            lost.setdefault(save.day, unsaved)

    def current(saves: Sequence[SavedService]) -> tuple[SavedService, ...]:
        return tuple(save if save.waits_for else lost.get(save.day, save) for save in saves)

    kept = tuple(replace(step, saves=current(step.saves)) for step in draft.steps)
    return replace(draft, steps=kept, abandoned=current(draft.abandoned))


def _with_their_holds(steps: Sequence[DraftStep], left_out: Collection[int]) -> frozenset[int]:
    """Adds to a hold its release, to a release its hold, and the wait for the held job unless another step waits for
    it."""
    jobs = {step.job_id for step in steps if step.place in left_out and step.verb in HOLD_VERBS}
    places = {*left_out, *(step.place for step in steps if step.job_id in jobs and step.verb in HOLD_VERBS)}
    read = {place for step in steps if step.place not in places for place in step.after}
    waits = {step.place for step in steps if step.job_id in jobs and step.verb == WAIT}
    return frozenset(places | (waits - read))


def _warnings(steps: Iterable[DraftStep], dropped: Iterable[DraftStep]) -> list[Text]:
    by_place = {step.place: step for step in dropped}
    return [
        (f"{step.job} reads {by_place[place].job}, which is left out: repair that one by other means first",)
        for step in steps
        for place in step.after
        if place in by_place and by_place[place].job_id != step.job_id
    ]
