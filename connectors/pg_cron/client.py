"""Talks to PostgreSQL: one method per question, raw rows out. Every statement limits its own reply.

Facts: pg_cron 1.4 and its source (github.com/citusdata/pg_cron, src/pg_cron.c); PostgreSQL documentation, "Row
Security Policies" and "System Catalogs".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from connectors.pg_cron.parse import ENTRY_PREFIX, Row
from connectors.pg_cron.rights import require_view
from connectors.transport.sql import PostgresSession, Reader

BITE_ROWS = 1000
MOST_JOBS = 50_000
RECENT_RUNS = 20_000
"""How far back of the newest runid a question without an index may look: nobody purges job_run_details."""

ACCESS: LiteralString = """
WITH seen AS (
    SELECT c.relname,
           has_table_privilege(c.oid, 'SELECT') AS may_read,
           NOT row_security_active(c.oid)
           OR (EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
                          AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                          AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')))
               AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive
                          AND p.polcmd IN ('r', '*') AND pg_get_expr(p.polqual, p.polrelid) <> 'true'
                          AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE'))))
           AS sees_all,
           c.reltuples::bigint AS about_rows
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'cron' AND c.relname IN ('job', 'job_run_details')
), may AS (
    SELECT n.nspname, p.proname,
           has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(n.oid, 'USAGE') AS held
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE (n.nspname = %(act_schema)s AND (p.proname, oidvectortypes(p.proargtypes))
                                          IN (('rerun', 'bigint, text'), ('unschedule', 'text')))
       OR (n.nspname = 'cron' AND p.proname = 'schedule_in_database')
)
SELECT current_user::text AS role, current_database()::text AS database,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_super,
       (SELECT extversion FROM pg_extension WHERE extname = 'pg_cron') AS version,
       current_setting('server_version') AS server_version,
       pg_is_in_recovery() AS is_standby,
       extract(epoch FROM clock_timestamp())::text AS clock,
       (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = 'cron') AS may_enter,
       (SELECT may_read FROM seen WHERE relname = 'job') AS may_read_jobs,
       (SELECT may_read FROM seen WHERE relname = 'job_run_details') AS may_read_runs,
       (SELECT sees_all FROM seen WHERE relname = 'job') AS sees_all_jobs,
       (SELECT sees_all FROM seen WHERE relname = 'job_run_details') AS sees_all_runs,
       (SELECT about_rows FROM seen WHERE relname = 'job_run_details') AS about_runs,
       (SELECT held FROM may WHERE nspname = %(act_schema)s AND proname = 'rerun') AS may_rerun,
       (SELECT held FROM may WHERE nspname = %(act_schema)s AND proname = 'unschedule') AS may_unschedule,
       (SELECT bool_or(held) FROM may WHERE nspname = 'cron') AS may_schedule,
       (SELECT setting FROM pg_settings WHERE name = 'cron.log_run') AS log_run,
       (SELECT setting FROM pg_settings WHERE name = 'cron.timezone') AS timezone,
       (SELECT setting FROM pg_settings WHERE name = 'cron.database_name') AS cron_database
"""

JOBS: LiteralString = """
SELECT jobid, jobname, schedule, left(command, 4000) AS command,
       encode(sha256(textsend(command)), 'hex') AS command_hash, nodename, nodeport, database, username, active
FROM cron.job ORDER BY jobid LIMIT %(limit)s
"""

RUNS_AFTER: LiteralString = """
SELECT runid, jobid, database, username, left(command, 2000) AS command, status, left(return_message, 4000) AS message,
       extract(epoch FROM start_time)::text AS started, extract(epoch FROM end_time)::text AS ended
FROM cron.job_run_details WHERE runid > %(after)s ORDER BY runid LIMIT %(limit)s
"""

RUNS_BY_ID: LiteralString = """
SELECT runid, jobid, database, username, left(command, 2000) AS command, status, left(return_message, 4000) AS message,
       extract(epoch FROM start_time)::text AS started, extract(epoch FROM end_time)::text AS ended
FROM cron.job_run_details WHERE runid = ANY(%(ids)s) ORDER BY runid LIMIT %(limit)s
"""

NEWEST: LiteralString = "SELECT max(runid) AS runid FROM cron.job_run_details"

RUNNING: LiteralString = """
SELECT runid, extract(epoch FROM start_time)::text AS started FROM cron.job_run_details
WHERE runid > %(after)s AND jobid = ANY(%(jobids)s) AND status NOT IN ('succeeded', 'failed') ORDER BY runid LIMIT 10
"""

STARTED_ENTRIES: LiteralString = """
SELECT DISTINCT jobid, status IN ('succeeded', 'failed') AS ended FROM cron.job_run_details
WHERE runid > %(after)s AND jobid = ANY(%(jobids)s) LIMIT 1000
"""

MARKED: LiteralString = """
SELECT runid, jobid, status FROM cron.job_run_details
WHERE runid > %(after)s AND starts_with(command, %(mark)s) ORDER BY runid LIMIT 1
"""

ENTRY: LiteralString = "SELECT jobid, schedule FROM cron.job WHERE jobname = %(entry)s"

SESSIONS: LiteralString = """
SELECT count(*) AS alive FROM pg_stat_activity WHERE application_name = %(name)s AND pid <> pg_backend_pid()
"""

TEXT: LiteralString = """
SELECT left(command, 200000) AS command, right(return_message, 200000) AS message, status
FROM cron.job_run_details WHERE runid = %(runid)s
"""

RERUN_DIRECT: LiteralString = """
SELECT coalesce((SELECT jobid FROM cron.job WHERE jobname = %(entry)s), cron.schedule_in_database(%(entry)s,
           to_char(date_trunc('minute', clock_timestamp() AT TIME ZONE %(zone)s + interval '65 seconds'),
                   'FMMI FMHH24 FMDD FMMM "*"'),
           '/* ' || %(entry)s || ' */ ' || command, database,
           CASE WHEN username = current_user THEN NULL ELSE username END, true)) AS jobid
FROM cron.job WHERE jobid = %(job)s
"""

UNSCHEDULE_DIRECT: LiteralString = "SELECT cron.unschedule(jobid) AS gone FROM cron.job WHERE jobid = %(jobid)s"


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
            return self._checked(reader), reader.rows(JOBS, {"limit": MOST_JOBS + 1})

        answer: tuple[Row, list[Row]] = self._session.read(work, timeout_seconds)
        return answer

    def page(self, after: int, again: Sequence[int], timeout_seconds: float) -> Page:
        """The next bite of runs after a runid, and the runs `again` as they are now."""

        def work(reader: Reader) -> Page:
            access = self._checked(reader)
            jobs = reader.rows(JOBS, {"limit": MOST_JOBS + 1})
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
            jobs = reader.rows(JOBS, {"limit": MOST_JOBS + 1})
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

        def work(reader: Reader) -> Trace:
            access = self._checked(reader)
            alive = int(reader.row(SESSIONS, {"name": session_name})["alive"])
            entries = reader.rows(ENTRY, {"entry": entry})
            return Trace(access, entries, reader.rows(MARKED, {"after": after, "mark": mark}), alive)

        trace: Trace = self._session.read(work, timeout_seconds)
        return trace

    def text(self, runid: int, timeout_seconds: float) -> Row | None:
        """Command, message and status of one run, or None when it is purged or hidden."""
        rows: list[Row] = self._session.read(lambda reader: reader.rows(TEXT, {"runid": runid}), timeout_seconds)
        return rows[0] if rows else None

    def rerun_by_function(self, jobid: int, key: str, timeout_seconds: float) -> list[Row]:
        """The jobid of the one-shot entry made by the function of grants.sql."""
        statement = sql.SQL("SELECT {}.rerun(%(job)s, %(key)s) AS jobid").format(sql.Identifier(self._schema))
        return self._session.write_once(statement, {"job": jobid, "key": key}, timeout_seconds, session_name(key))

    def rerun_direct(self, jobid: int, entry: str, key: str, zone: str, timeout_seconds: float) -> list[Row]:
        """The jobid of the one-shot entry, made by cron.schedule_in_database; no row when the job is gone."""
        values = {"job": jobid, "entry": entry, "zone": zone}
        return self._session.write_once(RERUN_DIRECT, values, timeout_seconds, session_name(key))

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

    def _access(self, reader: Reader) -> Row:
        return reader.row(ACCESS, {"act_schema": self._schema})

    def _checked(self, reader: Reader) -> Row:
        access = self._access(reader)
        require_view(access, self.place)
        return access


def session_name(key: str) -> str:
    """application_name of the session that sends an action: while it lives, the action may still arrive."""
    return f"headway act {key}"[:63]


def _is_entry_of(row: Row, jobid: int) -> bool:
    return str(row["jobname"] or "").startswith(f"{ENTRY_PREFIX}{jobid}:")


def _started(reader: Reader, jobs: Sequence[Row], newest: int | None) -> list[Row]:
    ours = [row["jobid"] for row in jobs if str(row["jobname"] or "").startswith(ENTRY_PREFIX)]
    return reader.rows(STARTED_ENTRIES, {"after": (newest or 0) - RECENT_RUNS, "jobids": ours}) if ours else []
