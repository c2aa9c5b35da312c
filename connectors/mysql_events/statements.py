"""The questions as SQL; sessions are in UTC. Each limits its own reply; text from outside comes in as a value.

Facts: MariaDB 10.11 (tests/lab/test_mysql_events_real.py). mysql.event keeps UTC and shows every event to whoever may
SELECT it; information_schema.EVENTS tells times in each event's own zone, only of schemas with the privilege EVENT, and
without it answers an empty list and no error. MySQL 8 has the second alone.
"""

from __future__ import annotations

ABOUT = """
SELECT CURRENT_USER() AS role, VERSION() AS version, @@global.event_scheduler AS scheduler,
       @@global.read_only AS read_only, UNIX_TIMESTAMP(NOW(6)) AS clock, @@system_time_zone AS system_zone,
       TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS offset_seconds
"""

UPTIME = "SHOW GLOBAL STATUS LIKE 'Uptime'"

GRANTS = "SHOW GRANTS"

EVENTS_OF_TABLE = """
SELECT db AS event_schema, name AS event_name, definer, UNIX_TIMESTAMP(execute_at) AS execute_at,
       CAST(interval_value AS CHAR) AS interval_value, CAST(interval_field AS CHAR) AS interval_field,
       UNIX_TIMESTAMP(starts) AS starts, UNIX_TIMESTAMP(ends) AS ends, CAST(status AS CHAR) AS status,
       UNIX_TIMESTAMP(last_executed) AS last_executed, time_zone, CAST(comment AS CHAR) AS comment,
       LEFT(CONVERT(body USING utf8mb4), 20000) AS body, SHA2(body, 256) AS body_hash
FROM mysql.event ORDER BY db, name LIMIT %(limit)s
"""

EVENTS_OF_VIEW = """
SELECT event_schema, event_name, definer, UNIX_TIMESTAMP(CONVERT_TZ(execute_at, time_zone, '+00:00')) AS execute_at,
       interval_value, interval_field, UNIX_TIMESTAMP(CONVERT_TZ(starts, time_zone, '+00:00')) AS starts,
       UNIX_TIMESTAMP(CONVERT_TZ(ends, time_zone, '+00:00')) AS ends, status,
       UNIX_TIMESTAMP(CONVERT_TZ(last_executed, time_zone, '+00:00')) AS last_executed, time_zone,
       event_comment AS comment, LEFT(event_definition, 20000) AS body, SHA2(event_definition, 256) AS body_hash
FROM information_schema.events ORDER BY event_schema, event_name LIMIT %(limit)s
"""

_LOG = """
SELECT run_id, event_schema, event_name, UNIX_TIMESTAMP(started_at) AS started, UNIX_TIMESTAMP(ended_at) AS ended,
       status, LEFT(message, 4000) AS message, row_count, connection_id, action_key FROM {table} """

LOG_AFTER = _LOG + "WHERE run_id > %(after)s ORDER BY run_id LIMIT %(limit)s"

LOG_BY_ID = _LOG + "WHERE run_id IN %(ids)s ORDER BY run_id LIMIT 1000"

LOG_PIECE = "SELECT SUBSTRING(message, %(first)s, %(count)s) AS piece FROM {table} WHERE run_id = %(run_id)s"

LOG_NEWEST = "SELECT MAX(run_id) AS run_id FROM {table}"

LOG_RUNNING = _LOG + (
    "WHERE event_schema = %(schema)s AND event_name = %(name)s AND status = 'running' ORDER BY run_id DESC LIMIT 10"
)

PROCESSES = "SELECT id AS id, user AS user FROM information_schema.processlist"

HELD = "SELECT event_schema, event_name, mark FROM {table} ORDER BY event_schema, event_name LIMIT 50000"

SENDERS = (
    "SELECT COUNT(*) AS alive FROM information_schema.processlist"
    " WHERE info LIKE CONCAT('%%', %(key)s, '%%') AND id <> CONNECTION_ID()"
)
