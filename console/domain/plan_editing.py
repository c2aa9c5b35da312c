"""A proposed plan as a person changes it (steps left out, reordered, delayed), and when each variant finishes.

A variant is the same proposal in another shape. Where the engine simulated it, its finish is the simulated one;
otherwise it is estimated from the proposal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from connectors.sdk.states import Verb
from console.domain.plan import (
    ALTERNATIVES,
    HOLD_VERBS,
    WAIT,
    DraftStep,
    LeftOutRun,
    PlanDraft,
    PlannedFinish,
    PlanRefused,
    SavedService,
)
from console.domain.service import format_late
from console.timing.durations import format_duration

MAX_WAIT_S = 30 * 86_400.0
"""Maximum wait of one step."""
VALID_SECONDS = 60.0
"""Validity of a proposal: an older one is proposed again before it starts."""
PLAN_CHANGED = "the night has moved on: this plan is another one now"


@dataclass(frozen=True, slots=True)
class DraftChanges:
    """Changes by a person, by the places of the draft."""

    only: frozenset[int] = frozenset()
    """Empty: all."""
    leave_out: frozenset[int] = frozenset()
    waits: Mapping[int, float] = field(default_factory=dict)
    """Seconds to wait before a step, once those that it waits for are verified."""
    alternatives: Mapping[int, str] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    """Steps that come first, in this order; the others keep theirs."""


def apply_changes(draft: PlanDraft, changes: DraftChanges) -> PlanDraft:
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
        steps=reassess_steps(_numbered(kept, order), left),
        left_out=(*draft.left_out, *(LeftOutRun(one.job, one.run_id, "left out by hand") for one in left)),
        notes=(*draft.notes, *_warnings(kept, left, steps)),
        given_up=_dropped_services(kept.values(), left),
    )


def is_same_plan(one: PlanDraft, other: PlanDraft) -> bool:
    """True if both do the same, in the same order, for the same services."""
    return [_effect(step) for step in one.steps] == [_effect(step) for step in other.steps]


def _effect(step: DraftStep) -> tuple[object, ...]:
    saves = [(save.service, save.label) for save in step.saves]
    return step.job_id, step.verb, step.period_key, step.after, step.safety, step.refusal, saves


def _with_its_hold(steps: Mapping[int, DraftStep], out: Collection[int]) -> frozenset[int]:
    """With a hold goes its release, and with a release its hold; then the wait for what was held, unless another step
    waits for that: it starts by its own clock, whatever it reads."""
    jobs = {steps[place].job_id for place in out if steps[place].verb in HOLD_VERBS}
    gone = {place for place, step in steps.items() if step.job_id in jobs and step.verb in HOLD_VERBS} | {*out}
    read = {above for place, step in steps.items() if place not in gone for above in step.after}
    waits = {place for place, step in steps.items() if step.job_id in jobs and step.verb == WAIT}
    return frozenset(gone | (waits - read))


def _dropped_services(kept: Iterable[DraftStep], left: Iterable[DraftStep]) -> tuple[SavedService, ...]:
    helped = {(save.service, save.business_date) for step in kept for save in step.saves}
    return tuple(
        save if save.saved is False else _without_step(save, step, f"{step.job} is left out")
        for step in left
        for save in step.saves
        if (save.service, save.business_date) not in helped
    )


def _without_step(save: SavedService, step: DraftStep, words: str) -> SavedService:
    return replace(save, saved=False, words=f"not by this plan: {words}", waits_for=step.job)


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
    kept = {key: value for key, value in step.parameters.items() if key != "scope"} if verb in _START_VERBS else {}
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


_START_VERBS = (Verb.RERUN, Verb.START)


def reassess_steps(steps: Sequence[DraftStep], left: Sequence[DraftStep] = ()) -> tuple[DraftStep, ...]:
    """The steps with what they save, where the first ones start now and each other one once what it waits for is over
    and its own wait is. `left`: steps left out; what one of them feeds is not saved by this plan."""
    missing: dict[tuple[str, str], SavedService] = {}
    for step, words in [
        *((one, f"{one.job} is left out") for one in left),
        *((one, _runs_nothing(one)) for one in steps),
    ]:
        for save in step.saves if words else ():
            missing.setdefault((save.service, save.business_date), _without_step(save, step, words))
    late: dict[tuple[str, str], SavedService] = {}
    starts = step_starts(steps)
    for step in steps:
        for save in step.saves:
            told, day = _in_time(step, save, starts[step.place]), (save.service, save.business_date)
            if save.saved and not told.saved and (day not in late or late[day].saved is None):
                late[day] = told
    return tuple(
        replace(step, saves=tuple(_current_verdict(save, late | missing) for save in step.saves)) for step in steps
    )


def _current_verdict(save: SavedService, found: Mapping[tuple[str, str], SavedService]) -> SavedService:
    """The verdict, kept if it is too late in any case."""
    told = found.get((save.service, save.business_date), save) if save.saved is not False or save.waits_for else save
    return replace(save, saved=told.saved, words=told.words, waits_for=told.waits_for)


def _runs_nothing(step: DraftStep) -> str:
    return _mark_effect(step) or (f"{step.job} cannot be run again from here" if step.cannot else "")


def _mark_effect(step: DraftStep) -> str:
    """The effect of a mark or skip on downstream jobs; empty for a step that runs."""
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
        takes = 0.0 if _mark_effect(step) else step.expected_s
        ends[step.place] = None if starts[step.place] is None or takes is None else max(0.0, start + takes)
    return starts


def _in_time(step: DraftStep, save: SavedService, start: float | None) -> SavedService:
    if save.slack_s is None or (start is not None and start <= save.slack_s):
        return save
    if start is None:
        return replace(save, saved=None, words="unknown: no estimate")
    late = format_duration(start - save.slack_s)
    return replace(save, saved=False, words=f"in this plan {step.job} starts {late} too late")


def _without(steps: Mapping[int, DraftStep], out: Collection[int]) -> dict[int, DraftStep]:
    """The steps that stay; each waits for the nearest that stay of those it waited for."""
    reach: dict[int, set[int]] = {}
    for place in _topological(steps):
        reach[place] = set()
        for above in steps[place].after:
            reach[place] |= reach[above] if above in out else {above}
    return {
        place: replace(step, after=tuple(sorted(reach[place]))) for place, step in steps.items() if place not in out
    }


def _topological(steps: Mapping[int, DraftStep]) -> list[int]:
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


def _warnings(kept: Mapping[int, DraftStep], left: Sequence[DraftStep], steps: Mapping[int, DraftStep]) -> list[str]:
    """Warnings about steps whose input is left out."""
    gone = {step.place for step in left}
    return [
        f"{step.job} reads {steps[above].job}, which is left out: repair that one by other means first"
        for place, step in kept.items()
        for above in steps[place].after
        if above in gone and steps[above].job_id != step.job_id
    ]


ON_TIME, LATE, ASSERTED, PARTIAL, NEVER, UNKNOWN = "on time", "late", "asserted", "partial", "not delivered", "unknown"
AT_RISK = "at risk"
"""Late more often than the service's risk allows, and less often than not."""
IF_GOOD = "if good"
"""In time by the next starts of the jobs' own clocks, if those end well."""
AS_PLANNED, AS_CHANGED, DO_NOTHING = "as planned", "as changed", "nothing done"
PARTS = ("failed-only", "downstream", "all")
"""Scopes of a rerun; variants with equal finishes share a column."""
OTHER_VARIANTS = (*PARTS, "skip", "mark-ok")
LEFT_OUT = "left out"
_RESULT_TEXT = {"skip": "skipped", "mark-ok": "marked OK"}
_MARKED = {Verb.SKIP: PARTIAL, Verb.MARK_OK: ASSERTED}
EVEN_ODDS = 0.5
ESTIMATE_SIGN = "~"
"""Before a finish that is a sum, where others were simulated."""


