"""Finished runs in the order of their changes, for an export that goes on where it stopped: the store is its queue."""

from __future__ import annotations

from typing import NamedTuple

from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.meta import get_meta, set_meta
from console.store.queries.base import clean_name
from console.store.row_values import from_row
from console.store.snapshot.runs import BEGUN_SQL

BATCH = 500
"""Most runs of one call."""
_CURSOR_KEY = "otlp_cursor"
_ENDED = (
    "SELECT r.id, r.changed_seq, j.name AS job, r.period_key, r.business_date, r.state, r.attempts,"
    " COALESCE(r.started_us, r.ended_us) AS started_us, r.ended_us, r.exit_code, a.native_url AS url FROM run r"
    " CROSS JOIN job j LEFT JOIN attempt a ON a.id = r.attempt_id WHERE j.id = r.job_id AND r.changed_seq >= ?"
    " AND (r.changed_seq > ? OR r.id > ?) AND r.ended_us >= ? AND j.parent_id IS NULL AND NOT j.unwatched"
    " ORDER BY r.changed_seq, r.id LIMIT ?"
)  # CROSS JOIN: SQLite then begins with the changed runs, not with all jobs

_OPEN = (
    f"SELECT r.state, count(*) AS runs FROM run r JOIN job j ON j.id = r.job_id WHERE {BEGUN_SQL}"  # noqa: S608
    " AND j.parent_id IS NULL AND NOT j.unwatched GROUP BY r.state"
)


class FinishedRun(NamedTuple):
    """A run with an end; times and exit code are of its latest attempt. An unknown start is the end."""

    job: str
    period_key: str
    business_date: str
    state: str
    attempts: int
    started_us: int
    ended_us: int
    exit_code: int | None
    url: str


def next_finished_runs(store: Database, ended_since_us: int) -> tuple[list[FinishedRun], str]:
    """At most BATCH runs behind the cursor, without runs of tasks, and the cursor behind these. A run comes again when
    its row changes. Without a cursor: no run, and the cursor for changes from now on."""
    with store.read() as session:
        seq, cursor = int(get_meta(session, "changed_seq") or 0), get_meta(session, _CURSOR_KEY)
        if cursor is None:
            return [], f"{seq + 1} 0"
        after_seq, after_id = map(int, cursor.split())
        rows = session.rows(_ENDED, (after_seq, after_seq, after_id, ended_since_us, BATCH))
    runs = [from_row(FinishedRun, row, period_key=clean_name(row.period_key)) for row in rows]
    return runs, f"{seq + 1} 0" if len(rows) < BATCH else f"{rows[-1].changed_seq} {rows[-1].id}"


def count_open_runs(store: Database) -> dict[str, int]:
    """Runs that are not only planned and have not ended, by state; without runs of tasks."""
    with store.read() as session:
        rows = session.rows(_OPEN)
    return {row.state: row.runs for row in rows}


def save_export_cursor(store: Database, cursor: str, fence: Fence | None) -> None:
    """Notes that all before the cursor is exported. Raises LeaseLost."""
    with store.write(fence) as session:
        set_meta(session, {_CURSOR_KEY: cursor})
