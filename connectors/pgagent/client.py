"""Talks to PostgreSQL: one method per question or act, raw rows out. The SQL is in `statements`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import LiteralString

from psycopg import sql

from connectors.contract import HoldMark, LogChunk
from connectors.pgagent import statements
from connectors.pgagent.parse import Row
from connectors.pgagent.rights import require_view
from connectors.transport.sql import Deadline, PostgresSession, Reader
from connectors.whole_log import read_through

BITE_ROWS = 1000
MOST_JOBS = 50_000
MOST_STEPS = 20_000
OUTPUT_CHARACTERS = 2_000
PIECE_CHARACTERS = 4 * 1024**2
"""Of one step's output at a time."""
Output = Callable[[Row], Iterable[str]]
Give = Callable[[Row, list[Row], Output], LogChunk]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is defined, in one snapshot."""

    access: Row
    jobs: Sequence[Row]
    steps: Sequence[Row]
    schedules: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Page:
    """What one poll read, in one snapshot."""

    access: Row
    agents: Sequence[Row]
    jobs: Sequence[Row]
    runs: Sequence[Row]
    again: Sequence[Row]
    steps: Sequence[Row]
    """Of both, whole for each run but those `unread`."""
    started: Sequence[Row]
    """Our own starts of their jobs, each with the jlgid of its run."""
    newest: int | None
    is_full: bool
    """There may be more runs after these."""
    unread: frozenset[int] = frozenset()
    """Runs with more steps than are read at once: how they ended cannot be told."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What an act on a job would meet, or left there."""

    access: Row
    job: Row | None
    """None where it is not there, or hidden."""
    running: Sequence[Row]
    agents: Sequence[Row]
    started: Row | None = None
    """The row that a start under the asked key left."""
    sessions: int = 0
    """Our own sessions that may still be sending it."""


class PgAgentClient:
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

    def access(self, timeout_seconds: float) -> tuple[Row, list[Row]]:
        """Who we are, what we may, which version, whatever rights we have; and the agents, where we may see them."""

        def work(reader: Reader) -> tuple[Row, list[Row]]:
            access = self._access(reader)
            may_look = access["may_enter"] and "pga_jobagent" in access["readable"]
            return access, reader.rows(statements.AGENTS) if may_look else []

        answer: tuple[Row, list[Row]] = self._session.read(work, timeout_seconds)
        return answer

    def plan(self, timeout_seconds: float) -> Plan:
        """All jobs with their steps and schedules."""

        def work(reader: Reader) -> Plan:
            access, most = self._checked(reader), {"limit": MOST_JOBS + 1}
            schedules = reader.rows(statements.SCHEDULES, most)
            return Plan(access, _jobs(reader), reader.rows(statements.STEPS, most), schedules)

        plan: Plan = self._session.read(work, timeout_seconds)
        return plan

    def page(self, after: int, again: Sequence[int], timeout_seconds: float) -> Page:
        """The next bite of log rows after a jlgid, and the rows `again` as they are now."""

        def work(reader: Reader) -> Page:
            access = self._checked(reader)
            found = reader.rows(statements.RUNS_AFTER, {"after": after, "limit": BITE_ROWS})
            old = reader.rows(statements.RUNS_BY_ID, {"ids": list(again), "limit": BITE_ROWS}) if again else []
            runs, steps, unread = _bite(reader, found)
            old_steps, old_unread = _all_steps(reader, [row["jlgid"] for row in old])
            started = self._started(reader, access, sorted({row["jobid"] for row in (*runs, *old)}))
            newest = reader.row(statements.NEWEST)["jlgid"]
            agents = reader.rows(statements.AGENTS)
            is_full = len(found) >= BITE_ROWS or len(runs) < len(found)
            steps = [*old_steps, *steps]
            return Page(access, agents, _jobs(reader), runs, old, steps, started, newest, is_full, unread | old_unread)

        page: Page = self._session.read(work, timeout_seconds)
        return page

    def jobs(self, timeout_seconds: float) -> tuple[Row, list[Row]]:
        """Access, and all jobs without their steps."""

        def work(reader: Reader) -> tuple[Row, list[Row]]:
            return self._checked(reader), _jobs(reader)

        answer: tuple[Row, list[Row]] = self._session.read(work, timeout_seconds)
        return answer

    def situation(self, jobid: int, key: str, timeout_seconds: float) -> Situation:
        """One job as it is now; with a key, what a start under it left, and whether somebody may still be sending."""
        deadline = Deadline(timeout_seconds)
        alive = self._alive(session_name(key), deadline) if key else 0

        def work(reader: Reader) -> Situation:
            access = self._checked(reader)
            rows = _jobs(reader, jobid)
            running = reader.rows(statements.OPEN_RUNS, {"jobid": jobid})
            started = None
            if key and access["may_read_started"]:
                found = reader.rows(self._in_schema(statements.STARTED_UNDER), {"key": key})
                started = found[0] if found else None
            agents = reader.rows(statements.AGENTS)
            return Situation(access, rows[0] if rows else None, running, agents, started, alive)

        situation: Situation = self._session.read(work, deadline.left)
        return situation

    def log(self, jlgid: int, give: Give, timeout_seconds: float) -> LogChunk | None:
        """What `give` makes of one run, its steps and the output of each, which comes in parts; None when the run is
        gone or hidden."""

        def work(reader: Reader) -> LogChunk | None:
            rows = reader.rows(statements.RUNS_BY_ID, {"ids": [jlgid], "limit": 1})
            return give(rows[0], _steps(reader, [jlgid], 0), partial(_output, reader)) if rows else None

        found: LogChunk | None = self._session.read(work, timeout_seconds)
        return found

    def start(self, jobid: int, key: str, timeout_seconds: float) -> list[Row]:
        """Makes a job due now, if it is enabled, idle and not due, and an agent is there."""
        return self._act("pgagent_start", {"job": jobid, "key": key}, key, timeout_seconds)

    def hold(self, jobid: int, mark: HoldMark, timeout_seconds: float) -> list[Row]:
        """Disables a job under our mark, if it is enabled and not about to start."""
        until = mark.text.rpartition("until=")[2]
        values: dict[str, object] = {"job": jobid, "key": mark.id, "by": mark.by, "until": until}
        return self._act("pgagent_hold", values, mark.id, timeout_seconds)

    def release(self, jobid: int, hold: str, key: str, enable: bool, timeout_seconds: float) -> list[Row]:
        """Takes our mark away, if the one with this id is there; `enable`: and enables the job again."""
        values: dict[str, object] = {"job": jobid, "hold": hold, "enable": enable}
        return self._act("pgagent_release", values, key, timeout_seconds)

    def close(self) -> None:
        """Closes the connection."""
        self._session.close()

    def _act(self, function: str, values: dict[str, object], key: str, timeout_seconds: float) -> list[Row]:
        given = sql.SQL(", ").join(sql.Placeholder(name) for name in values)
        statement = sql.SQL("SELECT {}.{}({}) AS done").format(
            sql.Identifier(self._schema), sql.Identifier(function), given
        )
        return self._session.write_once(statement, values, timeout_seconds, session_name(key))

    def _started(self, reader: Reader, access: Row, jobids: Sequence[int]) -> list[Row]:
        if not jobids or not access["may_read_started"]:
            return []
        return reader.rows(self._in_schema(statements.STARTED_OF_JOBS), {"jobids": list(jobids)})

    def _in_schema(self, statement: LiteralString) -> sql.Composed:
        return sql.SQL(statement).format(sql.Identifier(self._schema))

    def _alive(self, name: str, deadline: Deadline) -> int:
        """Sessions of that name, in a transaction before the look at what they leave: what one of them commits before
        it goes is then in the snapshot of that look."""
        row: Row = self._session.read(lambda reader: reader.row(statements.SESSIONS, {"name": name}), deadline.left)
        return int(row["alive"])

    def _access(self, reader: Reader) -> Row:
        return reader.row(statements.ACCESS, {"act_schema": self._schema, "tables": list(statements.TABLES)})

    def _checked(self, reader: Reader) -> Row:
        access = self._access(reader)
        require_view(access, self.place)
        return access


