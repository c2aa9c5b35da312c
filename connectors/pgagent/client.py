"""pgAgent's tables: SQL, one method per query or action, and what the role may see and do.

Every query limits its own reply; text from outside comes in as a value, never as SQL. An empty list never looks like
"no jobs": permissions come from one row about the role. Facts: pgagent--4.2.sql of pgAgent 4.2.2, and a real one
(tests/lab/test_pgagent_real.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from connectors.pgagent.parse import run_log
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
    view_fixes,
    view_permission,
)
from connectors.sdk.postgres_agent import MAX_JOBS, PostgresAgentClient, policy_fix, read_pieces
from connectors.sdk.records import LogChunk
from connectors.sdk.transport.postgres import SEES_ALL_ROWS, PostgresReader, quoted

TABLES = ("pga_job", "pga_jobstep", "pga_schedule", "pga_exception", "pga_joblog", "pga_jobsteplog", "pga_jobagent")

ACCESS: LiteralString = """
WITH seen AS (
    SELECT c.relname, has_any_column_privilege(c.oid, 'SELECT')
                      AND (c.relname <> 'pga_jobstep' OR has_column_privilege(c.oid, 'jstcode', 'SELECT')) AS may_read,
           /* sees all rows */ AS sees_all, c.reltuples::bigint AS about_rows
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pgagent' AND c.relname = ANY(%(tables)s)
), may AS (
    SELECT p.proname, has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(n.oid, 'USAGE') AS held
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = %(act_schema)s AND (p.proname, oidvectortypes(p.proargtypes))
                                      IN (('pgagent_start', 'integer, text'),
                                          ('pgagent_hold', 'integer, text, text, text'),
                                          ('pgagent_release', 'integer, text, boolean'))
)
SELECT current_user::text AS role, current_database()::text AS database,
       (SELECT extversion FROM pg_extension WHERE extname = 'pgagent') AS version,
       current_setting('server_version') AS server_version, current_setting('TimeZone') AS timezone,
       pg_is_in_recovery() AS is_standby,
       extract(epoch FROM clock_timestamp())::text AS clock,
       (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = 'pgagent') AS may_enter,
       (SELECT coalesce(array_agg(relname::text ORDER BY relname), '{}') FROM seen WHERE may_read) AS readable,
       (SELECT coalesce(array_agg(relname::text ORDER BY relname), '{}') FROM seen WHERE NOT sees_all) AS hidden,
       (SELECT about_rows FROM seen WHERE relname = 'pga_joblog') AS about_runs,
       (SELECT has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(act_schema)s AND c.relname = 'pgagent_started') AS may_read_started,
       (SELECT held FROM may WHERE proname = 'pgagent_start') AS may_start,
       (SELECT count(*) = 2 AND bool_and(held) FROM may
         WHERE proname IN ('pgagent_hold', 'pgagent_release')) AS may_hold
""".replace("/* sees all rows */", SEES_ALL_ROWS)

AGENTS: LiteralString = """
SELECT a.jagpid, a.jagstation, EXISTS (
           SELECT FROM pg_stat_activity s WHERE s.pid = a.jagpid AND s.datname = current_database()) AS alive
FROM pgagent.pga_jobagent a ORDER BY a.jagpid LIMIT 1000
"""
"""`alive`: the agent's own session. Its number may be another's after a while: that one is not in this database."""

HOLD_PREFIX = "^(headway-hold id=headway-[0-9a-z]{10,40} by=[A-Za-z0-9_.@+-]{1,64} until=[0-9TZ:.-]{20,27})\n"
"""The beginning of a held job's comment, as a regular expression; `grants.sql` writes it."""

JOBS: LiteralString = """
SELECT jobid, jobname, left(regexp_replace(jobdesc, %(prefix)s, ''), 1000) AS comment,
       (regexp_match(jobdesc, %(prefix)s))[1] AS hold, jobhostagent AS host, jobenabled AS enabled,
       jobagentid AS agent, extract(epoch FROM jobnextrun)::text AS next_run,
       jobnextrun <= clock_timestamp() AS is_due
FROM pgagent.pga_job WHERE %(jobid)s::integer IS NULL OR jobid = %(jobid)s ORDER BY jobid LIMIT %(limit)s
"""

