"""Talks to MariaDB or MySQL: one method per question or act, raw rows out. The SQL is in `statements`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from connectors.contract import HoldMark, LogChunk
from connectors.mysql_events import statements
from connectors.mysql_events.rights import holds
from connectors.mysql_events.seen import Row, Seen
from connectors.transport.mysql import MySqlSession, Reader
from connectors.whole_log import read_through

BITE_ROWS = 1000
MOST_EVENTS = 50_000
PIECE_CHARACTERS = 2 * 1024**2
"""Of a message at a time: with four bytes each half of a packet (max_allowed_packet, 16 MiB by default)."""
Give = Callable[[Row, Iterable[str]], LogChunk]


class MySqlEventsClient:
    """The questions that Headway asks of one server. Each is one snapshot."""

    def __init__(self, session: MySqlSession, log_table: str | None, act_schema: str) -> None:
        self._session = session
        self._table = ".".join(f"`{part}`" for part in log_table.split(".")) if log_table else None
        self._act_schema = act_schema

    @property
    def place(self) -> str:
        """host:port as user."""
        return self._session.place

    def look(self, timeout_seconds: float) -> Seen:
        """Who we are, what we may, and all events that we see."""
        seen: Seen = self._session.read(lambda reader: self._seen(reader, 0, (), 0), timeout_seconds)
        return seen

    def page(self, after: int, again: Sequence[int], timeout_seconds: float) -> Seen:
        """As `look`, with the next bite of the log table after a run_id, and the rows `again` as they are now."""
        seen: Seen = self._session.read(lambda reader: self._seen(reader, after, again, BITE_ROWS), timeout_seconds)
        return seen

    def situation(self, schema: str, name: str, key: str, timeout_seconds: float) -> Seen:
        """As `look`, with what the log says runs of one event, and with a key whether we may still be sending it."""

        def work(reader: Reader) -> Seen:
            alive = int(reader.rows(statements.SENDERS, {"key": key})[0]["alive"]) if key else 0
            values: dict[str, object] = {"schema": schema, "name": name}
            running = self._log(reader, statements.LOG_RUNNING, values) or []
            return self._seen(reader, 0, (), 0, running, alive)

        seen: Seen = self._session.read(work, timeout_seconds)
        return seen

    def log(self, run_id: int, give: Give, timeout_seconds: float) -> LogChunk | None:
        """What `give` makes of a row of the log table and its message, which comes in parts; None when it is gone or
        hidden."""

        def work(reader: Reader) -> LogChunk | None:
            rows = self._log(reader, statements.LOG_BY_ID, {"ids": [run_id]})
            if not rows:
                return None

            def read(first: int, count: int) -> str | bytes:
                values: dict[str, object] = {"first": first + 1, "count": count, "run_id": run_id}
                found = self._log(reader, statements.LOG_PIECE, values)
                piece = found[0]["piece"] if found else None
                return piece if isinstance(piece, str | bytes) else ""

            return give(rows[0], read_through(read, PIECE_CHARACTERS))

        found: LogChunk | None = self._session.read(work, timeout_seconds)
        return found

    def start(self, schema: str, name: str, key: str, timeout_seconds: float) -> None:
        """Adds the one-shot event that runs this event's body once; where it is already, nothing changes."""
        statement = f"CALL `{self._act_schema}`.event_start(%s, %s, %s)"
        self._session.write_once(statement, (schema, name, key), timeout_seconds)

    def hold(self, schema: str, name: str, mark: HoldMark, timeout_seconds: float) -> None:
        """Disables an event under our mark, if it is enabled."""
        statement = f"CALL `{self._act_schema}`.event_hold(%s, %s, %s, %s, %s)"
        values = (schema, name, mark.id, mark.by, mark.text.rpartition("until=")[2])
        self._session.write_once(statement, values, timeout_seconds)

    def release(self, schema: str, name: str, hold: str, enable: bool, timeout_seconds: float) -> None:
        """Takes our mark away, if the one with this id is there; `enable`: and enables the event again."""
        statement = f"CALL `{self._act_schema}`.event_release(%s, %s, %s, %s)"
        self._session.write_once(statement, (schema, name, hold, int(enable)), timeout_seconds)

    def tidy(self, schema: str, key: str, timeout_seconds: float) -> None:
        """Takes a one-shot event of ours away that ran a day ago or earlier."""
        statement = f"CALL `{self._act_schema}`.event_tidy(%s, %s)"
        self._session.write_once(statement, (schema, key), timeout_seconds)

    def close(self) -> None:
        """Closes the connection."""
        self._session.close()

    def _seen(
        self,
        reader: Reader,
        after: int,
        again: Sequence[int],
        limit: int,
        running: Sequence[Row] = (),
        senders: int = 0,
    ) -> Seen:
        grants = [
            str(value).partition(" IDENTIFIED ")[0] for row in reader.rows(statements.GRANTS) for value in row.values()
        ]
        # The log before the events: a start that both tell is then never without its row.
        log = self._log(reader, statements.LOG_AFTER, {"after": after, "limit": limit})
        old = self._log(reader, statements.LOG_BY_ID, {"ids": list(again)}) if again and log is not None else None
        newest = self._log(reader, statements.LOG_NEWEST, {}) if log is not None else None
        table = reader.rows_if_readable(statements.EVENTS_OF_TABLE, {"limit": MOST_EVENTS + 1})
        events = table if table is not None else reader.rows(statements.EVENTS_OF_VIEW, {"limit": MOST_EVENTS + 1})
        uptime = reader.rows(statements.UPTIME)
        return Seen(
            about=reader.rows(statements.ABOUT)[0],
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
            held=reader.rows_if_readable(statements.HELD.replace("{table}", f"`{self._act_schema}`.events_held")),
            senders=senders,
        )

    def _log(self, reader: Reader, statement: str, values: dict[str, object]) -> list[Row] | None:
        if self._table is None:
            return None
        return reader.rows_if_readable(statement.replace("{table}", self._table), values)


def _processes(reader: Reader, grants: Sequence[str]) -> frozenset[int] | None:
    """Ids of all connections. None where the right is not there, or is named and shows our own only (a role in a role):
    the scheduler's own is always among all."""
    rows = reader.rows(statements.PROCESSES) if holds(grants, "PROCESS") else []
    return frozenset(int(row["id"]) for row in rows) if len({row["user"] for row in rows}) > 1 else None
