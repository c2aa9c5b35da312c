"""A proposed plan as a person wants it: without steps, in another order, with waits; and whom it saves then."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from connectors.words import Verb
from console.durations import duration_words
from console.model.plans import ALTERNATIVES, HOLDING, WAIT, Draft, LeftOut, PlanRefused, Save, Step

LONGEST_WAIT_S = 30 * 86_400.0
"""Of one step: what waits longer is another night's plan."""
VALID_SECONDS = 60.0
"""Of a proposal: one that is older is worked out anew before it starts."""
MOVED_ON = "the night has moved on: this plan is another one now"


@dataclass(frozen=True, slots=True)
class Changes:
    """What a person wants otherwise, by the places of the draft."""

    only: frozenset[int] = frozenset()
    """Empty: all."""
    leave_out: frozenset[int] = frozenset()
    waits: Mapping[int, float] = field(default_factory=dict)
    """Seconds to wait before a step, once those that it waits for are verified."""
    alternatives: Mapping[int, str] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    """Steps that come first, in this order; the others follow as they stood."""


def shape(draft: Draft, changes: Changes) -> Draft:
    """The draft as a person wants it: steps left out, in another order, with waits and alternatives, numbered anew.

    What waited for a step that is left out waits for what that one waited for; whom it saves is judged anew. Raises
    PlanRefused for a place that is none, an alternative that a step does not have, and an order that puts a step before
    one that it waits for.
    """
    steps = {step.place: step for step in draft.steps}
    named = {*changes.only, *changes.leave_out, *changes.waits, *changes.alternatives, *changes.order}
    if unknown := sorted(named - steps.keys()):
        raise PlanRefused(f"there is no step {unknown[0]}; the plan has {len(steps)}")
    steps = {place: _changed(step, changes) for place, step in steps.items()}
    out = changes.leave_out | (steps.keys() - changes.only if changes.only else set())
    out = _with_its_hold(steps, out)
    left = [step for place, step in steps.items() if place in out]
    kept = _without(steps, out)
    order = [*(place for place in changes.order if place in kept), *(p for p in kept if p not in changes.order)]
    return replace(
        draft,
        steps=judged(_numbered(kept, order), left),
        left_out=(*draft.left_out, *(LeftOut(one.job, one.run_id, "left out by hand") for one in left)),
        notes=(*draft.notes, *_warnings(kept, left, steps)),
        given_up=_given_up(kept.values(), left),
    )


def alike(one: Draft, other: Draft) -> bool:
    """True where both do the same, in the same order, for the same services."""
    return [_does(step) for step in one.steps] == [_does(step) for step in other.steps]


def _does(step: Step) -> tuple[object, ...]:
    saves = [(save.service, save.label) for save in step.saves]
    return step.job_id, step.verb, step.period_key, step.after, step.safety, step.refusal, saves


def _with_its_hold(steps: Mapping[int, Step], out: Collection[int]) -> frozenset[int]:
    """With a hold goes its release, and with a release its hold; then the wait for what was held, unless another step
    waits for that: it starts by its own clock, whatever it reads."""
    jobs = {steps[place].job_id for place in out if steps[place].verb in HOLDING}
    gone = {place for place, step in steps.items() if step.job_id in jobs and step.verb in HOLDING} | {*out}
    read = {above for place, step in steps.items() if place not in gone for above in step.after}
    waits = {place for place, step in steps.items() if step.job_id in jobs and step.verb == WAIT}
    return frozenset(gone | (waits - read))


def _given_up(kept: Iterable[Step], left: Iterable[Step]) -> tuple[Save, ...]:
    helped = {(save.service, save.bd) for step in kept for save in step.saves}
    return tuple(
        save if save.saved is False else _missing(save, step, f"{step.job} is left out")
        for step in left
        for save in step.saves
        if (save.service, save.bd) not in helped
    )


def _missing(save: Save, step: Step, words: str) -> Save:
    return replace(save, saved=False, words=f"not by this plan: {words}", waits_for=step.job)


def _changed(step: Step, changes: Changes) -> Step:
    wait = changes.waits.get(step.place, step.wait_s)
    if wait < 0:
        raise PlanRefused(f"step {step.place} cannot wait less than no time")
    if wait > LONGEST_WAIT_S:
        raise PlanRefused(f"step {step.place} cannot wait longer than {duration_words(LONGEST_WAIT_S)}")
    name = changes.alternatives.get(step.place)
    if name is None:
        return replace(step, wait_s=wait)
    if name not in step.alternatives:
        has = ", ".join(step.alternatives)
        raise PlanRefused(f'step {step.place} ({step.job}) has no alternative "{name}"; it has: {has}')
    verb, parameters = ALTERNATIVES[name]
    same = verb == step.verb and dict(parameters) == dict(step.parameters)
    kept = {key: value for key, value in step.parameters.items() if key != "scope"} if verb in _STARTS else {}
    marks = verb in (Verb.MARK_OK, Verb.SKIP)
    return replace(
        step,
        wait_s=wait,
        verb=verb.value,
        parameters={**kept, **parameters},
        alternative=name,
        preview=step.preview if same else {},
        cannot=step.cannot if verb == step.verb else "",
        expected_s=None if marks else step.expected_s,
        source="" if marks else step.source,
    )


