"""Incidents: the list, and one with evidence, members, past repairs and deliveries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connectors.sdk.states import OPEN_STATES, RED_STATES, Capability, PeriodKind, RunState, Verb
from console.domain.alert import DeliveryView, SuppressionView
from console.domain.external_alert import ExternalAlertView
from console.domain.history import EstimateBasis
from console.domain.hold import HoldReason, HoldState
from console.domain.ids import incident_name, instant, micros, optional_instant
from console.domain.incident import (
    AffectedServiceView,
    FailureError,
    IncidentRow,
    IncidentView,
    MemberView,
    PastRepair,
    RepairStep,
    error_line,
    repaired_at_end,
)
from console.domain.incident_record import CauseKind
from console.domain.reason import EarlierRun, Reason, Repetition
from console.domain.run import CLOCK_SKEW
from console.domain.stored import stored_value
from console.domain.system import RESTORED_FIRST
from console.domain.text import Title
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.events import event_of
from console.store.new_actions import SENT_BY
from console.store.queries.actions import ActionQueries
from console.store.queries.base import ContextQueries, ReadStore, clean_name, run_visibility
from console.store.queries.failures import FailureQueries
from console.store.queries.findings import FindingQueries
from console.store.row_values import from_row, parse_reasons, run_reason, stored_reason
from console.store.run_periods import covers_period
from console.store.subjects import ROOT_JOINS, ROOT_NAME
from console.text.normalize import constant_part
from console.text.normalize import error_line as log_error_line

# ruff: noqa: S608  (statements contain only constants of the code; every value is bound)
MAX_REPAIRS = 12
"""Past failures shown at most."""


_RED = ", ".join(f"'{state}'" for state in sorted(RED_STATES))
_OPEN = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))
_SKEW_US = CLOCK_SKEW // timedelta(microseconds=1)
_RUNNING = "'running', 'retrying', 'cancelling'"
_DATE_SPAN_US = 2 * 86_400_000_000
"""The periods of a business date lie closer together: it spans one local day. Limits what is read of the index."""
_DECIDES_AFTER = (
    f"n.job_id = r.job_id AND n.sort_us > r.sort_us - {_DATE_SPAN_US} AND (n.sort_us > r.sort_us OR (n.sort_us <"
    " r.sort_us AND n.attempts > 1 AND n.evidence <> 'asserted' AND n.business_date = r.business_date AND"
    " COALESCE((SELECT min(x.started_us) FROM attempt x WHERE x.run_id = n.id AND x.state = 'succeeded'), n.started_us)"
    " > COALESCE(r.started_us, r.sort_us) AND NOT EXISTS (SELECT 1 FROM job q JOIN system y ON y.id = q.system_id WHERE"
    f" q.id = r.job_id AND ',' || y.capabilities || ',' LIKE '%,{Capability.PERIODS},%')))"
    f" AND {covers_period('n', 'r')}"
)
"""Whether run `n` is one of `EstateIndex.later_runs` of run `r`: of a later period, or a rerun of an earlier one of
that date that began later, unless reruns have periods of their own; and it covers the period of `r`."""
_RERUN = (
    "CASE WHEN t.failing_since_us IS NOT NULL THEN s.name || '/' || t.name ELSE '' END AS unreachable, t.error_kind,"
    " (SELECT max(a.sent_us) FROM action a WHERE a.run_id = r.id AND a.verb IN ('rerun', 'start') AND a.state IN"
    f" ('sending', 'sent', 'unknown') AND (r.state IN ({_OPEN}) OR COALESCE(r.started_us, 0) + {_SKEW_US} <"
    " a.sent_us)) AS rerun_sent_us, COALESCE((SELECT max(a.key) FROM action a WHERE a.run_id = r.id"
    " AND a.verb IN ('rerun', 'start') AND a.state = 'unknown'), '') AS unknown_rerun, EXISTS (SELECT 1 FROM"
    " action a WHERE a.run_id = r.id AND a.verb IN ('rerun', 'start') AND a.state = 'requested' AND a.needs_approval"
    " AND a.approved_us IS NULL) AS awaits_approval, EXISTS (SELECT 1 FROM drift c WHERE c.job_id = r.job_id AND"
    " c.what = 'schedule' AND c.accepted_us IS NULL AND c.ended_us IS NULL) AS is_moved,"
    f" (SELECT max(n.started_us) FROM run n WHERE {_DECIDES_AFTER} AND"
    f" n.business_date = r.business_date AND n.state IN ({_RUNNING})) AS rerun_started_us"
)
"""Whether run `r` can be repeated on target `t` of system `s`, and whether it already is."""
_MEMBERS = (
    "SELECT m.role, j.name AS job, m.job_id, m.run_id, m.period_key, COALESCE(r.state, 'planned') AS state,"
    " COALESCE(r.evidence, 'native') AS evidence, COALESCE(r.stale_read, m.role = 'stale') AS stale_read, r.started_us,"
    " r.ended_us, r.period_us, r.period_kind, j.target_id, r.native_state, r.exit_code, r.message, r.reason,"
    " r.attempts, r.observed_us, j.proof, s.name || '/' || t.name AS target, t.last_ok_us AS target_seen_us,"
    f" r.partial_input, s.capabilities, COALESCE(r.business_date, i.business_date) AS business_date, {_RERUN} FROM"
    " incident_member m JOIN incident i ON i.id = m.incident_id JOIN job j ON j.id = m.job_id JOIN target t"
    " ON t.id = j.target_id JOIN system s ON s.id = t.system_id LEFT JOIN run r ON r.job_id = m.job_id AND"
    " r.period_key = m.period_key WHERE m.incident_id = ? ORDER BY m.place, j.name"
)
_BEFORE = (
    "SELECT recent.id AS run_id, recent.sort_us AS at_us, recent.state, recent.ended_us, t.ended_us AS failed_us,"
    " t.message, t.exit_code, (SELECT a.verb FROM action a WHERE a.run_id = recent.id AND a.state = 'verified' ORDER BY"
    f" a.requested_us DESC LIMIT 1) AS verb, (SELECT {SENT_BY} FROM action a WHERE a.run_id = recent.id AND a.state ="
    " 'verified' ORDER BY a.requested_us DESC LIMIT 1) AS by, (SELECT max(o.id) FROM incident o WHERE o.root_run_id ="
    " recent.id) AS incident_id, (SELECT min(g.ended_us) FROM run g WHERE g.job_id = recent.job_id AND g.sort_us >"
    " recent.sort_us AND g.sort_us < recent.sort_us + 86400000000 AND g.business_date = recent.business_date AND"
    f" g.period_us IS NULL AND g.state = 'succeeded' AND {covers_period('g', 'recent')}) AS fresh_us FROM (SELECT r.id,"
    " r.job_id, r.business_date, r.period_kind, r.period_name, r.sort_us, r.state, r.ended_us FROM incident i"
    " JOIN run f ON f.id = i.root_run_id JOIN run r ON r.job_id ="
    " f.job_id AND r.sort_us < f.sort_us AND NOT EXISTS (SELECT 1 FROM incident_member m WHERE m.incident_id = i.id AND"
    " m.run_id = r.id) WHERE i.id = ? ORDER BY r.sort_us DESC LIMIT 500) recent JOIN attempt t ON t.id = (SELECT x.id"
    f" FROM attempt x WHERE x.run_id = recent.id AND x.state IN ({_RED}) ORDER BY x.number LIMIT 1) ORDER BY"
    " recent.sort_us DESC LIMIT ?"
)
"""Of the latest 500 earlier runs of the root's job, without the incident's own: those with a failed attempt, with their
first failure, and when an unscheduled start succeeded for the same business date."""
_ROOT_FAILURE = (
    "SELECT t.exit_code, t.message FROM incident i JOIN attempt t ON t.run_id = i.root_run_id WHERE i.id = ?"
    f" AND t.state IN ({_RED}) ORDER BY t.number DESC LIMIT 1"
)

_FACTS = (
    "SELECT i.close_reason, i.repetition, (SELECT t.failing_since_us FROM target t WHERE t.id = i.root_target_id) AS"
    " failing_since_us, CASE WHEN i.closed_us IS NULL THEN NULL WHEN r.state = 'succeeded' AND NOT r.stale_read THEN"
    " CASE WHEN r.evidence <> 'asserted' THEN r.ended_us END ELSE (SELECT min(n.ended_us) FROM run n WHERE"
    f" {_DECIDES_AFTER} AND n.sort_us <= i.closed_us AND n.state = 'succeeded' AND n.evidence <> 'asserted' AND NOT"
    " n.stale_read) END AS repaired_us, (SELECT max(p.id) FROM incident_member m JOIN hold h ON h.job_id = m.job_id AND"
    f" h.kind = 'person' AND h.state = '{HoldState.HELD}' AND h.reason <> '{HoldReason.RELEASE_FAILED}' JOIN plan_step"
    " s ON s.action_key = h.key JOIN plan p ON p.id = s.plan_id AND p.state IN ('paused', 'stopped') WHERE"
    " m.incident_id = i.id AND m.role = 'root') AS holding_plan FROM incident i LEFT JOIN run r ON r.id = i.root_run_id"
    " WHERE i.id = ?"
)
"""`holding_plan`: the plan whose hold on the job of the root a person has to release, by resuming it."""

SELECT_DELIVERIES = (
    "SELECT a.incident_id, a.route, a.kind, d.receiver, d.state, d.tries, d.repeats, COALESCE(d.sent_us,"
    " (SELECT max(g.sent_us) FROM delivery g WHERE g.alert_id = a.digest_id AND g.receiver = d.receiver)) AS sent_us,"
    " d.error, a.made_us"
)
SELECT_SUPPRESSIONS = (
    "SELECT incident_id, route, style, kind, stage, why, since_us, until_us, ended_us, ended_why FROM alert_suppressed"
)

MAX_CLOSED = 200
_NEWEST = "ORDER BY i.opened_us DESC, i.id DESC"
_UNACKNOWLEDGED: dict[str, Any] = {"acknowledged_by": "", "acknowledged_until": None}
_ROWS = (
    "SELECT i.id, i.title, i.cause, i.business_date, i.reason, i.owner, i.failed_since_us, i.opened_us, i.act_by_us,"
    " i.closed_us, i.policy, i.policy_us,"
    " (SELECT count(DISTINCT x.service_id) FROM incident_service x WHERE x.incident_id = i.id) AS"
    " services, (SELECT count(*) FROM incident_member m WHERE m.incident_id = i.id AND m.role IN ('red', 'stale')) AS"
    f" affected_runs, i.root_run_id, {ROOT_NAME} AS root_job, i.runbook, i.split_from, i.merged_into, i.reopened,"
    " i.changes, k.made_by AS acknowledged_by, k.until_us AS acknowledged_until_us, (SELECT min(s.tier) FROM"
    " incident_service x JOIN service s ON s.id = x.service_id WHERE x.incident_id = i.id) AS tier,"
    " COALESCE(f.state, '') AS root_state, CASE WHEN i.cause = 'run' AND f.state = 'succeeded' AND f.evidence <>"
    " 'asserted' AND NOT f.stale_read AND f.ended_us <= COALESCE(i.closed_us, f.ended_us) THEN f.ended_us END AS"
    f" root_good_us FROM incident i {ROOT_JOINS} LEFT JOIN acknowledgement k ON k.id = (SELECT max(x.id) FROM"
    " acknowledgement x WHERE x.incident_id = i.id) AND k.ended_us IS NULL AND i.closed_us IS NULL"
)
_LOG = (
    "SELECT l.text, l.error FROM attempt a JOIN log_tail l ON l.attempt_id = a.id WHERE a.run_id = ?"
    " ORDER BY CASE WHEN a.state = 'succeeded' THEN 1 ELSE 0 END, a.number DESC LIMIT 1"
)

_TAILS = (
    "SELECT a.run_id, l.text FROM {keys} JOIN attempt a ON a.run_id = k.a JOIN log_tail l ON l.attempt_id = a.id"
    " ORDER BY a.run_id, a.number"
)
MAX_LOGS = 20
"""Members whose error line is read from their log at most."""
_RED_BEFORE = (
    "SELECT recent.sort_us, recent.state, recent.attempts, recent.exit_code, (SELECT o.close_reason FROM incident o"
    " WHERE o.root_run_id = recent.id AND o.closed_us IS NOT NULL ORDER BY o.id DESC LIMIT 1) AS close_reason, (SELECT"
    f" {SENT_BY} FROM action a WHERE a.run_id = recent.id AND a.state = 'verified' ORDER BY a.requested_us DESC"
    " LIMIT 1) AS by FROM (SELECT r.id, r.sort_us, r.state, r.attempts, r.exit_code FROM incident i JOIN run f ON f.id"
    " = i.root_run_id JOIN run r ON r.job_id = f.job_id AND r.sort_us < f.sort_us AND NOT EXISTS (SELECT 1 FROM"
    " incident_member m WHERE m.incident_id = i.id AND m.job_id = r.job_id AND m.run_id = r.id) WHERE i.id = ? ORDER BY"
    f" r.sort_us DESC LIMIT 500) recent WHERE recent.state IN ({_RED}) OR (recent.attempts > 1 AND recent.state ="
    f" 'succeeded' AND EXISTS (SELECT 1 FROM attempt t WHERE t.run_id = recent.id AND t.state IN ({_RED}))) ORDER BY"
    " recent.sort_us DESC LIMIT 5"
)
"""Earlier runs of the root's job that needed repair, without the incident's own, among its latest 500."""
_SEEN_BEFORE = (
    "SELECT o.opened_us, o.close_reason FROM incident i JOIN incident o ON o.id < i.id AND o.closed_us IS NOT NULL AND"
    " (o.root_target_id = i.root_target_id OR o.root_run_id = i.root_run_id) WHERE i.id = ? ORDER BY o.id DESC LIMIT 5"
)
"""Earlier incidents of the same target, or of the same run."""

_JOINT = (
    "SELECT x.service_id, x.business_date, o.id AS incident_id, j.name AS job, r.state, y.act_by_us,"
    f" y.needs_restart, s.capabilities, j.target_id, {_RERUN} FROM incident_service x JOIN incident_service y ON"
    " y.service_id = x.service_id AND y.business_date = x.business_date JOIN incident o ON"
    " o.id = y.incident_id AND o.closed_us IS NULL AND o.cause = 'run' JOIN run r ON r.id = o.root_run_id JOIN job j"
    " ON j.id = r.job_id JOIN system s ON s.id = j.system_id JOIN target t ON t.id = j.target_id WHERE"
    " x.incident_id = ? AND (o.id = x.incident_id OR y.needs_restart AND NOT EXISTS (SELECT 1 FROM acknowledgement a"
    " WHERE a.incident_id = o.id AND a.ended_us IS NULL AND a.until_us > ?)) AND"
    f" (r.state IN ({_RED}) OR r.stale_read) ORDER BY x.deadline_us, o.key"
)
"""The open incidents to restart for each affected service day: this one and the unacknowledged ones that the day needs
restarted, in the order of notifications and as these name them."""


MAX_ALERTS = 20
ALERT_ENDED = timedelta(hours=1)
"""An alert that ended longer before the failure is unrelated."""
ALERT_REPEATED = timedelta(days=1)
"""One that was last reported longer before is no longer firing: monitors repeat it every few hours."""
ALERT_STARTED = timedelta(days=30)
"""One that began longer before is not read."""
_EXTERNAL_ALERTS = (
    "SELECT s.name || '/' || t.name AS target, x.name, x.severity, x.summary, x.started_us, x.ended_us,"
    " x.received_us, COUNT(*) OVER () AS total FROM external_alert x JOIN target t ON t.id = x.target_id JOIN system s"
    " ON s.id = t.system_id WHERE x.target_id IN (SELECT j.target_id FROM incident_member m JOIN job j ON j.id ="
    " m.job_id WHERE m.incident_id = ? AND m.role NOT IN ('threatened', 'closing', 'awaited')"
    " UNION SELECT i.root_target_id FROM incident i WHERE"
    " i.id = ?) AND (x.ended_us IS NULL OR x.ended_us >= ?) AND x.started_us <= ? AND x.received_us >= ? AND"
    " x.started_us >= ? ORDER BY x.ended_us IS NOT NULL, CASE lower(x.severity) WHEN 'critical' THEN 0 WHEN 'page'"
    " THEN 0 WHEN 'error' THEN 1 WHEN 'high' THEN 1 WHEN 'info' THEN 3 WHEN 'low' THEN 3 WHEN 'none' THEN 3 ELSE 2"
    " END, x.started_us, x.target_id, x.fingerprint LIMIT ?"
)


class IncidentQueries(ContextQueries):
    def __init__(
        self, store: ReadStore, actions: ActionQueries, findings: FindingQueries, failures: FailureQueries
    ) -> None:
        super().__init__(store)
        self.actions = actions
        self.findings = findings
        self.failures = failures

    def _repairs(self, incident_id: int) -> tuple[PastRepair, ...]:
        """Past failures of its root's job with their repairs, newest first."""
        failure = self.link.first(_ROOT_FAILURE, (incident_id,))
        error = FailureError(None, "")
        if failure is not None:
            error = FailureError(failure.exit_code, constant_part(failure.message))
        repairs = [_repair(row, error) for row in self.link.rows(_BEFORE, (incident_id, MAX_REPAIRS))]
        notes: dict[int | None, str] = dict(
            self.link.by_keys(
                "SELECT e.incident_id, e.text FROM {keys} JOIN event e ON e.incident_id = k.a WHERE e.kind = 'note'"
                " ORDER BY e.id",
                [repair.incident_id for repair in repairs if repair.incident_id is not None],
            )
        )
        return tuple(replace(repair, note=notes.get(repair.incident_id, "")) for repair in repairs)

    def list_incidents(self, closed: bool = False) -> list[IncidentRow]:
        """Open incidents, or the latest 200 closed ones; newest first."""
        where = f"NOT NULL {_NEWEST} LIMIT {MAX_CLOSED}" if closed else f"NULL {_NEWEST}"
        return self._current(self.link.rows(f"{_ROWS} WHERE i.closed_us IS {where}"))

    def has_acknowledgement(self, incident_id: int, key: str) -> bool:
        """Whether it was acknowledged under this key, at any time."""
        of_key = "SELECT 1 FROM acknowledgement WHERE incident_id = ? AND key = ?"
        return bool(self.link.rows(of_key, (incident_id, key)))

    def incident(self, incident_id: int) -> IncidentView:
        """One incident with everything about it. Raises NotFound."""
        rows = self.link.rows(f"{_ROWS} WHERE i.id = ?", (incident_id,))
        if not rows:
            newest = tuple(incident_name(incident.id) for incident in self.list_incidents()[:3])
            raise NotFound(incident_name(incident_id), newest, "headway incident list --all")
        [row] = self._current(rows)
        log, log_error = self._log(row.root_run_id)
        stale, members, rows = self.store.stale_targets(), [], self.link.rows(_MEMBERS, (incident_id,))
        lines = self._log_lines(rows)
        for member in rows:
            visible = run_visibility(member.state, member.evidence, member.target_id, stale)
            members.append(_member(member, visible.state, visible.evidence, stale, lines.get(member.run_id, "")))
        events = self.link.rows(
            "SELECT at_us, kind, text, actor, incident_id FROM event e WHERE incident_id = ? ORDER BY id",
            (incident_id,),
        )
        [facts] = self.link.rows(_FACTS, (incident_id,))
        close_reason, repeated = stored_reason(facts.close_reason), stored_reason(facts.repetition)
        repaired = optional_instant(facts.repaired_us)
        if row.closed is not None:
            members = repaired_at_end(members, close_reason)
        deliveries = self.link.rows(
            f"{SELECT_DELIVERIES} FROM alert a JOIN delivery d ON d.alert_id = a.id WHERE a.incident_id = ?"
            " ORDER BY a.id, d.url_index",
            (incident_id,),
        )
        suppressed = self.link.rows(f"{SELECT_SUPPRESSIONS} WHERE incident_id = ? ORDER BY id", (incident_id,))
        runs = [(row.sort_us, _outcome(row)) for row in self.link.rows(_RED_BEFORE, (incident_id,))]
        earlier = self.link.rows(_SEEN_BEFORE, (incident_id,))
        closed = [(end.opened_us, reason) for end in earlier if (reason := stored_reason(end.close_reason)) is not None]
        seen_before = sorted([*runs, *closed], key=lambda outcome: outcome[0], reverse=True)[:5]
        alerts, alerts_left_out = self._external_alerts(row)
        return IncidentView(
            row=row,
            services=self._services(incident_id),
            members=tuple(members),
            events=tuple(map(event_of, events)),
            deliveries=tuple(from_row(DeliveryView, delivery) for delivery in deliveries),
            log=log,
            log_error=log_error,
            actions=tuple(self.actions.list_actions(incident_id=incident_id)),
            seen_before=tuple((instant(at), outcome) for at, outcome in seen_before),
            suppressed=tuple(from_row(SuppressionView, row) for row in suppressed),
            findings=self.findings.findings_of_incident(incident_id),
            external_alerts=alerts,
            external_alerts_left_out=alerts_left_out,
            repairs=self._repairs(incident_id),
            memory=self.failures.memory_before(incident_id),
            joint_restarts=self._joint_restarts(incident_id),
            unreachable=row.root_job if row.cause == CauseKind.TARGET and facts.failing_since_us is not None else "",
            repaired=repaired if repaired is not None and row.closed is not None and repaired <= row.closed else None,
            close_reason=close_reason,
            repeated=repeated if isinstance(repeated, Repetition) else None,
            holding_plan=facts.holding_plan,
        )

    def _external_alerts(self, incident: IncidentRow) -> tuple[tuple[ExternalAlertView, ...], int]:
        """The first MAX_ALERTS, and how many more there are."""
        since = incident.failed_since
        until = incident.closed if incident.closed is not None else self.store.now()
        times = [micros(at) for at in (since - ALERT_ENDED, until, since - ALERT_REPEATED, since - ALERT_STARTED)]
        rows = self.link.rows(_EXTERNAL_ALERTS, (incident.id, incident.id, *times, MAX_ALERTS))
        return tuple(from_row(ExternalAlertView, row) for row in rows), rows[0].total - len(rows) if rows else 0

    def _joint_restarts(self, incident_id: int) -> tuple[RepairStep, ...]:
        """Of the service day with the earliest act-by that has not passed, else of that with the earliest deadline."""
        now, stale = self.store.now(), self.store.stale_targets()
        days: dict[tuple[int, str], list[RepairStep]] = defaultdict(list)
        is_own = False
        for row in self.link.rows(_JOINT, (incident_id, micros(now))):
            can_rerun = Verb.RERUN.needs in (row.capabilities or "").split(",")
            is_running = row.rerun_sent_us is not None or row.rerun_started_us is not None
            is_missed, unreachable = row.state == RunState.MISSED, _unreachable(row, stale)
            restart = from_row(RepairStep, row, can_rerun=can_rerun, is_missed=is_missed, unreachable=unreachable,
                               is_running=is_running)  # fmt: skip
            days[row.service_id, row.business_date].append(restart)
            is_own |= row.incident_id == incident_id and (bool(row.needs_restart) or is_running)

        def urgency(restarts: list[RepairStep]) -> tuple[bool, datetime]:
            times = [restart.act_by for restart in restarts if restart.act_by is not None and restart.act_by > now]
            return not times, min(times, default=now)

        urgent = min(days.values(), key=urgency, default=[])
        return tuple(urgent) if is_own and len(urgent) > 1 else ()

    def incident_of_run(self, run_id: int) -> int | None:
        """The open incident that the run belongs to."""
        return self._oldest_open("JOIN run r ON r.job_id = m.job_id AND r.period_key = m.period_key WHERE r.id", run_id)

    def incident_of_job(self, job_id: int) -> int | None:
        """The oldest open incident that a run of the job belongs to."""
        return self._oldest_open("WHERE m.job_id", job_id)

    def _oldest_open(self, whose: str, number: int) -> int | None:
        query = f"SELECT i.id FROM incident_member m JOIN incident i ON i.id = m.incident_id {whose} = ?"
        row = self.link.first(f"{query} AND i.closed_us IS NULL ORDER BY i.id LIMIT 1", (number,))
        return None if row is None else int(row.id)

    def _log_lines(self, members: Iterable[Row]) -> dict[int, str]:
        """The error line of the log, by run, of the first failed members without a message."""
        silent = [member.run_id for member in members if member.state in RED_STATES and not member.message]
        tails = self.link.by_keys(_TAILS, [run_id for run_id in silent if run_id is not None][:MAX_LOGS])
        return {row.run_id: log_error_line(row.text) for row in tails}

    def _log(self, run_id: int | None) -> tuple[str, str]:
        log = self.link.first(_LOG, (run_id,)) if run_id is not None else None
        if log is None:
            return "", "no log was fetched"
        return log.text, log.error if log.text or log.error else "the log is empty"

    def _services(self, incident_id: int) -> tuple[AffectedServiceView, ...]:
        rows = self.link.rows(
            "SELECT s.name, s.title, s.tier, s.zone, x.deadline_us, x.act_by_us, x.green_by_us, x.basis, x.reasons,"
            " CASE WHEN d.id IS NULL THEN x.expected_us ELSE d.expected_us END AS expected_us, d.delivered_us,"
            " COALESCE(d.timeliness, x.timeliness) AS timeliness, d.sources AS estimates, d.p_late,"
            " d.p80_us, d.p95_us, d.distrust AS unreliable_because, x.business_date FROM incident_service x JOIN"
            " service s ON s.id = x.service_id LEFT JOIN service_day d ON d.service_id = x.service_id AND"
            " d.business_date = x.business_date WHERE x.incident_id = ? ORDER BY x.deadline_us, s.tier, s.name",
            (incident_id,),
        )
        return tuple(map(_affected, rows))

    def _current(self, rows: list[Row]) -> list[IncidentRow]:
        """With affected services, soonest due first, the last alert, the latest suppression and no expired
        acknowledgement."""
        incidents = [
            from_row(IncidentRow, row, title=Title.from_json(row.title, is_past=row.closed_us is not None))
            for row in rows
        ]
        now, ids = self.store.now(), [incident.id for incident in incidents]
        services: dict[int, dict[str, None]] = defaultdict(dict)
        for row in self.link.by_keys(
            "SELECT x.incident_id, s.title, s.name FROM {keys} JOIN incident_service x ON x.incident_id = k.a"
            " JOIN service s ON s.id = x.service_id ORDER BY x.deadline_us, s.tier, s.name",
            ids,
        ):
            services[row.incident_id][row.title or row.name] = None
        deliveries: dict[int, list[DeliveryView]] = defaultdict(list)
        for row in self.link.by_keys(
            f"{SELECT_DELIVERIES} FROM {{keys}} JOIN alert a ON a.id = (SELECT max(x.id) FROM alert x WHERE"
            " x.incident_id = k.a) JOIN delivery d ON d.alert_id = a.id ORDER BY a.id, d.url_index",
            ids,
        ):
            deliveries[row.incident_id].append(from_row(DeliveryView, row))
        suppressed = self.link.by_keys(
            f"SELECT h.* FROM {{keys}} JOIN ({SELECT_SUPPRESSIONS}) h ON h.incident_id = k.a WHERE h.ended_us IS NULL"
            " ORDER BY h.since_us",
            ids,
        )
        suppressions = {row.incident_id: from_row(SuppressionView, row) for row in suppressed}
        return [
            replace(
                incident,
                hits=tuple(services[incident.id]),
                notifications=tuple(deliveries[incident.id]),
                suppression=suppressions.get(incident.id),
                **({} if incident.acknowledged_until is None or incident.acknowledged_until > now else _UNACKNOWLEDGED),
            )
            for incident in incidents
        ]


