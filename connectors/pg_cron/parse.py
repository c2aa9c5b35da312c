"""Rows of pg_cron read as records. Pure: whatever the rows hold, only RecordUnreadable is raised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.sdk import fields
from connectors.sdk.fields import digest, epoch_instant, unreadable_times
from connectors.sdk.job_agent import Row, native_ids, version_of
from connectors.sdk.log_chunks import without_last_newlines
from connectors.sdk.records import JobRecord, RunRecord, Schedule
from connectors.sdk.states import ProofLevel, RunEvidence, RunState

ROWS = re.compile(r"(?:INSERT \d+|UPDATE|DELETE|MERGE|COPY|SELECT|FETCH) (\d{1,18})|(\d{1,18}) rows?", re.ASCII)
"""A whole return message with a number of rows: a command's tag, or pg_cron's text for a result (pg_cron.c)."""

ENTRY_PREFIX = "headway:rerun:"  # prefix of the names of our one-shot entries

STATES = {  # src/task_states.c and job_metadata.c: GetCronStatus
    "starting": RunState.QUEUED,
    "connecting": RunState.QUEUED,
    "sending": RunState.RUNNING,
    "running": RunState.RUNNING,
    "succeeded": RunState.SUCCEEDED,
    "failed": RunState.FAILED,
}
UNMARKED = frozenset({"connecting", "sending"})
"""The states that the launcher leaves at its start; "starting" and "running" become "failed", "server restarted"."""
ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED})
MARK = re.compile(r"/\* headway:rerun:(\d{1,19}):(headway-[0-9a-z]{10,40}) \*/ ")
ENTRY = re.compile(r"headway:rerun:(\d{1,19}):(headway-[0-9a-z]{10,40})")
ZONE_SETTING_SINCE = (1, 6)
SETTLES_AFTER_SECONDS = 10.0
"""A command of several statements writes "succeeded" after each; a failure of a later one comes milliseconds after."""


@dataclass(frozen=True, slots=True)
class PgCronJobNames:
    """Native ids and owners by jobid, of present and deleted jobs."""

    names: Mapping[int, str] = field(default_factory=dict)
    owners: Mapping[int, str] = field(default_factory=dict)

    def with_jobs(self, rows: Iterable[Row]) -> PgCronJobNames:
        jobs = [row for row in rows if not is_entry(row)]
        owners = {row["jobid"]: row["username"] for row in jobs}
        return PgCronJobNames({**self.names, **native_ids(jobs)}, {**self.owners, **owners})


def is_entry(row: Row) -> bool:
    """True for a one-shot entry of ours, which is not a job."""
    return str(row["jobname"] or "").startswith(ENTRY_PREFIX)


def job(row: Row, native_id: str, zone: str) -> JobRecord:
    what = (row["command_hash"], row["database"], row["username"], row["nodename"], row["nodeport"])
    return JobRecord(
        native_id=native_id,
        title=row["jobname"] or native_id,
        schedule=Schedule("pg_cron", row["schedule"], zone),
        paused=not row["active"],
        definition=row["command"],
        definition_hash=digest(what),
        match_keys=(f"jobid:{row['jobid']}",),
        proof=ProofLevel.EXIT,
        run_as=row["username"],
    )


def zone_of(access: Row) -> str:
    """GMT until 1.5; since 1.6 whatever cron.timezone says, where the role may see it."""
    zone = str(access["timezone"] or "UTC")
    return "UTC" if version_of(access) < ZONE_SETTING_SINCE or zone in ("GMT", "UTC") else zone


@fields.reading("row of job_run_details")
def run(
    row: Row, book: PgCronJobNames, queued_at: datetime | None = None, launched: datetime | None = None
) -> RunRecord:
    """One row of job_run_details; a row of a one-shot entry becomes an attempt of the job that it repeats.

    `queued_at` is used where pg_cron wrote no start. `launched`: the launcher's start; a run of before is LOST.
    Raises RecordUnreadable."""
    jobid, runid, native = int(row["jobid"]), int(row["runid"]), str(row["status"] or "")
    original, action_key = whose(row, book)
    state = STATES.get(native, RunState.UNKNOWN)
    started, ended = epoch_instant(row["started"]), epoch_instant(row["ended"])
    message, evidence, began = str(row["message"] or ""), RunEvidence.NATIVE, started or queued_at
    if launched is not None and native in UNMARKED and began is not None and began < launched:
        state, evidence = RunState.LOST, RunEvidence.INFERRED
        message = f"pg_cron was restarted at {launched:%Y-%m-%d %H:%M:%S} UTC, which ended the run; it records no end"
    return RunRecord(
        job=book.names.get(original, f"#{original}"),
        attempt_key=str(runid),
        state=state,
        native_state=native or "(null)",
        evidence=evidence,
        queued_at=None if started else queued_at,
        started_at=started,
        ended_at=None if state.is_open else ended,
        message=message.strip("\n").partition("\n")[0],  # its log has the lines below: CONTEXT
        native_ref=json.dumps({"runid": runid, "jobid": original, "entry": jobid if action_key else None}),
        action_key=action_key,
        context={"database": row["database"], **unreadable_times(row), **rows_of(str(row["message"] or ""))},
    )


def rows_of(message: str) -> dict[str, int]:
    """{"rows": 42} for "INSERT 0 42" and "42 rows"; of several statements it is the last one's."""
    match = ROWS.fullmatch(message.strip())
    return {"rows": int(match[1] or match[2])} if match else {}


def whose(row: Row, book: PgCronJobNames) -> tuple[int, str | None]:
    """jobid of the job that this run belongs to, and our action key. A mark counts only in the owner's own runs."""
    match = MARK.match(str(row["command"] or ""))
    if match is None:
        return int(row["jobid"]), None
    original = int(match[1])
    if book.owners.get(original, row["username"]) != row["username"]:
        return int(row["jobid"]), None
    return original, match[2]


def is_open(row: Row) -> bool:
    """Whether more may still be written to the row of a run."""
    return STATES.get(str(row["status"])) not in ENDED


def run_log(message: Iterable[str]) -> Iterator[str]:
    """The answer to the command as pg_cron kept it, in parts; there is no more. The job's definition has the
    command."""
    is_empty = True
    for part in filter(None, without_last_newlines(message)):
        yield part
        is_empty = False
    if not is_empty:
        yield "\n"


def is_settled(record: RunRecord, now: datetime) -> bool:
    if record.state.is_open or (record.state == RunState.UNKNOWN and record.ended_at is None):
        return False
    return record.ended_at is None or (now - record.ended_at).total_seconds() > SETTLES_AFTER_SECONDS


def start_bounds(rows: Sequence[Row], now: datetime, is_live: bool) -> dict[int, datetime]:
    """For rows without a start: when they were started, as their neighbours show. runids follow the launcher's order.

    The next row's start comes at most moments later; the last row of a live poll was started since the poll before;
    the last row of old history was started moments after the row before it."""
    bounds: dict[int, datetime] = {}
    after: datetime | None = None
    for row in reversed(rows):
        started = epoch_instant(row["started"])
        if started is None and after is not None:
            bounds[row["runid"]] = after
        after = started or after
    before: datetime | None = None
    for row in rows:
        started = epoch_instant(row["started"])
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
