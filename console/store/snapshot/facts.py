"""Rows into the facts that decisions see: services, dependencies, targets, jobs, runs, holds, incidents."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from sys import intern

from connectors.sdk.records import Schedule
from connectors.sdk.states import RED_STATES, STARTING, Capability, RunState, Verb
from console.domain.action import IN_FLIGHT_STATES
from console.domain.dependency import PLAIN_REQUIREMENT, DependencyMode, Requirement, UpstreamCondition, UpstreamPeriod
from console.domain.estate import (
    ApprovalFacts,
    CancelFacts,
    DependencyFacts,
    IncidentFacts,
    JobFacts,
    PlanFacts,
    PlannedRun,
    RepairFacts,
    RunFacts,
    ServiceFacts,
    TargetFacts,
)
from console.domain.failure import FailureSignature
from console.domain.hold import HoldActionFacts, HoldFacts, HoldReason, HoldState, hold_end
from console.domain.ids import instant, optional_instant
from console.domain.incident_record import CauseRecord, Flaps, IncidentFingerprint, RootRun, RootTarget
from console.domain.plan import HOLD_VERBS, WAIT
from console.domain.policy import POLICY_ORIGIN, PendingRepair
from console.domain.promise import DeadlineExtension
from console.domain.text import Title, text_of
from console.store import config_documents, switches
from console.store.db.session import Row, Session
from console.store.names import decode_name
from console.store.new_actions import SENT_BY
from console.store.plan_steps import PLAN_FACTS, is_bad_step
from console.store.row_values import from_row, parse_object
from console.store.snapshot import clock_skew, interning
from console.text.normalize import LINE_LIMIT

SELECT_JOBS = (
    "SELECT j.id, s.name AS system, j.native_id, s.kind, j.target_id, j.parent_id, c.dialect, c.expression, c.zone AS"
    " schedule_zone, c.text, c.next_us, c.window_us, c.accepted_us, s.zone, s.cutoff, j.paused_since_us,"
    " j.gone_since_us, j.proof, j.expected_s, j.grace_s, j.owner, j.notify, j.runbook, j.rerun, j.title,"
    " s.starts_held, s.start_within_s, j.calendar, j.budget_s, j.budget_cost, j.pool, j.slots, s.capabilities,"
    " s.missing FROM job j JOIN system s ON s.id = j.system_id JOIN target t ON t.id = j.target_id"
    " LEFT JOIN schedule c ON c.id = (SELECT MAX(x.id) FROM schedule x WHERE x.job_id = j.id AND x.accepted_us IS NOT"
    " NULL) WHERE NOT s.removed AND NOT t.removed AND NOT j.unwatched"
)
RUN_COLUMNS = (
    "r.id, r.job_id, r.period_key, r.period_us, r.business_date, r.state, r.evidence, r.native_state, r.reason,"
    " r.attempts, r.first_started_us, r.started_us, r.ended_us, r.exit_code, r.message, r.expected, r.observed_us,"
    " r.timeliness, r.stale_read, r.partial_input, r.period_kind, r.period_name, r.sort_us"
)
# ruff: noqa: S608  (only our own names; every value is bound)
MAX_TAIL = 20 * (LINE_LIMIT + 2)
"""Length of a log tail in decisions: a notification has the last 20 lines, however long they are."""
SELECT_DRIFT = (
    "SELECT d.id, d.job_id, d.what, d.text, d.seen_us, s.dialect, s.expression, s.zone, s.text AS schedule_text,"
    " s.next_us FROM drift d LEFT JOIN schedule s ON d.what = 'schedule' AND s.id = (SELECT MAX(x.id) FROM schedule x"
    " WHERE x.job_id = d.job_id) WHERE d.accepted_us IS NULL AND d.ended_us IS NULL ORDER BY d.id"
)
_DRIFT_ORDER = ("gone", "paused", "schedule", "definition")


def job_facts(row: Row, drift: Mapping[str, Row]) -> JobFacts:
    """`row`: of SELECT_JOBS; `drift`: open drift, what -> row of SELECT_DRIFT."""
    first, moved = next((drift[what] for what in _DRIFT_ORDER if what in drift), None), drift.get("schedule")
    capabilities = interning.capabilities_of(row.capabilities)
    return JobFacts(
        id=row.id,
        system=intern(row.system),
        native_id=decode_name(row.native_id),
        kind=intern(row.kind),
        target_id=interning.shared_number(row.target_id),
        parent_id=None if row.parent_id is None else interning.shared_number(row.parent_id),
        schedule=interning.shared_schedule(
            row.dialect, row.expression, row.schedule_zone, row.text, row.next_us, row.window_us
        )
        if row.dialect
        else _NONE,
        accepted_at=None if row.accepted_us is None else interning.shared_instant(row.accepted_us),
        zone=intern(row.zone),
        cutoff=interning.time_of(row.cutoff),
        paused_since=optional_instant(row.paused_since_us),
        gone_since=optional_instant(row.gone_since_us),
        proof=interning.PROOFS[row.proof],
        expected=None if row.expected_s is None else interning.duration(row.expected_s),
        grace=interning.duration(row.grace_s),
        owner=intern(row.owner),
        notify=interning.parse_names(row.notify),
        runbook=intern(row.runbook),
        rerun=interning.SAFETIES[row.rerun],
        title=row.title,
        starts_held=bool(row.starts_held),
        start_within=interning.duration(row.start_within_s),
        calendar=row.calendar,
        budget_time=None if row.budget_s is None else timedelta(seconds=row.budget_s),
        budget_cost=row.budget_cost,
        pool=intern(row.pool),
        slots=row.slots,
        cannot_rerun=interning.is_rerun_missing(row.capabilities, row.missing),
        can_hold={Capability.HOLD, Capability.START} <= capabilities,
        has_periods=Capability.PERIODS in capabilities,
        drift_reason=first.text if first is not None else "",
        drift_since=instant(first.seen_us) if first is not None else None,
        drift_change=max(row.id for row in drift.values()) if len(drift) > 1 else 0,
        seen_schedule=None
        if moved is None
        else interning.shared_schedule(moved.dialect, moved.expression, moved.zone, moved.schedule_text, moved.next_us),
    )


_NONE = Schedule("none")

EndedAttempt = tuple[datetime | None, datetime, RunState]


def ended_attempts(session: Session, run_ids: list[int]) -> dict[int, tuple[EndedAttempt, ...]]:
    """Run id -> its ended attempts, oldest first."""
    attempts: dict[int, list[EndedAttempt]] = defaultdict(list)
    query = (
        "SELECT t.run_id, t.started_us, t.ended_us, t.state FROM {keys} JOIN attempt t ON t.run_id = k.a"
        " WHERE t.ended_us IS NOT NULL ORDER BY t.run_id, t.number"
    )
    for row in session.by_keys(query, run_ids):
        ended = (optional_instant(row.started_us), instant(row.ended_us), RunState(row.state))
        attempts[row.run_id].append(ended)
    return {run_id: tuple(spans) for run_id, spans in attempts.items()}


def queued_since(session: Session, run_ids: list[int]) -> dict[int, datetime]:
    """Run id -> when its latest attempt was queued, if its source reports it."""
    query = (
        "SELECT r.id, t.queued_us FROM {keys} JOIN run r ON r.id = k.a JOIN attempt t ON t.id = r.attempt_id"
        " WHERE t.queued_us IS NOT NULL"
    )
    return {row.id: instant(row.queued_us) for row in session.by_keys(query, run_ids)}


def failed_log_tails(session: Session, rows: Sequence[Row]) -> dict[int, str]:
    """Run id -> log tail of its latest attempt, for the failed ones among these rows of RUN."""
    query = (
        "SELECT r.id, l.text FROM {keys} JOIN run r ON r.id = k.a JOIN log_tail l ON l.attempt_id = r.attempt_id"
        " WHERE l.text <> ''"
    )
    red = [row.id for row in rows if row.state in RED_STATES]
    return {row.id: _log_end(row.text) for row in session.by_keys(query, red)}


def _log_end(text: str) -> str:
    """The end of the log; a line that is cut stays longer than LINE_LIMIT, so that a reader sees the cut."""
    return "\n".join(line[: LINE_LIMIT + 1] for line in text.splitlines())[-MAX_TAIL:]


def run_facts(
    row: Row,
    spans: tuple[EndedAttempt, ...],
    queued_at: datetime | None = None,
    tail: str = "",
    job_id: int | None = None,
) -> RunFacts:
    """`row` in the order of RUN_COLUMNS; `spans`: ended attempts, if there were several; `job_id`: the same number
    as the row's, to be shared."""
    (
        run_id, own_job_id, period_key, period_us, business_date, state, evidence, native_state, reason, attempts,
        first_started,
        started, ended, exit_code, message, expected, observed, timeliness, stale_read, partial_input,
        period_kind, period_name, _,
    ) = row  # fmt: skip
    period_at = None if period_us is None else interning.shared_instant(period_us)
    first_at = period_at if first_started == period_us else optional_instant(first_started)
    ended_at = None if ended is None else instant(ended)
    return RunFacts(  # in the order of its fields: by name it would take half as long again
        run_id,
        own_job_id if job_id is None else job_id,
        intern(decode_name(period_key)),
        period_at,
        interning.date_of(business_date),
        interning.STATES[state],
        interning.EVIDENCES[evidence],
        intern(native_state),
        reason if attempts else "",
        text_of(reason) if not attempts else (),
        attempts,
        first_at,
        first_at if started == first_started else optional_instant(started),
        ended_at,
        exit_code,
        message,
        tail,
        expected == 1,
        ended_at if observed == ended else optional_instant(observed),
        interning.TIMELINESSES[timeliness],
        stale_read == 1,
        partial_input,
        queued_at,
        tuple([(began, end) for began, end, state in spans if began and state is RunState.SUCCEEDED]) if spans else (),
        tuple([(end, state) for _, end, state in spans]) if spans else (),
        interning.PERIOD_KINDS[period_kind],
        intern(decode_name(period_name)),
    )