STEPS: LiteralString = """
SELECT jstid, jstjobid AS jobid, jstname AS name, jstenabled AS enabled, jstkind::text AS kind, jstdbname AS database,
       jstonerror::text AS on_error, left(jstcode, 4000) AS code,
       encode(sha256(textsend(jstcode)), 'hex') AS code_hash
FROM pgagent.pga_jobstep ORDER BY jstjobid, jstname, jstid LIMIT %(limit)s
"""

SCHEDULES: LiteralString = """
SELECT jscid, jscjobid AS jobid, jscname AS name, extract(epoch FROM jscstart)::text AS since,
       extract(epoch FROM jscend)::text AS until, jscstart > clock_timestamp() AS is_to_come,
       jscminutes AS minutes, jschours AS hours, jscweekdays AS weekdays,
       jscmonthdays AS monthdays, jscmonths AS months,
       (SELECT count(*) FROM pgagent.pga_exception e WHERE e.jexscid = jscid) AS exceptions
FROM pgagent.pga_schedule WHERE jscenabled ORDER BY jscjobid, jscid LIMIT %(limit)s
"""

_RUN: LiteralString = """
SELECT jlgid, jlgjobid AS jobid, jlgstatus::text AS status, extract(epoch FROM jlgstart)::text AS started,
       extract(epoch FROM jlgstart + jlgduration)::text AS ended
FROM pgagent.pga_joblog """

RUNS_AFTER: LiteralString = _RUN + "WHERE jlgid > %(after)s ORDER BY jlgid LIMIT %(limit)s"

RUNS_BY_ID: LiteralString = _RUN + "WHERE jlgid = ANY(%(ids)s) ORDER BY jlgid LIMIT %(limit)s"

STEPS_OF_RUNS: LiteralString = """
SELECT l.jslid, l.jsljlgid AS jlgid, s.jstname AS name, s.jstkind::text AS kind, l.jslstatus::text AS status,
       l.jslresult AS result, left(l.jsloutput, %(characters)s) AS output,
       extract(epoch FROM l.jslstart)::text AS started, extract(epoch FROM l.jslstart + l.jslduration)::text AS ended
FROM pgagent.pga_jobsteplog l JOIN pgagent.pga_jobstep s ON s.jstid = l.jsljstid
WHERE l.jsljlgid = ANY(%(ids)s) ORDER BY l.jsljlgid, l.jslid LIMIT %(limit)s
"""
"""Run by run: where the limit cuts, all runs before the last one are whole."""

OUTPUT_PIECE: LiteralString = """
SELECT substr(jsloutput, %(first)s, %(count)s) AS piece FROM pgagent.pga_jobsteplog WHERE jslid = %(jslid)s
"""

NEWEST: LiteralString = "SELECT max(jlgid) AS jlgid FROM pgagent.pga_joblog"

OPEN_RUNS: LiteralString = """
SELECT jlgid, extract(epoch FROM jlgstart)::text AS started FROM pgagent.pga_joblog
WHERE jlgjobid = %(jobid)s AND jlgstatus = 'r' ORDER BY jlgid DESC LIMIT 10
"""

STARTED: LiteralString = """
SELECT s.action_key, s.jobid, s.after_jlgid,
       (SELECT min(l.jlgid) FROM pgagent.pga_joblog l WHERE l.jlgjobid = s.jobid AND l.jlgid > s.after_jlgid
           AND (l.jlgstatus <> 'i' OR EXISTS (
                   SELECT FROM pgagent.pga_jobsteplog t WHERE t.jsljlgid = l.jlgid))) AS jlgid
FROM {}.pgagent_started s WHERE """
"""Each start of ours and its run: the first row of its job's log after it that is one."""

STARTED_OF_JOBS: LiteralString = STARTED + "s.jobid = ANY(%(jobids)s) ORDER BY s.asked_at DESC LIMIT 5000"

STARTED_UNDER: LiteralString = STARTED + "s.action_key = %(key)s"

GRANTS = "run connectors/pgagent/grants.sql (headway connector grants pgagent) as a superuser"
STANDBY = "this server is a standby: pgAgent works on the primary only"
OLDEST_VERSION = (4, 0)
STEP_COLUMNS = "jstid, jstjobid, jstname, jstdesc, jstenabled, jstkind, jstcode, jstdbname, jstonerror"
"""All but jstconnstr, which may hold a password."""


def sees_all(access: Row) -> bool:
    """True when row security hides no row of any table from the role."""
    return not access["hidden"]


