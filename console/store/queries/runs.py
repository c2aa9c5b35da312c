"""Runs of a job, and one run with its attempts, log and actions."""

from __future__ import annotations

from datetime import datetime

from console.domain.ids import micros
from console.domain.run import AttemptView, RunRow, RunView
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.queries.actions import ActionQueries
from console.store.queries.base import ContextQueries, ReadStore, clean_name, run_visibility
from console.store.queries.findings import FindingQueries
from console.store.queries.incidents import IncidentQueries
from console.store.row_values import from_row, json_object, run_reason

MAX_RUNS = 60
SELECT_RUN = (
    "SELECT r.id, r.job_id, j.name AS job, r.period_key, r.business_date, r.state, r.evidence, r.native_state,"
    " r.timeliness, r.attempts, r.period_us, r.first_started_us, r.started_us, r.ended_us, r.exit_code, r.message,"
    " r.expected, r.stale_read, r.reason, r.partial_input, r.period_name, j.target_id FROM run r"
    " JOIN job j ON j.id = r.job_id"
)
_ATTEMPTS = (
    "SELECT id, number, state, evidence, native_state, started_us, ended_us, exit_code, message, action_key,"
    " native_ref, native_url FROM attempt WHERE run_id = ? ORDER BY number"
)


class RunQueries(ContextQueries):
    def __init__(
        self, store: ReadStore, incidents: IncidentQueries, actions: ActionQueries, findings: FindingQueries
    ) -> None:
        super().__init__(store)
        self.incidents, self.actions, self.findings = incidents, actions, findings

    def _rows(self, where: str, values: tuple[object, ...]) -> list[RunRow]:
        stale = self.store.stale_targets()
        return [run_row(row, stale) for row in self.link.rows(f"{SELECT_RUN} WHERE {where}", values)]

    def list_runs(self, job_id: int, limit: int = MAX_RUNS, before: int | None = None) -> list[RunRow]:
        """Runs that began or were due, newest period first; `before`: only those after this run in that order."""
        where = "r.job_id = ? AND (r.attempts > 0 OR r.sort_us <= ?)"
        values: tuple[int, ...] = (job_id, micros(self.store.now()))
        if before is not None:
            where += " AND (r.sort_us, r.period_key) < (SELECT x.sort_us, x.period_key FROM run x WHERE x.id = ?)"
            values = (*values, before)
        return self._rows(f"{where} ORDER BY r.sort_us DESC, r.period_key DESC LIMIT ?", (*values, limit))

    def runs_on(self, job_id: int, business_date: str) -> list[RunRow]:
        """The job's runs of one business date, expected ones included, newest first; runs that began come first."""
        where = (
            "r.job_id = ? AND r.business_date = ? ORDER BY CASE WHEN r.attempts > 0 THEN 0 ELSE 1 END, r.sort_us DESC,"
            " r.period_key DESC LIMIT ?"
        )
        return self._rows(where, (job_id, business_date, MAX_RUNS))

    def run(self, run_id: int) -> RunView:
        """One run with everything about it. Raises NotFound."""
        rows = self._rows("r.id = ?", (run_id,))
        if not rows:
            raise NotFound(f"run {run_id}")
        [row] = rows
        [job] = self.link.rows(
            "SELECT s.zone, j.rerun, s.capabilities, s.missing, j.proof FROM job j JOIN system s ON s.id = j.system_id"
            " WHERE j.id = ?",
            (row.job_id,),
        )
        log = self.link.first(
            "SELECT l.text, l.error, l.cut FROM run r JOIN log_tail l ON l.attempt_id = r.attempt_id WHERE r.id = ?",
            (run_id,),
        )
        attempts = self.link.rows(_ATTEMPTS, (run_id,))
        tasks = "j.parent_id = ? AND r.period_key = ? ORDER BY r.started_us IS NULL, r.started_us, j.name"
        until = (
            "r.job_id = ? AND r.sort_us <= (SELECT sort_us FROM run WHERE id = ?)"
            " ORDER BY r.sort_us DESC, r.period_key DESC LIMIT ?"
        )
        return RunView(
            row=row,
            attempts=tuple(
                from_row(AttemptView, attempt, native_ref=clean_name(attempt.native_ref)) for attempt in attempts
            ),
            log=log.text if log is not None else "",
            log_error=log.error if log is not None else "no log was fetched",
            log_cut=log is not None and bool(log.cut),
            zone=job.zone,
            rerun=job.rerun,
            capabilities=tuple(filter(None, job.capabilities.split(","))),
            missing=json_object(job.missing),
            incident_id=self.incidents.incident_of_run(run_id),
            actions=tuple(self.actions.list_actions(run_id=run_id)),
            proof=job.proof,
            tasks=tuple(self._rows(tasks, (row.job_id, row.period_key))),
            findings=self.findings.findings_of_run(run_id),
            runs=tuple(self._rows(until, (row.job_id, row.id, MAX_RUNS))),
        )


def run_row(row: Row, stale: dict[int, datetime | None]) -> RunRow:
    """`stale`: of `ReadStore.stale_targets`."""
    shown = run_visibility(row.state, row.evidence, row.target_id, stale)
    reason = run_reason(row.reason, row.attempts)
    names = {"period_key": clean_name(row.period_key), "period_name": clean_name(row.period_name)}
    return from_row(RunRow, row, reason=reason, **names, **shown._asdict())
