"""A proposed plan as a person changes it (steps left out, reordered, delayed), and when each variant finishes.

A variant is the same proposal in another shape. Where the engine simulated it, its finish is the simulated one;
otherwise it is estimated from the proposal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Any

from connectors.sdk.records import instant_key
from connectors.sdk.states import Verb
from console.domain.plan import (
    ALTERNATIVES,
    HOLD_VERBS,
    WAIT,
    DraftStep,
    ExcludedRun,
    PlanDraft,
    PlannedFinish,
    PlanRefused,
    SavedService,
)
from console.domain.probability import format_probability, format_risk
from console.timing.durations import format_duration

MAX_WAIT_S = 30 * 86_400.0
VALID_SECONDS = 60.0
"""An older proposal is proposed again before it starts."""
PLAN_CHANGED = "the plan has changed since it was shown"


@dataclass(frozen=True, slots=True)
class DraftChanges:
    """Changes by a person, keyed by place."""

    only: frozenset[int] = frozenset()
    """Empty: all."""
    leave_out: frozenset[int] = frozenset()
    waits: Mapping[int, float] = field(default_factory=dict)
    """Seconds to wait once the steps before are verified."""
    alternatives: Mapping[int, str] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    """Steps that come first, in this order."""


def apply_changes(draft: PlanDraft, changes: DraftChanges) -> PlanDraft:
    """The draft with its steps left out, reordered, delayed or replaced by alternatives, then renumbered and
    reassessed. Steps behind one that is left out wait for what it waited for. Raises PlanRefused for an unknown place
    or alternative, and for an order that puts a step before one that it waits for."""
    shaped, days = _shape(draft, changes), _days(draft)
    finishes = dict(zip(days, _finishes(draft, changes, shaped, days), strict=True))
    simulated = _simulated_days(draft)
    steps = (
        replace(step, saves=tuple(_with_finish(save, finishes.get(save.day), simulated) for save in step.saves))
        for step in shaped.steps
    )
    return replace(shaped, steps=tuple(steps))


def _with_finish(save: SavedService, finish: VariantFinish | None, simulated: Collection[ServiceDay]) -> SavedService:
    """With the finish that `plan_outlook` shows; of a simulated day that finish decides whether it is saved."""
    save = replace(save, expected=instant_key(finish.at) if finish is not None and finish.at is not None else "")
    if finish is None or save.waits_for or save.day not in simulated:
        return save
    risk = format_risk(finish.late) if finish.late is not None else ""
    if finish.status == LATE:
        text = save.text if save.saved is False else ": ".join(filter(None, ["late in this plan", risk]))
        return replace(save, saved=False, text=text)
    return replace(save, saved=None, text=risk or AT_RISK) if finish.status == AT_RISK else save


def _shape(draft: PlanDraft, changes: DraftChanges) -> PlanDraft:
    steps = {step.place: step for step in draft.steps}
    named = {*changes.only, *changes.leave_out, *changes.waits, *changes.alternatives, *changes.order}
    if unknown := sorted(named - steps.keys()):
        raise PlanRefused(f"there is no step {unknown[0]}; the plan has {len(steps)}")
    steps = {place: _changed(step, changes) for place, step in steps.items()}
    out = changes.leave_out | (steps.keys() - changes.only if changes.only else set())
    out = _with_its_hold(steps, out)
    dropped = [step for place, step in steps.items() if place in out]
    remaining = _without(steps, out)
    order = [
        *(place for place in changes.order if place in remaining),
        *(p for p in remaining if p not in changes.order),
    ]
    return replace(
        draft,
        steps=_reassess_steps(_numbered(remaining, order), dropped, _simulated_days(draft)),
        excluded=(*draft.excluded, *(ExcludedRun(step.job, step.run_id, "left out by hand") for step in dropped)),
        notes=(*draft.notes, *_warnings(remaining, dropped, steps)),
        abandoned=_dropped_services(remaining.values(), dropped),
    )


StepKey = tuple[int, str]
ServiceDay = tuple[str, str]
"""Name of a service and business date."""


def step_key(step: DraftStep) -> StepKey:
    """The same for one step in two proposals, whatever its place."""
    return step.job_id, step.verb if step.verb in HOLD_VERBS else step.period_key


def is_same_plan(plan: PlanDraft, other_plan: PlanDraft) -> bool:
    """True if `other_plan` does the same, in the same order, for the same services, and promises none of them less."""
    if _effects(plan) != _effects(other_plan):
        return False
    pairs = zip(plan.steps, other_plan.steps, strict=True)
    saves = (zip(before.saves, after.saves, strict=True) for before, after in pairs)
    return all(
        _PROMISES.get(after.label, 0) >= _PROMISES.get(before.label, 0) for step in saves for before, after in step
    )


_PROMISES = {"may save": 1, "saves": 2}
"""Labels of a saved service, by how much they promise; any other one promises nothing."""


def _effects(draft: PlanDraft) -> list[tuple[object, ...]]:
    keys = {step.place: step_key(step) for step in draft.steps}
    return [_effect(step, keys) for step in draft.steps]


def _effect(step: DraftStep, keys: Mapping[int, StepKey]) -> tuple[object, ...]:
    """Its request, predecessors, safety and services; without its place and times."""
    after = sorted(keys[place] for place in step.after if place in keys)
    services = [save.service for save in step.saves]
    return step.job_id, step.verb, step.period_key, after, step.safety, step.refusal, services


@dataclass(frozen=True, slots=True)
class PlanChange:
    """Differences of a plan from the one that was shown before."""

    steps: Mapping[StepKey, str]
    """ "new" or "changed", of each step that is."""
    removed: tuple[DraftStep, ...] = ()

    @classmethod
    def between(cls, before: PlanDraft, after: PlanDraft) -> PlanChange:
        old_steps, new_steps = _shown_effects(before), _shown_effects(after)
        steps = {
            key: "changed" if key in old_steps else "new"
            for key, effect in new_steps.items()
            if old_steps.get(key) != effect
        }
        return cls(steps, tuple(step for step in before.steps if step_key(step) not in new_steps))


UNCHANGED = PlanChange({})


def _shown_effects(draft: PlanDraft) -> dict[StepKey, tuple[object, ...]]:
    """The effect of each step with what else is shown of it: verdicts on its services, calls, wait."""
    effects = {}
    for step, effect in zip(draft.steps, _effects(draft), strict=True):
        labels, calls = [save.label for save in step.saves], tuple(step.preview.get("native_calls") or ())
        effects[step_key(step)] = (*effect, labels, calls, step.wait_s)
    return effects


def _with_its_hold(steps: Mapping[int, DraftStep], left_out: Collection[int]) -> frozenset[int]:
    """A hold and its release are left out together; then the wait for the held job too, unless another step waits for
    it."""
    jobs = {steps[place].job_id for place in left_out if steps[place].verb in HOLD_VERBS}
    dropped = {place for place, step in steps.items() if step.job_id in jobs and step.verb in HOLD_VERBS} | {*left_out}
    read = {above for place, step in steps.items() if place not in dropped for above in step.after}
    waits = {place for place, step in steps.items() if step.job_id in jobs and step.verb == WAIT}
    return frozenset(dropped | (waits - read))


def _dropped_services(remaining: Iterable[DraftStep], dropped: Iterable[DraftStep]) -> tuple[SavedService, ...]:
    helped = {save.day for step in remaining for save in step.saves}
    return tuple(
        save if save.saved is False else _without_step(save, step, f"{step.job} is left out")
        for step in dropped
        for save in step.saves
        if save.day not in helped
    )


def _without_step(save: SavedService, step: DraftStep, reason: str) -> SavedService:
    return replace(save, saved=False, text=f"not by this plan: {reason}", waits_for=step.job)


def _changed(step: DraftStep, changes: DraftChanges) -> DraftStep:
    wait = changes.waits.get(step.place, step.wait_s)
    if wait < 0:
        raise PlanRefused(f"step {step.place} cannot wait less than no time")
    if wait > MAX_WAIT_S:
        raise PlanRefused(f"step {step.place} cannot wait longer than {format_duration(MAX_WAIT_S)}")
    name = changes.alternatives.get(step.place)
    if name is None:
        return replace(step, wait_s=wait)
    if name not in step.alternatives:
        has = ", ".join(step.alternatives)
        raise PlanRefused(f'step {step.place} ({step.job}) has no alternative "{name}"; it has: {has}')
    verb, parameters = ALTERNATIVES[name]
    same = verb == step.verb and dict(parameters) == dict(step.parameters)
    inherited = {key: value for key, value in step.parameters.items() if key != "scope"} if verb in _START_VERBS else {}
    marks = verb in (Verb.MARK_OK, Verb.SKIP)
    return replace(
        step,
        wait_s=wait,
        verb=verb.value,
        parameters={**inherited, **parameters},
        alternative=name,
        preview=step.preview if same else {},
        cannot=step.cannot if verb == step.verb else "",
        expected_s=None if marks else step.expected_s,
        basis=None if marks else step.basis,
    )


_START_VERBS = (Verb.RERUN, Verb.START)


def _simulated_days(draft: PlanDraft) -> frozenset[ServiceDay]:
    return frozenset((finish.service, finish.business_date) for finish in draft.finishes)


def _reassess_steps(
    steps: Sequence[DraftStep], dropped: Sequence[DraftStep], simulated: Collection[ServiceDay]
) -> tuple[DraftStep, ...]:
    """The steps with the services that they save if the first start now. `dropped`: steps left out; this plan does not
    save the services of those. `simulated`: days whose finish decides instead of the sum of usual durations."""
    missing: dict[tuple[str, str], SavedService] = {}
    reasons = [(step, f"{step.job} is left out") for step in dropped]
    for step, reason in [*reasons, *((step, _runs_nothing(step)) for step in steps)]:
        for save in step.saves if reason else ():
            missing.setdefault(save.day, _without_step(save, step, reason))
    late: dict[tuple[str, str], SavedService] = {}
    starts = step_starts(steps)
    for step in steps:
        for save in step.saves:
            verdict, day = _in_time(step, save, starts[step.place]), save.day
            if day in simulated or not save.saved or verdict.saved:
                continue
            if day not in late or late[day].saved is None:
                late[day] = verdict
    return tuple(
        replace(step, saves=tuple(_current_verdict(save, late | missing) for save in step.saves)) for step in steps
    )


def _current_verdict(save: SavedService, verdicts: Mapping[tuple[str, str], SavedService]) -> SavedService:
    verdict = verdicts.get(save.day, save) if save.saved is not False or save.waits_for else save
    return replace(save, saved=verdict.saved, text=verdict.text, waits_for=verdict.waits_for)


def _runs_nothing(step: DraftStep) -> str:
    return _mark_effect(step) or (f"{step.job} cannot be run again from here" if step.cannot else "")


def _mark_effect(step: DraftStep) -> str:
    if step.verb == Verb.SKIP:
        return f"{step.job} is skipped, so it is partial at best"
    return f"{step.job} is marked OK, so it is only asserted" if step.verb == Verb.MARK_OK else ""


def step_starts(steps: Sequence[DraftStep]) -> dict[int, float | None]:
    """Place -> seconds until it starts; None behind a step of unknown duration. `steps` in execution order."""
    starts: dict[int, float | None] = {}
    ends: dict[int, float | None] = {}
    for step in steps:
        known = [end for place in step.after if (end := ends[place]) is not None]
        start = max([step.starts_s, *known]) + step.wait_s
        starts[step.place] = start if len(known) == len(step.after) else None
        end = starts[step.place] if _mark_effect(step) else _end(starts[step.place], step)
        ends[step.place] = None if end is None else max(0.0, end)
    return starts


def _in_time(step: DraftStep, save: SavedService, start: float | None) -> SavedService:
    if save.slack_s is None or (start is not None and start <= save.slack_s):
        return save
    if start is None:
        return replace(save, saved=None, text="no estimate")
    late = format_duration(start - save.slack_s)
    return replace(save, saved=False, text=f"in this plan {step.job} starts {late} too late")


def _without(steps: Mapping[int, DraftStep], left_out: Collection[int]) -> dict[int, DraftStep]:
    """The steps that stay; each waits for the nearest remaining ones."""
    reach: dict[int, set[int]] = {}
    for place in _topological(steps):
        reach[place] = set()
        for above in steps[place].after:
            reach[place] |= reach[above] if above in left_out else {above}
    remaining = (place for place in steps if place not in left_out)
    return {place: replace(steps[place], after=tuple(sorted(reach[place]))) for place in remaining}


def _topological(steps: Mapping[int, DraftStep]) -> list[int]:
    try:
        order = list(TopologicalSorter({place: step.after for place, step in steps.items()}).static_order())
    except CycleError:
        order = []
    if len(order) != len(steps):  # or one waits for a step that is not there
        raise PlanRefused("the steps wait for each other")
    return order


def _numbered(steps: Mapping[int, DraftStep], order: Sequence[int]) -> tuple[DraftStep, ...]:
    numbers = {place: number for number, place in enumerate(order, 1)}
    for place in order:
        for above in steps[place].after:
            if numbers[above] > numbers[place]:
                raise PlanRefused(f"{steps[place].job} reads {steps[above].job}: it cannot come before it")
    return tuple(
        replace(steps[place], place=numbers[place], after=tuple(sorted(numbers[above] for above in steps[place].after)))
        for place in order
    )


def _warnings(
    remaining: Mapping[int, DraftStep], dropped: Sequence[DraftStep], steps: Mapping[int, DraftStep]
) -> list[str]:
    places = {step.place for step in dropped}
    return [
        f"{step.job} reads {steps[above].job}, which is left out: repair that one by other means first"
        for place, step in remaining.items()
        for above in steps[place].after
        if above in places and steps[above].job_id != step.job_id
    ]


ON_TIME, LATE, ASSERTED, PARTIAL = "on time", "late", "asserted", "partial"
NEVER, UNKNOWN = "not delivered", "no estimate"
AT_RISK = "at risk"
"""Late more often than the service's risk allows, but not more often than not."""
IF_GOOD = "if good"
"""In time if the jobs' next scheduled starts succeed."""
FINISH_NOTES = {
    IF_GOOD: "in time if the next scheduled starts of its jobs succeed",
    PARTIAL: "without the data of a step that is skipped",
    ASSERTED: "by a run marked OK, which its scheduler does not confirm",
}
AS_PLANNED, AS_CHANGED, DO_NOTHING = "as planned", "as changed", "nothing done"
PARTS = ("failed-only", "downstream", "all")
"""Scopes of a rerun; variants with equal finishes share a column."""
OTHER_VARIANTS = (*PARTS, "skip", "mark-ok")
LEFT_OUT = "left out"
_RESULT_TEXT = {"skip": "skipped", "mark-ok": "marked OK"}
_MARKED = {Verb.SKIP: PARTIAL, Verb.MARK_OK: ASSERTED}
ESTIMATE_SIGN = "about "
"""Before an estimated finish, where others were simulated."""


