"""Rows of events and of the log table read as records, and intervals as calendar events. Pure.

Whatever the rows hold, only RecordUnreadable is raised.

An event runs on the grid of its interval from STARTS, in its own zone, and catches nothing up. Its expression is in
systemd's syntax where that can say it, in dialect "mysql_events".
"""

from __future__ import annotations

import json
import re
from calendar import monthrange
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


UNITS = {
    "QUARTER": (3, 0), "WEEK": (0, 604_800), "YEAR": (12, 0), "MONTH": (1, 0), "DAY": (0, 86_400), "HOUR": (0, 3600),
    "MINUTE": (0, 60), "SECOND": (0, 1),
}  # fmt: skip
"""Months and seconds of each; a field of two ("DAY_SECOND") has those from its first to its second."""
NUMBERS = re.compile(r"\d{1,9}(?:[-: ]\d{1,9}){0,3}", re.ASCII)
DAY, QUOTE = 86_400, "'"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SEEN_ONE_BY_ONE = timedelta(minutes=10)
"""Of an event that keeps only its last start, and starts more often, some starts may never be snapshot."""
TOO_OFTEN = "too often to see each start: only the last is recorded"


@dataclass(frozen=True, slots=True)
class Interval:
    """The time between two starts, by the event's own clock: months, or else seconds."""

    months: int
    seconds: int

    @property
    def shortest(self) -> timedelta:
        return timedelta(days=28 * self.months, seconds=self.seconds)

    def next_start(self, starts: datetime, zone: tzinfo, now: datetime) -> datetime:
        """The first instant after `now` that lies whole intervals after `starts`; day 31 is the last day of a shorter
        month. Source: get_next_time in event_data_objects.cc of MariaDB and MySQL, which adds to the local time."""
        first, local_now = (at.astimezone(zone).replace(tzinfo=None) for at in (starts, now))
        months = (local_now.year - first.year) * 12 + local_now.month - first.month
        count = months // self.months if self.months else (local_now - first) // self.shortest
        while (result := _instant_at(self._after(first, count), zone)) <= now:
            count += 1
        return result

    def _after(self, first: datetime, count: int) -> datetime:
        if not self.months:
            return first + count * self.shortest
        years, month = divmod(first.month - 1 + count * self.months, 12)
        year = first.year + years
        return first.replace(year=year, month=month + 1, day=min(first.day, monthrange(year, month + 1)[1]))


def _instant_at(local: datetime, zone: tzinfo) -> datetime:
    """The first instant at which the zone's clock shows that time; that of the jump where a clock change skips it."""
    result, in_gap = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if in_gap >= result:
        return result
    offset, result = in_gap.astimezone(zone).utcoffset(), in_gap.replace(second=0)
    while result.astimezone(zone).utcoffset() == offset:
        result += timedelta(minutes=1)
    return result


def interval_of(row: Row) -> Interval | None:
    """None where it cannot be read. mysql.event has "90" where information_schema has "'1:30'" HOUR_MINUTE."""
    first, _, last = str(row["interval_field"]).partition("_")
    units, text = list(UNITS), str(row["interval_value"]).strip("'")
    if first not in UNITS or (last or first) not in UNITS or not NUMBERS.fullmatch(text):
        return None
    fields = units[units.index(first) : units.index(last or first) + 1]
    values = list(zip(reversed(re.findall(r"\d+", text)), reversed(fields), strict=False))
    months, seconds = (sum(int(number) * UNITS[unit][part] for number, unit in values) for part in (0, 1))
    return Interval(months, seconds) if bool(months) != bool(seconds) else None


def every(row: Row) -> timedelta | None:
    """The shortest time between two of its starts."""
    interval = interval_of(row)
    return interval.shortest if interval is not None else None


def schedule_of(row: Row, zone: str, is_logged: bool, now: datetime) -> Schedule:
    """The schedule of one event; `zone` is an IANA name or an offset. One that cannot be expanded has its own text as
    its expression, which every list of schedules then names as unreadable."""
    if row["execute_at"] is not None:
        return Schedule("mysql_events", "", zone, "once", epoch_instant(row["execute_at"]))
    text = f"every {str(row['interval_value']).strip(QUOTE)} {str(row['interval_field']).lower()}"
    interval, clock = interval_of(row), zone_of(zone)
    if not is_logged and interval is not None and interval.shortest < SEEN_ONE_BY_ONE:
        return Schedule("none", text=f"{text}, {TOO_OFTEN}")
    starts, ends = epoch_instant(row["starts"]), epoch_instant(row["ends"])
    if ends is not None and ends <= now:
        return Schedule("none", text=f"{text}, ended")
    if interval is None or starts is None or clock is None:
        return Schedule("mysql_events", text, zone, text)
    local = starts.astimezone(clock)
    text = f"{text} from {local:%Y-%m-%d %H:%M:%S}"
    if ends is None and starts <= now and (expression := _expression(interval, local)):
        return Schedule("mysql_events", expression, zone, text)
    try:
        next_at = starts if starts > now else interval.next_start(starts, clock, now)
    except (OverflowError, ValueError):  # after the year 9999
        return Schedule("mysql_events", text, zone, text)
    if ends is not None and next_at > ends:
        return Schedule("none", text=f"{text}, ended")
    return Schedule("mysql_events", "", zone, text, next_at)


def _expression(interval: Interval, at: datetime) -> str:
    """In systemd's syntax; "" where it has none."""
    seconds, clock = interval.seconds, f"{at:%H:%M:%S}"
    if interval.months:
        return _on_months(interval.months, at.month, at.day, clock) if 12 % interval.months == 0 else ""
    if seconds in (DAY, 7 * DAY):
        return f"{WEEKDAYS[at.weekday()] + ' ' if seconds > DAY else ''}*-*-* {clock}"
    if seconds % 3600 == 0 and DAY % seconds == 0:
        return f"*-*-* {_steps(at.hour, seconds // 3600, 24)}:{at:%M:%S}"
    if seconds % 60 == 0 and 3600 % seconds == 0:
        return f"*-*-* *:{_steps(at.minute, seconds // 60, 60)}:{at:%S}"
    if 60 % seconds == 0:
        return f"*-*-* *:*:{_steps(at.second, seconds, 60)}"
    return ""


def _on_months(step: int, first: int, day: int, clock: str) -> str:
    """That day of the months, and the last day of those that are shorter ("~1")."""
    months = [month for month in range(1, 13) if (month - first) % step == 0]
    short = [month for month in months if day > monthrange(2001, month)[1]]
    parts = []
    for on, ending in (([month for month in months if month not in short], f"-{day}"), (short, "~1")):
        if on:
            parts.append(f"*-{'*' if len(on) == 12 else ','.join(map(str, on))}{ending} {clock}")
    return "; ".join(parts)


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


def zone_of(name: str) -> tzinfo | None:
    """The zone of an IANA name or an offset; None for what is neither."""
    if name[:1] in "+-" and name[1:].replace(":", "").isdigit():
        hours, _, minutes = name[1:].partition(":")
        span = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(-span if name[0] == "-" else span)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


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