_SELECT_DEPENDENCIES = (
    "SELECT d.upstream_id, d.downstream_id, d.origin, d.mode, d.engine_down, d.hold_for_s, d.condition,"
    " d.check_name, d.period, d.calendar, d.within_s, d.gate, d.need FROM dependency d JOIN job u ON u.id ="
    " d.upstream_id JOIN job w ON w.id = d.downstream_id WHERE NOT COALESCE(u.parent_id = w.parent_id AND d.origin ="
    " 'native' AND d.period = 'same', FALSE) ORDER BY d.upstream_id, d.downstream_id, d.origin"
)
"""Without those between the tasks of one DAG: most of an estate, and no rule reads them."""


def load_dependencies(session: Session, jobs: Mapping[int, JobFacts]) -> tuple[DependencyFacts, ...]:
    """Dependencies between these jobs, in order, sharing the jobs' ids; those within a DAG only if they are declared
    or read its run before."""
    dependencies = []
    for row in session.stream(_SELECT_DEPENDENCIES):
        upstream, downstream = jobs.get(row.upstream_id), jobs.get(row.downstream_id)
        if upstream is not None and downstream is not None:
            rest = interning.dependency_fields(row.origin, row.mode, row.engine_down, row.hold_for_s)
            wants = _requirement(
                row.condition, row.check_name, row.period, row.calendar, row.within_s, row.gate, row.need
            )
            dependencies.append(DependencyFacts(upstream.id, downstream.id, *rest, wants))
    return tuple(dependencies)