def _affected(row: Row) -> AffectedServiceView:
    basis = stored_value(EstimateBasis, row.basis, None)
    title, reasons = row.title or row.name, parse_reasons(row.reasons)
    return from_row(AffectedServiceView, row, title=title, basis=basis, reasons=reasons)


def _unreachable(row: Row, stale: Container[int]) -> str:
    is_known = row.error_kind in RESTORED_FIRST or row.target_id in stale
    return str(row.unreachable) if is_known else ""


def _member(row: Row, state: str, evidence: str, stale: Container[int], log_line: str) -> MemberView:
    capabilities = (row.capabilities or "").split(",")
    is_before_due = state == RunState.MISSED and (row.observed_us or 0) < (row.period_us or 0)
    return from_row(
        MemberView,
        row,
        period_key=clean_name(row.period_key),
        reason=run_reason(row.reason, row.attempts),
        state=state,
        evidence=evidence,
        observed=None if is_before_due else optional_instant(row.observed_us or None),
        can_rerun=Verb.RERUN.needs in capabilities,
        has_periods=Capability.PERIODS in capabilities or row.period_kind == PeriodKind.NAME,
        unreachable=_unreachable(row, stale),
        log_line=log_line,
    )


def _repair(row: Row, error_now: FailureError) -> PastRepair:
    ended, failed, fresh, by = row.ended_us, row.failed_us, row.fresh_us, row.by or ""
    error = error_line(row.exit_code, str(row.message))
    succeeded = row.state in (RunState.SUCCEEDED, RunState.SKIPPED)
    how = str(row.verb).replace("_", " ") if row.verb else "its scheduler's own retry"
    if not succeeded and fresh and failed and fresh > failed:
        succeeded, ended, how, by = True, fresh, "a fresh start", ""
    return from_row(
        PastRepair,
        row,
        error=error,
        how=how if succeeded else "",
        took_s=(ended - failed) / 1e6 if succeeded and ended and failed else None,
        by=by if succeeded else "",
        same_error=FailureError(row.exit_code, constant_part(row.message)).is_same_as(error_now),
    )


def _outcome(run: Row) -> Reason:
    """The outcome of the run, or the close reason of its incident."""
    closed = stored_reason(run.close_reason or "")
    return closed or EarlierRun(run.state, run.exit_code, run.attempts, run.by or "")