@dataclass(frozen=True, slots=True)
class VariantFinish:
    """One service day in one variant; `at` is None if it is unknown or not delivered."""

    status: str
    at: datetime | None = None
    late: float | None = None
    """P(late); None: an estimate, the sum of usual durations."""

    @property
    def text(self) -> str:
        """After its time: " on time"; if simulated the risk of being late, ", 12 %", " partial, 12 %"."""
        if self.late is None:
            return f" {self.status}"
        status = f" {self.status}" if self.status in (PARTIAL, ASSERTED) else ""
        return f"{status}, {format_probability(self.late)}"


@dataclass(frozen=True, slots=True)
class PlanVariant:
    """One variant of the plan, with a finish per day."""

    name: str
    is_present: bool
    """True for the plan as shown or requested."""
    finishes: tuple[VariantFinish, ...]

    @property
    def label(self) -> str:
        """ "step 1 skipped", "step 1 downstream/all", "as planned"."""
        place, _, how = self.name.partition(" ")
        return f"step {place} {_RESULT_TEXT.get(how, how)}" if place.isdigit() else self.name


@dataclass(frozen=True, slots=True)
class PlanOutlook:
    """The service days of the plan and its variants, the most important variant first."""

    days: tuple[SavedService, ...]
    variants: tuple[PlanVariant, ...]

    @property
    def is_mixed(self) -> bool:
        """True if some finishes were simulated and others are estimates."""
        finishes = [finish for way in self.variants for finish in way.finishes if finish.at is not None]
        return any(finish.late is None for finish in finishes) and any(finish.late is not None for finish in finishes)

    def sign(self, finish: VariantFinish) -> str:
        return ESTIMATE_SIGN if self.is_mixed and finish.late is None and finish.at is not None else ""

    def as_json(self) -> dict[str, Any]:
        names = ("service", "business_date", "deadline")
        services = [{name: getattr(day, name) for name in names} for day in self.days]
        return {"services": services, "variants": [asdict(way) for way in self.variants]}