@lru_cache(maxsize=4096)
def _requirement(
    condition: str, check: str, period: str, calendar: str, within_s: float | None, gate: str, need: int
) -> Requirement:
    requirement = Requirement(
        condition=UpstreamCondition(condition),
        check=check,
        period=UpstreamPeriod(period),
        calendar=calendar,
        within=None if within_s is None else timedelta(seconds=within_s),
        gate=gate,
        need=need,
    )
    return PLAIN_REQUIREMENT if requirement.is_plain else requirement


def load_services(session: Session) -> tuple[ServiceFacts, ...]:
    rows = session.rows(
        "SELECT name, title, terminals, deadline, zone, cutoff, tier, owner, notify, runbook, calendar, promise,"
        " ready FROM service WHERE NOT removed ORDER BY name"
    )
    return tuple(
        from_row(
            ServiceFacts,
            row,
            title=row.title or row.name,
            deadline=time.fromisoformat(row.deadline),
            cutoff=time.fromisoformat(row.cutoff),
            promise=config_documents.parse_promise(row.promise),
        )
        for row in rows
    )


_SELECT_TARGETS = (
    "SELECT t.id, t.changed_seq, s.name AS system, t.name, s.poll_every_s, t.last_ok_us, t.failing_since_us, t.error,"
    " t.error_fix, t.error_kind, t.seen_until_us, t.first_ok_us, t.lost_since_us, t.lost_until_us, t.skipped_text,"
    " t.skew_s, w.set_by, w.why, w.at_us, w.until_us FROM target t JOIN system s ON s.id ="
    f" t.system_id{switches.JOIN_PAUSES} WHERE NOT t.removed AND NOT s.removed"
)


