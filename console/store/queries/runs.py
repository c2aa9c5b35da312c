"""Runs of a job, and one run with its attempts, log and actions."""

from __future__ import annotations

from datetime import datetime

from console.domain.ids import micros
from console.domain.run import AttemptView, RunRow, RunView
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.queries.actions import ActionQueries
from console.store.queries.base import ReadStore, json_object, run_visibility, to_view, visible_state
from console.store.queries.findings import FindingQueries
from console.store.queries.incidents import IncidentQueries

MAX_RUNS = 60
SELECT_RUN = (
    "SELECT r.id, r.job_id, j.name AS job, r.period_key, r.bd, r.state, r.evidence, r.native_state, r.timeliness,"
    " r.attempts, r.period_us, r.first_started_us, r.started_us, r.ended_us, r.exit_code, r.message, r.expected,"
    " r.stale_read, r.reason, r.partial_input, j.target_id FROM run r JOIN job j ON j.id = r.job_id"
)
_ATTEMPTS = (
    "SELECT id, number, state, evidence, native_state, started_us, ended_us, exit_code, message, action_key,"
    " native_ref,"
    " native_url FROM attempt WHERE run_id = ? ORDER BY number"
)


class RunQueries:
    """The runs of a job, and one run with its attempts."""

    def __init__(
        self, store: ReadStore, incidents: IncidentQueries, actions: ActionQueries, findings: FindingQueries
    ) -> None:
        self.store = store
        self.link = store.link
        self.incidents = incidents
        self.actions = actions
        self.findings = findings

    def list_runs(self, job_id: int, limit: int = MAX_RUNS) -> list[RunRow]:
        """Runs that began or should have, newest period first."""
        rows = self.link.rows(
            f"{SELECT_RUN} WHERE r.job_id = ? AND (r.attempts > 0 OR r.sort_us <= ?) ORDER BY r.sort_us DESC,"
            " r.period_key DESC"
            " LIMIT ?",
            (job_id, micros(self.store.now()), limit),
        )
        stale = self.store.stale_targets()
        return [run_row(row, stale) for row in rows]

    def runs_on(self, job_id: int, business_date: str) -> list[RunRow]:
        """The job's runs of one business date, also those that are still to come, newest first; what began before what
        did not."""
        rows = self.link.rows(
            f"{SELECT_RUN} WHERE r.job_id = ? AND r.bd = ? ORDER BY CASE WHEN r.attempts > 0 THEN 0 ELSE 1 END,"
            " r.sort_us DESC, r.period_key DESC LIMIT ?",
            (job_id, business_date, MAX_RUNS),
        )
        stale = self.store.stale_targets()
        return [run_row(row, stale) for row in rows]

    def run(self, run_id: int) -> RunView:
        """One run with everything about it. Raises NotFound."""
        found = self.link.rows(f"{SELECT_RUN} WHERE r.id = ?", (run_id,))
        if not found:
            raise NotFound(f"run {run_id}")
        row = run_row(found[0], self.store.stale_targets())
        [job] = self.link.rows(
            "SELECT s.zone, j.rerun, s.capabilities, s.missing, j.proof FROM job j JOIN system s ON s.id = j.system_id"
            " WHERE j.id = ?",
            (row.job_id,),
        )
        log, log_error, cut = self._tail(run_id)
        return RunView(
            row=row,
            attempts=tuple(_attempt(attempt) for attempt in self.link.rows(_ATTEMPTS, (run_id,))),
            log=log,
            log_error=log_error,
            log_cut=cut,
            zone=job.zone,
            rerun=job.rerun,
            capabilities=tuple(filter(None, job.capabilities.split(","))),
            missing=json_object(job.missing),
            incident_id=self.incidents.incident_of_run(run_id),
            actions=tuple(self.actions.list_actions(run_id=run_id)),
            proof=job.proof,
            tasks=tuple(self._tasks(row)),
            findings=self.findings.findings_of_run(run_id),
            runs=tuple(self._until(row)),
        )

    def _until(self, row: RunRow) -> list[RunRow]:
        """The run and those of its job that were due before it."""
        rows = self.link.rows(
            f"{SELECT_RUN} WHERE r.job_id = ? AND r.sort_us <= (SELECT sort_us FROM run WHERE id = ?)"  # noqa: S608 - our own
            " ORDER BY r.sort_us DESC, r.period_key DESC LIMIT ?",
            (row.job_id, row.id, MAX_RUNS),
        )
        stale = self.store.stale_targets()
        return [run_row(one, stale) for one in rows]

    def _tail(self, run_id: int) -> tuple[str, str, bool]:
        """The latest attempt's tail."""
        rows = self.link.rows(
            "SELECT l.text, l.error, l.cut FROM run r JOIN log_tail l ON l.attempt_id = r.attempt_id WHERE r.id = ?",
            (run_id,),
        )
        if not rows:
            return "", "no log was fetched", False
        [(text, error, cut)] = rows
        return text, error, bool(cut)

    def _tasks(self, row: RunRow) -> list[RunRow]:
        rows = self.link.rows(
            f"{SELECT_RUN} WHERE j.parent_id = ? AND r.period_key = ?"
            " ORDER BY r.started_us IS NULL, r.started_us, j.name",
            (row.job_id, row.period_key),
        )
        stale = self.store.stale_targets()
        return [run_row(one, stale) for one in rows]


def run_row(row: Row, stale: dict[int, datetime | None]) -> RunRow:
    """The run as it is shown; `stale`: of `ReadStore.stale_targets`."""
    shown = run_visibility(row.state, row.evidence, row.target_id, stale)
    return to_view(RunRow, row, period_key=visible_state(row.period_key), **shown._asdict())


def _attempt(row: Row) -> AttemptView:
    return to_view(AttemptView, row, native_ref=visible_state(row.native_ref))
