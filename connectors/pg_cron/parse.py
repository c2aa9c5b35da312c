"""Raw rows of pg_cron to records. Pure: whatever the rows hold, only RecordUnreadable is raised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.contract import JobRecord, Proof, RecordUnreadable, RunRecord, Schedule, State
from connectors.fields import digest

Row = dict[str, Any]
"""A raw row: column name to value."""

ROWS = re.compile(r"(?:INSERT \d+|UPDATE|DELETE|MERGE|COPY|SELECT|FETCH) (\d{1,18})|(\d{1,18}) rows?", re.ASCII)
"""A whole return message that tells how many rows: a command's tag, or pg_cron's own words on a result (pg_cron.c)."""

ENTRY_PREFIX = "headway:rerun:"
"""What the names of our one-shot entries begin with."""

STATES = {  # src/task_states.c and job_metadata.c: GetCronStatus
    "starting": State.QUEUED,
    "connecting": State.QUEUED,
    "sending": State.RUNNING,
    "running": State.RUNNING,
    "succeeded": State.SUCCEEDED,
    "failed": State.FAILED,
}
ENDED = frozenset({State.SUCCEEDED, State.FAILED})
MARK = re.compile(r"/\* headway:rerun:(\d{1,19}):(headway-[0-9a-z]{10,40}) \*/ ")
ENTRY = re.compile(r"headway:rerun:(\d{1,19}):(headway-[0-9a-z]{10,40})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONE_SETTING_SINCE = (1, 6)
SETTLES_AFTER_SECONDS = 10.0
"""A command of several statements writes "succeeded" after each; a failure of a later one comes milliseconds after."""


@dataclass(frozen=True, slots=True)
class Book:
    """Who is who: native ids and owners by jobid, of the jobs that are there and of those that were."""

    names: Mapping[int, str] = field(default_factory=dict)
    owners: Mapping[int, str] = field(default_factory=dict)

    def with_jobs(self, rows: Iterable[Row]) -> Book:
        """This book and what the rows say now."""
        kept = [row for row in rows if not is_entry(row)]
        owners = {row["jobid"]: row["username"] for row in kept}
        return Book({**self.names, **native_ids(kept)}, {**self.owners, **owners})


def is_entry(row: Row) -> bool:
    """True for a one-shot entry of ours; it is no job."""
    return str(row["jobname"] or "").startswith(ENTRY_PREFIX)


def native_ids(rows: Iterable[Row]) -> dict[int, str]:
    """jobid -> jobname, or "#jobid" without one. pg_cron's names are unique per user only: who came later carries
    the user's name in front."""
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for row in sorted(rows, key=lambda one: int(one["jobid"])):
        plain = row["jobname"] or f"#{row['jobid']}"
        choices = (plain, f"{row['username']}:{plain}", f"#{row['jobid']}:{plain}")
        name = next(choice for choice in choices if choice not in taken or choice is choices[-1])
        taken.add(name)
        ids[row["jobid"]] = name
    return ids


def job(row: Row, native_id: str, zone: str) -> JobRecord:
    """One entry of cron.job."""
    what = (row["command_hash"], row["database"], row["username"], row["nodename"], row["nodeport"])
    return JobRecord(
        native_id=native_id,
        title=row["jobname"] or native_id,
        schedule=Schedule("pg_cron", row["schedule"], zone),
        paused=not row["active"],
        definition=row["command"],
        definition_hash=digest(what),
        match_keys=(f"jobid:{row['jobid']}",),
        proof=Proof.EXIT,
        run_as=row["username"],
    )


def version_of(access: Row) -> tuple[int, ...]:
    """(1, 4) for "1.4-1"; () when the extension is not there."""
    numbers = str(access["version"] or "").partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def zone_of(access: Row) -> str:
    """GMT until 1.5; since 1.6 whatever cron.timezone says, where the role may see it."""
    zone = str(access["timezone"] or "UTC")
    return "UTC" if version_of(access) < ZONE_SETTING_SINCE or zone in ("GMT", "UTC") else zone


