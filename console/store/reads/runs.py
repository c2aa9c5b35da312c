"""Runs of a job, and one run with its attempts, log and actions."""

from __future__ import annotations

from datetime import datetime

from console.model.ids import maybe_instant, micros
from console.model.views import AttemptView, RunRow, RunView
from console.store.errors import NotFound
from console.store.reads.base import seen, table, visible
from console.store.reads.incidents import IncidentReads
from console.store.reads.link import Row

RUNS_SHOWN = 60
RUN = (
    "SELECT r.id, r.job_id, j.name, r.period_key, r.bd, r.state, r.evidence, r.native_state, r.timeliness, r.attempts,"
    " r.period_us, r.first_started_us, r.started_us, r.ended_us, r.exit_code, r.message, r.expected, r.stale_read,"
    " r.reason, r.partial_input,"
    " j.target_id FROM run r JOIN job j ON j.id = r.job_id"
)
_ATTEMPTS = (
    "SELECT id, number, state, evidence, native_state, started_us, ended_us, exit_code, message, action_key,"
    " native_ref,"
    " native_url FROM attempt WHERE run_id = ? ORDER BY number"
)


class RunReads(IncidentReads):
    def runs(self, job_id: int, limit: int = RUNS_SHOWN) -> list[RunRow]:
        """Runs that began or should have, newest period first."""
        rows = self.link.rows(
            f"{RUN} WHERE r.job_id = ? AND (r.attempts > 0 OR r.sort_us <= ?) ORDER BY r.sort_us DESC,"
            " r.period_key DESC"
            " LIMIT ?",
            (job_id, micros(self.now()), limit),
        )
        stale = self.stale_targets()
        return [run_row(row, stale) for row in rows]

    def runs_on(self, job_id: int, bd: str) -> list[RunRow]:
        """The job's runs of one business date, also those that are still to come, newest first; what began before what
        did not."""
        rows = self.link.rows(
            f"{RUN} WHERE r.job_id = ? AND r.bd = ? ORDER BY CASE WHEN r.attempts > 0 THEN 0 ELSE 1 END,"
            " r.sort_us DESC, r.period_key DESC LIMIT ?",
            (job_id, bd, RUNS_SHOWN),
        )
        stale = self.stale_targets()
        return [run_row(row, stale) for row in rows]

    def run(self, run_id: int) -> RunView:
        """One run with everything about it. Raises NotFound."""
        found = self.link.rows(f"{RUN} WHERE r.id = ?", (run_id,))
        if not found:
            raise NotFound(f"run {run_id}")
        row = run_row(found[0], self.stale_targets())
        [(zone, rerun, capabilities, missing, proof)] = self.link.rows(
            "SELECT s.zone, j.rerun, s.capabilities, s.missing, j.proof FROM job j JOIN system s ON s.id = j.system_id"
            " WHERE j.id = ?",
            (row.job_id,),
        )
        log, log_error, cut = self._tail(run_id)
        return RunView(
            row=row,
            attempts=tuple(_attempt(one) for one in self.link.rows(_ATTEMPTS, (run_id,))),
            log=log,
            log_error=log_error,
            log_cut=cut,
            zone=zone,
            rerun=rerun,
            capabilities=tuple(filter(None, capabilities.split(","))),
            missing=table(missing),
            incident_id=self.incident_of_run(run_id),
            actions=tuple(self.actions(run_id=run_id)),
            proof=proof,
            tasks=tuple(self._tasks(row)),
            findings=self.findings_of_run(run_id),
            runs=tuple(self._until(row)),
        )

    def _until(self, row: RunRow) -> list[RunRow]:
        """The run and those of its job that were due before it."""
        rows = self.link.rows(
            f"{RUN} WHERE r.job_id = ? AND r.sort_us <= (SELECT sort_us FROM run WHERE id = ?)"  # noqa: S608 - our own
            " ORDER BY r.sort_us DESC, r.period_key DESC LIMIT ?",
            (row.job_id, row.id, RUNS_SHOWN),
        )
        stale = self.stale_targets()
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
            f"{RUN} WHERE j.parent_id = ? AND r.period_key = ? ORDER BY r.started_us IS NULL, r.started_us, j.name",
            (row.job_id, row.period_key),
        )
        stale = self.stale_targets()
        return [run_row(one, stale) for one in rows]


def run_row(row: Row, stale: dict[int, datetime | None]) -> RunRow:
    (
        run_id, job_id, job, period_key, bd, state, evidence, native_state, timeliness, attempts, period, first_started,
        started, ended, exit_code, message, expected, stale_read, reason, partial_input, target_id,
    ) = row  # fmt: skip
    shown = seen(state, evidence, target_id, stale)
    return RunRow(
        id=run_id,
        job_id=job_id,
        job=job,
        period_key=visible(period_key),
        bd=bd,
        state=shown.state,
        evidence=shown.evidence,
        native_state=native_state,
        timeliness=timeliness,
        attempts=attempts,
        period=maybe_instant(period),
        first_started=maybe_instant(first_started),
        started=maybe_instant(started),
        ended=maybe_instant(ended),
        exit_code=exit_code,
        message=message,
        expected=bool(expected),
        stale_read=bool(stale_read),
        stale_since=shown.stale_since,
        reason=reason,
        partial_input=partial_input,
    )


def _attempt(row: Row) -> AttemptView:
    attempt_id, number, state, evidence, native_state, started, ended, exit_code, message, action_key, ref, url = row
    return AttemptView(
        id=attempt_id,
        number=number,
        state=state,
        evidence=evidence,
        native_state=native_state,
        started=maybe_instant(started),
        ended=maybe_instant(ended),
        exit_code=exit_code,
        message=message,
        action_key=action_key,
        native_ref=visible(ref),
        native_url=url,
    )
