"""When each service day would be there, by each way to go on: the plan, nothing at all, one step done otherwise.

Each way is the same proposal in another shape. The proposal itself, and with one step skipped or marked, was simulated
where the engine could: such a finish is by when the day is there but for the service's risk, and says how likely it is
late. Any other is a sum: a day is finished once the last step that it needs has run, and what comes after that one, at
the service's risk: the limit that says by when a step must start says it, so that a finish never contradicts the
verdict "saves" or "too late". There, where a step is skipped or marked, what it takes still counts for the steps before
it. One of which a part alone runs counts whole: such a finish is the latest, never too early. Beside a proposal that
was simulated a sum tells by how much a way is later than the proposal's own sum: on its own it knows of no clock that a
job waits for in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from connectors.words import Verb
from console.model.forecasts import late_words
from console.model.plans import WAIT, Draft, PlanFinish, Save, Step
from console.model.shaping import Changes, shape, starts_of

ON_TIME, LATE, ASSERTED, PARTIAL, NEVER, UNKNOWN = "on time", "late", "asserted", "partial", "not delivered", "unknown"
AT_RISK = "at risk"
"""Late more often than the service's risk allows, and less often than not."""
IF_GOOD = "if good"
"""In time by the next starts of the jobs' own clocks, if those end well."""
PLANNED, CHANGED, NOTHING = "as planned", "as changed", "nothing done"
PARTS = ("failed-only", "downstream", "all")
"""How much of a step runs; the ways that finish alike stand in one column."""
OTHER_WAYS = (*PARTS, "skip", "mark-ok")
LEFT_OUT = "left out"
_DONE_BY = {"skip": "skipped", "mark-ok": "marked OK"}
_MARKED = {Verb.SKIP: PARTIAL, Verb.MARK_OK: ASSERTED}
EVEN = 0.5
SUM = "~"
"""Before a finish that is a sum, where others were simulated."""


