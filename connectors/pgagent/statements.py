"""The questions as SQL. Each limits its own reply; text from outside comes in as a value, never as SQL.

Facts: pgagent--4.2.sql of pgAgent 4.2.2, and a real one (tests/lab/test_pgagent_real.py).
"""

from __future__ import annotations

from typing import LiteralString

from connectors.transport.postgres import SEES_ALL_ROWS

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
"""What the comment of a held job begins with, as a regular expression; `grants.sql` writes it."""

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

SESSIONS: LiteralString = """
SELECT count(*) AS alive FROM pg_stat_activity WHERE application_name = %(name)s AND pid <> pg_backend_pid()
"""
