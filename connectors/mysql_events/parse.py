"""Rows of events and of the log table read as records, and intervals as calendar events. Pure.

Whatever the rows hold, only RecordUnreadable is raised.

An event runs on the grid of its interval from STARTS, in its own zone, and catches nothing up. Its expression is in
systemd's syntax where that can say it, in dialect "mysql_events".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.sdk import fields
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import digest, epoch_instant
from connectors.sdk.job_agent import Row
from connectors.sdk.log_chunks import with_newline
from connectors.sdk.records import JobRecord, RunRecord, Schedule
from connectors.sdk.states import ProofLevel, RunEvidence, RunState


@dataclass(frozen=True, slots=True)
class ServerSnapshot:
    about: Row
    grants: Sequence[str]
    events: Sequence[Row]
    by_table: bool
    """Read from mysql.event, which hides nothing."""
    log_is_readable: bool
    """False also where no log table is named."""
    log: Sequence[Row] = ()
    again: Sequence[Row] = ()
    newest: int | None = None
    is_full: bool = False
    processes: frozenset[int] | None = None
    """Ids of all connections; None where not all may be snapshot."""
    uptime_seconds: float = 0.0
    running: Sequence[Row] = ()
    held: Sequence[Row] | None = None
    """The hold marks, by event; None where the table of them may not be read, or is not there."""
    senders: int = 0


SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400, "WEEK": 604_800}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SEEN_ONE_BY_ONE = timedelta(minutes=10)
"""Of an event that keeps only its last start, and starts more often, some starts may never be snapshot."""
TOO_OFTEN = "too often to see each start: only the last is recorded"


def every(row: Row) -> timedelta | None:
    try:
        return timedelta(seconds=int(str(row["interval_value"]).strip("'")) * SECONDS[str(row["interval_field"])])
    except (KeyError, ValueError, OverflowError):
        return None


def schedule_of(row: Row, zone: str, is_logged: bool, now: datetime) -> Schedule:
    """The schedule of one event; `zone` is an IANA name or an offset."""
    if row["execute_at"] is not None:
        return Schedule("mysql_events", "", zone, "once", epoch_instant(row["execute_at"]))
    text = f"every {row['interval_value']} {str(row['interval_field']).lower()}"
    length = every(row)
    if not is_logged and length is not None and length < SEEN_ONE_BY_ONE:
        return Schedule("none", text=f"{text}, {TOO_OFTEN}")
    ends = epoch_instant(row["ends"])
    if ends is not None and ends <= now:
        return Schedule("none", text=f"{text}, ended")
    starts = epoch_instant(row["starts"])
    if starts is None:
        return Schedule("none", text=text)
    local = starts.astimezone(zone_of(zone))
    bounded = ends is not None or starts > now
    expression = "" if bounded else _expression(row, local)
    next_at = starts if starts > now else None
    if starts <= now and length:
        next_at = starts + ((now - starts) // length + 1) * length
    next_at = next_at if not expression else None
    if ends is not None and next_at is not None and next_at > ends:
        next_at = None
    return Schedule("mysql_events", expression, zone, f"{text} from {local:%Y-%m-%d %H:%M:%S}", next_at)


def _expression(row: Row, at: datetime) -> str:
    """In systemd's syntax; "" where it has none."""
    try:
        number = int(str(row["interval_value"]).strip("'"))
    except ValueError:
        return ""
    field = str(row["interval_field"])
    if number == 1 and field in ("DAY", "WEEK", "MONTH"):
        weekday = f"{WEEKDAYS[at.weekday()]} " if field == "WEEK" else ""
        day = str(at.day) if field == "MONTH" else "*"
        return f"{weekday}*-*-{day} {at:%H:%M:%S}" if field != "MONTH" or at.day <= 28 else ""
    if field == "HOUR" and 24 % number == 0:
        return f"*-*-* {_steps(at.hour, number, 24)}:{at:%M:%S}"
    if field == "MINUTE" and 60 % number == 0:
        return f"*-*-* *:{_steps(at.minute, number, 60)}:{at:%S}"
    if field == "SECOND" and 60 % number == 0:
        return f"*-*-* *:*:{_steps(at.second, number, 60)}"
    return ""


def _steps(at: int, step: int, end: int) -> str:
    return "*" if step == 1 else ",".join(str(number) for number in range(at % step, end, step))