@dataclass(frozen=True, slots=True)
class Finish:
    """One service day by one way; `at` is None where it is not delivered, or nobody can tell."""

    stands: str
    at: datetime | None = None
    late: float | None = None
    """P(late); None: it is a sum of usual times."""

    @property
    def words(self) -> str:
        """What follows its time: " on time"; ", 12 % late" where that was simulated, " partial, 12 % late"."""
        if self.late is None:
            return f" {self.stands}"
        stands = f" {self.stands}" if self.stands in (PARTIAL, ASSERTED) else ""
        return f"{stands}, {late_words(self.late)}"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to go on, with a finish for each of the days in their order."""

    name: str
    is_present: bool
    """The plan as it stands on the screen, or as the command line wants it."""
    finishes: tuple[Finish, ...]

    @property
    def words(self) -> str:
        """ "step 1 skipped", "step 1 downstream/all"; "as planned"."""
        place, _, how = self.name.partition(" ")
        return f"step {place} {_DONE_BY.get(how, how)}" if place.isdigit() else self.name


@dataclass(frozen=True, slots=True)
class Outlook:
    """The days that the plan is for, and the ways, the most important one first."""

    days: tuple[Save, ...]
    ways: tuple[Way, ...]

    @property
    def is_mixed(self) -> bool:
        """True where some finishes were simulated, and others are sums."""
        told = [one for way in self.ways for one in way.finishes if one.at is not None]
        return any(one.late is None for one in told) and any(one.late is not None for one in told)

    def sign(self, one: Finish) -> str:
        """Before its time: SUM where that tells it from others."""
        return SUM if self.is_mixed and one.late is None and one.at is not None else ""

    def as_json(self) -> dict[str, Any]:
        return {
            "services": [{"service": day.service, "bd": day.bd, "deadline": day.deadline} for day in self.days],
            "ways": [asdict(way) for way in self.ways],
        }


Base = tuple[datetime, datetime] | None
"""When a day is there by the proposal: as a sum, and as simulated; None: it was not."""
NO_WAYS = Outlook((), ())


def outlook(proposed: Draft, changes: Changes, place: int = 0) -> Outlook:
    """`place`: the step of the proposal whose other ways are told; the first that sends something where it is none."""
    days: dict[tuple[str, str], Save] = {}
    for save in (save for step in proposed.steps for save in step.saves if save.deadline):
        days.setdefault((save.service, save.bd), save)
    ways, bases = [], {day: _base(proposed, day) for day in days}
    for name, each in _ways(proposed, changes, place):
        shaped = shape(proposed, each)
        gone = _left_out(proposed, shaped)
        finishes = (
            _by_own_clocks(shaped, gone[day], day)
            if day in gone
            else _finish(shaped, day, _simulated(proposed, each, day))
            for day in days
        )
        told = zip(finishes, bases.values(), days.values(), strict=True)
        ways.append(Way(name, each == changes, tuple(_beside(one, base, day.deadline) for one, base, day in told)))
    ways = _joined(ways)
    return Outlook(tuple(days.values()), tuple(ways) if days else ())


def _joined(ways: Sequence[Way]) -> list[Way]:
    """With one column for the parts of a step that may run, where all is finished at the same time."""
    found: list[Way] = []
    for way in ways:
        part, last = way.name.partition(" ")[2], found[-1] if found else None
        is_like = last is not None and last.finishes == way.finishes and last.name.rpartition("/")[2].endswith(PARTS)
        if last is not None and is_like and part in PARTS:
            found[-1] = replace(last, name=f"{last.name}/{part}")
        else:
            found.append(way)
    return found


def _ways(proposed: Draft, changes: Changes, place: int) -> list[tuple[str, Changes]]:
    """Each once; the present one stands first."""
    sending = [step for step in proposed.steps if step.verb != WAIT]
    found = [(PLANNED if changes == Changes() else CHANGED, changes), (PLANNED, Changes())]
    found.append((NOTHING, Changes(leave_out=frozenset(step.place for step in sending))))
    step = next((one for one in sending if one.place == place), sending[0] if sending else None)
    if step is not None:
        kept = replace(changes, leave_out=changes.leave_out - {step.place})
        names = [name for name in OTHER_WAYS if name in step.alternatives]
        found += [(f"{step.place} {name}", _with_way(kept, step, name)) for name in names]
        out = replace(changes, leave_out=changes.leave_out | {step.place})
        found.append((f"{step.place} {LEFT_OUT}", out))
    return [(name, each) for number, (name, each) in enumerate(found) if each not in [one for _, one in found[:number]]]


def _left_out(proposed: Draft, shaped: Draft) -> dict[tuple[str, str], list[tuple[Step, Save]]]:
    """Day -> the steps that it needs and that are left out."""
    kept = {(step.job_id, step.period_key) for step in shaped.steps}
    found: dict[tuple[str, str], list[tuple[Step, Save]]] = {}
    for step in proposed.steps:
        for save in step.saves if (step.job_id, step.period_key) not in kept else ():
            found.setdefault((save.service, save.bd), []).append((step, save))
    return found


def _by_own_clocks(shaped: Draft, left: Sequence[tuple[Step, Save]], day: tuple[str, str]) -> Finish:
    """Of a day of which steps are left out: each is made up for by the next start of its job's own clock, or the day is
    not delivered. What starts before the others are through reads what is not finished."""
    needed = _needed(shaped, day)
    at, is_known = _latest(shaped.steps, needed)
    starts = starts_of(shaped.steps)
    ends = [_end(starts[step.place], step) for step, _ in needed]
    ats = [at] if at is not None else []
    for step, save in left:
        start = step.starts_s if step.verb == WAIT else step.again_s
        if start is None or not is_known or (step.verb == WAIT and any(end is None or end > start for end in ends)):
            return Finish(NEVER)
        ends.append(_end(start, step))
        if save.slack_s is not None:
            ats.append(datetime.fromisoformat(save.deadline) + timedelta(seconds=start - save.slack_s))
    finish = max(ats, default=None)
    is_late = finish is not None and finish > datetime.fromisoformat(left[0][1].deadline)
    return Finish(LATE if is_late else IF_GOOD, finish)


def _end(start: float | None, step: Step) -> float | None:
    return None if start is None or step.expected_s is None else start + step.expected_s


def _needed(draft: Draft, day: tuple[str, str]) -> list[tuple[Step, Save]]:
    return [(step, save) for step in draft.steps for save in step.saves if (save.service, save.bd) == day]


def _with_way(changes: Changes, step: Step, name: str) -> Changes:
    return replace(changes, alternatives={**changes.alternatives, step.place: name})


def _finish(draft: Draft, day: tuple[str, str], simulated: PlanFinish | None) -> Finish:
    """Of one service day, by a draft that is shaped. What rests on a word, or is not delivered, stays so."""
    needed = _needed(draft, day)
    verdict = _worst([save for _, save in needed])
    marks = {step.job: _MARKED[Verb(step.verb)] for step in draft.steps if step.verb in _MARKED}
    if verdict.waits_for and verdict.waits_for not in marks:
        return Finish(NEVER)
    at, is_known = _latest(draft.steps, needed)
    if not is_known or (verdict.saved is None):
        return Finish(UNKNOWN)
    if simulated is not None:
        return _as_simulated(simulated, verdict, marks.get(verdict.waits_for))
    is_late = at is not None and at > datetime.fromisoformat(verdict.deadline)
    if is_late or (verdict.saved is False and not verdict.waits_for):
        return Finish(LATE, at)
    return Finish(marks.get(verdict.waits_for, ON_TIME), at)


def _simulated(proposed: Draft, changes: Changes, day: tuple[str, str]) -> PlanFinish | None:
    """What the simulation said of this way; None where it was asked of another."""
    if changes.only or changes.leave_out or changes.order or any(changes.waits.values()):
        return None
    done = [place for place, name in changes.alternatives.items() if name in _DONE_BY]
    known = {(one.service, one.bd, one.done): one for one in proposed.finishes}
    return known.get((*day, done[0] if done else 0)) if len(done) < 2 else None


def _as_simulated(found: PlanFinish, verdict: Save, marked: str | None) -> Finish:
    """It never contradicts the verdict: what that calls too late is at risk at best."""
    at = datetime.fromisoformat(found.at)
    in_time = at <= datetime.fromisoformat(verdict.deadline) and verdict.saved is not False
    stands = LATE if found.late > EVEN else marked or (ON_TIME if in_time else AT_RISK)
    return Finish(stands, at, found.late)


def _base(proposed: Draft, day: tuple[str, str]) -> Base:
    """Of the proposal itself: its sum, and what was simulated of it."""
    simulated = _simulated(proposed, Changes(), day)
    by_sum = _finish(shape(proposed, Changes()), day, None).at if simulated is not None else None
    return None if simulated is None or by_sum is None else (by_sum, datetime.fromisoformat(simulated.at))


def _beside(found: Finish, base: Base, deadline: str) -> Finish:
    """A sum, as much later than the proposal as it is by its sum."""
    if base is None or found.at is None or found.late is not None:
        return found
    by_sum, simulated = base
    at = simulated + max(found.at - by_sum, timedelta(0))
    is_late = at > datetime.fromisoformat(deadline)
    return Finish(LATE if is_late else found.stands, at)


def _worst(saves: Sequence[Save]) -> Save:
    """The verdict on a day: of its steps the one that does not save it."""
    return min(saves, key=lambda save: (save.saved is not False, save.saved is not None))


def _latest(steps: Sequence[Step], needed: Sequence[tuple[Step, Save]]) -> tuple[datetime | None, bool]:
    """When the last of them is through; None where nothing is that pressing. False: nobody knows."""
    starts, found = starts_of(steps), []
    for step, save in needed:
        start, runs = starts[step.place], step.verb not in _MARKED
        if save.slack_s is None:
            continue
        if start is None:
            return None, False
        spare = save.slack_s if runs else save.slack_s + (save.takes_s or 0.0)
        found.append(datetime.fromisoformat(save.deadline) + timedelta(seconds=start - spare))
    return max(found, default=None), True