class Targets:
    """Cached targets. A refresh reads those polled since the one before, and all of them after a change of the config
    or of a pause."""

    def __init__(self) -> None:
        self._scope: tuple[object, ...] = ()
        self._seq = 0
        """The greatest `changed_seq` that was read."""
        self._endpoints: Mapping[str, str] = {}
        self.by_id: dict[int, TargetFacts] = {}
        """The same mapping while nothing changes."""

    def refresh(self, session: Session, config: tuple[object, ...]) -> set[int]:
        """The targets that changed, appeared or disappeared. `config`: differs when the config does."""
        scope = (*config, *session.rows(switches.SELECT_PAUSES))
        if scope == self._scope:
            rows = session.rows(f"{_SELECT_TARGETS} AND t.changed_seq > ?", (self._seq,))
            removed = set[int]()
        else:
            rows, self._endpoints = session.rows(_SELECT_TARGETS), config_documents.endpoint_by_target(session)
            removed = self.by_id.keys() - {row.id for row in rows}
        read = {row.id: _target(row, self._endpoints) for row in rows}
        new = {target_id for target_id, target in read.items() if self.by_id.get(target_id) != target}
        if new or removed:
            targets = self.by_id | {target_id: read[target_id] for target_id in new}
            for target_id in removed:
                del targets[target_id]
            self.by_id = targets
        self._scope, self._seq = scope, max([self._seq, *(row.changed_seq for row in rows)])
        return new | removed


def load_target(session: Session, target_id: int) -> TargetFacts | None:
    """None if it is not configured any more."""
    row = session.first(f"{_SELECT_TARGETS} AND t.id = ?", (target_id,))
    return None if row is None else _target(row, config_documents.endpoint_by_target(session))


def _target(row: Row, endpoints: Mapping[str, str]) -> TargetFacts:
    name = decode_name(row.name)
    unread = [] if row.lost_until_us is None else json.loads(row.skipped_text)
    return from_row(
        TargetFacts,
        row,
        name=name,
        endpoint=endpoints.get(f"{row.system}/{name}", ""),
        poll_every=timedelta(seconds=row.poll_every_s),
        lost=None if row.lost_until_us is None else (instant(row.lost_since_us or 0), instant(row.lost_until_us)),
        unread=unread[-1] if unread else "",
        behind=clock_skew.clock_behind(row.skew_s),
        ahead=clock_skew.clock_ahead(row.skew_s),
        pause=switches.last_pause(row.system, row),
    )


def load_extensions(session: Session, since_us: int) -> tuple[DeadlineExtension, ...]:
    """The latest extension of each service day, unless it ended before `since_us`."""
    rows = session.rows(
        "SELECT s.name AS service, e.business_date, e.until_us, e.by, e.why FROM extension e"
        " JOIN service s ON s.id = e.service_id WHERE e.id IN (SELECT MAX(id) FROM extension GROUP BY service_id,"
        " business_date) AND e.until_us >= ? AND NOT s.removed ORDER BY s.name, e.business_date",
        (since_us,),
    )
    return tuple(from_row(DeadlineExtension, row, business_date=date.fromisoformat(row.business_date)) for row in rows)