def zone_name(row: Row, about: Row, server_zone: str | None) -> str:
    """An event's zone as an IANA name or an offset; SYSTEM is the server's own."""
    named = str(row["time_zone"])
    if named != "SYSTEM":
        return named
    if server_zone:
        return server_zone
    system = str(about["system_zone"])
    if system in ("UTC", "GMT"):
        return "UTC"
    minutes = int(about["offset_seconds"] or 0) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name or an offset; UTC for what is neither."""
    if name[:1] in "+-" and name[1:].replace(":", "").isdigit():
        hours, _, minutes = name[1:].partition(":")
        span = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(-span if name[0] == "-" else span)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


STATES = {"running": RunState.RUNNING, "succeeded": RunState.SUCCEEDED, "failed": RunState.FAILED}
STARTED = "LAST_EXECUTED"  # the native word of a start of which nothing more is known
NOT_LOGGED = "it started; whether and how it ended is not recorded"


def is_entry(row: Row) -> bool:
    """True for a one-shot event of ours, which is not a job."""
    return ACTION_KEY.fullmatch(str(row["event_name"])) is not None


def native_id(row: Row) -> str:
    """schema.event, as the server writes it."""
    return f"{row['event_schema']}.{row['event_name']}"


def is_logged(row: Row, log_table: str | None) -> bool:
    if log_table is None:
        return False
    table = re.escape(log_table.rpartition(".")[2])
    return re.search(rf"(?<![\w$-]){table}(?![\w$-])", str(row["body"] or ""), re.IGNORECASE) is not None


def job(row: Row, schedule: Schedule, logged: bool) -> JobRecord:
    return JobRecord(
        native_id=native_id(row),
        title=str(row["event_name"]),
        schedule=schedule,
        paused=str(row["status"]) != "ENABLED",
        definition=str(row["body"] or ""),
        definition_hash=digest([row["body_hash"], row["definer"]]),
        proof=ProofLevel.EXIT if logged else ProofLevel.START,
        run_as=str(row["definer"]),
    )


def start(row: Row) -> RunRecord | None:
    """The last start of an event that logs nothing; of a one-shot of ours it is one of the event that it repeats."""
    began = epoch_instant(row["last_executed"])
    if began is None:
        return None
    is_ours = is_entry(row)
    job_id = f"{row['event_schema']}.{row['comment']}" if is_ours else native_id(row)
    key = str(row["event_name"]) if is_ours else None
    return RunRecord(
        job=job_id,
        attempt_key=key or f"start {began:%Y-%m-%dT%H:%M:%SZ}",
        state=RunState.UNKNOWN,
        native_state=STARTED,
        evidence=RunEvidence.INFERRED,
        started_at=began,
        message=NOT_LOGGED,
        native_ref=json.dumps({"event": job_id}),
        action_key=key,
    )


@fields.reading("row of the log table")
def run(row: Row, snapshot: ServerSnapshot) -> RunRecord:
    run_id, native = int(row["run_id"]), text(row["status"])
    state = STATES.get(native, RunState.UNKNOWN)
    started, ended = epoch_instant(row["started"]), epoch_instant(row["ended"])
    lost = state == RunState.RUNNING and is_lost(row, started, snapshot)
    key = text(row["action_key"])
    job_id = f"{text(row['event_schema'])}.{text(row['event_name'])}"
    if job_id in (".", "None.None"):
        raise RecordUnreadable(f"run_id {run_id} names no event")
    is_over = not state.is_open
    return RunRecord(
        job=job_id,
        attempt_key=str(run_id),
        state=RunState.LOST if lost else state,
        native_state=native or "(null)",
        evidence=RunEvidence.INFERRED if lost else RunEvidence.NATIVE,
        started_at=started,
        ended_at=ended if is_over and started and ended and ended >= started else None,
        message=LOST if lost else text(row["message"]),
        native_ref=json.dumps({"event": job_id, "run_id": run_id}),
        action_key=key if ACTION_KEY.fullmatch(key) else None,
        context={"rows": int(row["row_count"])} if row["row_count"] is not None and is_over else {},
    )


LOST = "its connection is gone, and it never wrote its end: killed, or cut by a restart of the server"


def is_lost(row: Row, started: datetime | None, snapshot: ServerSnapshot) -> bool:
    """True where a body that says "running" runs no more: it began before the server did, or its connection is gone."""
    now = epoch_instant(snapshot.about["clock"])
    if now is not None and started is not None and started < now - timedelta(seconds=snapshot.uptime_seconds + 1):
        return True
    if snapshot.processes is None or row["connection_id"] is None:
        return False
    return int(row["connection_id"]) not in snapshot.processes


def text(value: object) -> str:
    """A column as text, whatever its type; bytes that are not UTF-8 become surrogates."""
    if value is None:
        return ""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def run_log(row: Row, message: Iterable[str]) -> Iterator[str]:
    """Status, rows and message from the log table, in parts."""
    rows = f", {row['row_count']} rows" if row["row_count"] is not None else ""
    yield f"-- {text(row['status'])}{rows}\n"
    yield from with_newline(message)