Base = tuple[datetime, datetime, datetime] | None
"""Finish of a day in the proposal: estimated, simulated at the service's risk, and the usual one; None if not
simulated."""
NO_OUTLOOK = PlanOutlook((), ())


def plan_outlook(proposed: PlanDraft, changes: DraftChanges, place: int = 0) -> PlanOutlook:
    """`place`: the step whose alternatives are compared; by default the first that sends something."""
    days = _days(proposed)
    ways = [
        PlanVariant(name, variant == changes, _finishes(proposed, variant, _shape(proposed, variant), days))
        for name, variant in _variants(proposed, changes, place)
    ]
    ways = _merge_equal(ways)
    return PlanOutlook(tuple(save for save, _ in days.values()), tuple(ways) if days else ())


Days = Mapping[ServiceDay, tuple[SavedService, Base]]


def _days(proposed: PlanDraft) -> Days:
    """Its service days with a deadline, the earliest first, each with its finish in the proposal."""
    days: dict[tuple[str, str], SavedService] = {}
    dated = (save for step in proposed.steps for save in step.saves if save.deadline)
    for save in sorted(dated, key=lambda save: save.deadline):
        days.setdefault(save.day, save)
    return {day: (save, _base(proposed, day)) for day, save in days.items()}


def _finishes(proposed: PlanDraft, variant: DraftChanges, shaped: PlanDraft, days: Days) -> tuple[VariantFinish, ...]:
    """The finish of each day in the variant, whose draft is `shaped`."""
    dropped = _left_out(proposed, shaped)
    finishes = (
        _with_native_starts(shaped, dropped[day], day)
        if day in dropped
        else _finish(shaped, day, _simulated(proposed, variant, day))
        for day in days
    )
    return tuple(_relative_to(finish, base, save) for finish, (save, base) in zip(finishes, days.values(), strict=True))


