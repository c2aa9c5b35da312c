"""When each service day would be there, by each way to go on: the plan, nothing at all, one step done otherwise.

Each way is the same proposal in another shape. A day is finished once the last step that it needs has run, and what
comes after that one, at the service's risk: the limit that says by when a step must start says it, so that a finish
never contradicts the verdict "saves" or "too late". Where a step is skipped or marked, what it takes still counts for
the steps before it, and one of which a part alone runs counts whole: such a finish is the latest, never too early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from connectors.words import Verb
from console.model.plans import WAIT, Draft, Save, Step
from console.model.shaping import Changes, shape, starts_of

ON_TIME, LATE, ASSERTED, PARTIAL, NEVER, UNKNOWN = "on time", "late", "asserted", "partial", "not delivered", "unknown"
PLANNED, CHANGED, NOTHING = "as planned", "as changed", "nothing done"
PARTS = ("failed-only", "downstream", "all")
"""How much of a step runs; the ways that finish alike stand in one column."""
OTHER_WAYS = (*PARTS, "skip", "mark-ok")
LEFT_OUT = "left out"
_MARKED = {Verb.SKIP: PARTIAL, Verb.MARK_OK: ASSERTED}


@dataclass(frozen=True, slots=True)
class Finish:
    """One service day by one way; `at` is None where it is not delivered, or nobody can tell."""

    stands: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """One way to go on, with a finish for each of the days in their order."""

    name: str
    is_present: bool
    """The plan as it stands on the screen, or as the command line wants it."""
    finishes: tuple[Finish, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """The days that the plan is for, and the ways, the most important one first."""

    days: tuple[Save, ...]
    ways: tuple[Way, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "services": [{"service": day.service, "bd": day.bd, "deadline": day.deadline} for day in self.days],
            "ways": [asdict(way) for way in self.ways],
        }


NO_WAYS = Outlook((), ())


def outlook(proposed: Draft, changes: Changes, place: int = 0) -> Outlook:
    """`place`: the step of the proposal whose other ways are told; the first that sends something where it is none."""
    days: dict[tuple[str, str], Save] = {}
    for save in (save for step in proposed.steps for save in step.saves if save.deadline):
        days.setdefault((save.service, save.bd), save)
    ways = []
    for name, each in _ways(proposed, changes, place):
        shaped = shape(proposed, each)
        gone = _left_out(proposed, shaped)
        finishes = tuple(Finish(NEVER) if day in gone else _finish(shaped, day) for day in days)
        ways.append(Way(name, each == changes, finishes))
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


def _left_out(proposed: Draft, shaped: Draft) -> set[tuple[str, str]]:
    """Days of which a step that they need is left out."""
    kept = {(step.job_id, step.period_key) for step in shaped.steps}
    left = [step for step in proposed.steps if (step.job_id, step.period_key) not in kept]
    return {(save.service, save.bd) for step in left for save in step.saves}


def _with_way(changes: Changes, step: Step, name: str) -> Changes:
    return replace(changes, alternatives={**changes.alternatives, step.place: name})


def _finish(draft: Draft, day: tuple[str, str]) -> Finish:
    """Of one service day, by a draft that is shaped."""
    needed = [(step, save) for step in draft.steps for save in step.saves if (save.service, save.bd) == day]
    verdict = _worst([save for _, save in needed])
    marks = {step.job: _MARKED[Verb(step.verb)] for step in draft.steps if step.verb in _MARKED}
    if verdict.waits_for and verdict.waits_for not in marks:
        return Finish(NEVER)
    at, is_known = _latest(draft.steps, needed)
    if not is_known or (verdict.saved is None):
        return Finish(UNKNOWN)
    is_late = at is not None and at > datetime.fromisoformat(verdict.deadline)
    if is_late or (verdict.saved is False and not verdict.waits_for):
        return Finish(LATE, at)
    return Finish(marks.get(verdict.waits_for, ON_TIME), at)


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
