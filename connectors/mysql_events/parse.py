"""Raw rows of events and of the log table to records. Pure: whatever they hold, only RecordUnreadable is raised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from connectors.contract import (
    ACTION_KEY,
    Evidence,
    JobRecord,
    Proof,
    RecordUnreadable,
    RunRecord,
    RunRef,
    Schedule,
    State,
)
from connectors.fields import digest
from connectors.mysql_events.seen import Row, Seen
from connectors.whole_log import with_newline

STATES = {"running": State.RUNNING, "succeeded": State.SUCCEEDED, "failed": State.FAILED}
"""The words of the log-table convention (docs/connectors/mysql_events.md)."""
STARTED = "LAST_EXECUTED"
"""The native word of a start of which nothing more is known."""
NOT_LOGGED = "it started; whether and how it ended is kept nowhere"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_entry(row: Row) -> bool:
    """True for a one-shot event of ours; it is no job."""
    return ACTION_KEY.fullmatch(str(row["event_name"])) is not None


def native_id(row: Row) -> str:
    """schema.event, as the server writes it."""
    return f"{row['event_schema']}.{row['event_name']}"


def is_logged(row: Row, log_table: str | None) -> bool:
    """Whether the event's body names the log table."""
    if log_table is None:
        return False
    table = re.escape(log_table.rpartition(".")[2])
    return re.search(rf"(?<![\w$-]){table}(?![\w$-])", str(row["body"] or ""), re.IGNORECASE) is not None


def job(row: Row, schedule: Schedule, logged: bool) -> JobRecord:
    """One event."""
    return JobRecord(
        native_id=native_id(row),
        title=str(row["event_name"]),
        schedule=schedule,
        paused=str(row["status"]) != "ENABLED",
        definition=str(row["body"] or ""),
        definition_hash=digest([row["body_hash"], row["definer"]]),
        proof=Proof.EXIT if logged else Proof.START,
        run_as=str(row["definer"]),
    )


def instant(seconds: object) -> datetime | None:
    """Seconds since 1970 to aware UTC. None for none, and for what no calendar of ours holds."""
    if seconds is None:
        return None
    try:
        return EPOCH + timedelta(microseconds=int(Decimal(str(seconds)) * 1_000_000))
    except (InvalidOperation, ValueError, OverflowError):
        return None


def start(row: Row) -> RunRecord | None:
    """The last start of an event that logs nothing; of a one-shot of ours it is one of the event that it repeats."""
    began = instant(row["last_executed"])
    if began is None:
        return None
    ours = is_entry(row)
    job_id = f"{row['event_schema']}.{row['comment']}" if ours else native_id(row)
    key = str(row["event_name"]) if ours else None
    return RunRecord(
        job=job_id,
        attempt_key=key or f"start {began:%Y-%m-%dT%H:%M:%SZ}",
        state=State.UNKNOWN,
        native_state=STARTED,
        evidence=Evidence.INFERRED,
        started_at=began,
        message=NOT_LOGGED,
        native_ref=json.dumps({"event": job_id}),
        action_key=key,
    )


def run(row: Row, seen: Seen) -> RunRecord:
    """One row of the log table. Raises RecordUnreadable."""
    try:
        return _run(row, seen)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordUnreadable(f"row of the log table: {type(error).__name__}: {error}") from None


def _run(row: Row, seen: Seen) -> RunRecord:
    run_id, native = int(row["run_id"]), text(row["status"])
    state = STATES.get(native, State.UNKNOWN)
    started, ended = instant(row["started"]), instant(row["ended"])
    lost = state == State.RUNNING and is_lost(row, started, seen)
    key = text(row["action_key"])
    job_id = f"{text(row['event_schema'])}.{text(row['event_name'])}"
    if job_id in (".", "None.None"):
        raise RecordUnreadable(f"run_id {run_id} names no event")
    is_over = not state.is_open
    return RunRecord(
        job=job_id,
        attempt_key=str(run_id),
        state=State.LOST if lost else state,
        native_state=native or "(null)",
        evidence=Evidence.INFERRED if lost else Evidence.NATIVE,
        started_at=started,
        ended_at=ended if is_over and started and ended and ended >= started else None,
        message=LOST if lost else text(row["message"]),
        native_ref=json.dumps({"event": job_id, "run_id": run_id}),
        action_key=key if ACTION_KEY.fullmatch(key) else None,
        context={"rows": int(row["row_count"])} if row["row_count"] is not None and is_over else {},
    )


LOST = "its connection is gone, and it never wrote its end: killed, or cut by a restart of the server"


def is_lost(row: Row, started: datetime | None, seen: Seen) -> bool:
    """True where a body that says "running" runs no more: it began before the server did, or its connection is gone."""
    now = instant(seen.about["clock"])
    if now is not None and started is not None and started < now - timedelta(seconds=seen.uptime_seconds + 1):
        return True
    if seen.processes is None or row["connection_id"] is None:
        return False
    return int(row["connection_id"]) not in seen.processes


def text(value: object) -> str:
    """A column as text, whatever its type; bytes that are no UTF-8 survive as surrogates."""
    if value is None:
        return ""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def watched(rows: Sequence[Row], schemas: Sequence[str]) -> list[Row]:
    """Those of the schemas that were asked for."""
    return [row for row in rows if not schemas or str(row["event_schema"]) in schemas]


def run_id_of(ref: RunRef) -> int | None:
    """run_id of the attempt, from the reference that the poll gave; None where no log table has it."""
    try:
        return int(json.loads(ref.native_ref)["run_id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def run_log(row: Row, message: Iterable[str]) -> Iterator[str]:
    """What a body wrote into the log table, part by part: its status, its rows, its message."""
    rows = f", {row['row_count']} rows" if row["row_count"] is not None else ""
    yield f"-- {text(row['status'])}{rows}\n"
    yield from with_newline(message)
