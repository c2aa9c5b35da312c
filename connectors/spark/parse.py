"""Applications, jobs and stages of a history server, read as runs. Pure: only RecordUnreadable is raised.

An application that died of an uncaught exception reads `completed: true` (measured on 4.3.0): its Spark jobs decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import EPOCH, Row, clean, listed, number, optional_text, tables, text
from connectors.sdk.records import RunRecord
from connectors.sdk.states import PeriodKind, RunEvidence, RunState

JOB_STATES = frozenset({"RUNNING", "SUCCEEDED", "FAILED", "UNKNOWN"})
NAMED = 5
NO_JOBS = "no jobs"


@dataclass(frozen=True, slots=True)
class Application:
    """One attempt of one application."""

    id: str
    attempt: str
    """"" where the cluster manager counts none."""
    name: str
    started: datetime
    ended: datetime | None
    updated: datetime
    completed: bool
    user: str
    version: str

    @property
    def key(self) -> str:
        return f"{self.id}/{self.attempt}" if self.attempt else self.id

    @property
    def updated_ms(self) -> int:
        return round((self.updated - EPOCH) / timedelta(milliseconds=1))


def applications(row: Row) -> list[Application]:
    """All attempts of one row of the list, oldest first."""
    identity, name = text(row, "id"), text(row, "name")
    attempts = tables(row.get("attempts"))
    if not attempts:
        raise RecordUnreadable("it has no attempts")
    return [_application(identity, name, attempt) for attempt in reversed(attempts)]


def _application(identity: str, name: str, row: Row) -> Application:
    if not isinstance(row.get("completed"), bool):
        raise RecordUnreadable("completed is neither true nor false")
    started, updated = _instant(row, "startTimeEpoch"), _instant(row, "lastUpdatedEpoch")
    if started is None:
        raise RecordUnreadable("startTimeEpoch is missing")
    ended = _instant(row, "endTimeEpoch") if row["completed"] else None
    return Application(
        identity, optional_text(row, "attemptId"), name, started, ended, updated or started, row["completed"],
        optional_text(row, "sparkUser"), optional_text(row, "appSparkVersion"),
    )  # fmt: skip


def _instant(row: Row, name: str) -> datetime | None:
    milliseconds = number(row, name, 0)
    try:
        return EPOCH + timedelta(milliseconds=milliseconds) if milliseconds > 0 else None
    except OverflowError:
        raise RecordUnreadable(f"{name} is {milliseconds}, which no calendar holds") from None


def state_of(jobs: Sequence[Row]) -> tuple[RunState, str, str]:
    """Of an application that ended, by its jobs: ours, the native word, and which failed."""
    states = {number(job, "jobId", -1): text(job, "status") for job in jobs}
    failed = [job for job in sorted(states) if states[job] in ("FAILED", "RUNNING")]
    message = f"failed jobs: {listed([str(job) for job in failed], NAMED)}" if failed else ""
    if failed and failed[-1] == max(states):
        return RunState.FAILED, "failed job", message
    unknown = sorted(set(states.values()) - JOB_STATES)
    if unknown or "UNKNOWN" in states.values():
        return RunState.UNKNOWN, clean(unknown[0] if unknown else "UNKNOWN"), message
    if not states:
        return RunState.UNKNOWN, NO_JOBS, "it ran no Spark job, so nothing proves how it ended"
    if not failed:
        return RunState.SUCCEEDED, "completed", ""
    return RunState.PARTIAL, "failed jobs", f"{message}; later ones succeeded"


def run_of(app: Application, jobs: Sequence[Row], now: datetime, lost_after: timedelta, url: str) -> RunRecord:
    """`jobs` of an application that ended."""
    state, native, message, evidence = RunState.RUNNING, "running", "", RunEvidence.NATIVE
    if app.completed:
        state, native, message = state_of(jobs)
    elif now - app.updated > lost_after:
        state, native, evidence = RunState.LOST, "incomplete", RunEvidence.INFERRED
        message = f"its log has no end, and did not grow since {app.updated:%Y-%m-%d %H:%M}Z"
    return RunRecord(
        job=app.name,
        attempt_key=app.key,
        state=state,
        native_state=native,
        evidence=evidence,
        period_key=app.id,
        period_kind=PeriodKind.RUN,
        started_at=app.started,
        ended_at=None if state.is_open else max(app.started, app.ended or app.updated),
        message=message,
        native_ref=app.key,
        native_url=f"{url}/history/{app.key}/jobs/",
        context={"user": app.user, "version": app.version},
    )


def log_lines(jobs: Sequence[Row], stages: Sequence[Row]) -> Iterator[str]:
    """Each job with its state, and why failed stages failed."""
    for job in sorted(jobs, key=lambda job: number(job, "jobId", -1)):
        title = optional_text(job, "description") or optional_text(job, "name")
        yield f"job {number(job, 'jobId', -1)} {text(job, 'status')}: {title}"
    for stage in stages:
        if reason := optional_text(stage, "failureReason"):
            yield f"stage {number(stage, 'stageId', -1)} {optional_text(stage, 'name')}: {reason}"
