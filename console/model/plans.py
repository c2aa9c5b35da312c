"""Plans: ordered steps across systems, as they are proposed, changed by a person, and watched while they run.

`control.plan` proposes a `Draft`; screens and commands change it by `shape` and hand it over; rows of the store then
carry it out. Steps wait for those in `after`, so that independent branches go side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from connectors.words import Verb
from console.model.steps import NEVER
from console.model.words import Safety

WAIT = "wait"
"""The verb of a step that sends nothing: its run runs again already, or starts by itself, and must be good before
others go on."""
HOLDING = (Verb.HOLD, Verb.RELEASE)
"""Verbs of the steps that keep a downstream from starting meanwhile; one is nothing without the other."""
ALTERNATIVES: Mapping[str, tuple[Verb, Mapping[str, Any]]] = {
    "failed-only": (Verb.RERUN, {"scope": "failed"}),
    "downstream": (Verb.RERUN, {"scope": "downstream"}),
    "all": (Verb.RERUN, {"scope": "all"}),
    "start": (Verb.START, {}),
    "mark-ok": (Verb.MARK_OK, {}),
    "skip": (Verb.SKIP, {}),
}
"""What may be done with a step, by the name that people type."""
ALTERNATIVE_WORDS: Mapping[str, str] = {
    "failed-only": "rerun only what failed in it",
    "downstream": "rerun what failed, and all after it",
    "all": "rerun all of it",
    "start": "start it once now",
    "mark-ok": "say that it is good; nothing of it runs",
    "skip": "say that it is not needed; nothing of it runs",
}


class PlanRefused(Exception):
    """Why a plan cannot be changed or started so, in words for a person."""


@dataclass(frozen=True, slots=True)
class Save:
    """A service day that a step helps. `saved` None: nobody can tell, an estimate is missing."""

    service: str
    bd: str
    saved: bool | None
    words: str = ""
    """ "act by 03:58 UTC", "its act-by 03:58 UTC has passed", "not by this plan: …"."""
    slack_s: float | None = None
    """Seconds from the proposal by which this step must start; None where nothing after it is that pressing."""
    waits_for: str = ""
    """The job that this plan does not run again and that it waits for: held, left out, skipped or marked."""
    deadline: str = ""
    """Of the service day, ISO 8601 in UTC."""
    zone: str = ""
    """In which the service tells the time."""
    takes_s: float | None = None
    """What `slack_s` counts for this step itself, at the service's risk."""

    @property
    def label(self) -> str:
        if self.waits_for:
            return "unsaved"
        return "saves" if self.saved else "too late" if self.saved is False else "may save"


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
    starts_s: float = 0.0
    """Of a wait: when it starts by its own clock, or started (below 0), in seconds from the proposal."""
    again_s: float | None = None
    """When its own clock starts it once more for the same business date, in seconds from the proposal; None: never."""
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
    first_tier: tuple[str, ...] = ()
    """Services of tier 1 that hang on it."""
    cannot: str = ""
    """Why its system has no way to do this at all, and what a person does instead."""

    @property
    def refusal(self) -> str:
        """Why it can never be sent as it stands; empty when it can."""
        if self.cannot:
            return self.cannot
        return NEVER if self.verb == Verb.RERUN and self.safety == Safety.NEVER else ""

    @property
    def way(self) -> str:
        """The way that a person chose instead of what was proposed; empty for none."""
        return f"{self.alternative}: {ALTERNATIVE_WORDS[self.alternative]}" if self.alternative else ""


@dataclass(frozen=True, slots=True)
class PlanFinish:
    """A service day if the plan is carried out, from the simulation."""

    service: str
    bd: str
    done: int
    """Place of the step that is skipped or marked instead of run; 0: none."""
    late: float
    """P(late)."""
    at: str
    """By then it is there but for the service's risk, ISO 8601 in UTC."""


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
    given_up: tuple[Save, ...] = ()
    """Service days that only steps which a person left out would have helped."""
    finishes: tuple[PlanFinish, ...] = ()
    """Of what is proposed, as it stands and with one step skipped; empty where nothing was simulated."""

    @property
    def unsaved(self) -> tuple[Save, ...]:
        """Of each service day that the plan does not save as it stands the reason, in the order of its steps."""
        of_steps = (one for step in self.steps for one in step.saves if one.saved is False)
        found: dict[tuple[str, str], Save] = {}
        for one in (*of_steps, *self.given_up):
            found.setdefault((one.service, one.bd), one)
        return tuple(found.values())

    @property
    def first_tier(self) -> tuple[str, ...]:
        """Services of tier 1 that hang on what it sends."""
        return tuple(dict.fromkeys(name for step in self.steps if step.verb != WAIT for name in step.first_tier))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Draft:
        """A draft that went through JSON."""
        steps = tuple(
            Step(**{**one, "after": tuple(one["after"]), "alternatives": tuple(one["alternatives"]),
                    "first_tier": tuple(one.get("first_tier", ())),
                    "saves": tuple(Save(**each) for each in one["saves"])})
            for one in data["steps"]
        )  # fmt: skip
        left_out = tuple(LeftOut(**one) for one in data["left_out"])
        given_up = tuple(Save(**one) for one in data.get("given_up", ()))
        finishes = tuple(PlanFinish(**one) for one in data.get("finishes", ()))
        notes = tuple(data["notes"])
        return cls(data["kind"], data["title"], data["incident_id"], steps, left_out, notes, given_up, finishes)