_AWAITING = (
    "SELECT t.job_id, max(t.parameters) AS parameters FROM plan g JOIN plan_step t ON t.plan_id = g.id"
    " WHERE g.state IN ('running', 'paused', 'stopped') AND t.verb = 'hold' AND t.state = 'planned' GROUP BY t.job_id"
)
"""The jobs that a plan would hold, read once for all holds: stopped plans may have thousands of steps."""
SELECT_HOLDS = (
    "SELECT h.key, h.job_id, h.upstream_id, h.business_date, h.kind, h.mode, h.state, h.held_by, h.why, h.until_us,"
    " h.due_us, h.period_key, h.placed_us, h.released_us, h.ended_us, h.release_key, h.start_key, h.reason, h.detail,"
    " (SELECT max(g.state) FROM plan_step t JOIN plan g ON g.id = t.plan_id WHERE t.action_key = h.key) AS plan_state,"
    " (SELECT max(g.id) FROM plan_step t JOIN plan g ON g.id = t.plan_id WHERE t.action_key = h.key AND g.state IN"
    " ('running', 'paused', 'stopped')) AS plan_id, w.parameters AS awaits, p.state AS place_state, p.text AS"
    " place_text, p.unsent AS place_unsent, p.ended_us AS place_ended_us, p.sent_us AS place_sent_us, p.origin AS"
    " place_origin, r.state AS release_state, r.text AS release_text, r.unsent AS release_unsent, r.ended_us AS"
    " release_ended_us, r.origin AS release_origin, s.state AS start_state, s.text AS start_text, s.unsent AS"
    " start_unsent, s.ended_us AS start_ended_us, s.origin AS start_origin FROM hold h LEFT JOIN action p ON p.key ="
    " h.key LEFT JOIN action r ON r.key = h.release_key LEFT JOIN action s ON s.key = h.start_key LEFT JOIN"
    f" ({_AWAITING}) w ON w.job_id = h.job_id"
)
_SELECT_RECENT = (
    f"{SELECT_HOLDS} WHERE h.key IN (SELECT key FROM hold WHERE ended_us IS NULL"
    " UNION SELECT key FROM hold WHERE ended_us >= ? UNION SELECT key FROM hold WHERE due_us >= ?) ORDER BY h.key"
)
"""Three index lookups: with OR, each evaluation would read every hold."""


def load_holds(session: Session, since_us: int) -> tuple[HoldFacts, ...]:
    """Holds that are open, that ended since then, or that prevent a start after it, by key."""
    return tuple(map(hold_facts, session.rows(_SELECT_RECENT, (since_us, since_us))))


def hold_facts(row: Row) -> HoldFacts:
    """`row`: of SELECT_HOLDS."""
    return from_row(
        HoldFacts,
        row,
        business_date=date.fromisoformat(row.business_date) if row.business_date else None,
        mode=DependencyMode(row.mode),
        state=HoldState(row.state),
        reason=HoldReason(row.reason),
        period_key=decode_name(row.period_key),
        is_released_by_plan=row.plan_state == "running",
        is_reported_by_plan=row.plan_state in ("running", "stopped"),
        plan_until=hold_end(parse_object(row.awaits)) if row.awaits else None,
        place=_action(row, "place"),
        release=_action(row, "release"),
        start=_action(row, "start"),
    )


def _action(row: Row, of: str) -> HoldActionFacts | None:
    names = ("state", "text", "ended_us", "unsent", "origin")
    state, text, ended_us, unsent, origin = (getattr(row, f"{of}_{name}") for name in names)
    if state is None:
        return None
    sent_at = optional_instant(row.place_sent_us) if of == "place" else None
    return HoldActionFacts(state, text, optional_instant(ended_us), bool(unsent), origin, sent_at)


