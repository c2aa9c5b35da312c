"""pg_cron's tables: SQL, one method per query or action, and what the role may see and do.

Every query limits its own reply; text from outside comes in as a value, never as SQL. An empty list never looks like
"no jobs": permissions come from one row about the role. Facts: pg_cron 1.4 and its source
(github.com/citusdata/pg_cron, src/pg_cron.c); PostgreSQL documentation, "Row Security Policies", "System Catalogs".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import LiteralString

from connectors.pg_cron.parse import ENTRY_PREFIX, is_entry, is_open, run_log
from connectors.sdk.contract import HoldMark, SourcePermission
from connectors.sdk.errors import NotSupported, PermissionMissing
from connectors.sdk.job_agent import (
    PAGE_ROWS,
    GiveLog,
    Plan,
    Row,
    act_permission,
    mark_values,
    version_of,
    view_permission,
)
from connectors.sdk.postgres_agent import PostgresAgentClient, read_pieces
from connectors.sdk.records import LogChunk
from connectors.sdk.transport.postgres import SEES_ALL_ROWS, PostgresReader, quoted

ACCESS: LiteralString = """
WITH seen AS (
    SELECT c.relname,
           has_table_privilege(c.oid, 'SELECT') AS may_read,
           /* sees all rows */           AS sees_all,
           c.reltuples::bigint AS about_rows
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'cron' AND c.relname IN ('job', 'job_run_details')
), may AS (
    SELECT p.proname,
           has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(n.oid, 'USAGE') AS held
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = %(act_schema)s AND (p.proname, oidvectortypes(p.proargtypes))
                                         IN (('rerun', 'bigint, text'), ('unschedule', 'text'),
                                             ('hold', 'bigint, text, text, text, text, text'),
                                             ('release', 'bigint, text'), ('clear', 'bigint, text'),
                                             ('cancel', 'bigint, text'))
)
SELECT current_user::text AS role, current_database()::text AS database,
       (SELECT extversion FROM pg_extension WHERE extname = 'pg_cron') AS version,
       current_setting('server_version') AS server_version,
       pg_is_in_recovery() AS is_standby,
       EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_cron scheduler') AS is_launched,
       extract(epoch FROM clock_timestamp())::text AS clock,
       extract(epoch FROM greatest(pg_postmaster_start_time(),
                                   (SELECT max(backend_start) FROM pg_stat_activity
                                    WHERE application_name = 'pg_cron scheduler')))::text AS launched,
       (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = 'cron') AS may_enter,
       (SELECT may_read FROM seen WHERE relname = 'job') AS may_read_jobs,
       (SELECT may_read FROM seen WHERE relname = 'job_run_details') AS may_read_runs,
       (SELECT sees_all FROM seen WHERE relname = 'job') AS sees_all_jobs,
       (SELECT sees_all FROM seen WHERE relname = 'job_run_details') AS sees_all_runs,
       (SELECT about_rows FROM seen WHERE relname = 'job_run_details') AS about_runs,
       (SELECT held FROM may WHERE proname = 'rerun') AS may_rerun,
       (SELECT held FROM may WHERE proname = 'unschedule') AS may_unschedule,
       (SELECT count(*) = 2 AND bool_and(held) FROM may WHERE proname IN ('hold', 'release')) AS may_hold,
       (SELECT held FROM may WHERE proname = 'clear') AS may_clear,
       (SELECT held FROM may WHERE proname = 'cancel') AS may_cancel,
       (SELECT setting FROM pg_settings WHERE name = 'cron.log_run') AS log_run,
       (SELECT setting FROM pg_settings WHERE name = 'cron.timezone') AS timezone,
       (SELECT setting FROM pg_settings WHERE name = 'cron.database_name') AS cron_database