def instant(text: object) -> datetime | None:
    """Seconds since 1970 as text, to aware UTC. None for none, and for what no calendar of ours holds."""
    if text is None:
        return None
    try:
        return EPOCH + timedelta(microseconds=int(Decimal(str(text)) * 1_000_000))
    except (InvalidOperation, ValueError, OverflowError):
        return None


def run(row: Row, book: Book, queued_at: datetime | None = None) -> RunRecord:
    """One row of job_run_details; a row of a one-shot entry becomes an attempt of the job that it repeats.

    `queued_at` stands in where pg_cron wrote no start. Raises RecordUnreadable."""
    try:
        return _run(row, book, queued_at)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordUnreadable(f"row of job_run_details: {type(error).__name__}: {error}") from None


def _run(row: Row, book: Book, queued_at: datetime | None) -> RunRecord:
    jobid, runid, native = int(row["jobid"]), int(row["runid"]), str(row["status"] or "")
    original, action_key = whose(row, book)
    state = STATES.get(native, State.UNKNOWN)
    started, ended = instant(row["started"]), instant(row["ended"])
    odd = {name: row[name] for name in ("started", "ended") if row[name] is not None and instant(row[name]) is None}
    return RunRecord(
        job=book.names.get(original, f"#{original}"),
        attempt_key=str(runid),
        state=state,
        native_state=native or "(null)",
        queued_at=None if started else queued_at,
        started_at=started,
        ended_at=None if state.is_open else ended,
        message=str(row["message"] or "").rstrip("\n"),
        native_ref=json.dumps({"runid": runid, "jobid": original, "entry": jobid if action_key else None}),
        action_key=action_key,
        context={
            "database": row["database"],
            **({"times that no calendar holds": odd} if odd else {}),
            **rows_of(str(row["message"] or "")),
        },
    )


def rows_of(message: str) -> dict[str, int]:
    """{"rows": 42} for "INSERT 0 42" and "42 rows"; of several statements it is the last one's."""
    found = ROWS.fullmatch(message.strip())
    return {"rows": int(found[1] or found[2])} if found else {}


def whose(row: Row, book: Book) -> tuple[int, str | None]:
    """jobid of the job that this run belongs to, and our action key. A mark counts only in the owner's own runs."""
    found = MARK.match(str(row["command"] or ""))
    if found is None:
        return int(row["jobid"]), None
    original = int(found[1])
    if book.owners.get(original, row["username"]) != row["username"]:
        return int(row["jobid"]), None
    return original, found[2]


def is_settled(record: RunRecord, now: datetime) -> bool:
    """True when the row will not change any more."""
    if record.state.is_open or (record.state == State.UNKNOWN and record.ended_at is None):
        return False
    return record.ended_at is None or (now - record.ended_at).total_seconds() > SETTLES_AFTER_SECONDS


def start_bounds(rows: Sequence[Row], now: datetime, is_live: bool) -> dict[int, datetime]:
    """For rows without a start: when they were started, as their neighbours show. runids follow the launcher's order.

    The next row's start comes at most moments later; the last row of a live poll was started since the poll before;
    the last row of old history was started moments after the row before it."""
    bounds: dict[int, datetime] = {}
    after: datetime | None = None
    for row in reversed(rows):
        started = instant(row["started"])
        if started is None and after is not None:
            bounds[row["runid"]] = after
        after = started or after
    before: datetime | None = None
    for row in rows:
        started = instant(row["started"])
        if started is None and row["runid"] not in bounds:
            bounds[row["runid"]] = now if is_live or before is None else before
        before = started or before
    return bounds


def due_of(schedule: str, zone: str, now: datetime) -> datetime | None:
    """The instant of a one-shot entry ("44 6 20 11 *"), the nearest to `now`; None for anything else."""
    try:
        minute, hour, day, month, rest = schedule.split()
        here = now.astimezone(ZoneInfo(zone))
        due = datetime(here.year, int(month), int(day), int(hour), int(minute), tzinfo=ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError, OSError):
        return None
    if rest != "*":
        return None
    years = -1 if due - here > timedelta(days=183) else 1 if here - due > timedelta(days=183) else 0
    return due.replace(year=due.year + years, day=min(due.day, 28) if years else due.day).astimezone(UTC)
