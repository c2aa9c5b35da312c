"""Findings of the detection rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from console.domain.finding import DetectionRule, FindingView, drift_fix
from console.store.db.session import Row
from console.store.findings import evidence_of
from console.store.queries.base import ContextQueries, clean_name
from console.store.row_values import from_row

MAX_FINDINGS = 200


_FINDING = (
    "SELECT f.id, f.rule, f.severity, j.name AS job, f.job_id, f.period_key, f.run_id, f.since_us, f.opened_us,"
    " f.closed_us, f.close_reason, f.text, f.evidence, (SELECT CASE WHEN count(*) > 1 THEN max(d.id) ELSE 0 END FROM"
    " drift d WHERE d.job_id = f.job_id AND d.accepted_us IS NULL AND d.ended_us IS NULL) AS drift_change FROM"
    " finding f JOIN job j ON j.id = f.job_id"
)


class FindingQueries(ContextQueries):
    def list_findings(
        self, job_id: int | None = None, rule: str = "", closed: bool = False, limit: int = MAX_FINDINGS
    ) -> list[FindingView]:
        """Open findings, or with `closed` also closed ones; newest first."""
        conditions = {"f.job_id = ?": job_id, "f.rule = ?": rule or None}
        where = [condition for condition, value in conditions.items() if value is not None]
        where += [] if closed else ["f.closed_us IS NULL"]
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        values = [value for value in conditions.values() if value is not None]
        return self._findings(f"{condition} ORDER BY f.id DESC LIMIT ?", [*values, limit])

    def findings_of_run(self, run_id: int) -> tuple[FindingView, ...]:
        """All findings of one run, oldest first."""
        return tuple(self._findings(" WHERE f.run_id = ? ORDER BY f.id", [run_id]))

    def findings_of_incident(self, incident_id: int) -> tuple[FindingView, ...]:
        """Findings of its members that were open while it was."""
        rows = self.link.rows(
            f"{_FINDING.replace('SELECT', 'SELECT DISTINCT', 1)} JOIN incident_member m ON m.job_id = f.job_id"
            " AND (f.period_key = '' OR f.period_key = m.period_key) JOIN incident i ON i.id = m.incident_id"
            " WHERE i.id = ? AND m.role NOT IN ('threatened', 'closing', 'awaited')"
            " AND (f.closed_us IS NULL OR f.closed_us >= i.opened_us)"
            " AND (i.closed_us IS NULL OR f.opened_us <= i.closed_us) ORDER BY f.id",
            (incident_id,),
        )
        return tuple(map(_finding, rows))

    def _findings(self, tail: str, values: Sequence[object]) -> list[FindingView]:
        return [_finding(row) for row in self.link.rows(_FINDING + tail, values)]


def _finding(row: Row) -> FindingView:
    fix = drift_fix(row.job, row.drift_change) if row.rule == DetectionRule.DRIFT and row.closed_us is None else ""
    evidence = asdict(evidence_of(row.evidence))
    return from_row(FindingView, row, period_key=clean_name(row.period_key), fix=fix, **evidence)
