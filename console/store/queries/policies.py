"""Policies: the repairs that each sent, and those in shadow, with what people sent."""

from __future__ import annotations

from datetime import datetime

from connectors.sdk.states import RED_STATES, RunState
from console.domain.ids import micros, optional_instant
from console.domain.policy_report import PolicyReport, RepairResult, ReportedRepair, reports_of
from console.store import config_documents
from console.store.db.session import Row
from console.store.names import decode_name
from console.store.new_actions import SENT_BY
from console.store.policies import REPAIR_ACTION, REPAIR_COLUMNS, policy_repair
from console.store.queries.base import ContextQueries
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


class PolicyQueries(ContextQueries):
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
