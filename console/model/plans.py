"""Plans: ordered steps across systems, as they are proposed, changed by a person, and watched while they run.

`control.plan` proposes a `Draft`; screens and commands change it by `shape` and hand it over; rows of the store then
carry it out. Steps wait for those in `after`, so that independent branches go side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from connectors.words import Verb
from console.model.steps import NEVER
from console.model.words import Safety

WAIT = "wait"
"""The verb of a step that sends nothing: its run runs again already, or starts by itself, and must be good before
others go on."""
ALTERNATIVES: Mapping[str, tuple[Verb, Mapping[str, Any]]] = {
    "failed-only": (Verb.RERUN, {"scope": "failed"}),
    "downstream": (Verb.RERUN, {"scope": "downstream"}),
    "all": (Verb.RERUN, {"scope": "all"}),
    "start": (Verb.START, {}),
    "mark-ok": (Verb.MARK_OK, {}),
    "skip": (Verb.SKIP, {}),
}
"""What may be done with a step, by the name that people type."""


class PlanRefused(Exception):
    """Why a plan cannot be changed or started so, in words for a person."""


@dataclass(frozen=True, slots=True)
class Save:
    """A service day that a step helps. `saved` None: nobody can tell, an estimate is missing."""

    service: str
    bd: str
    saved: bool | None
    words: str = ""
    """ "act by 03:58 UTC", "its act-by 03:58 UTC has passed"."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: an action on one run, once the steps in `after` are verified."""

    place: int
    """From 1, in the order shown."""
    verb: str
    job_id: int
    job: str
    system: str
    run_id: int | None
    """None for a period that has no run yet."""
    period_key: str
    state: str
    """Of the run, now."""
    why: str
    """Why it is there: "it ended failed"."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[int, ...] = ()
    wait_s: float = 0.0
    safety: str = Safety.ASK.value
    expected_s: float | None = None
    source: str = ""
    """Of `expected_s`: "history (14 runs)", "declared", "no estimate"."""
    saves: tuple[Save, ...] = ()
    alternatives: tuple[str, ...] = ()
    alternative: str = ""
    preview: Mapping[str, Any] = field(default_factory=dict)
    """What its scheduler would be sent now; empty where it could not be asked. It is asked again before it leaves."""
    trouble: str = ""
    """Why it could not be previewed."""

    @property
    def refusal(self) -> str:
        """Why it can never be sent as it stands; empty when it can."""
        return NEVER if self.verb == Verb.RERUN and self.safety == Safety.NEVER else ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is no step, and why: good already, started by its own clock, left out by a person."""

    job: str
    run_id: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that is proposed."""

    kind: str
    """"recovery", "backfill", "bulk"."""
    title: str
    incident_id: int | None
    steps: tuple[Step, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Draft:
        """A draft that went through JSON."""
        steps = tuple(
            Step(**{**one, "after": tuple(one["after"]), "alternatives": tuple(one["alternatives"]),
                    "saves": tuple(Save(**each) for each in one["saves"])})
            for one in data["steps"]
        )  # fmt: skip
        left_out = tuple(LeftOut(**one) for one in data["left_out"])
        return cls(data["kind"], data["title"], data["incident_id"], steps, left_out, tuple(data["notes"]))


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

    What waited for a step that is left out waits for what that one waited for. Raises PlanRefused for a place that is
    none, an alternative that a step does not have, and an order that puts a step before one that it waits for.
    """
    steps = {step.place: step for step in draft.steps}
    named = {*changes.only, *changes.leave_out, *changes.waits, *changes.alternatives, *changes.order}
    if unknown := sorted(named - steps.keys()):
        raise PlanRefused(f"there is no step {unknown[0]}; the plan has {len(steps)}")
    steps = {place: _changed(step, changes) for place, step in steps.items()}
    out = changes.leave_out | (steps.keys() - changes.only if changes.only else set())
    left = [step for place, step in steps.items() if place in out]
    kept = _without(steps, out)
    order = [*(place for place in changes.order if place in kept), *(p for p in kept if p not in changes.order)]
    return replace(
        draft,
        steps=_numbered(kept, order),
        left_out=(*draft.left_out, *(LeftOut(one.job, one.run_id, "left out by hand") for one in left)),
        notes=(*draft.notes, *_warnings(kept, left, steps)),
    )


def _changed(step: Step, changes: Changes) -> Step:
    wait = changes.waits.get(step.place, step.wait_s)
    if wait < 0:
        raise PlanRefused(f"step {step.place} cannot wait less than no time")
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
        expected_s=None if marks else step.expected_s,
        source="" if marks else step.source,
    )


_STARTS = (Verb.RERUN, Verb.START)


def _without(steps: Mapping[int, Step], out: frozenset[int] | set[int]) -> dict[int, Step]:
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
