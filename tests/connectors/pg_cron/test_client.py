"""What only a server that works on meanwhile can show: one snapshot sees nothing of what is committed after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectors.pg_cron.client import ACCESS, ENTRY, JOBS, PgCronClient
from connectors.sdk.transport.postgres import SESSIONS, PostgresSession
from tests.fakes.pg_cron import FakePgCron

KEY = "headway-0123456789abc"


class Busy(PostgresSession):
    """A server whose sender commits its entry and ends, right before its sessions are counted."""

    def __init__(self) -> None:
        super().__init__(dict, "headway")
        self.committed: list[dict[str, Any]] = []

    def read(self, work: Callable[[Any], Any], timeout_seconds: float) -> Any:
        return work(Snapshot(self))


class Snapshot:
    """One transaction: it sees the tables as they were at its first statement, and the sessions of now."""

    def __init__(self, server: Busy) -> None:
        self._server = server
        self._seen: list[dict[str, Any]] | None = None

    def rows(self, statement: str, values: Any = None) -> list[dict[str, Any]]:
        if statement == SESSIONS:
            self._server.committed = [{"jobid": 7, "schedule": "1 2 3 4 *"}]
        self._seen = list(self._server.committed) if self._seen is None else self._seen
        answers = {SESSIONS: [{"alive": 0}], ACCESS: [FakePgCron().access], ENTRY: self._seen, JOBS: self._seen}
        return answers.get(statement, [])

    def row(self, statement: str, values: Any = None) -> dict[str, Any]:
        return self.rows(statement, values)[0]


def test_an_entry_committed_during_the_lookup_is_found() -> None:
    """Absent would have a person send it again, and it would run twice."""
    trace = PgCronClient(Busy(), "headway").trace("entry", "mark", 0, KEY)
    assert ([7], 0) == ([row["jobid"] for row in trace.entries], trace.sessions)


def test_a_hold_committed_during_the_lookup_is_found() -> None:
    action_trace = PgCronClient(Busy(), "headway").job_left(7, KEY)
    assert action_trace.row is not None
    assert (7, 0) == (action_trace.row["jobid"], action_trace.sessions)
