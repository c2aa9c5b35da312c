"""Incidents: rows and pages, members, affected services, past repairs, and the next step of a repair.

`IncidentFacts` is in `console.domain.estate`, `IncidentDecision` in `console.domain.decision`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any

from connectors.sdk.states import RunState, Verb, is_open
from console.domain.action import IN_FLIGHT_STATES, ActionView
from console.domain.job import Safety
from console.domain.service import Timeliness

if TYPE_CHECKING:
    from console.domain.alert import DeliveryView, SuppressionView
    from console.domain.finding import FindingView


_VARIABLE_PARTS = re.compile(r"\d+|'[^']*'|\"[^\"]*\"|/\S+")
"""Variable parts of an error message: numbers, quoted text, paths."""


@dataclass(frozen=True, slots=True)
class PastRepair:
    """An earlier run of the same job that failed."""

    run_id: int
    at: datetime
    said: str
    """Message of its first failure, else its exit code."""
    how: str
    """"rerun", "mark ok", "its scheduler's own retry", "a fresh start" (outside of the
    schedule, for the same business date); empty where it was never repaired."""
    took_s: float | None
    """Seconds from that failure to green; None where it never became green."""
    by: str = ""
    """Who requested it through Headway; empty: not through Headway."""
    incident_id: int | None = None
    """The incident of which it was the root."""
    note: str = ""
    """The last note there."""
    is_alike: bool = False
    """True if it failed with the same fault."""

    @property
    def done(self) -> str:
        """ "rerun by mara": how it was repaired, and by which person."""
        return f"{self.how} by {self.by}" if self.by else self.how


def is_same_fault(one: str, other: str) -> bool:
    """Whether two messages are the same except for numbers, names and paths."""
    return bool(one) and _normalize(one) == _normalize(other)


def _normalize(said: str) -> str:
    return " ".join(_VARIABLE_PARTS.sub("", said.partition("\n")[0]).split()).rstrip(" :.,")


def repair_methods(repairs: Sequence[PastRepair]) -> list[tuple[str, int, float | None]]:
    """Each way in which it became green: how, how often, the usual seconds to green; the most frequent first."""
    counts = Counter(repair.how for repair in repairs if repair.how)
    return [
        (how, number, _median([repair.took_s for repair in repairs if repair.how == how and repair.took_s is not None]))
        for how, number in counts.most_common()
    ]


def _median(found: Sequence[float]) -> float | None:
    """The median; importing `statistics` would delay the first paint."""
    ordered, half = sorted(found), len(found) // 2
    if not ordered:
        return None
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """One line of the incidents."""

    id: int
    title: str
    cause: str
    """"run", "target" or "shared" (a host, database or credential that many jobs name)."""
    business_date: str
    reason: str
    owner: str
    failed_since: datetime
    opened: datetime
    act_by: datetime | None
    closed: datetime | None
    services: int
    hurt: int
    """Runs left red or stale."""
    root_run_id: int | None
    root_job: str
    runbook: str = ""
    split_from: int | None = None
    """The incident that it was a part of, until it showed a cause of its own."""
    merged_into: int | None = None
    """The incident that it was merged into, as a symptom."""
    reopened: int = 0
    """How often it came back after it had closed."""
    changes: tuple[str, ...] = ()
    """Changes since its root was last good, as of the last notification."""
    taken_by: str = ""
    """Who acknowledged it; empty: unacknowledged."""
    taken_until: datetime | None = None
    hits: tuple[str, ...] = ()
    """Titles of the affected services, by deadline."""
    told: tuple[DeliveryView, ...] = ()
    """The last alert about it, to each of its addresses."""
    held: SuppressionView | None = None
    """The latest notification that is suppressed now."""
    tier: int | None = None
    """The most important tier of the affected services, the smallest number; None without one."""


def sort_by_impact(incidents: Iterable[IncidentRow]) -> list[IncidentRow]:
    """The one order of incidents, wherever they are listed: open ones by what they hurt (tier, then act-by), then the
    longest first; what is over last, the latest first."""
    return sorted(incidents, key=_impact)


def _impact(one: IncidentRow) -> tuple[bool, float, float, float, int]:
    if one.closed is not None:
        return True, -one.closed.timestamp(), 0.0, 0.0, one.id
    act_by = one.act_by.timestamp() if one.act_by is not None else inf
    return False, inf if one.tier is None else one.tier, act_by, one.failed_since.timestamp(), one.id


@dataclass(frozen=True, slots=True)
class AffectedServiceView:
    """An affected service with its deadlines."""

    name: str
    title: str
    tier: int
    zone: str
    deadline: datetime
    act_by: datetime | None
    green_by: datetime | None
    expected: datetime | None
    timeliness: str
    source: str
    reason: str
    instance: str = ""
    """Of a service that is promised end to end: which of its submissions; its title ends in it."""
    estimates: tuple[dict[str, object], ...] = ()
    """Of each job on its critical path: job, source, runs, p50_s, p90_s."""
    p_late: float | None = None
    """The current P(late); None if not simulated, as the next two."""
    p80: datetime | None = None
    p95: datetime | None = None
    distrust: str = ""
    """Why its forecasts are not to be trusted; empty where they are."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """A run of an incident, with its role."""

    role: str
    job: str
    job_id: int
    run_id: int | None
    period_key: str
    state: str
    evidence: str
    stale_read: bool
    started: datetime | None
    ended: datetime | None
    native_state: str = ""
    """The source's own state."""
    exit_code: int | None = None
    message: str = ""
    reason: str = ""
    observed: datetime | None = None
    """When its source last reported it."""
    proof: str = "full"
    """What its source can prove about a run."""
    target: str = ""
    target_seen: datetime | None = None
    """The last good poll there."""
    partial_input: str = ""
    can_rerun: bool = True
    """False where its kind of system has no rerun."""


