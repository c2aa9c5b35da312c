"""Incidents: rows and pages, members, affected services, past repairs, and the next step of a repair.

`IncidentFacts` is in `console.domain.estate`, `IncidentDecision` in `console.domain.decision`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from connectors.sdk.states import RED_STATES, RunState, Verb, is_open
from console.domain.action import IN_FLIGHT_STATES, ActionView
from console.domain.failure import FailureMemory, median
from console.domain.history import EstimateBasis
from console.domain.ids import incident_name
from console.domain.job import Safety
from console.domain.reason import (
    BadDelivery,
    GreenAgain,
    LaterRunGood,
    NoRunToRepeat,
    NoStepLeft,
    Reason,
    Repetition,
    StepsUnderWay,
    TargetSilent,
)
from console.domain.service import LOST, ServiceEstimate, Timeliness
from console.domain.text import Clock, Text, Title, key_text, render

if TYPE_CHECKING:
    from console.domain.alert import DeliveryView, SuppressionView
    from console.domain.external_alert import ExternalAlertView
from console.domain.finding import FindingView

ACKNOWLEDGE_FOR = "1h"
"""How long an incident is acknowledged, where the person names no time."""


@dataclass(frozen=True, slots=True)
class PastRepair:
    """An earlier run of the same job that failed."""

    run_id: int
    at: datetime
    error: str
    """Message of its first failure, else its exit code."""
    how: str
    """"rerun", "mark ok", "its scheduler's own retry", "a fresh start" (unscheduled, for the same business date); empty
    if never repaired."""
    took_s: float | None
    """Seconds from that failure to success; None if never repaired."""
    by: str = ""
    """The requester; empty: not through Headway."""
    incident_id: int | None = None
    """The incident of which it was the root."""
    note: str = ""
    """The last note there."""
    same_error: bool = False
    """True if it failed with the same error as the incident's root."""

    @property
    def done(self) -> str:
        """ "rerun by mara"."""
        return f"{self.how} by {self.by}" if self.by else self.how


class FailureError(NamedTuple):
    """The error of a failed run, for comparison: without numbers, names and paths."""

    exit_code: int | None
    message: str
    """Empty if it reported none."""

    def differs_from(self, error: FailureError) -> bool:
        """True if the exit codes differ, or the messages; a value that one of them lacks is not compared."""
        exit_codes, messages = (self.exit_code, error.exit_code), (self.message, error.message)
        return (None not in exit_codes and len({*exit_codes}) > 1) or (all(messages) and len({*messages}) > 1)

    def is_same_as(self, error: FailureError) -> bool:
        """True if both report the same exit code or the same message, and nothing differs."""
        is_known = (self.exit_code is not None and error.exit_code is not None) or bool(self.message and error.message)
        return is_known and not self.differs_from(error)


def error_line(exit_code: int | None, message: str) -> str:
    """The first line of an error, else its exit code; empty if it reported none."""
    return message.strip().partition("\n")[0] or (f"exit {exit_code}" if exit_code is not None else "")