def hidden_jobs_text(access: Row) -> str:
    """Why what we see is not all there is; "" where it is."""
    if sees_all(access):
        return ""
    tables = ", ".join(access["hidden"])
    return f"row security may hide rows of {tables} from role {access['role']}: {GRANTS}, then {_member(access)}"


def _member(access: Row, of: str = "headway_view") -> str:
    return f"GRANT {of} TO {quoted(access['role'])};"


def permissions(access: Row) -> Iterator[SourcePermission]:
    role = quoted(access["role"])
    yield view_permission("usage of schema pgagent", access["may_enter"], f"GRANT USAGE ON SCHEMA pgagent TO {role};")
    for table in TABLES:
        columns = f" ({STEP_COLUMNS})" if table == "pga_jobstep" else ""
        fix = f"GRANT SELECT{columns} ON pgagent.{table} TO {role};"
        yield view_permission(f"read pgagent.{table}", table in access["readable"], fix)
    for table in access["hidden"]:
        name, fix = f"see all rows of pgagent.{table}", policy_fix(access, f"pgagent.{table}")
        yield SourcePermission(name, False, f"row security may hide rows from {role}", fix)
    fix = f"{GRANTS}, then {_member(access, 'headway_act')}"
    for name, column, functions in (
        ("rerun or start a job", "may_start", "function pgagent_start"),
        ("hold and release a job", "may_hold", "functions pgagent_hold and pgagent_release"),
    ):
        yield act_permission(name, access[column], f"no EXECUTE on the {functions} for role {access['role']}", fix)


MAX_STEPS = 20_000
OUTPUT_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class JobPlan:
    access: Row
    jobs: Sequence[Row]
    steps: Sequence[Row]
    schedules: Sequence[Row]


@dataclass(frozen=True, slots=True)
class PgAgentPage:
    access: Row
    agents: Sequence[Row]
    jobs: Sequence[Row]
    runs: Sequence[Row]
    again: Sequence[Row]
    steps: Sequence[Row]
    """Of both, whole for each run but those `unread`."""
    started: Sequence[Row]
    newest: int | None
    is_full: bool
    unread: frozenset[int] = frozenset()
    """Runs with more steps than are read at once: how they ended is unknown."""


@dataclass(frozen=True, slots=True)
class PgAgentSituation:
    access: Row
    job: Row | None
    running: Sequence[Row]
    agents: Sequence[Row]
    started: Row | None = None
    sessions: int = 0