""".replace("/* sees all rows */", SEES_ALL_ROWS)

HOLD_PREFIX = "^/[*] (headway-hold id=headway-[0-9a-z]{10,40} by=[A-Za-z0-9_.@+-]{1,64} until=[0-9TZ:.-]{20,27}) [*]/ "
"""The beginning of a held job's command, as a regular expression; `grants.sql` writes it. Everywhere else the
command is the one behind it, as its owner wrote it: a hold does not change the job."""

JOBS: LiteralString = """
SELECT jobid, jobname, schedule, left(plain, 4000) AS command, encode(sha256(textsend(plain)), 'hex') AS command_hash,
       nodename, nodeport, database, username, active, hold
FROM (SELECT *, regexp_replace(command, %(prefix)s, '') AS plain,
             (regexp_match(command, %(prefix)s))[1] AS hold FROM cron.job) AS job
WHERE %(jobid)s::bigint IS NULL OR jobid = %(jobid)s
ORDER BY jobid LIMIT %(limit)s
"""

_RUN: LiteralString = """
SELECT runid, jobid, database, username, left(command, 2000) AS command, status, left(return_message, 4000) AS message,
       extract(epoch FROM start_time)::text AS started, extract(epoch FROM end_time)::text AS ended
FROM cron.job_run_details """

RUNS_AFTER: LiteralString = _RUN + "WHERE runid > %(after)s ORDER BY runid LIMIT %(limit)s"

RUNS_BY_ID: LiteralString = _RUN + "WHERE runid = ANY(%(ids)s) ORDER BY runid LIMIT %(limit)s"

NEWEST: LiteralString = "SELECT max(runid) AS runid FROM cron.job_run_details"

RUNNING: LiteralString = """
SELECT runid, jobid, extract(epoch FROM start_time)::text AS started FROM cron.job_run_details
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

RUN: LiteralString = """
SELECT runid, jobid, job_pid, database, username, status, left(return_message, 4000) AS message
FROM cron.job_run_details WHERE runid = %(runid)s
"""

STATUS: LiteralString = """
SELECT status FROM cron.job_run_details WHERE runid = %(runid)s
"""

MESSAGE_PIECE: LiteralString = """
SELECT substr(return_message, %(first)s, %(count)s) AS piece FROM cron.job_run_details WHERE runid = %(runid)s
"""

OLDEST_VERSION = (1, 4)


def stopped_by(access: Row) -> SourcePermission | None:
    """Why no job starts on this server; None where its launcher runs. Every role sees the names of its processes."""
    if access["is_standby"]:
        why, fix = "this server is a standby: pg_cron runs on the primary only", "name the primary as its host"
    elif not access["is_launched"]:
        why = "the launcher of pg_cron does not run on this server"
        fix = "shared_preload_libraries = 'pg_cron', then restart PostgreSQL"
    else:
        return None
    return SourcePermission("jobs start here", False, why, fix, is_grantable=False)


def sees_all(access: Row) -> bool:
    """True when row security hides no job and no run from the role."""
    return bool(access["sees_all_jobs"] and access["sees_all_runs"])


def hidden_jobs_text(access: Row) -> str:
    """Why what we see is not all there is; "" where it is."""
    if sees_all(access):
        return ""
    return f"row security shows role {access['role']} only its own jobs and runs: {granted(access)}"


def granted(access: Row) -> str:
    """The one command that grants the role whatever it lacks."""
    login, database = quote(access["role"]), quote(access["database"])
    return f"as a superuser, headway connector grants pg_cron --login {login} | psql {database}"