def _merge_equal(ways: Sequence[PlanVariant]) -> list[PlanVariant]:
    merged: list[PlanVariant] = []
    for way in ways:
        part, last = way.name.partition(" ")[2], merged[-1] if merged else None
        is_equal = last is not None and last.finishes == way.finishes and last.name.rpartition("/")[2].endswith(PARTS)
        if last is not None and is_equal and part in PARTS:
            merged[-1] = replace(last, name=f"{last.name}/{part}")
        else:
            merged.append(way)
    return merged


def _variants(proposed: PlanDraft, changes: DraftChanges, place: int) -> list[tuple[str, DraftChanges]]:
    sending = [step for step in proposed.steps if step.verb != WAIT]
    variants = [(AS_PLANNED if changes == DraftChanges() else AS_CHANGED, changes), (AS_PLANNED, DraftChanges())]
    variants.append((DO_NOTHING, DraftChanges(leave_out=frozenset(step.place for step in sending))))
    step = next((candidate for candidate in sending if candidate.place == place), sending[0] if sending else None)
    if step is not None:
        included = replace(changes, leave_out=changes.leave_out - {step.place})
        names = [name for name in OTHER_VARIANTS if name in step.alternatives]
        variants += [
            (f"{step.place} {name}", replace(included, alternatives={**included.alternatives, step.place: name}))
            for name in names
        ]
        without = replace(changes, leave_out=changes.leave_out | {step.place})
        variants.append((f"{step.place} {LEFT_OUT}", without))
    return [pair for number, pair in enumerate(variants) if pair[1] not in [prior for _, prior in variants[:number]]]