class PgAgentClient(PostgresAgentClient):
    access_query, jobs_query, hold_prefix, tables = ACCESS, JOBS, HOLD_PREFIX, TABLES

    def require_view(self, access: Row) -> None:
        """Raises NotSupported without a pgAgent that we know, PermissionMissing where a table of it cannot be read."""
        if access["version"] is None:
            raise NotSupported(
                f"{self.place}: extension pgagent is not in this database; dbname names the one that pgAgent"
                " connects to"
            )
        if version_of(access) < OLDEST_VERSION:
            raise NotSupported(f"{self.place}: pgAgent's schema {access['version']} is too old; 4.0 or newer is needed")
        if not access["may_enter"] or set(TABLES) - {*access["readable"]}:
            raise PermissionMissing(
                f"{self.place}: role {access['role']} may not read pgAgent's tables: {view_fixes(permissions(access))}"
            )

    def access(self) -> tuple[Row, list[Row]]:
        """Role, permissions and version, even without any permission; and the agents, where they may be read."""

        def work(reader: PostgresReader) -> tuple[Row, list[Row]]:
            access = self.read_access(reader)
            may_read = access["may_enter"] and "pga_jobagent" in access["readable"]
            return access, reader.rows(AGENTS) if may_read else []

        return self.read(work)

    def plan(self) -> JobPlan:
        def work(reader: PostgresReader) -> JobPlan:
            access, most = self.checked(reader), {"limit": MAX_JOBS + 1}
            schedules = reader.rows(SCHEDULES, most)
            return JobPlan(access, self.read_jobs(reader), reader.rows(STEPS, most), schedules)

        return self.read(work)

    def page(self, after: int, again: Sequence[int]) -> PgAgentPage:
        """The next page of log rows after a jlgid, and the rows `again` as they are now."""

        def work(reader: PostgresReader) -> PgAgentPage:
            access = self.checked(reader)
            rows = reader.rows(RUNS_AFTER, {"after": after, "limit": PAGE_ROWS})
            old = reader.rows(RUNS_BY_ID, {"ids": list(again), "limit": PAGE_ROWS}) if again else []
            runs, steps, unread = _with_steps(reader, rows)
            old_steps, old_unread = _all_steps(reader, [row["jlgid"] for row in old])
            jobids = sorted({row["jobid"] for row in (*runs, *old)})
            may_read = jobids and access["may_read_started"]
            started = reader.rows(self._in_schema(STARTED_OF_JOBS), {"jobids": jobids}) if may_read else []
            newest = reader.row(NEWEST)["jlgid"]
            agents = reader.rows(AGENTS)
            is_full = len(rows) >= PAGE_ROWS or len(runs) < len(rows)
            steps = [*old_steps, *steps]
            return PgAgentPage(
                access, agents, self.read_jobs(reader), runs, old, steps, started, newest, is_full, unread | old_unread
            )

        return self.read(work)

    def situation(self, jobid: int, key: str = "") -> PgAgentSituation:
        """One job as it is now; with a key, the row of its start, and whether it may still arrive."""
        alive = self.senders(key) if key else 0

        def work(reader: PostgresReader) -> PgAgentSituation:
            access = self.checked(reader)
            rows = self.read_jobs(reader, jobid)
            running = reader.rows(OPEN_RUNS, {"jobid": jobid})
            started = None
            if key and access["may_read_started"]:
                result = reader.rows(self._in_schema(STARTED_UNDER), {"key": key})
                started = result[0] if result else None
            agents = reader.rows(AGENTS)
            return PgAgentSituation(access, rows[0] if rows else None, running, agents, started, alive)

        return self.read(work)

    def log(self, jlgid: int, give: GiveLog) -> LogChunk | None:
        """The log of one run, made by `give`; None when the run is gone or hidden."""

        def work(reader: PostgresReader) -> LogChunk | None:
            rows = reader.rows(RUNS_BY_ID, {"ids": [jlgid], "limit": 1})
            if not rows:
                return None
            steps = _steps(reader, [jlgid], 0)
            parts = run_log(rows[0], steps, lambda step: read_pieces(reader, OUTPUT_PIECE, {"jslid": step["jslid"]}))
            return give(parts, rows[0]["status"] == "r")

        return self.read(work)

    def start(self, jobid: int, key: str) -> None:
        """Makes a job due now, if it is enabled, idle and not due, and an agent is there."""
        self.call("pgagent_start", {"job": jobid, "key": key}, key)

    def hold(self, plan: Plan, mark: HoldMark) -> None:
        self.call("pgagent_hold", {"job": int(plan["jobid"]), **mark_values(mark)}, mark.id)

    def release(self, plan: Plan, hold: str, key: str, enable: bool) -> None:
        self.call("pgagent_release", {"job": int(plan["jobid"]), "hold": hold, "enable": enable}, key)

    def _in_schema(self, statement: LiteralString) -> sql.Composed:
        return sql.SQL(statement).format(sql.Identifier(self.act_schema))


def _with_steps(reader: PostgresReader, runs: Sequence[Row]) -> tuple[Sequence[Row], list[Row], frozenset[int]]:
    """As many of the runs, oldest first, as have their steps in one reply; of one that no reply holds, the run alone,
    unread."""
    steps = _steps(reader, [row["jlgid"] for row in runs], OUTPUT_CHARACTERS, MAX_STEPS + 1)
    if len(steps) <= MAX_STEPS:
        return runs, steps, frozenset()
    cut = steps[-1]["jlgid"]
    whole = [row for row in runs if row["jlgid"] < cut]
    if whole:
        return whole, [step for step in steps if step["jlgid"] < cut], frozenset()
    return [row for row in runs if row["jlgid"] == cut], steps[:MAX_STEPS], frozenset({cut})


def _all_steps(reader: PostgresReader, ids: Sequence[int]) -> tuple[list[Row], frozenset[int]]:
    rows: list[Row] = []
    unread: set[int] = set()
    rest = [{"jlgid": jlgid} for jlgid in sorted(ids)]
    while rest:
        runs, steps, cut = _with_steps(reader, rest)
        rows += steps
        unread |= cut
        rest = [row for row in rest if row["jlgid"] > runs[-1]["jlgid"]]
    return rows, frozenset(unread)


def _steps(reader: PostgresReader, ids: Sequence[int], characters: int, limit: int = MAX_STEPS) -> list[Row]:
    values = {"ids": list(ids), "characters": characters, "limit": limit}
    return reader.rows(STEPS_OF_RUNS, values) if ids else []