def permissions(access: Row) -> Iterator[SourcePermission]:
    if access["version"] is None:  # a permission would have nothing to be granted on
        name = access["cron_database"]
        fix = f'dbname = "{name}"' if name else "set dbname to what SHOW cron.database_name returns to a superuser"
        reason = f"it is not in database {access['database']}"
        yield SourcePermission("pg_cron in this database", False, reason, fix, is_grantable=False)
        return
    tables = (("may_read_jobs", "job"), ("may_read_runs", "job_run_details"))
    yield view_permission("usage of schema cron", access["may_enter"], granted(access))
    for column, table in tables:
        yield view_permission(f"read cron.{table}", access[column], granted(access))
    for column, table in (("sees_all_jobs", "job"), ("sees_all_runs", "job_run_details")):
        why = f"row security shows role {access['role']} only its own rows"
        yield SourcePermission.checked(f"see all rows of cron.{table}", access[column], why, granted(access))
    name = "pg_cron records runs (cron.log_run)"
    if access["log_run"] is None:
        fix = f"GRANT pg_read_all_settings TO {quoted(access['role'])};"
        yield SourcePermission(name, None, "the setting is hidden from this role", fix)
    else:
        why, fix = "cron.log_run is off: no run leaves a row", "cron.log_run = on, then restart PostgreSQL"
        yield SourcePermission.checked(name, access["log_run"] == "on", why, fix, is_grantable=False)
    if (stopped := stopped_by(access)) is not None:
        yield stopped
    for name, column, functions in (
        ("rerun or start a job", "may_rerun", "function rerun"),
        ("hold and release a job", "may_hold", "functions hold and release"),
        ("take a mark alone from a job", "may_clear", "function clear"),
        ("cancel a run", "may_cancel", "function cancel"),
    ):
        reason = f"the {functions} of grants.sql: missing, or no EXECUTE for role {access['role']}"
        yield act_permission(name, access[column], reason, granted(access))


RECENT_RUNS = 20_000
"""How far below the newest runid a query without an index reads: job_run_details may never be purged."""


@dataclass(frozen=True, slots=True)
class PgCronPage:
    access: Row
    jobs: Sequence[Row]
    runs: Sequence[Row]
    again: Sequence[Row]
    newest: int | None
    entries: Sequence[Row]
    """Our one-shot entries that have started: jobid, ended."""
    is_full: bool


@dataclass(frozen=True, slots=True)
class PgCronSituation:
    """State before a rerun: the job (None: gone), its other running entries, the newest runid."""

    access: Row
    job: Row | None
    running: Sequence[Row]
    newest: int


@dataclass(frozen=True, slots=True)
class EntryTrace:
    """The rows of an action under its name. `sessions`: our own that may still be sending it."""

    access: Row
    entries: Sequence[Row]
    runs: Sequence[Row]
    sessions: int


@dataclass(frozen=True, slots=True)
class ActionTrace:
    """A job (of cron.job) or a run as it is now, None when it is not there or hidden; `sessions` as in EntryTrace."""

    access: Row
    row: Row | None
    sessions: int