def _left_out(proposed: PlanDraft, shaped: PlanDraft) -> dict[tuple[str, str], list[tuple[DraftStep, SavedService]]]:
    """Day -> the steps that it needs and that are left out."""
    remaining = {(step.job_id, step.period_key) for step in shaped.steps}
    dropped: dict[tuple[str, str], list[tuple[DraftStep, SavedService]]] = {}
    for step in proposed.steps:
        for save in step.saves if (step.job_id, step.period_key) not in remaining else ():
            dropped.setdefault(save.day, []).append((step, save))
    return dropped


def _with_native_starts(
    shaped: PlanDraft, dropped: Sequence[tuple[DraftStep, SavedService]], day: tuple[str, str]
) -> VariantFinish:
    """A day some of whose steps are left out: each is replaced by its job's next scheduled start, or the day is not
    delivered. A start before the others end would read unfinished data."""
    needed = _needed(shaped, day)
    at, is_known = _latest(shaped.steps, needed)
    starts = step_starts(shaped.steps)
    ends = [_end(starts[step.place], step) for step, _ in needed]
    ats = [at] if at is not None else []
    for step, save in dropped:
        start = step.starts_s if step.verb == WAIT else step.again_s
        if start is None or not is_known or (step.verb == WAIT and any(end is None or end > start for end in ends)):
            return VariantFinish(NEVER)
        ends.append(_end(start, step))
        if save.slack_s is not None:
            ats.append(datetime.fromisoformat(save.deadline) + timedelta(seconds=start - save.slack_s))
    finish = max(ats, default=None)
    is_late = finish is not None and finish > datetime.fromisoformat(dropped[0][1].deadline)
    return VariantFinish(LATE if is_late else IF_GOOD, finish)


