"""The questions as SQL. Each limits its own reply; text from outside comes in as a value, never as SQL.

Facts: pg_cron 1.4 and its source (github.com/citusdata/pg_cron, src/pg_cron.c); PostgreSQL documentation, "Row
Security Policies" and "System Catalogs".
"""

from __future__ import annotations

from typing import LiteralString

from connectors.transport.postgres import SEES_ALL_ROWS

ACCESS: LiteralString = """
WITH seen AS (
    SELECT c.relname,
           has_table_privilege(c.oid, 'SELECT') AS may_read,
           /* sees all rows */           AS sees_all,
           c.reltuples::bigint AS about_rows
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'cron' AND c.relname IN ('job', 'job_run_details')
), may AS (
    SELECT n.nspname, p.proname,
           has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(n.oid, 'USAGE') AS held
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE (n.nspname = %(act_schema)s AND (p.proname, oidvectortypes(p.proargtypes))
                                          IN (('rerun', 'bigint, text'), ('unschedule', 'text'),
                                              ('hold', 'bigint, text, text, text, text, text'),
                                              ('release', 'bigint, text'), ('clear', 'bigint, text'),
                                              ('cancel', 'bigint, text')))
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
       (SELECT count(*) = 2 AND bool_and(held) FROM may
         WHERE nspname = %(act_schema)s AND proname IN ('hold', 'release')) AS may_hold,
       (SELECT held FROM may WHERE nspname = %(act_schema)s AND proname = 'clear') AS may_clear,
       (SELECT held FROM may WHERE nspname = %(act_schema)s AND proname = 'cancel') AS may_cancel,
       (SELECT bool_or(held) FROM may WHERE nspname = 'cron') AS may_schedule,
       (SELECT setting FROM pg_settings WHERE name = 'cron.log_run') AS log_run,
       (SELECT setting FROM pg_settings WHERE name = 'cron.timezone') AS timezone,
       (SELECT setting FROM pg_settings WHERE name = 'cron.database_name') AS cron_database
""".replace("/* sees all rows */", SEES_ALL_ROWS)

HOLD_PREFIX = "^/[*] (headway-hold id=headway-[0-9a-z]{10,40} by=[A-Za-z0-9_.@+-]{1,64} until=[0-9TZ:.-]{20,27}) [*]/ "
"""What the command of a held job begins with, as a regular expression; `grants.sql` writes it. Everywhere else the
command is the one behind it, as its owner wrote it: a hold of ours is no change of the job."""

JOBS: LiteralString = """
SELECT jobid, jobname, schedule, left(plain, 4000) AS command, encode(sha256(textsend(plain)), 'hex') AS command_hash,
       nodename, nodeport, database, username, active, hold
FROM (SELECT *, regexp_replace(command, %(prefix)s, '') AS plain,
             (regexp_match(command, %(prefix)s))[1] AS hold FROM cron.job) AS job
WHERE %(jobid)s::bigint IS NULL OR jobid = %(jobid)s
ORDER BY jobid LIMIT %(limit)s
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

SESSIONS: LiteralString = """
SELECT count(*) AS alive FROM pg_stat_activity WHERE application_name = %(name)s AND pid <> pg_backend_pid()
"""

RUN: LiteralString = """
SELECT runid, jobid, job_pid, database, username, status, left(return_message, 4000) AS message
FROM cron.job_run_details WHERE runid = %(runid)s
"""

TEXT: LiteralString = """
SELECT left(command, 200000) AS command, status FROM cron.job_run_details WHERE runid = %(runid)s
"""

MESSAGE_PIECE: LiteralString = """
SELECT substr(return_message, %(first)s, %(count)s) AS piece FROM cron.job_run_details WHERE runid = %(runid)s
"""

RERUN_DIRECT: LiteralString = """
SELECT coalesce((SELECT jobid FROM cron.job WHERE jobname = %(entry)s), cron.schedule_in_database(%(entry)s,
           to_char(date_trunc('minute', clock_timestamp() AT TIME ZONE %(zone)s + interval '65 seconds'),
                   'FMMI FMHH24 FMDD FMMM "*"'),
           '/* ' || %(entry)s || ' */ ' || regexp_replace(command, %(prefix)s, ''), database,
           CASE WHEN username = current_user THEN NULL ELSE username END, true)) AS jobid
FROM cron.job WHERE jobid = %(job)s
"""

UNSCHEDULE_DIRECT: LiteralString = "SELECT cron.unschedule(jobid) AS gone FROM cron.job WHERE jobid = %(jobid)s"