@dataclass(frozen=True, slots=True)
class VariantFinish:
    """One service day in one variant; `at` is None if it is not delivered, or unknown."""

    status: str
    at: datetime | None = None
    late: float | None = None
    """P(late); None: it is a sum of usual times."""

    @property
    def text(self) -> str:
        """The text after its time: " on time"; ", 12 % late" if simulated, " partial, 12 % late"."""
        if self.late is None:
            return f" {self.status}"
        stands = f" {self.status}" if self.status in (PARTIAL, ASSERTED) else ""
        return f"{stands}, {format_late(self.late)}"


@dataclass(frozen=True, slots=True)
class PlanVariant:
    """One variant of the plan, with a finish per day."""

    name: str
    is_present: bool
    """True for the plan as shown on the screen or requested by the command."""
    finishes: tuple[VariantFinish, ...]

    @property
    def label(self) -> str:
        """ "step 1 skipped", "step 1 downstream/all"; "as planned"."""
        place, _, how = self.name.partition(" ")
        return f"step {place} {_RESULT_TEXT.get(how, how)}" if place.isdigit() else self.name


@dataclass(frozen=True, slots=True)
class PlanOutlook:
    """The service days of the plan and its variants, the most important variant first."""

    days: tuple[SavedService, ...]
    ways: tuple[PlanVariant, ...]

    @property
    def is_mixed(self) -> bool:
        """True where some finishes were simulated, and others are sums."""
        told = [one for way in self.ways for one in way.finishes if one.at is not None]
        return any(one.late is None for one in told) and any(one.late is not None for one in told)

    def sign(self, one: VariantFinish) -> str:
        """The prefix of its time: ESTIMATE_SIGN if others were simulated."""
        return ESTIMATE_SIGN if self.is_mixed and one.late is None and one.at is not None else ""

    def as_json(self) -> dict[str, Any]:
        return {
            "services": [
                {"service": day.service, "business_date": day.business_date, "deadline": day.deadline}
                for day in self.days
            ],
            "ways": [asdict(way) for way in self.ways],
        }


