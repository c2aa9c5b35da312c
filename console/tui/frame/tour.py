"""The guided tour of the demo: five steps of one incident, each completed by doing it. Pure.

It sends and opens nothing itself and covers no row: two lines above the footer show the next step and its key. The
clock of the demo waits while a step is read; it goes on once a plan has started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from console.domain.incident import IncidentView, repair_times
from console.timing.durations import format_duration

NAMES = (
    "See what is at risk",
    "Open the incident",
    "See where it spreads",
    "Plan the repair",
    "Start it, and see it verified",
)
Keys = Callable[[str, str], str]
MORE_STEPS, REPAIRED = "short", "repaired"
"""States of a plan for the tour: done, but its incident needs another one; running, but nothing is red or stale."""
_RUNS = {"running", REPAIRED}


@dataclass(frozen=True, slots=True)
class TourState:
    """State of the console at one moment."""

    where: str
    """The screen or dialog, by its name in the key table."""
    only_problems: bool = False
    incidents: int = 0
    must_type: str = ""
    """The text that must be typed before anything is sent; empty for none."""
    at_risk: tuple[str, ...] = ()
    """Titles of the services that the header counts."""
    is_paused: bool = False
    """The clock of the replay is stopped, as the header shows."""
    paused_by_key: bool = False
    delivered: tuple[tuple[str, str], ...] = ()
    """Titles of the delivered services, each with "Delivered on time" or "Delivered late"."""


@dataclass(slots=True)
class GuidedTour:
    """Progress of the tour. `clock` returns seconds."""

    clock: Callable[[], float]
    step: int = 0
    on: bool = True
    had_incident: bool = False
    """Whether there was an incident yet."""
    were_at_risk: tuple[str, ...] = ()
    """Titles of the services that were at risk at any time, in the order they were seen."""
    delivered: dict[str, str] = field(default_factory=dict)
    """As in `TourState`, of all that was seen: a service begins its next business date meanwhile."""
    is_repaired: bool = False
    """True while the header counts no incident after it counted one, or its plan has repaired the cause."""
    incident: IncidentView | None = None
    """That of the newest plan; None before it is read."""
    plans: frozenset[str] = frozenset()
    newest_plan: int | None = None
    waiting: tuple[int, str] | None = None
    """The newest plan that is paused or stopped, and which of both."""
    skipped: int = 0
    begun: float = field(init=False)
    ended: float | None = None

    def __post_init__(self) -> None:
        self.begun = self.clock()

    @property
    def is_done(self) -> bool:
        return self.step == len(NAMES)

    @property
    def is_being_read(self) -> bool:
        """True while it shows a step that waits for the reader, between the incident and the first plan."""
        return self.on and self.had_incident and not self.is_done and not self.plans

    def notice(self, seen: TourState) -> None:
        """Advances to what was done. It ends only when the header counts no service at risk, and no incident or one
        whose plan has only successful runs to wait for."""
        self.delivered.update(seen.delivered)
        if self.is_done:
            return
        self.were_at_risk += tuple(title for title in seen.at_risk if title not in self.were_at_risk)
        self.had_incident = self.had_incident or seen.incidents > 0
        self.is_repaired = self.had_incident and seen.incidents <= (REPAIRED in self.plans)
        if self.is_repaired and not seen.at_risk:
            self._done(len(NAMES))
        else:
            self._done(_reached(seen))

    def take_plans(self, states: Mapping[int, str], incident: IncidentView | None = None) -> None:
        """States of the plans by their number, the newest first; the incident of that one."""
        self.plans = frozenset(states.values())
        self.newest_plan = next(iter(states), None)
        self.waiting = next((plan for plan in states.items() if plan[1] in ("paused", "stopped")), None)
        self.incident = incident

    @property
    def awaits_plans(self) -> bool:
        """True while its text depends on the state of a plan: from the step that starts one until it has ended."""
        is_over = self._is_closed and not _RUNS & self.plans and self.waiting is None
        return self.step == len(NAMES) - 1 or (self.is_done and not is_over)

    @property
    def _is_closed(self) -> bool:
        return self.incident is not None and self.incident.row.closed is not None

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

    def recap(self, clock: Callable[[datetime], str]) -> str:
        """Summary of the repair, in one line, with times as `clock` formats them; empty if nothing was repaired."""
        if not self.is_repaired:
            return ""
        times = (repair_times(self.incident, clock) if self.incident is not None else "") or "repaired"
        saved: dict[str, list[str]] = {}
        for title in self.were_at_risk or ("every service",):
            saved.setdefault(self.delivered.get(title, "Expected on time"), []).append(title)
        outcomes = (f"{outcome}: {', '.join(titles)}" for outcome, titles in saved.items())
        return ". ".join([f"{times[:1].upper()}{times[1:]}", *outcomes])

    def text(self, seen: TourState, key: Keys) -> str:
        if self.is_done:
            skipped = f" ({self.skipped} skipped)" if self.skipped else ""
            if seen.at_risk or seen.incidents > (REPAIRED in self.plans):
                where = "services" if seen.at_risk else "incidents"
                return f"The night goes on: {key(seen.where, where)} shows what needs attention now"
            if self.waiting is not None:
                return _resumes(*self.waiting, seen, key)
            own_estate = f"Your own estate{skipped}: {key(seen.where, 'leave')}, then .venv/bin/headway init"
            return self._rest_of_plan(seen, key) + own_estate
        if seen.where == "preview" and self.step < len(NAMES) - 1:
            return f"Nothing is sent yet. {key('preview', 'back')} closes it"
        return _STEP_TEXTS[self.step](self, seen, key)

    def _rest_of_plan(self, seen: TourState, key: Keys) -> str:
        if self.newest_plan is None or self.skipped:
            return ""
        if _RUNS & self.plans:
            return "The plan finishes by itself. "
        if seen.where == "recovery":
            return "Above: the recap of the plan. "
        return f"{key(seen.where, 'jump')}plan {self.newest_plan} opens the recap. "


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
        return f"{key(seen.where, 'services')} goes to Services: each delivery and its deadline"
    return f"One job failed, two services are at risk. {key('services', 'problems')} shows only what needs attention"


def _open(tour: GuidedTour, seen: TourState, key: Keys) -> str:
    if seen.where not in ("services", "incidents"):
        return f"{key(seen.where, 'services')} goes to Services"
    return f"ACT BY is the last time at which a rerun saves it. {key(seen.where, 'open')} opens its incident"


def _spread(tour: GuidedTour, seen: TourState, key: Keys) -> str:
    if seen.where != "incident":
        return f"{key(seen.where, 'incidents')} then {key('incidents', 'open')} opens the incident"
    lineage, log = key("incident", "lineage"), key("incident", "log")
    return f"One cause, one notification. {lineage} shows the jobs it affects, {log} its log"


def _plan(tour: GuidedTour, seen: TourState, key: Keys) -> str:
    if seen.where == "incident":
        return f"{key('incident', 'recover')} shows a plan of reruns and holds; nothing is sent yet"
    if seen.where == "lineage":
        return f"Highlighted: the jobs that decide when it finishes. {key('lineage', 'back')} goes back"
    if seen.where == "run":
        return f"The disk was full. {key('run', 'back')} goes back to the incident"
    return f"{key(seen.where, 'incidents')} then {key('incidents', 'open')} opens the incident"


def _proves(seen: TourState, key: Keys) -> str:
    if seen.paused_by_key:
        return f"The clock is paused: {key(seen.where, 'demo_pause')} resumes it"
    text = "Its scheduler confirms the rerun in about a minute"
    return text if seen.is_paused else f"The clock runs again. {text}"


def _resumes(plan: int, state: str, seen: TourState, key: Keys) -> str:
    opens = "" if seen.where == "recovery" else f"{key(seen.where, 'jump')}plan {plan}, then "
    return f"Plan {plan} is {state}: {opens}{key('recovery', 'resume')} resumes it"


def _start(tour: GuidedTour, seen: TourState, key: Keys) -> str:
    if tour.is_repaired:
        return "Repaired. The forecasts are computed again until no service is at risk"
    if "done" in tour.plans:
        return f"Verified. {key(seen.where, 'incidents')} shows the incident that is still open"
    if "running" in tour.plans:
        if seen.where == "recovery":
            return _proves(seen, key)
        return f"The plan runs by itself; {key(seen.where, 'incidents')} shows its status"
    if tour.waiting is not None:
        return _resumes(*tour.waiting, seen, key)
    if MORE_STEPS in tour.plans and seen.where in ("recovery", "incident"):
        recover = key("incident", "recover")
        return f"Verified, but later jobs had started: {recover} on the incident plans their reruns"
    if seen.where == "recovery":
        return _proves(seen, key)
    if seen.where == "plan":
        return f"One rerun; holds keep later jobs off its old output. {key('plan', 'start')} asks before it starts"
    if seen.where == "preview":
        down, enter = key("grid", "move('down')"), key("preview", "choose")
        how = seen.must_type or f"{down} selects Start the plan"
        return f"{how}, then {enter} starts it"
    if seen.where == "incident":
        return f"{key('incident', 'recover')} shows the plan; the incident closes once its runs succeed"
    return f"{key(seen.where, 'incidents')} then {key('incidents', 'recover')} shows the plan; nothing is sent yet"


_STEP_TEXTS: tuple[Callable[[GuidedTour, TourState, Keys], str], ...] = (_see_text, _open, _spread, _plan, _start)
