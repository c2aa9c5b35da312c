"""The guided tour of the demo: five steps of one incident, each completed by doing it. Pure.

It sends and opens nothing itself and covers no row: two lines above the footer show the next step and its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from console.timing.durations import format_duration

NAMES = (
    "See what is at risk",
    "Open the incident",
    "Look where it spreads",
    "Plan the repair",
    "Start it, and see it proved",
)
Keys = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class TourState:
    """State of the console at one moment."""

    where: str
    """The screen or dialog, by its name in the key table."""
    only_problems: bool = False
    incidents: int = 0
    must_type: str = ""
    """The text that must be typed before anything is sent; empty for none."""


@dataclass(slots=True)
class GuidedTour:
    """Progress of the tour. `clock` returns seconds."""

    clock: Callable[[], float]
    step: int = 0
    on: bool = True
    had_incident: bool = False
    """Whether there was an incident yet."""
    plans: frozenset[str] = frozenset()
    skipped: int = 0
    begun: float = field(init=False)
    ended: float | None = None

    def __post_init__(self) -> None:
        self.begun = self.clock()

    @property
    def is_done(self) -> bool:
        return self.step == len(NAMES)

    def notice(self, seen: TourState) -> None:
        if self.is_done:
            return
        self.had_incident = self.had_incident or seen.incidents > 0
        if (self.had_incident and not seen.incidents) or "done" in self.plans:
            self._done(len(NAMES))
        else:
            self._done(_reached(seen))

    def take_plans(self, states: Iterable[str]) -> None:
        self.plans = frozenset(states)

    def skip(self) -> None:
        if not self.is_done:
            self.skipped += 1
            self._done(self.step + 1)

    def _done(self, steps: int) -> None:
        self.step = max(self.step, steps)
        if self.is_done and self.ended is None:
            self.ended = self.clock()

    @property
    def title(self) -> str:
        if self.is_done:
            return f"TOUR {len(NAMES)}/{len(NAMES)}  Done in {self.took}"
        return f"TOUR {self.step + 1}/{len(NAMES)}  {NAMES[self.step]}"

    @property
    def took(self) -> str:
        return format_duration((self.ended if self.ended is not None else self.clock()) - self.begun)

    def text(self, seen: TourState, key: Keys) -> str:
        if self.is_done:
            skipped = f" ({self.skipped} skipped)" if self.skipped else ""
            if seen.incidents and "done" in self.plans:
                return "Proved; stale downstream jobs run again. Your own estate: q, then headway init"
            if "running" in self.plans and not seen.incidents and not self.skipped:
                return "Repaired; the plan sees to the rest. Your own estate: q, then headway init"
            return f"That is the whole story{skipped}. Your own estate: q, then headway init"
        if seen.where == "preview" and self.step < len(NAMES) - 1:
            return f"Nothing is sent by looking. {key('preview', 'back')} closes it"
        return _STEP_TEXTS[self.step](self, seen, key)


def _reached(seen: TourState) -> int:
    """Steps that the place alone completes."""
    if seen.where in ("plan", "recovery"):
        return 4
    if seen.where in ("lineage", "run"):
        return 3
    if seen.where == "incident":
        return 2
    return 1 if seen.where == "services" and seen.only_problems and seen.incidents else 0


def _see_text(tour: GuidedTour, seen: TourState, key: Keys) -> str:
    if not tour.had_incident:
        return "A calm night, twenty times as fast. A job fails at 03:12: wait for it"
    if seen.where != "services":
        return f"{key(seen.where, 'services')} goes to Services: the deliveries promised to the business"
    return f"One job failed, two promises are at risk. {key('services', 'problems')} shows only what needs attention"


def _open(tour: GuidedTour, seen: TourState, key: Keys) -> str:
    if seen.where not in ("services", "incidents"):
        return f"{key(seen.where, 'services')} goes to Services"
    return f"ACT BY is the last minute that saves it. {key(seen.where, 'open')} opens what is behind it"


def _spread(tour: GuidedTour, seen: TourState, key: Keys) -> str:
    if seen.where != "incident":
        return f"{key(seen.where, 'incidents')} then {key('incidents', 'open')} opens the incident"
    lineage, log = key("incident", "lineage"), key("incident", "log")
    return f"One cause, one alert, two clocks. {lineage} shows what it affects, {log} its log"


def _plan(tour: GuidedTour, seen: TourState, key: Keys) -> str:
    if seen.where == "incident":
        return f"{key('incident', 'recover')} plans the repair over all systems; nothing is sent yet"
    if seen.where == "lineage":
        return f"The critical path is lit up to the promises. {key('lineage', 'back')} goes back to the incident"
    if seen.where == "run":
        return f"The disk was full. {key('run', 'back')} goes back to the incident"
    return f"{key(seen.where, 'incidents')} then {key('incidents', 'open')} opens the incident"


_PROVES = "Each step is verified at its scheduler; the rerun succeeds within a minute"


def _start(tour: GuidedTour, seen: TourState, key: Keys) -> str:
    if "running" in tour.plans:
        if seen.where == "recovery":
            return _PROVES
        return f"It goes on by itself, and its schedulers prove it; {key(seen.where, 'incidents')} shows its status"
    if "short" in tour.plans and seen.where in ("recovery", "incident"):
        recover = key("incident", "recover")
        return f"Proved, but too late for what had started: {recover} on the incident plans the rest"
    if seen.where == "recovery":
        return _PROVES
    if seen.where == "plan":
        return f"Each step with its scheduler's own verb. {key('plan', 'start')} asks once more before it starts"
    if seen.where == "preview":
        down, enter = key("grid", "move('down')"), key("preview", "choose")
        return f"{seen.must_type}, then {enter} starts it" if seen.must_type else f"{down} {enter} starts it"
    if seen.where == "incident":
        return f"{key('incident', 'recover')} shows the plan; once it runs, the incident closes when all is good"
    return f"{key(seen.where, 'incidents')} then {key('incidents', 'recover')} shows the plan; nothing is sent yet"


_STEP_TEXTS: tuple[Callable[[GuidedTour, TourState, Keys], str], ...] = (_see_text, _open, _spread, _plan, _start)