_STARTS = (Verb.RERUN, Verb.START)


def judged(steps: Sequence[Step], left: Sequence[Step] = ()) -> tuple[Step, ...]:
    """The steps with what they save, where the first ones start now and each other one once what it waits for is over
    and its own wait is. `left`: steps left out; what one of them feeds is not saved by this plan."""
    missing: dict[tuple[str, str], Save] = {}
    for step, words in [
        *((one, f"{one.job} is left out") for one in left),
        *((one, _runs_nothing(one)) for one in steps),
    ]:
        for save in step.saves if words else ():
            missing.setdefault((save.service, save.bd), _missing(save, step, words))
    late: dict[tuple[str, str], Save] = {}
    starts = starts_of(steps)
    for step in steps:
        for save in step.saves:
            told, day = _in_time(step, save, starts[step.place]), (save.service, save.bd)
            if save.saved and not told.saved and (day not in late or late[day].saved is None):
                late[day] = told
    return tuple(replace(step, saves=tuple(_now(save, late | missing) for save in step.saves)) for step in steps)


def _now(save: Save, found: Mapping[tuple[str, str], Save]) -> Save:
    """Of what is too late whatever is done, the verdict stays."""
    told = found.get((save.service, save.bd), save) if save.saved is not False or save.waits_for else save
    return replace(save, saved=told.saved, words=told.words, waits_for=told.waits_for)


def _runs_nothing(step: Step) -> str:
    return _marked(step) or (f"{step.job} cannot be run again from here" if step.cannot else "")


def _marked(step: Step) -> str:
    """What a step that runs nothing makes of whom it feeds; empty for one that runs."""
    if step.verb == Verb.SKIP:
        return f"{step.job} is skipped, so it is partial at best"
    return f"{step.job} is marked OK, so it is only asserted" if step.verb == Verb.MARK_OK else ""


def starts_of(steps: Sequence[Step]) -> dict[int, float | None]:
    """Place -> seconds until it starts; None behind a step whose length nobody knows. In an order that holds."""
    starts: dict[int, float | None] = {}
    ends: dict[int, float | None] = {}
    for step in steps:
        known = [end for place in step.after if (end := ends[place]) is not None]
        start = max([step.starts_s, *known]) + step.wait_s
        starts[step.place] = start if len(known) == len(step.after) else None
        takes = 0.0 if _marked(step) else step.expected_s
        ends[step.place] = None if starts[step.place] is None or takes is None else max(0.0, start + takes)
    return starts


def _in_time(step: Step, save: Save, start: float | None) -> Save:
    if save.slack_s is None or (start is not None and start <= save.slack_s):
        return save
    if start is None:
        return replace(save, saved=None, words="nobody can tell: no estimate")
    late = duration_words(start - save.slack_s)
    return replace(save, saved=False, words=f"in this plan {step.job} starts {late} too late")


def _without(steps: Mapping[int, Step], out: Collection[int]) -> dict[int, Step]:
    """The steps that stay; each waits for the nearest that stay of those it waited for."""
    reach: dict[int, set[int]] = {}
    for place in _topological(steps):
        reach[place] = set()
        for above in steps[place].after:
            reach[place] |= reach[above] if above in out else {above}
    return {
        place: replace(step, after=tuple(sorted(reach[place]))) for place, step in steps.items() if place not in out
    }


def _topological(steps: Mapping[int, Step]) -> list[int]:
    done: list[int] = []
    seen: set[int] = set()
    left = list(steps)
    while left:
        ready = [place for place in left if seen.issuperset(steps[place].after)]
        if not ready:
            raise PlanRefused("the steps wait for each other")
        done += ready
        seen.update(ready)
        left = [place for place in left if place not in seen]
    return done


def _numbered(steps: Mapping[int, Step], order: Sequence[int]) -> tuple[Step, ...]:
    numbers = {place: number for number, place in enumerate(order, 1)}
    for place in order:
        for above in steps[place].after:
            if numbers[above] > numbers[place]:
                raise PlanRefused(f"{steps[place].job} reads {steps[above].job}: it cannot come before it")
    return tuple(
        replace(steps[place], place=numbers[place], after=tuple(sorted(numbers[above] for above in steps[place].after)))
        for place in order
    )


def _warnings(kept: Mapping[int, Step], left: Sequence[Step], steps: Mapping[int, Step]) -> list[str]:
    """What goes on although something that it reads is left out."""
    gone = {step.place for step in left}
    return [
        f"{step.job} reads {steps[above].job}, which is left out: repair that one by other means first"
        for place, step in kept.items()
        for above in steps[place].after
        if above in gone and steps[above].job_id != step.job_id
    ]