class PgCronClient(PostgresAgentClient):
    access_query, jobs_query, hold_prefix = ACCESS, JOBS, HOLD_PREFIX

    def require_view(self, access: Row) -> None:
        """Raises NotSupported without a pg_cron that we know, PermissionMissing without SELECT on its two tables."""
        if access["version"] is None:
            where = f'connect to database "{access["cron_database"]}"' if access["cron_database"] else "check dbname"
            raise NotSupported(
                f"{self.place}: extension pg_cron is not in this database; {where} (SHOW cron.database_name)"
            )
        if version_of(access) < OLDEST_VERSION:
            raise NotSupported(f"{self.place}: pg_cron {access['version']} is too old; 1.4 or newer is needed")
        if not (access["may_enter"] and access["may_read_jobs"] and access["may_read_runs"]):
            raise PermissionMissing(
                f"{self.place}: role {access['role']} may not read pg_cron's tables: {granted(access)}"
            )

    def access(self) -> Row:
        return self.read(self.read_access)

    def page(self, after: int, again: Sequence[int]) -> PgCronPage:
        """The next page of runs after a runid, and the runs `again` as they are now."""

        def work(reader: PostgresReader) -> PgCronPage:
            access = self.checked(reader)
            jobs = self.read_jobs(reader)
            runs = reader.rows(RUNS_AFTER, {"after": after, "limit": PAGE_ROWS})
            old = reader.rows(RUNS_BY_ID, {"ids": list(again), "limit": PAGE_ROWS}) if again else []
            newest = reader.row(NEWEST)["runid"]
            parameters = {
                "after": (newest or 0) - RECENT_RUNS,
                "jobids": [row["jobid"] for row in jobs if is_entry(row)],
            }
            entries = reader.rows(STARTED_ENTRIES, parameters) if parameters["jobids"] else []
            return PgCronPage(access, jobs, runs, old, newest, entries, is_full=len(runs) >= PAGE_ROWS)

        return self.read(work)

    def situation(self, which: Callable[[Sequence[Row]], Row | None]) -> PgCronSituation:
        """State before a rerun of the job that `which` chooses."""

        def work(reader: PostgresReader) -> PgCronSituation:
            access = self.checked(reader)
            jobs = self.read_jobs(reader)
            newest = reader.row(NEWEST)["runid"] or 0
            job = which(jobs)
            if job is None:
                return PgCronSituation(access, None, (), newest)
            prefix = f"{ENTRY_PREFIX}{job['jobid']}:"
            same = [job["jobid"], *(row["jobid"] for row in jobs if str(row["jobname"] or "").startswith(prefix))]
            running = reader.rows(RUNNING, {"after": newest - RECENT_RUNS, "jobids": same})
            return PgCronSituation(access, job, running, newest)

        return self.read(work)

    def trace(self, entry: str, mark: str, after: int, key: str) -> EntryTrace:
        """Traces of an action: its entry, its run after `after`, and sessions that may still send it."""
        alive = self.senders(key)

        def work(reader: PostgresReader) -> EntryTrace:
            access = self.checked(reader)
            entries = reader.rows(ENTRY, {"entry": entry})
            return EntryTrace(access, entries, reader.rows(MARKED, {"after": after, "mark": mark}), alive)

        return self.read(work)

    def job_left(self, jobid: int, key: str) -> ActionTrace:
        return self._left(lambda reader: self.read_jobs(reader, jobid), key)

    def run_left(self, runid: int, key: str = "") -> ActionTrace:
        return self._left(lambda reader: reader.rows(RUN, {"runid": runid}), key)

    def log(self, runid: int, give: GiveLog) -> LogChunk | None:
        """The log of one run, made by `give`; None when the run is purged or hidden."""

        def work(reader: PostgresReader) -> LogChunk | None:
            rows = reader.rows(STATUS, {"runid": runid})
            message = read_pieces(reader, MESSAGE_PIECE, {"runid": runid})
            return give(run_log(message), is_open(rows[0])) if rows else None

        return self.read(work)

    def rerun(self, jobid: int, key: str) -> int | None:
        """The jobid of the one-shot entry that it adds; None when the job is gone."""
        rows = self.call("rerun", {"job": jobid, "key": key}, key)
        return rows[0]["done"] if rows else None

    def hold(self, plan: Plan, mark: HoldMark) -> None:
        read = {"schedule": str(plan["schedule"]), "hash": str(plan["hash"])}
        self.call("hold", {"job": int(plan["jobid"]), **mark_values(mark), **read}, mark.id)

    def release(self, plan: Plan, hold: str, key: str, enable: bool) -> None:
        self.call("release" if enable else "clear", {"job": int(plan["jobid"]), "hold": hold}, key)

    def cancel(self, runid: int, key: str) -> list[Row]:
        """Cancels what the backend of a run executes, if that backend is still this run's."""
        return self.call("cancel", {"run": runid, "key": key}, key)

    def unschedule(self, key: str) -> None:
        self._session.call_once(self.act_schema, "unschedule", {"key": key}, self.deadline.left, "headway")

    def _left(self, query: Callable[[PostgresReader], list[Row]], key: str) -> ActionTrace:
        alive = self.senders(key)

        def work(reader: PostgresReader) -> ActionTrace:
            access = self.checked(reader)
            rows = query(reader)
            return ActionTrace(access, rows[0] if rows else None, alive)

        return self.read(work)
