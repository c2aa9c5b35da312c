"""MariaDB and MySQL event tables: SQL, one method per query or action, and what the account may see and do.

Sessions are in UTC. Every query limits its own reply; text from outside comes in as a value. Facts: MariaDB 10.11
(tests/lab/test_mysql_events_real.py). mysql.event keeps UTC and shows every event to accounts that may SELECT it;
information_schema.EVENTS gives times in each event's own zone, only of schemas with the privilege EVENT, and without it
answers an empty list and no error: that must never look like "no events". MySQL 8 has the second alone. mysql.event
counts weeks in days, quarters in months, and an interval of two units in the smaller one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from connectors.mysql_events.parse import ServerSnapshot, run_log
from connectors.mysql_events.session import MySqlReader, MySqlSession
from connectors.sdk.contract import HoldMark, SourcePermission
from connectors.sdk.errors import PermissionMissing
from connectors.sdk.job_agent import PAGE_ROWS, GiveLog, JobAgentClient, Plan, Row, act_permission, mark_values
from connectors.sdk.log_chunks import read_through
from connectors.sdk.records import LogChunk

ABOUT = """
SELECT CURRENT_USER() AS role, VERSION() AS version, @@global.event_scheduler AS scheduler,
       @@global.read_only AS read_only, UNIX_TIMESTAMP(NOW(6)) AS clock, @@system_time_zone AS system_zone,
       TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS offset_seconds
"""

UPTIME = "SHOW GLOBAL STATUS LIKE 'Uptime'"

SHOW_GRANTS = "SHOW GRANTS"

EVENTS_OF_TABLE = """
SELECT db AS event_schema, name AS event_name, definer, UNIX_TIMESTAMP(execute_at) AS execute_at,
       CAST(interval_value DIV CASE interval_field WHEN 'WEEK' THEN 7 WHEN 'QUARTER' THEN 3 ELSE 1 END AS CHAR)
       AS interval_value, CAST(interval_field AS CHAR) AS interval_field,
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

GRANTS = "run connectors/mysql_events/grants.sql (headway connector grants mysql_events) as an account that may do all"
GRANT = re.compile(r"GRANT (?P<what>.+?) ON (?:(?P<kind>TABLE|PROCEDURE|FUNCTION) )?(?P<where>\S+) TO ", re.IGNORECASE)


def has_privilege(grants: Sequence[str], privilege: str, schema: str = "", thing: str = "") -> bool:
    """Whether any line of SHOW GRANTS gives a privilege everywhere, on a schema or on one thing in it."""
    requested = {"*.*"} | ({f"{schema}.*"} if schema else set()) | ({f"{schema}.{thing}"} if thing else set())
    for line in grants:
        match = GRANT.match(line)
        if match is None:
            continue
        where = match["where"].replace("`", "").replace('"', "").replace("\\_", "_").replace("%", "*")
        if where in requested and _privileges(match) & {privilege, "ALL PRIVILEGES", "ALL"}:
            return True
    return False


def event_schemas(grants: Sequence[str]) -> set[str]:
    """Schemas on which the account itself has EVENT; "*" for all."""
    events = (
        match for line in grants if (match := GRANT.match(line)) and _privileges(match) & {"EVENT", "ALL PRIVILEGES"}
    )
    places = (match["where"].replace("`", "") for match in events)
    return {place.removesuffix(".*") for place in places if place.endswith(".*")}


def _privileges(grant: re.Match[str]) -> set[str]:
    return {name.strip().upper() for name in grant["what"].split(",")}


def sees_all(snapshot: ServerSnapshot, schemas: Sequence[str]) -> bool:
    """True when no event of the watched schemas is hidden from the account."""
    held = event_schemas(snapshot.grants)
    return snapshot.by_table or "*" in held or (bool(schemas) and set(schemas) <= held)


def require_view(snapshot: ServerSnapshot, schemas: Sequence[str], place: str) -> None:
    """Raises PermissionMissing where the server would answer an empty list for want of a right."""
    if not snapshot.by_table and not event_schemas(snapshot.grants):
        raise PermissionMissing(f"{place}: {hidden_events_text(snapshot, schemas)}")


def hidden_events_text(snapshot: ServerSnapshot, schemas: Sequence[str]) -> str:
    held = event_schemas(snapshot.grants)
    which = ", ".join(sorted(set(schemas) - held)) or "other schemas"
    return f"events of {which} are hidden from {snapshot.about['role']}, without an error: {_view_fix(snapshot)}"


