"""Talks to PostgreSQL: one method per question or act, raw rows out. The SQL is in `statements`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from connectors.contract import HoldMark, LogChunk
from connectors.pg_cron.parse import ENTRY_PREFIX, Row
from connectors.pg_cron.rights import require_view
from connectors.pg_cron.statements import (
    ACCESS,
    ENTRY,
    HOLD_PREFIX,
    JOBS,
    MARKED,
    MESSAGE_PIECE,
    NEWEST,
    RERUN_DIRECT,
    RUN,
    RUNNING,
    RUNS_AFTER,
    RUNS_BY_ID,
    SESSIONS,
    STARTED_ENTRIES,
    TEXT,
    UNSCHEDULE_DIRECT,
)  # fmt: skip
from connectors.transport.sql import Deadline, PostgresSession, Reader
from connectors.whole_log import read_through

BITE_ROWS = 1000
MOST_JOBS = 50_000
PIECE_CHARACTERS = 4 * 1024**2
"""Of a run's message at a time."""
Give = Callable[[Row, Iterable[str]], LogChunk]
RECENT_RUNS = 20_000
"""How far back of the newest runid a question without an index may look: nobody purges job_run_details."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one poll read, in one snapshot."""

    access: Row
    jobs: Sequence[Row]
    runs: Sequence[Row]
    again: Sequence[Row]
    newest: int | None
    entries: Sequence[Row]
    """Our one-shot entries that have started: jobid, ended."""
    is_full: bool
    """There may be more runs after these."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a rerun would meet: the job (None: gone), its other running entries, the newest runid."""

    access: Row
    job: Row | None
    running: Sequence[Row]
    newest: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What an action left behind under its name."""

    access: Row
    entries: Sequence[Row]
    runs: Sequence[Row]
    sessions: int
    """Our own sessions that may still be sending it."""


@dataclass(frozen=True, slots=True)
class Left:
    """What an act on a job or a run finds there now, and whether it may still be on its way."""

    access: Row
    row: Row | None
    """The entry of cron.job, or the run of cron.job_run_details; None when it is not there or hidden."""
    sessions: int
    """Our own sessions that may still be sending it."""


class PgCronClient:
    """The questions that Headway asks of one database. Each is one snapshot, and refuses when it could not see."""

    def __init__(self, session: PostgresSession, act_schema: str) -> None:
        self._session = session
        self._schema = act_schema

    @property
    def place(self) -> str:
        """host:port/database as user."""
        return self._session.place

    @property
    def act_schema(self) -> str:
        """Where the functions of grants.sql are."""
        return self._schema

    def access(self, timeout_seconds: float) -> Row:
        """Who we are, what we may, which version: one row, whatever rights we have."""
        row: Row = self._session.read(self._access, timeout_seconds)
        return row

    def jobs(self, timeout_seconds: float) -> tuple[Row, list[Row]]:
        """Access, and all entries of cron.job that we may see, ours included."""

        def work(reader: Reader) -> tuple[Row, list[Row]]:
            return self._checked(reader), _jobs(reader)

        answer: tuple[Row, list[Row]] = self._session.read(work, timeout_seconds)
        return answer

    def page(self, after: int, again: Sequence[int], timeout_seconds: float) -> Page:
        """The next bite of runs after a runid, and the runs `again` as they are now."""

        def work(reader: Reader) -> Page:
            access = self._checked(reader)
            jobs = _jobs(reader)
            runs = reader.rows(RUNS_AFTER, {"after": after, "limit": BITE_ROWS})
            old = reader.rows(RUNS_BY_ID, {"ids": list(again), "limit": BITE_ROWS}) if again else []
            newest = reader.row(NEWEST)["runid"]
            entries = _started(reader, jobs, newest)
            return Page(access, jobs, runs, old, newest, entries, is_full=len(runs) >= BITE_ROWS)

        page: Page = self._session.read(work, timeout_seconds)
        return page

    def situation(self, which: Callable[[Sequence[Row]], Row | None], timeout_seconds: float) -> Situation:
        """What a rerun of the job that `which` chooses would meet now."""

        def work(reader: Reader) -> Situation:
            access = self._checked(reader)
            jobs = _jobs(reader)
            newest = reader.row(NEWEST)["runid"] or 0
            job = which(jobs)
            if job is None:
                return Situation(access, None, (), newest)
            same = [job["jobid"], *(row["jobid"] for row in jobs if _is_entry_of(row, job["jobid"]))]
            running = reader.rows(RUNNING, {"after": newest - RECENT_RUNS, "jobids": same})
            return Situation(access, job, running, newest)

        situation: Situation = self._session.read(work, timeout_seconds)
        return situation

    def trace(self, entry: str, mark: str, after: int, session_name: str, timeout_seconds: float) -> Trace:
        """What is left of an action: its entry, its run after `after`, and sessions that may still send it."""

        deadline = Deadline(timeout_seconds)
        alive = self._alive(session_name, deadline)

        def work(reader: Reader) -> Trace:
            access = self._checked(reader)
            entries = reader.rows(ENTRY, {"entry": entry})
            return Trace(access, entries, reader.rows(MARKED, {"after": after, "mark": mark}), alive)

        trace: Trace = self._session.read(work, deadline.left)
        return trace

    def job_left(self, jobid: int, session_name: str, timeout_seconds: float) -> Left:
        """One entry of cron.job as it is now, for a hold or release that was sent."""
        return self._left(lambda reader: _jobs(reader, jobid), session_name, timeout_seconds)

    def run_left(self, runid: int, session_name: str, timeout_seconds: float) -> Left:
        """One run as it is now, for a cancel."""
        return self._left(lambda reader: reader.rows(RUN, {"runid": runid}), session_name, timeout_seconds)

    def log(self, runid: int, give: Give, timeout_seconds: float) -> LogChunk | None:
        """What `give` makes of command and status of one run and of its message, which comes in parts; None when it is
        purged or hidden."""

        def work(reader: Reader) -> LogChunk | None:
            def read(first: int, count: int) -> str:
                found = reader.rows(MESSAGE_PIECE, {"first": first + 1, "count": count, "runid": runid})
                return str(found[0]["piece"] or "") if found else ""

            rows = reader.rows(TEXT, {"runid": runid})
            return give(rows[0], read_through(read, PIECE_CHARACTERS)) if rows else None

        found: LogChunk | None = self._session.read(work, timeout_seconds)
        return found

    def rerun_by_function(self, jobid: int, key: str, timeout_seconds: float) -> list[Row]:
        """The jobid of the one-shot entry made by the function of grants.sql."""
        statement = sql.SQL("SELECT {}.rerun(%(job)s, %(key)s) AS jobid").format(sql.Identifier(self._schema))
        return self._session.write_once(statement, {"job": jobid, "key": key}, timeout_seconds, session_name(key))

    def rerun_direct(self, jobid: int, entry: str, key: str, zone: str, timeout_seconds: float) -> list[Row]:
        """The jobid of the one-shot entry, made by cron.schedule_in_database; no row when the job is gone."""
        values = {"job": jobid, "entry": entry, "zone": zone, "prefix": HOLD_PREFIX}
        return self._session.write_once(RERUN_DIRECT, values, timeout_seconds, session_name(key))

    def hold(self, jobid: int, mark: HoldMark, schedule: str, plain_hash: str, timeout_seconds: float) -> list[Row]:
        """Makes a job inactive under our mark, if it is active and still as it was seen."""
        values = {"job": jobid, "key": mark.id, "by": mark.by, "until": mark.text.rpartition("until=")[2]}
        statement = sql.SQL(
            "SELECT {}.hold(%(job)s, %(key)s, %(by)s, %(until)s, %(schedule)s, %(hash)s) AS done"
        ).format(sql.Identifier(self._schema))
        values |= {"schedule": schedule, "hash": plain_hash}
        return self._session.write_once(statement, values, timeout_seconds, session_name(mark.id))

    def release(self, jobid: int, hold: str, key: str, enable: bool, timeout_seconds: float) -> list[Row]:
        """Takes our mark away, if the one with this id is there; `enable`: and makes the job active again."""
        function = sql.Identifier("release" if enable else "clear")
        statement = sql.SQL("SELECT {}.{}(%(job)s, %(hold)s) AS done").format(sql.Identifier(self._schema), function)
        return self._session.write_once(statement, {"job": jobid, "hold": hold}, timeout_seconds, session_name(key))

    def cancel(self, runid: int, key: str, timeout_seconds: float) -> list[Row]:
        """Cancels what the backend of a run executes, if that backend is still this run's."""
        statement = sql.SQL("SELECT {}.cancel(%(run)s, %(key)s) AS done").format(sql.Identifier(self._schema))
        return self._session.write_once(statement, {"run": runid, "key": key}, timeout_seconds, session_name(key))

    def unschedule(self, entry: Row, key: str, by_function: bool, timeout_seconds: float) -> None:
        """Takes one of our one-shot entries away."""
        if by_function:
            statement = sql.SQL("SELECT {}.unschedule(%(key)s) AS gone").format(sql.Identifier(self._schema))
            self._session.write_once(statement, {"key": key}, timeout_seconds, "headway")
        else:
            self._session.write_once(UNSCHEDULE_DIRECT, {"jobid": entry["jobid"]}, timeout_seconds, "headway")

    def close(self) -> None:
        """Closes the connection."""
        self._session.close()

    def _left(self, ask: Callable[[Reader], list[Row]], name: str, timeout_seconds: float) -> Left:
        deadline = Deadline(timeout_seconds)
        alive = self._alive(name, deadline)

        def work(reader: Reader) -> Left:
            access = self._checked(reader)
            rows = ask(reader)
            return Left(access, rows[0] if rows else None, alive)

        left: Left = self._session.read(work, deadline.left)
        return left

    def _alive(self, name: str, deadline: Deadline) -> int:
        """Sessions of that name, in a transaction before the look at what they leave: what one of them commits before
        it goes is then in the snapshot of that look."""
        row: Row = self._session.read(lambda reader: reader.row(SESSIONS, {"name": name}), deadline.left)
        return int(row["alive"])

    def _access(self, reader: Reader) -> Row:
        return reader.row(ACCESS, {"act_schema": self._schema})

    def _checked(self, reader: Reader) -> Row:
        access = self._access(reader)
        require_view(access, self.place)
        return access


def session_name(key: str) -> str:
    """application_name of the session that sends an action: while it lives, the action may still arrive."""
    return f"headway act {key}"[:63]


def _jobs(reader: Reader, jobid: int | None = None) -> list[Row]:
    return reader.rows(JOBS, {"limit": MOST_JOBS + 1, "prefix": HOLD_PREFIX, "jobid": jobid})


def _is_entry_of(row: Row, jobid: int) -> bool:
    return str(row["jobname"] or "").startswith(f"{ENTRY_PREFIX}{jobid}:")


def _started(reader: Reader, jobs: Sequence[Row], newest: int | None) -> list[Row]:
    ours = [row["jobid"] for row in jobs if str(row["jobname"] or "").startswith(ENTRY_PREFIX)]
    return reader.rows(STARTED_ENTRIES, {"after": (newest or 0) - RECENT_RUNS, "jobids": ours}) if ours else []