_SENT_ACTIONS = (
    f"SELECT a.run_id, a.job_id, a.verb, {SENT_BY} AS sent_by, a.why, a.sent_us, a.state, a.key, a.origin FROM action a"
    " WHERE a.requested_us >= ?"
    " AND run_id IS NOT NULL AND sent_us IS NOT NULL AND state IN ('sending', 'sent', 'unknown', 'verified')"
)


_POLICIES = "SELECT p.action_key, p.policy FROM {keys} JOIN policy_repair p ON p.action_key = k.a"


def load_cancels(session: Session, since_us: int) -> dict[int, CancelFacts]:
    """Run id -> the latest sent cancel that was requested since then."""
    rows = session.rows(f"{_SENT_ACTIONS} AND verb = 'cancel' ORDER BY sent_us", (since_us,))
    return {row.run_id: CancelFacts(row.job_id, row.sent_by, row.why, instant(row.sent_us)) for row in rows}


def load_repairs(session: Session, since_us: int) -> dict[int, RepairFacts]:
    """Run id -> the latest sent rerun, start, mark or skip that was requested since then."""
    rows = session.rows(
        f"{_SENT_ACTIONS} AND verb IN ('rerun', 'start', 'mark_ok', 'skip') ORDER BY sent_us", (since_us,)
    )
    keys = [row.key for row in rows if row.origin == POLICY_ORIGIN]
    policies = {row.action_key: row.policy for row in session.by_keys(_POLICIES, keys)}
    return {
        row.run_id: RepairFacts(
            row.job_id,
            Verb(row.verb),
            row.sent_by,
            instant(row.sent_us),
            row.state in IN_FLIGHT_STATES,
            row.key if row.state == "unknown" else "",
            policies.get(row.key, ""),
        )
        for row in rows
    }


AFFECTED_ROLES = ("root", "red", "stale", "repaired")


def load_plans_by_run(open_steps: Mapping[int, Sequence[Row]], outdated: Set[int]) -> dict[int, PlannedRun]:
    """Run id -> the open plan with a requested or failed step for the run, one that waits for it, or one that is done
    while the run is bad again. `open_steps`: of `open_plan_steps`; `outdated`: the plans that `is_outdated_plan`."""
    planned: dict[int, PlannedRun] = {}
    for plan_id, steps in open_steps.items():
        for step in steps:
            is_awaited = step.verb == WAIT and step.state == "planned"
            if step.run_id is not None and (is_awaited or step.state in ("requested", "failed")):
                is_requested = step.state == "requested"
                planned[step.run_id] = PlannedRun(plan_id, step.verb == WAIT, plan_id in outdated, is_requested)
            elif step.state == "verified" and step.verb not in (WAIT, *HOLD_VERBS) and is_bad_step(step):
                planned.setdefault(step.run_id, PlannedRun(plan_id, False, plan_id in outdated, is_done=True))
    return planned


def load_planned_restarts(open_steps: Mapping[int, Sequence[Row]]) -> dict[int, int]:
    """Bad run -> its job, of the reruns and starts that running plans have not finished. `open_steps`: of
    `open_plan_steps`."""
    return {
        step.run_id: step.job_id
        for steps in open_steps.values()
        for step in steps
        if step.plan_state == "running" and step.verb in STARTING and step.state in ("planned", "requested")
        if is_bad_step(step)
    }


def load_planned_repairs(open_steps: Mapping[int, Sequence[Row]]) -> dict[int, int]:
    """Bad run -> its job, of the repairs that open plans have not finished. `open_steps`: of `open_plan_steps`."""
    return {
        step.run_id: step.job_id
        for steps in open_steps.values()
        for step in steps
        if step.verb not in (WAIT, *HOLD_VERBS) and step.state in ("planned", "requested") and is_bad_step(step)
    }


_PLANS = (
    f"{PLAN_FACTS} WHERE p.incident_id IS NOT NULL AND p.state IN ('running', 'paused', 'stopped') GROUP BY p.id,"
    " p.incident_id, p.state HAVING SUM(CASE WHEN s.action_key IS NOT NULL THEN 1 ELSE 0 END) > 0 AND SUM(CASE WHEN"
    " s.state <> 'verified' AND s.verb <> 'hold' AND r.id IS NULL THEN 1 ELSE 0 END) > 0 ORDER BY p.id"
)