def repair_methods(repairs: Sequence[PastRepair]) -> list[tuple[str, int, float | None]]:
    """(method, count, usual seconds to success), the most frequent first."""
    counts = Counter(repair.how for repair in repairs if repair.how)
    return [
        (how, number, median([repair.took_s for repair in repairs if repair.how == how and repair.took_s is not None]))
        for how, number in counts.most_common()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentSummary:
    """An incident with its cause and its times."""

    id: int
    cause: str
    """A `domain.incident_record.CauseKind`."""
    root_job: str
    owner: str
    runbook: str = ""
    business_date: str
    failed_since: datetime
    opened: datetime
    act_by: datetime | None
    closed: datetime | None
    tier: int | None = None
    """The most important tier of the affected services; None without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow(IncidentSummary):
    """One line of the incidents."""

    title: Title
    reason: Text
    services: int
    affected_runs: int
    """Runs left red or stale."""
    root_run_id: int | None
    split_from: int | None = None
    """The incident that it was split from, once it showed its own cause."""
    merged_into: int | None = None
    """The incident of which it is a symptom."""
    reopened: int = 0
    """How often it was reopened."""
    changes: tuple[Text, ...] = ()
    """Changes since its root was last good, as of the last notification."""
    acknowledged_by: str = ""
    """The person who acknowledged it; empty: unacknowledged."""
    acknowledged_until: datetime | None = None
    hits: tuple[str, ...] = ()
    """Titles of the affected services, by deadline."""
    notifications: tuple[DeliveryView, ...] = ()
    """The last alert about it, to each of its addresses."""
    suppression: SuppressionView | None = None
    root_state: str = ""
    """State of its root's run; empty without one."""
    root_good: datetime | None = None
    """When its failed root was good again; None while it is not, for other causes, and if that was after its end."""
    policy: str = ""
    """The policy that repairs it at `policy_at`, or whose repair is in flight; empty: none."""
    policy_at: datetime | None = None

    @property
    def is_reason_in_title(self) -> bool:
        return self.title.contains(self.reason)

    def summary(self, clock: Clock) -> str:
        """Its reason, else its title."""
        return render(self.reason, clock) or self.title.text(clock)

    @property
    def origins(self) -> list[str]:
        """ "split from INC-0001", "merged into INC-0002", "reopened once": those that are true of it."""
        parts = [f"split from {incident_name(self.split_from)}"] if self.split_from is not None else []
        parts += [f"merged into {incident_name(self.merged_into)}"] if self.merged_into is not None else []
        if self.reopened:
            parts.append("reopened once" if self.reopened == 1 else f"reopened {self.reopened} times")
        return parts

    @property
    def did_not_start(self) -> bool:
        """True if its root is a start that did not come: then `failed_since` is when it was due."""
        return self.root_state == RunState.MISSED

    @property
    def failed_until(self) -> datetime | None:
        """When it was good again or closed; None while it fails."""
        return self.root_good or self.closed


def sort_by_impact(incidents: Iterable[IncidentRow]) -> list[IncidentRow]:
    """Open incidents by tier, act-by, then age; closed ones last, the latest first."""
    return sorted(incidents, key=_impact)


def _impact(incident: IncidentRow) -> tuple[bool, float, float, float, int]:
    if incident.closed is not None:
        return True, -incident.closed.timestamp(), 0.0, 0.0, incident.id
    tier = inf if incident.tier is None else incident.tier
    act_by = incident.act_by.timestamp() if incident.act_by is not None else inf
    return False, tier, act_by, incident.failed_since.timestamp(), incident.id


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedServiceView(ServiceEstimate):
    """A service day as the incident last judged it; expected, delivered and timeliness are the present ones."""

    basis: EstimateBasis | None
    estimates: tuple[dict[str, object], ...] = ()
    """Of each job on its critical path: job, source, runs, p50_s, p90_s."""

    @property
    def incomplete_data(self) -> str:
        """ "stale" or "partial" if all its jobs delivered, though such data; else empty."""
        if self.delivered is not None:
            return ""
        bad = next((reason for reason in self.reasons if isinstance(reason, BadDelivery)), None)
        return "" if bad is None else "partial" if bad.partial else "stale"


ROLE_LABELS = {"root": "root cause", "red": "failed too", "threatened": "at risk", "closing": "closes it"}
"""Roles that pages print in other words."""


@dataclass(frozen=True, slots=True)
class RepairStep:
    """The restart of one job; its first start if it did not start."""

    job: str
    can_rerun: bool
    is_missed: bool = False
    unreachable: str = ""
    """The target of its job, while that does not answer or starts nothing: it is restored first."""
    act_by: datetime | None = None
    is_running: bool = False
    """True once its rerun was sent or runs."""
    awaits_approval: bool = False
    is_held: bool = False
    """True for a job that a person holds: it is released."""
    is_moved: bool = False
    """True if the schedule of its job was changed, and the change is not accepted."""

    @property
    def awaits_change(self) -> bool:
        """True for a start that the changed schedule has at another time."""
        return self.is_missed and self.is_moved

    @property
    def needs_sending(self) -> bool:
        """True if Headway can send it, and has not."""
        return self.can_rerun and not self.is_running and not self.awaits_change

    @property
    def verb(self) -> str:
        if self.is_held:
            return "release"
        if self.awaits_approval:
            return f"approve the {'start' if self.is_missed else 'rerun'} of"
        if self.awaits_change:
            return "accept or undo the change of"
        return "run" if not self.can_rerun else "start" if self.is_missed else "restart"

    @property
    def place(self) -> str:
        return "" if self.can_rerun or self.awaits_change else f" by hand in {self.job.partition('/')[0]}"


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
    exit_code: int | None = None
    message: str = ""
    reason: Text = ()
    observed: datetime | None = None
    """When its source last reported it."""
    proof: str = "full"
    """How much its source can prove about a run."""
    target: str = ""
    target_seen: datetime | None = None
    partial_input: str = ""
    can_rerun: bool = True
    """False if its kind of system has no rerun."""
    unreachable: str = ""
    """Its target, while that does not answer."""
    rerun_sent: datetime | None = None
    """When its rerun or start was sent; None once that action has ended."""
    unknown_rerun: str = ""
    """The key of that action while its outcome is unknown."""
    rerun_started: datetime | None = None
    """When the open run of its job started that repeats it."""
    is_moved: bool = False
    """Whether the schedule of its job was changed, and the change is not accepted."""
    awaits_approval: bool = False
    """Whether its rerun or start was requested, and awaits approval."""
    business_date: str = ""
    has_periods: bool = False
    """True if its kind gives runs their own period or input."""
    period: datetime | None = None
    """The instant of its period."""
    log_line: str = ""
    """The error line of its log, of a failed run without a message."""

    @property
    def present_role(self) -> str:
        """Its role, but of a repaired run that runs again "rerun", and of one that stayed red "superseded"."""
        if self.role != "repaired" or self.state not in {*RunState}:
            return self.role
        state = RunState(self.state)
        return "rerun" if state.is_open else "superseded" if state.is_red else self.role

    @property
    def role_label(self) -> str:
        """Its present role as pages print it: "root cause", "at risk"."""
        return ROLE_LABELS.get(self.present_role, self.present_role)

    @property
    def at(self) -> datetime | None:
        """The instant of its state: its end, else its start, else that of its period."""
        return self.ended or self.started or self.period

    @property
    def error(self) -> str:
        """The first line of the error of a failed run, else its exit code and the error line of its log; empty if it
        reported none."""
        if self.state not in RED_STATES:
            return ""
        error = error_line(self.exit_code, self.message)
        return ": ".join(filter(None, (error, self.log_line)))

    @property
    def repair(self) -> RepairStep:
        """Its restart."""
        is_running = self.rerun_sent is not None or self.rerun_started is not None
        return RepairStep(
            self.job, self.can_rerun, self.state == RunState.MISSED, self.unreachable, None, is_running,
            self.awaits_approval, is_moved=self.is_moved,
        )  # fmt: skip

    @property
    def reported_text(self) -> str:
        """The label of `observed`: a start that did not come is detected, other states are reported."""
        return "detected" if self.state == RunState.MISSED else "last reported"


@dataclass(frozen=True, slots=True)
class EventView:
    at: datetime
    kind: str
    text: Text
    actor: str
    incident_id: int | None = None


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident with all its details."""

    row: IncidentRow
    services: tuple[AffectedServiceView, ...]
    members: tuple[MemberView, ...]
    events: tuple[EventView, ...]
    deliveries: tuple[DeliveryView, ...]
    log: str
    """The root attempt's log tail; empty, with `log_error`, if there is none."""
    log_error: str
    actions: tuple[ActionView, ...] = ()
    seen_before: tuple[tuple[datetime, Reason], ...] = ()
    """Earlier incidents with the same root job, newest first: (opened, close reason)."""
    suppressed: tuple[SuppressionView, ...] = ()
    """Suppressed notifications, oldest first."""
    findings: tuple[FindingView, ...] = ()
    """Of its members, open during the incident, oldest first."""
    external_alerts: tuple[ExternalAlertView, ...] = ()
    """About the targets of its failed runs, from an hour before the failure to its end: firing ones first, of these the
    most severe, then the oldest."""
    external_alerts_left_out: int = 0
    """How many more there are."""
    repairs: tuple[PastRepair, ...] = ()
    """Earlier failures of its root's job, newest first."""
    memory: FailureMemory | None = None
    """Earlier incidents with its failure; None while its failure is unknown."""
    joint_restarts: tuple[RepairStep, ...] = ()
    """The restarts that its most urgent service day needs, its own among them; empty if it needs no other."""
    unreachable: str = ""
    """Its cause, if that is a target that does not answer."""
    repaired: datetime | None = None
    """When its root, or else the first later start of that job, succeeded; None if that is unknown."""
    close_reason: Reason | None = None
    """Why it is closed, or merged into another; None while it is open."""
    repeated: Repetition | None = None
    """The repetition of the job to restart, as of its last evaluation; None without one."""
    holding_plan: int | None = None
    """The paused or stopped plan that holds the job of its root; None without one."""

    @property
    def zone(self) -> str:
        """The zone of its most urgent service; empty without a service."""
        pending = [service for service in self.services if service.delivered is None] or self.services
        urgent = min(pending, key=lambda service: service.act_by or service.deadline, default=None)
        return urgent.zone if urgent is not None else ""


_MAX_NAMED = 8


REPAIR_AT_SOURCE = "repair it at its source, then mark it OK"
"""The fix where a system has no rerun."""
NEVER_RERUN = 'its owner marked it rerun = "never"; repair it at its source'


def step_refusal(preview: Mapping[str, Any], verb: Verb = Verb.RERUN, safety: str = "") -> str:
    """Why a step may not be sent, by its preview and rerun safety (`safety`, else the preview's); empty if it may.
    Safety forbids only reruns."""
    if preview.get("refused"):
        return str(preview["refused"])
    never = (safety or str(preview.get("safety", ""))) == Safety.NEVER
    return NEVER_RERUN if never and verb is Verb.RERUN else ""


def members_by_time(view: IncidentView) -> list[MemberView]:
    """Its runs as pages list them: by the instant of their state, oldest first; those without one last."""
    return sorted(view.members, key=lambda member: member.at or datetime.max.replace(tzinfo=UTC))


def open_steps(view: IncidentView) -> list[MemberView]:
    """The steps to rerun, in order: the root unless it is good, then red and stale members."""
    live = [member for member in view.members if member.run_id is not None]
    good = [member for member in live if member.state == RunState.SUCCEEDED and not member.stale_read]
    roots = [member for member in live if member.role == "root" and member not in good]
    return roots + [member for member in live if member.role in ("red", "stale")]


def closing_run(view: IncidentView) -> MemberView | None:
    """The last of the starts that close the incident without a repair, while it is ahead; None if it needs one."""
    closing = [member for member in view.members if member.role == "closing" and member.state == RunState.PLANNED]
    return max(closing, key=lambda member: member.period_key, default=None)


def rerun_key(job_id: int, business_date: date | str, period_key: str, *, has_periods: bool) -> tuple[int, str]:
    """The same for all runs that one rerun repeats: of a job without periods those of its business date, unless its
    source names them."""
    return job_id, period_key if has_periods else str(business_date)


def further_reruns(view: IncidentView) -> int:
    """The number of reruns of red and stale members that are possible besides those of the root."""

    def keys(members: Iterable[MemberView]) -> set[tuple[int, str]]:
        return {
            rerun_key(member.job_id, member.business_date, member.period_key, has_periods=member.has_periods)
            for member in members
        }

    followers = (member for member in view.members if member.role in ("red", "stale") and member.can_rerun)
    return len(keys(followers) - keys(member for member in view.members if member.role == "root"))


def blocked_by(view: IncidentView) -> Reason:
    """Why no step can be sent: of a closed incident why it closed."""
    if view.close_reason is not None:
        return view.close_reason
    first = open_steps(view)[:1]
    if ahead := dict.fromkeys(member.job for member in first or view.members if _is_in_flight(view, member)):
        return StepsUnderWay(tuple(ahead))
    if view.unreachable:
        return TargetSilent(view.unreachable)
    return NoRunToRepeat() if view.row.root_run_id is None else NoStepLeft()


def blocked_text(view: IncidentView, clock: Clock) -> str:
    """ "closed: green again, with all affected runs": why no step can be sent, as a message."""
    is_closed = view.row.closed is not None and view.row.merged_into is None
    return f"{'closed: ' * is_closed}{render(blocked_by(view).text, clock)}"


def member_errors(view: IncidentView) -> dict[tuple[int, str], str]:
    """Job and period of each failed member besides the root -> its error; the same error of a job only once."""
    failed = (member for member in reversed(view.members) if member.error and member.run_id != view.row.root_run_id)
    first = {(member.job_id, member.error): member for member in failed}
    return {(job_id, member.period_key): error for (job_id, error), member in first.items()}


def repaired_at_end(members: Sequence[MemberView], end: Reason | None) -> list[MemberView]:
    """The members of an incident that closed with this reason: a root that stays red or stale, because its scheduler
    shows the repair as another run, is repaired."""
    if not isinstance(end, GreenAgain | LaterRunGood):
        return list(members)
    return [
        replace(member, role="repaired") if member.state in RED_STATES or member.stale_read else member
        for member in members
    ]


def has_recovered(view: IncidentView) -> bool:
    """True if it is closed and no run is left to repair; False if it was merged or superseded, or its
    root is not a run."""
    is_closed = view.row.closed is not None and view.row.merged_into is None
    return is_closed and view.row.root_run_id is not None and not open_steps(view)


def repair_times(view: IncidentView, clock: Callable[[datetime], str]) -> str:
    """ "failed 03:12, repaired 03:37", as notifications name the time its root was good again; "closed" if it was not
    repaired; empty while it is open."""
    if view.row.closed is None:
        return ""
    how, at = ("repaired", view.repaired or view.row.closed) if has_recovered(view) else ("closed", view.row.closed)
    return f"failed {clock(view.row.failed_since)}, {how} {clock(at)}"


def open_reason(view: IncidentView) -> list[Text]:
    """Why an incident stays open after its plan is done: red or stale runs, and services lost or at risk. Empty if it
    is closed, or closes once pending starts have run."""
    if view.row.closed is not None:
        return []
    starts = closing_run(view) is not None
    steps = [step for step in open_steps(view) if not starts and not _is_in_flight(view, step)]
    lost = [service.title for service in view.services if service.timeliness in LOST]
    risks = [service.title for service in view.services if steps and service.timeliness == Timeliness.AT_RISK]
    further = [(f"and {len(steps) - _MAX_NAMED} more",)] if len(steps) > _MAX_NAMED else []
    repeated = {job for job, times in Counter(step.job for step in steps).items() if times > 1}

    def still_red(step: MemberView) -> Text:
        period = (" ", *key_text(step.period_key)) if step.job in repeated else ()
        return f"still red or stale: {step.job}", *period

    groups = (("not saved", lost), ("at risk, not lost yet", risks))
    services = [(f"{label}: {', '.join(names)}",) for label, names in groups if names]
    return [*map(still_red, steps[:_MAX_NAMED]), *further, *services]


def _is_in_flight(view: IncidentView, member: MemberView) -> bool:
    """True while its run is open, or an action on it has not ended."""
    sent = (action for action in view.actions if action.run_id == member.run_id and member.run_id is not None)
    return is_open(member.state) or any(action.state in IN_FLIGHT_STATES for action in sent)