def _end(start: float | None, step: DraftStep) -> float | None:
    return None if start is None or step.expected_s is None else start + step.start_within_s + step.expected_s


def _needed(draft: PlanDraft, day: tuple[str, str]) -> list[tuple[DraftStep, SavedService]]:
    return [(step, save) for step in draft.steps for save in step.saves if save.day == day]


def _finish(draft: PlanDraft, day: tuple[str, str], simulated: PlannedFinish | None) -> VariantFinish:
    needed = _needed(draft, day)
    verdict = min((save for _, save in needed), key=lambda save: (save.saved is not False, save.saved is not None))
    marks = {step.job: _MARKED[Verb(step.verb)] for step in draft.steps if step.verb in _MARKED}
    if verdict.waits_for and verdict.waits_for not in marks:
        return VariantFinish(NEVER)
    at, is_known = _latest(draft.steps, needed)
    is_by_sum = day not in _simulated_days(draft)
    if not is_known or (verdict.saved is None and is_by_sum):
        return VariantFinish(UNKNOWN)
    if simulated is not None:
        return _as_simulated(simulated, verdict, marks.get(verdict.waits_for))
    is_late = at is not None and at > datetime.fromisoformat(verdict.deadline)
    if is_by_sum and (is_late or (verdict.saved is False and not verdict.waits_for)):
        return VariantFinish(LATE, at)
    return VariantFinish(marks.get(verdict.waits_for, ON_TIME), at)


def _simulated(proposed: PlanDraft, changes: DraftChanges, day: tuple[str, str]) -> PlannedFinish | None:
    if changes.only or changes.leave_out or changes.order or any(changes.waits.values()):
        return None
    replaced = [place for place, name in changes.alternatives.items() if name in _RESULT_TEXT]
    simulated = {(finish.service, finish.business_date, finish.done): finish for finish in proposed.finishes}
    return simulated.get((*day, replaced[0] if replaced else 0)) if len(replaced) < 2 else None


def _as_simulated(simulated: PlannedFinish, verdict: SavedService, marked: str | None) -> VariantFinish:
    """A day past its act-by is at risk at best."""
    in_time = datetime.fromisoformat(simulated.at) <= datetime.fromisoformat(verdict.deadline) and verdict.saved
    status = LATE if simulated.is_late else marked or (ON_TIME if in_time else AT_RISK)
    return VariantFinish(status, datetime.fromisoformat(simulated.shown), simulated.late)


def _base(proposed: PlanDraft, day: tuple[str, str]) -> Base:
    simulated = _simulated(proposed, DraftChanges(), day)
    by_sum = _finish(_shape(proposed, DraftChanges()), day, None).at if simulated is not None else None
    if simulated is None or by_sum is None:
        return None
    return by_sum, datetime.fromisoformat(simulated.at), datetime.fromisoformat(simulated.shown)


def _relative_to(finish: VariantFinish, base: Base, proposed: SavedService) -> VariantFinish:
    """An estimate, shifted by the difference between the proposal's simulation and its estimate."""
    if base is None or finish.at is None or finish.late is not None:
        return finish
    by_sum, at_risk, usual = base
    later = max(finish.at - by_sum, timedelta(0))
    due = datetime.fromisoformat(proposed.deadline)
    if usual + later > due:
        return VariantFinish(LATE, usual + later)
    is_at_risk = at_risk + later > due or finish.status == LATE or not proposed.saved
    return VariantFinish(AT_RISK if is_at_risk else finish.status, usual + later)


def _latest(
    steps: Sequence[DraftStep], needed: Sequence[tuple[DraftStep, SavedService]]
) -> tuple[datetime | None, bool]:
    """When the last of them ends; None if nothing is that pressing. False: unknown."""
    starts, ends = step_starts(steps), []
    for step, save in needed:
        start, runs = starts[step.place], step.verb not in _MARKED
        if save.slack_s is None:
            continue
        if start is None:
            return None, False
        spare = save.slack_s if runs else save.slack_s + (save.duration_s or 0.0)
        ends.append(datetime.fromisoformat(save.deadline) + timedelta(seconds=start - spare))
    return max(ends, default=None), True