def _view_fix(snapshot: ServerSnapshot) -> str:
    account = quoted(str(snapshot.about["role"]))
    if is_mysql(snapshot.about):
        return f"GRANT EVENT ON *.* TO {account}; (MySQL has no right to see events that does not change them)"
    return f"{GRANTS}, then {_role(snapshot, 'headway_view_role')}"


def _role(snapshot: ServerSnapshot, role: str) -> str:
    account = quoted(str(snapshot.about["role"]))
    return f"GRANT {role} TO {account}; SET DEFAULT ROLE {role} FOR {account};"


def is_mysql(about: Row) -> bool:
    """True for MySQL, which has no mysql.event and prepares no CREATE EVENT."""
    return "mariadb" not in str(about["version"]).lower()


def quoted(account: str) -> str:
    user, _, host = account.rpartition("@")
    name, where = user.replace("'", "''"), host.replace("'", "''")
    return f"'{name}'@'{where}'"


def may_start(snapshot: ServerSnapshot, act_schema: str) -> bool:
    return has_privilege(snapshot.grants, "EXECUTE", act_schema, "event_start")


def may_hold(snapshot: ServerSnapshot, act_schema: str) -> bool:
    return all(has_privilege(snapshot.grants, "EXECUTE", act_schema, name) for name in ("event_hold", "event_release"))


def permissions(
    snapshot: ServerSnapshot, schemas: Sequence[str], log_table: str | None, act_schema: str
) -> Iterator[SourcePermission]:
    sees, account = sees_all(snapshot, schemas), quoted(str(snapshot.about["role"]))
    why = "without it the server answers an empty list, or a part, and no error"
    yield SourcePermission.checked("see all events", sees, why, _view_fix(snapshot))
    process, why = has_privilege(snapshot.grants, "PROCESS"), "whether an event marked as running still runs is unknown"
    yield SourcePermission.checked("see all processes", process, why, f"GRANT PROCESS ON *.* TO {account};")
    if log_table is not None:
        why = "not granted, or no such table with the columns of docs/connectors/mysql_events.md"
        fix = f"GRANT SELECT ON {log_table} TO {account};"
        yield SourcePermission.checked(f"read {log_table}", snapshot.log_is_readable, why, fix)
    stopped = scheduler_permission(snapshot)
    if stopped is not None:
        yield stopped
    for name, held, procedures in (
        ("rerun or start an event", may_start(snapshot, act_schema), f"procedure {act_schema}.event_start"),
        (
            "hold and release an event",
            may_hold(snapshot, act_schema),
            f"procedures {act_schema}.event_hold and event_release",
        ),
    ):
        if is_mysql(snapshot.about):
            why = "MySQL prepares no CREATE EVENT: grants.sql is for MariaDB"
            yield SourcePermission(name, False, why, "none on MySQL", "act")
        else:
            fix = f"{GRANTS}, then {_role(snapshot, 'headway_act_role')}"
            yield act_permission(name, held, f"no EXECUTE on {procedures}", fix)


def unreadable_marks(snapshot: ServerSnapshot) -> str:
    return f"account {snapshot.about['role']} may not read the marks: {GRANTS}"


def scheduler_permission(snapshot: ServerSnapshot) -> SourcePermission | None:
    """Why no event starts although all are ENABLED; None where events start."""
    status = str(snapshot.about["scheduler"])
    if status == "ON":
        return None
    fix = "SET GLOBAL event_scheduler = ON;" if status == "OFF" else "event_scheduler = ON in its settings; restart it"
    return SourcePermission("events start here", False, f"the event scheduler is {status}", fix, is_grantable=False)


MAX_EVENTS = 50_000
PIECE_CHARACTERS = 2 * 1024**2
"""Of a message at a time: with four bytes each half of a packet (max_allowed_packet, 16 MiB by default)."""


