"""Policies: the repairs that each sent, and those in shadow, with what people sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from connectors.sdk.states import RED_STATES, RunEvidence, RunState
from console.domain.estate import JobFacts, RunFacts
from console.domain.failure import FailureSignature
from console.domain.ids import instant, micros, optional_instant
from console.domain.incident_record import CauseKind
from console.domain.policy import PolicyRepair
from console.domain.policy_report import PolicyReport, RecordedFailure, RepairResult, ReportedRepair, reports_of
from console.domain.run import CLOCK_SKEW
from console.store import config_documents
from console.store.db.session import Row
from console.store.names import decode_name
from console.store.new_actions import SENT_BY
from console.store.policies import REPAIR_ACTION, REPAIR_COLUMNS, policy_repair
from console.store.queries.base import ContextQueries
from console.store.snapshot import facts
from console.store.switches import load_modes

# ruff: noqa: S608  (statements contain only constants of the code; every value is bound)
_SENT = (
    "FROM action x WHERE x.run_id = p.run_id AND x.sent_us >= p.at_us AND x.state <> 'refused' AND NOT x.unsent"
    " AND NOT EXISTS (SELECT 1 FROM policy_repair n WHERE n.run_id = p.run_id AND n.at_us > p.at_us"
    " AND n.at_us <= x.sent_us)"
)
"""The actions on the run of repair `p`, alone or in a plan, before the next repair of that run."""
_GOOD = (
    "FROM attempt o WHERE o.run_id = p.run_id AND o.number > p.attempt AND o.state = 'succeeded'"
    " AND o.evidence <> 'asserted' AND NOT EXISTS (SELECT 1 FROM policy_repair n WHERE n.run_id = p.run_id"
    " AND n.attempt > p.attempt AND n.attempt < o.number)"
)
"""The successes of the run of repair `p` before the next repair of that run; not those that a person asserted."""
_REPAIRS = (
    f"SELECT {REPAIR_COLUMNS}, p.incident_id, j.name AS job,"
    f" a.sent_us, CASE WHEN a.key IS NOT NULL THEN {SENT_BY} ELSE '' END AS sent_by, a.state, t.state AS outcome,"
    f" EXISTS (SELECT 1 {_GOOD}) AND NOT EXISTS (SELECT 1 {_SENT}) AS is_needless FROM policy_repair p {REPAIR_ACTION}"
    " LEFT JOIN job j ON j.id = p.job_id LEFT JOIN action a ON a.key = (SELECT x.key"
    f" {_SENT} AND x.verb = 'rerun' AND x.origin <> 'policy' ORDER BY x.sent_us, x.key LIMIT 1)"
    " LEFT JOIN attempt t ON t.id = a.attempt_id"
    " WHERE p.at_us >= ? ORDER BY p.at_us DESC, p.run_id, p.attempt DESC"
)
_PAST_FAILURES = (
    "SELECT x.incident_id, x.failure, x.since_us, r.id, r.job_id, j.name AS job, r.period_key, r.period_us,"
    " r.business_date, r.first_started_us, t.number, t.state, t.evidence, t.started_us,"
    " COALESCE(t.ended_us, t.started_us) AS failed_us, n.state AS outcome, n.evidence AS proof, n.started_us AS"
    f" repeated_us, n.ended_us, a.sent_us, CASE WHEN a.key IS NOT NULL THEN {SENT_BY} ELSE '' END AS sent_by"
    " FROM incident_failure x JOIN incident c ON c.id = x.incident_id JOIN run r ON r.id = x.run_id"
    " JOIN job j ON j.id = r.job_id JOIN attempt t ON t.run_id = r.id LEFT JOIN attempt n ON n.run_id = t.run_id AND"
    " n.number = t.number + 1 LEFT JOIN action a ON a.attempt_id = n.id AND a.verb = 'rerun'"
    " WHERE c.merged_into IS NULL AND t.started_us IS NOT NULL"
    " AND COALESCE(t.ended_us, t.started_us) >= ? AND COALESCE(t.ended_us, t.started_us) + ? >= x.since_us"
    " AND t.state IN ({red}) ORDER BY x.since_us, x.incident_id, t.number"
).format(red=", ".join(f"'{state}'" for state in sorted(RED_STATES)))
"""The failed attempts of the runs of incidents, each with the next attempt of its run and the rerun that started it;
with every failure of the run before it."""


class PolicyQueries(ContextQueries):
    def past_failures(self, since: datetime) -> list[RecordedFailure]:
        """The failures since then of runs whose jobs are watched, the oldest first."""
        failures = dict[tuple[int, int], tuple[Row, FailureSignature]]()
        for row in self.link.rows(_PAST_FAILURES, (micros(since), CLOCK_SKEW // timedelta(microseconds=1))):
            signature = FailureSignature.from_json(row.failure)
            if signature is not None and signature.cause == CauseKind.RUN:
                failures[row.id, row.number] = row, signature
        jobs = {row.id: facts.job_facts(row, {}) for row in self.link.rows(facts.SELECT_JOBS)} if failures else {}
        return [
            _recorded_failure(row, signature, replace(jobs[row.job_id], paused_since=None))
            for row, signature in sorted(failures.values(), key=lambda item: item[0].failed_us)
            if row.job_id in jobs
        ]

    def reports(self, since: datetime) -> list[PolicyReport]:
        """The reports of the repairs since then, in the order of the config, then of policies that it has no longer."""
        repairs = [
            ReportedRepair(
                policy_repair(row),
                row.incident_id,
                decode_name(row.job or ""),
                optional_instant(row.sent_us),
                row.sent_by,
                _result(row),
            )
            for row in self.link.rows(_REPAIRS, (micros(since),))
        ]
        return reports_of(config_documents.load_declared(self.link).policies, repairs, load_modes(self.link))


def _recorded_failure(row: Row, signature: FailureSignature, job: JobFacts) -> RecordedFailure:
    run = RunFacts(
        row.id, row.job_id, decode_name(row.period_key), optional_instant(row.period_us),
        date.fromisoformat(row.business_date), RunState(row.state), RunEvidence(row.evidence), attempt=row.number,
        first_started_at=optional_instant(row.first_started_us), started_at=optional_instant(row.started_us),
        ended_at=instant(row.failed_us),
    )  # fmt: skip
    in_shadow = PolicyRepair("", "rerun", row.job_id, run.business_date, row.id, row.number, instant(row.failed_us))
    sent, result = optional_instant(row.sent_us), _attempt_result(row)
    reported = ReportedRepair(in_shadow, row.incident_id, decode_name(row.job), sent, row.sent_by, result)
    repeated = optional_instant(row.sent_us or row.repeated_us)
    return RecordedFailure(signature, job, run, reported, repeated, optional_instant(row.ended_us))


def _attempt_result(row: Row) -> RepairResult:
    """The result that the next attempt of a run shows: wrong and right only if it is a rerun."""
    if row.outcome == RunState.SUCCEEDED and row.proof != RunEvidence.ASSERTED:
        return RepairResult.RIGHT if row.sent_us is not None else RepairResult.NEEDLESS
    has_failed = row.outcome is not None and RunState(row.outcome) in RED_STATES - {RunState.CANCELLED}
    return RepairResult.WRONG if has_failed and row.sent_us is not None else RepairResult.UNKNOWN


def _result(row: Row) -> RepairResult:
    if row.action_key is not None:
        failed = RepairResult.WRONG if row.action_state == "failed" and not row.unsent else RepairResult.UNKNOWN
        return RepairResult.RIGHT if row.action_state == "verified" else failed
    if row.sent_us is None:
        return RepairResult.NEEDLESS if row.is_needless else RepairResult.UNKNOWN
    if row.state == "verified":
        return RepairResult.RIGHT
    has_failed = row.outcome is not None and RunState(row.outcome) in RED_STATES - {RunState.CANCELLED}
    return RepairResult.WRONG if has_failed else RepairResult.UNKNOWN
