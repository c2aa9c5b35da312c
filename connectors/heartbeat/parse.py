"""Settings and runs of the spool -> records; pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from connectors.contract import Evidence, JobRecord, RunRecord, RunRef, Schedule, State
from connectors.gone import no_longer_listed
from connectors.heartbeat.book import AGAIN, OVERTAKEN, Moment, Run
from connectors.heartbeat.options import HeartbeatJob
from connectors.heartbeat.ping import FAIL, SUCCESS

STATES = {SUCCESS: State.SUCCEEDED, FAIL: State.FAILED, OVERTAKEN: State.LOST}
OVERTAKEN_WORDS = "another start came, and never an end of this one"


def job(name: str, settings: HeartbeatJob, zone: str) -> JobRecord:
    """The job as the settings have it: nothing else knows of it before it reports."""
    clock = Schedule("debian-cron", settings.schedule, zone, settings.schedule) if settings.schedule else None
    definition = f"reports by itself: {settings.title or name}"
    return JobRecord(
        name, settings.title or name, clock or Schedule("none", words="whenever it reports"), definition=definition,
        definition_hash=definition,
    )  # fmt: skip


def record(run: Run, settings: HeartbeatJob | None, at: Moment) -> RunRecord:
    """The run as it stands at this moment: without an end in its time it is lost."""
    state, evidence, message = STATES.get(run.word, State.RUNNING), Evidence.NATIVE, ""
    ended = run.ended
    if run.word == OVERTAKEN:
        evidence, message = Evidence.INFERRED, OVERTAKEN_WORDS
    elif run.is_open and settings is not None and at.since(run.first) > settings.lost_after.total_seconds():
        state, evidence = State.LOST, Evidence.INFERRED
        ended = run.first.wall + settings.lost_after.total_seconds()
        message = f"it started, and no end was reported within {settings.lost_after}"
    elif run.word == FAIL:
        message = _last_line(run.log) or (f"exit {run.exit_code}" if run.exit_code is not None else "it reported fail")
    return RunRecord(
        job=run.job,
        attempt_key=key_of(run),
        state=state,
        native_state=f"exit {run.exit_code}" if run.exit_code is not None else run.word,
        evidence=evidence,
        started_at=_at(run.started),
        ended_at=_at(ended),
        exit_code=run.exit_code,
        message=message,
        native_ref=json.dumps({"id": run.id}),
        context=_context(run),
    )


def key_of(run: Run) -> str:
    """Attempt key."""
    return run.rid or f"#{run.id}-{int(run.first.wall)}"


def gone(known: RunRef) -> RunRecord:
    """Its end will not be heard."""
    words = "it stands in the spool no more: the file is another one, or the run is too old"
    return no_longer_listed(known, "(not in the spool)", words)


def _context(run: Run) -> dict[str, Any]:
    told = {"rid": run.rid.partition(AGAIN)[0] or None, "rows": run.rows, "bytes": run.size}
    return {name: value for name, value in told.items() if value is not None}


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _last_line(log: bytes) -> str:
    lines = log[-4096:].decode("utf-8", "surrogateescape").strip().splitlines()
    return lines[-1][-500:] if lines else ""


def number_of(native_ref: str) -> int | None:
    """The run's number in the spool."""
    try:
        found = json.loads(native_ref)["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, int) else None