Base = tuple[datetime, datetime] | None
"""Finish of a day in the proposal: as a sum, and as simulated; None if not simulated."""
NO_OUTLOOK = PlanOutlook((), ())


def plan_outlook(proposed: PlanDraft, changes: DraftChanges, place: int = 0) -> PlanOutlook:
    """`place`: the step whose alternatives are compared; by default the first that sends something."""
    days: dict[tuple[str, str], SavedService] = {}
    for save in (save for step in proposed.steps for save in step.saves if save.deadline):
        days.setdefault((save.service, save.business_date), save)
    ways, bases = [], {day: _base(proposed, day) for day in days}
    for name, each in _variants(proposed, changes, place):
        shaped = apply_changes(proposed, each)
        gone = _left_out(proposed, shaped)
        finishes = (
            _with_native_starts(shaped, gone[day], day)
            if day in gone
            else _finish(shaped, day, _simulated(proposed, each, day))
            for day in days
        )
        told = zip(finishes, bases.values(), days.values(), strict=True)
        ways.append(
            PlanVariant(name, each == changes, tuple(_relative_to(one, base, day.deadline) for one, base, day in told))
        )
    ways = _merge_equal(ways)
    return PlanOutlook(tuple(days.values()), tuple(ways) if days else ())


def _merge_equal(ways: Sequence[PlanVariant]) -> list[PlanVariant]:
    """With one column for the parts of a step that may run, where all is finished at the same time."""
    found: list[PlanVariant] = []
    for way in ways:
        part, last = way.name.partition(" ")[2], found[-1] if found else None
        is_like = last is not None and last.finishes == way.finishes and last.name.rpartition("/")[2].endswith(PARTS)
        if last is not None and is_like and part in PARTS:
            found[-1] = replace(last, name=f"{last.name}/{part}")
        else:
            found.append(way)
    return found


def _variants(proposed: PlanDraft, changes: DraftChanges, place: int) -> list[tuple[str, DraftChanges]]:
    """Variants without duplicates, the present one first."""
    sending = [step for step in proposed.steps if step.verb != WAIT]
    found = [(AS_PLANNED if changes == DraftChanges() else AS_CHANGED, changes), (AS_PLANNED, DraftChanges())]
    found.append((DO_NOTHING, DraftChanges(leave_out=frozenset(step.place for step in sending))))
    step = next((one for one in sending if one.place == place), sending[0] if sending else None)
    if step is not None:
        kept = replace(changes, leave_out=changes.leave_out - {step.place})
        names = [name for name in OTHER_VARIANTS if name in step.alternatives]
        found += [(f"{step.place} {name}", _with_alternative(kept, step, name)) for name in names]
        out = replace(changes, leave_out=changes.leave_out | {step.place})
        found.append((f"{step.place} {LEFT_OUT}", out))
    return [(name, each) for number, (name, each) in enumerate(found) if each not in [one for _, one in found[:number]]]


def _left_out(proposed: PlanDraft, shaped: PlanDraft) -> dict[tuple[str, str], list[tuple[DraftStep, SavedService]]]:
    """Day -> the steps that it needs and that are left out."""
    kept = {(step.job_id, step.period_key) for step in shaped.steps}
    found: dict[tuple[str, str], list[tuple[DraftStep, SavedService]]] = {}
    for step in proposed.steps:
        for save in step.saves if (step.job_id, step.period_key) not in kept else ():
            found.setdefault((save.service, save.business_date), []).append((step, save))
    return found


def _with_native_starts(
    shaped: PlanDraft, left: Sequence[tuple[DraftStep, SavedService]], day: tuple[str, str]
) -> VariantFinish:
    """Of a day of which steps are left out: each is made up for by the next start of its job's own clock, or the day is
    not delivered. What starts before the others are through reads what is not finished."""
    needed = _needed(shaped, day)
    at, is_known = _latest(shaped.steps, needed)
    starts = step_starts(shaped.steps)
    ends = [_end(starts[step.place], step) for step, _ in needed]
    ats = [at] if at is not None else []
    for step, save in left:
        start = step.starts_s if step.verb == WAIT else step.again_s
        if start is None or not is_known or (step.verb == WAIT and any(end is None or end > start for end in ends)):
            return VariantFinish(NEVER)
        ends.append(_end(start, step))
        if save.slack_s is not None:
            ats.append(datetime.fromisoformat(save.deadline) + timedelta(seconds=start - save.slack_s))
    finish = max(ats, default=None)
    is_late = finish is not None and finish > datetime.fromisoformat(left[0][1].deadline)
    return VariantFinish(LATE if is_late else IF_GOOD, finish)