@dataclass(frozen=True, slots=True)
class EventView:
    """One line of an incident's timeline."""

    at: datetime
    kind: str
    words: str
    actor: str


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident with all its details."""

    row: IncidentRow
    services: tuple[AffectedServiceView, ...]
    members: tuple[MemberView, ...]
    events: tuple[EventView, ...]
    deliveries: tuple[DeliveryView, ...]
    log: str
    """The root attempt's log tail; empty with `log_error` when there is none."""
    log_error: str
    actions: tuple[ActionView, ...] = ()
    seen_before: tuple[tuple[datetime, str], ...] = ()
    """Earlier incidents with the same root job, newest first: (opened, close reason)."""
    held: tuple[SuppressionView, ...] = ()
    """Suppressed notifications with the reason, oldest first."""
    findings: tuple[FindingView, ...] = ()
    """Of its members, open while it was, oldest first."""
    repairs: tuple[PastRepair, ...] = ()
    """Earlier failures of its root's job, newest first."""


_MAX_NAMED = 8
"""Jobs that are named one by one."""
_MISSED = (Timeliness.WILL_MISS, Timeliness.BREACHED)


REPAIR_AT_SOURCE = "repair it at its source, then mark it OK"
"""The fix where a system has no rerun."""
NEVER_RERUN = 'its owner marked it rerun = "never"; repair it at its source'


def step_refusal(preview: Mapping[str, Any], verb: Verb = Verb.RERUN, safety: str = "") -> str:
    """Why a step may not be sent, by its preview and its owner's word (`safety`, else as the preview has it); empty
    when it may. Only a rerun can be forbidden by an owner."""
    if preview.get("refused"):
        return str(preview["refused"])
    never = (safety or str(preview.get("safety", ""))) == Safety.NEVER
    return NEVER_RERUN if never and verb is Verb.RERUN else ""


def open_steps(view: IncidentView) -> list[MemberView]:
    """What must be rerun, in order: the root while it has not succeeded, then what it left red or stale, in the
    order of the incident's members."""
    live = [member for member in view.members if member.run_id is not None]
    return [one for one in live if one.role == "root" and one.state != RunState.SUCCEEDED] + [
        one for one in live if one.role in ("red", "stale")
    ]


def next_step(view: IncidentView) -> MemberView | None:
    """The step to send now; None when none is left, or while the first one is being rerun."""
    steps = [] if view.row.closed is not None else open_steps(view)
    return steps[0] if steps and not _is_in_flight(view, steps[0]) else None


def blocked_reason(view: IncidentView) -> str:
    """Why an incident has no next step, in one line."""
    if view.row.closed is not None:
        return next(
            (event.words for event in reversed(view.events) if event.kind in ("closed", "merged")), "it is closed"
        )
    first = open_steps(view)[:1]
    ahead = [one.job for one in first or view.members if _is_in_flight(view, one)]
    if ahead:
        return f"no step to send now: it waits for {', '.join(ahead)}"
    if view.row.root_run_id is None:
        return "its root cause is not a run: nothing to rerun"
    return "no step is left to send: it closes as soon as its runs are seen to be green"


def open_reason(view: IncidentView) -> list[str]:
    """Why an incident stays open though a plan of it is done: what is still red or stale, which services that costs,
    and which it may cost still. Empty where it is closed, or closes once what starts by itself has run."""
    if view.row.closed is not None:
        return []
    left = [step for step in open_steps(view) if not _is_in_flight(view, step)]
    lost = [service.title or service.name for service in view.services if service.timeliness in _MISSED]
    risks = [
        service.title or service.name for service in view.services if left and service.timeliness == Timeliness.AT_RISK
    ]
    more = [f"and {len(left) - _MAX_NAMED} more"] if len(left) > _MAX_NAMED else []
    often = {job for job, times in Counter(one.job for one in left).items() if times > 1}
    named = (f"{one.job} {one.period_key}" if one.job in often else one.job for one in left[:_MAX_NAMED])
    lines = [*(f"still red or stale: {each}" for each in named), *more]
    told = (("not saved", lost), ("at risk, not lost yet", risks))
    return lines + [f"{words}: {', '.join(names)}" for words, names in told if names]


def _is_in_flight(view: IncidentView, member: MemberView) -> bool:
    """True while its run is open, or an action on it has not ended."""
    sent = (action for action in view.actions if action.run_id == member.run_id and member.run_id is not None)
    return is_open(member.state) or any(one.state in IN_FLIGHT_STATES for one in sent)