class MySqlEventsClient(JobAgentClient):
    _session: MySqlSession

    def __init__(self, session: MySqlSession, log_table: str | None, act_schema: str) -> None:
        super().__init__(session, act_schema)
        self._table = ".".join(f"`{part}`" for part in log_table.split(".")) if log_table else None

    def snapshot(self) -> ServerSnapshot:
        return self._session.read(lambda reader: self._snapshot(reader, 0, (), 0), self.deadline.left)

    def page(self, after: int, again: Sequence[int]) -> ServerSnapshot:
        """As `snapshot`, with the next page of the log table after a run_id, and the rows `again` as they are now."""
        return self._session.read(lambda reader: self._snapshot(reader, after, again, PAGE_ROWS), self.deadline.left)

    def situation(self, schema: str, name: str, key: str) -> ServerSnapshot:
        """As `snapshot`, with the open log rows of one event, and with a key whether it may still arrive."""

        def work(reader: MySqlReader) -> ServerSnapshot:
            alive = int(reader.rows(SENDERS, {"key": key})[0]["alive"]) if key else 0
            values: dict[str, object] = {"schema": schema, "name": name}
            running = self._log(reader, LOG_RUNNING, values) or []
            return self._snapshot(reader, 0, (), 0, running, alive)

        return self._session.read(work, self.deadline.left)

    def log(self, run_id: int, give: GiveLog) -> LogChunk | None:
        """The log of one run, made by `give`; None when its row is gone or hidden."""

        def work(reader: MySqlReader) -> LogChunk | None:
            rows = self._log(reader, LOG_BY_ID, {"ids": [run_id]})
            if not rows:
                return None

            def read(first: int, count: int) -> str | bytes:
                values: dict[str, object] = {"first": first + 1, "count": count, "run_id": run_id}
                result = self._log(reader, LOG_PIECE, values)
                piece = result[0]["piece"] if result else None
                return piece if isinstance(piece, str | bytes) else ""

            return give(run_log(rows[0], read_through(read, PIECE_CHARACTERS)), False)

        return self._session.read(work, self.deadline.left)

    def start(self, schema: str, name: str, key: str) -> None:
        """Adds the one-shot event that runs this event's body once; where it is already, nothing changes."""
        self._call("event_start", (schema, name, key))

    def hold(self, plan: Plan, mark: HoldMark) -> None:
        self._call("event_hold", (str(plan["schema"]), str(plan["event"]), *mark_values(mark).values()))

    def release(self, plan: Plan, hold: str, key: str, enable: bool) -> None:
        self._call("event_release", (str(plan["schema"]), str(plan["event"]), hold, int(enable)))

    def tidy(self, schema: str, key: str) -> None:
        """Removes a one-shot event of ours that ran a day ago or earlier."""
        self._call("event_tidy", (schema, key))

    def _call(self, procedure: str, values: tuple[str | int, ...]) -> None:
        places = ", ".join(["%s"] * len(values))
        self._session.write_once(f"CALL `{self.act_schema}`.{procedure}({places})", values, self.deadline.left)

    def _snapshot(
        self, reader: MySqlReader, after: int, again: Sequence[int], limit: int, running: Sequence[Row] = (),
        senders: int = 0,
    ) -> ServerSnapshot:  # fmt: skip
        grants = [str(value).partition(" IDENTIFIED ")[0] for row in reader.rows(SHOW_GRANTS) for value in row.values()]
        # The log before the events: so a start that both report never lacks its row.
        log = self._log(reader, LOG_AFTER, {"after": after, "limit": limit})
        old = self._log(reader, LOG_BY_ID, {"ids": list(again)}) if again and log is not None else None
        newest = self._log(reader, LOG_NEWEST, {}) if log is not None else None
        table = reader.rows_if_readable(EVENTS_OF_TABLE, {"limit": MAX_EVENTS + 1})
        events = table if table is not None else reader.rows(EVENTS_OF_VIEW, {"limit": MAX_EVENTS + 1})
        uptime = reader.rows(UPTIME)
        return ServerSnapshot(
            about=reader.rows(ABOUT)[0],
            grants=grants,
            events=events,
            by_table=table is not None,
            log_is_readable=log is not None,
            log=log or (),
            again=old or (),
            newest=newest[0]["run_id"] if newest else None,
            is_full=bool(limit) and len(log or ()) >= limit,
            processes=_processes(reader, grants),
            uptime_seconds=float(next(iter([*uptime[0].values()][1:]), 0)) if uptime else 0.0,
            running=running,
            held=reader.rows_if_readable(HELD.replace("{table}", f"`{self.act_schema}`.events_held")),
            senders=senders,
        )

    def _log(self, reader: MySqlReader, statement: str, values: dict[str, object]) -> list[Row] | None:
        if self._table is None:
            return None
        return reader.rows_if_readable(statement.replace("{table}", self._table), values)


def _processes(reader: MySqlReader, grants: Sequence[str]) -> frozenset[int] | None:
    """Ids of all connections. None where the right is not there, or is named and shows our own only (a role in a role):
    the scheduler's own is always among all."""
    rows = reader.rows(PROCESSES) if has_privilege(grants, "PROCESS") else []
    return frozenset(int(row["id"]) for row in rows) if len({row["user"] for row in rows}) > 1 else None