def _end(start: float | None, step: DraftStep) -> float | None:
    return None if start is None or step.expected_s is None else start + step.expected_s


def _needed(draft: PlanDraft, day: tuple[str, str]) -> list[tuple[DraftStep, SavedService]]:
    return [(step, save) for step in draft.steps for save in step.saves if (save.service, save.business_date) == day]


def _with_alternative(changes: DraftChanges, step: DraftStep, name: str) -> DraftChanges:
    return replace(changes, alternatives={**changes.alternatives, step.place: name})


def _finish(draft: PlanDraft, day: tuple[str, str], simulated: PlannedFinish | None) -> VariantFinish:
    """The finish of one service day in a changed draft. Asserted and undelivered days stay so."""
    needed = _needed(draft, day)
    verdict = _worst([save for _, save in needed])
    marks = {step.job: _MARKED[Verb(step.verb)] for step in draft.steps if step.verb in _MARKED}
    if verdict.waits_for and verdict.waits_for not in marks:
        return VariantFinish(NEVER)
    at, is_known = _latest(draft.steps, needed)
    if not is_known or (verdict.saved is None):
        return VariantFinish(UNKNOWN)
    if simulated is not None:
        return _as_simulated(simulated, verdict, marks.get(verdict.waits_for))
    is_late = at is not None and at > datetime.fromisoformat(verdict.deadline)
    if is_late or (verdict.saved is False and not verdict.waits_for):
        return VariantFinish(LATE, at)
    return VariantFinish(marks.get(verdict.waits_for, ON_TIME), at)


def _simulated(proposed: PlanDraft, changes: DraftChanges, day: tuple[str, str]) -> PlannedFinish | None:
    """The simulated finish of this variant; None if it was not simulated."""
    if changes.only or changes.leave_out or changes.order or any(changes.waits.values()):
        return None
    done = [place for place, name in changes.alternatives.items() if name in _RESULT_TEXT]
    known = {(finish.service, finish.business_date, finish.done): finish for finish in proposed.finishes}
    return known.get((*day, done[0] if done else 0)) if len(done) < 2 else None


def _as_simulated(found: PlannedFinish, verdict: SavedService, marked: str | None) -> VariantFinish:
    """Never better than the verdict: a day that is too late is at risk at best."""
    at = datetime.fromisoformat(found.at)
    in_time = at <= datetime.fromisoformat(verdict.deadline) and verdict.saved is not False
    stands = LATE if found.late > EVEN_ODDS else marked or (ON_TIME if in_time else AT_RISK)
    return VariantFinish(stands, at, found.late)


def _base(proposed: PlanDraft, day: tuple[str, str]) -> Base:
    """Of the proposal itself: its sum, and what was simulated of it."""
    simulated = _simulated(proposed, DraftChanges(), day)
    by_sum = _finish(apply_changes(proposed, DraftChanges()), day, None).at if simulated is not None else None
    return None if simulated is None or by_sum is None else (by_sum, datetime.fromisoformat(simulated.at))


def _relative_to(found: VariantFinish, base: Base, deadline: str) -> VariantFinish:
    """A sum, as much later than the proposal as it is by its sum."""
    if base is None or found.at is None or found.late is not None:
        return found
    by_sum, simulated = base
    at = simulated + max(found.at - by_sum, timedelta(0))
    is_late = at > datetime.fromisoformat(deadline)
    return VariantFinish(LATE if is_late else found.status, at)


def _worst(saves: Sequence[SavedService]) -> SavedService:
    """The verdict on a day: of its steps the one that does not save it."""
    return min(saves, key=lambda save: (save.saved is not False, save.saved is not None))


def _latest(
    steps: Sequence[DraftStep], needed: Sequence[tuple[DraftStep, SavedService]]
) -> tuple[datetime | None, bool]:
    """When the last of them is through; None where nothing is that pressing. False: nobody knows."""
    starts, found = step_starts(steps), []
    for step, save in needed:
        start, runs = starts[step.place], step.verb not in _MARKED
        if save.slack_s is None:
            continue
        if start is None:
            return None, False
        spare = save.slack_s if runs else save.slack_s + (save.takes_s or 0.0)
        found.append(datetime.fromisoformat(save.deadline) + timedelta(seconds=start - spare))
    return max(found, default=None), True