def session_name(key: str) -> str:
    """application_name of the session that sends an action: while it lives, the action may still arrive."""
    return f"headway act {key}"[:63]


def _jobs(reader: Reader, jobid: int | None = None) -> list[Row]:
    values = {"limit": MOST_JOBS + 1, "prefix": statements.HOLD_PREFIX, "jobid": jobid}
    return reader.rows(statements.JOBS, values)


def _bite(reader: Reader, runs: Sequence[Row]) -> tuple[Sequence[Row], list[Row], frozenset[int]]:
    """As many of the runs, oldest first, as have their steps in one reply; of one that no reply holds, the run alone,
    unread."""
    steps = _steps(reader, [row["jlgid"] for row in runs], OUTPUT_CHARACTERS, MOST_STEPS + 1)
    if len(steps) <= MOST_STEPS:
        return runs, steps, frozenset()
    cut = steps[-1]["jlgid"]
    whole = [row for row in runs if row["jlgid"] < cut]
    if whole:
        return whole, [step for step in steps if step["jlgid"] < cut], frozenset()
    return [row for row in runs if row["jlgid"] == cut], steps[:MOST_STEPS], frozenset({cut})


def _all_steps(reader: Reader, ids: Sequence[int]) -> tuple[list[Row], frozenset[int]]:
    """The steps of all these runs, in as many replies as they need; and the runs that no reply holds."""
    found: list[Row] = []
    unread: set[int] = set()
    rest = [{"jlgid": jlgid} for jlgid in sorted(ids)]
    while rest:
        runs, steps, cut = _bite(reader, rest)
        found += steps
        unread |= cut
        rest = [row for row in rest if row["jlgid"] > runs[-1]["jlgid"]]
    return found, frozenset(unread)


def _steps(reader: Reader, ids: Sequence[int], characters: int, limit: int = MOST_STEPS) -> list[Row]:
    values = {"ids": list(ids), "characters": characters, "limit": limit}
    return reader.rows(statements.STEPS_OF_RUNS, values) if ids else []


def _output(reader: Reader, step: Row) -> Iterator[str]:
    def read(first: int, count: int) -> str:
        values = {"first": first + 1, "count": count, "jslid": step["jslid"]}
        found = reader.rows(statements.OUTPUT_PIECE, values)
        return str(found[0]["piece"] or "") if found else ""

    return read_through(read, PIECE_CHARACTERS)