def load_plans_by_incident(session: Session, outdated: Set[int]) -> dict[int, PlanFacts]:
    """Incident id -> its plan that has not ended, once a step was sent, and while the run of a step other than a hold
    is neither good nor verified. `outdated`: the plans that `is_outdated_plan`."""
    return {
        row.incident_id: PlanFacts(row.id, row.state, row.done, row.total, row.id in outdated)
        for row in session.rows(_PLANS)
    }


def load_approvals(session: Session, since_us: int) -> dict[int, ApprovalFacts]:
    """Run id -> the latest rerun or start that was requested since then and waits for approval."""
    rows = session.rows(
        "SELECT run_id, job_id, key FROM action WHERE requested_us >= ? AND run_id IS NOT NULL AND verb IN ('rerun',"
        " 'start') AND state = 'requested' AND needs_approval AND approved_us IS NULL ORDER BY requested_us",
        (since_us,),
    )
    return {row.run_id: ApprovalFacts(row.job_id, row.key) for row in rows}


def load_open_actions(session: Session) -> dict[str, tuple[int, int]]:
    """Key -> run id and job id, of the actions without a known outcome."""
    rows = session.rows(
        f"SELECT key, run_id, job_id FROM action WHERE state IN {IN_FLIGHT_STATES} AND run_id IS NOT NULL"
    )
    return {row.key: (row.run_id, row.job_id) for row in rows}


_INCIDENTS = (
    "SELECT i.id, i.key, i.root_job_id, i.root_period_key, i.root_target_id, i.business_date, i.opened_us,"
    " i.failed_since_us, i.fingerprint, i.title, i.reason, i.cause, i.cause_subject, i.closed_us, i.failure, i.flaps,"
    " i.flaps_since_us, i.policy, i.policy_us FROM {keys} JOIN incident i ON i.id = k.a WHERE +i.merged_into IS NULL"
)
"""`+`: SQLite would begin with the index of `merged_into`, in which nearly every incident is NULL."""
_INCIDENT_MEMBERS = (
    "SELECT m.incident_id, r.id AS run_id, m.role, m.job_id FROM {keys} JOIN incident_member m ON m.incident_id = k.a"
    " JOIN run r ON r.job_id = m.job_id AND r.period_key = m.period_key"
)


def load_incidents(session: Session, numbers: Sequence[int]) -> dict[int, IncidentFacts]:
    """These incidents by id, without merged ones."""
    members: dict[int, list[Row]] = defaultdict(list)
    for row in session.by_keys(_INCIDENT_MEMBERS, numbers):
        members[row.incident_id].append(row)
    return {row.id: _incident(row, members[row.id]) for row in session.by_keys(_INCIDENTS, numbers)}


def _incident(row: Row, members: Sequence[Row]) -> IncidentFacts:
    return from_row(
        IncidentFacts,
        row,
        cause=CauseRecord(
            row.cause,
            date.fromisoformat(row.business_date),
            _root(row),
            row.cause_subject,
            FailureSignature.from_json(row.failure),
        ),
        flaps=Flaps(row.flaps, instant(row.flaps_since_us)) if row.flaps_since_us is not None else None,
        member_run_ids=frozenset(member.run_id for member in members),
        member_job_ids=frozenset(member.job_id for member in members),
        fingerprint=IncidentFingerprint.from_json(row.fingerprint),
        title=Title.from_json(row.title, is_past=row.closed_us is not None),
        affected_run_ids=frozenset(member.run_id for member in members if member.role in AFFECTED_ROLES),
        pending_repair=PendingRepair(row.policy, instant(row.policy_us)) if row.policy_us is not None else None,
    )


def _root(row: Row) -> RootRun | RootTarget | None:
    if row.root_job_id is not None:
        return RootRun(row.root_job_id, decode_name(row.root_period_key))
    return RootTarget(row.root_target_id) if row.root_target_id is not None else None
