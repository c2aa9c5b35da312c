"""The steps of runs come in limited replies: a run is judged only by all of its steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from connectors.pgagent import client
from connectors.pgagent.client import PgAgentClient
from connectors.pgagent.connector import PgAgentConnector
from connectors.sdk.records import RunRecord, SkippedRecord
from connectors.sdk.states import RunState
from connectors.sdk.transport.postgres import PostgresSession
from tests.fakes.pgagent import FakePgAgent

MOST = 6


class Tables:
    """Answers the client's statements from the fake's tables, each with its limit."""

    def __init__(self, fake: FakePgAgent) -> None:
        self.fake = fake

    def rows(self, statement: object, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        given = values or {}
        if statement == client.STEPS_OF_RUNS:
            result = [step for step in self.fake.step_log if step["jlgid"] in given["ids"]]
            return sorted(result, key=lambda step: (step["jlgid"], step["jslid"]))[: given["limit"]]
        if statement == client.RUNS_AFTER:
            return [row for row in self.fake.runs if row["jlgid"] > given["after"]][: given["limit"]]
        if statement == client.RUNS_BY_ID:
            return [row for row in self.fake.runs if row["jlgid"] in given["ids"]][: given["limit"]]
        tables = {client.AGENTS: self.fake.agents, client.ACCESS: [self.fake.access]}
        newest = [{"jlgid": self.fake.newest}]
        return {**tables, client.NEWEST: newest, client.JOBS: []}.get(str(statement), [])

    def row(self, statement: object, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self.rows(statement, values)[0]


class Session(PostgresSession):
    """One snapshot of the tables a question."""

    def __init__(self, fake: FakePgAgent) -> None:
        super().__init__(dict, "headway")
        self._tables = Tables(fake)

    def read(self, work: Callable[[Any], Any], timeout_seconds: float) -> Any:
        return work(self._tables)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePgAgent:
    monkeypatch.setattr(client, "MAX_STEPS", MOST)
    agent = FakePgAgent()
    agent.runs, agent.step_log = [], []
    return agent


def add(fake: FakePgAgent, steps: int, status: str = "s") -> None:
    """A run of so many steps, the last of which failed."""
    number = fake.run(1, status)["jlgid"]
    (made,) = (step for step in fake.step_log if step["jlgid"] == number)
    fake.step_log.remove(made)
    fake.step_log += [made | {"jslid": number * 100 + at, "result": 1} for at in range(steps)]
    fake.step_log[-1]["result"] = -1


def read_all(fake: FakePgAgent) -> tuple[dict[str, RunRecord], list[SkippedRecord], int]:
    """All runs, what was skipped, and in how many polls."""
    connector = PgAgentConnector(PgAgentClient(Session(fake), "headway"))
    runs: dict[str, RunRecord] = {}
    skipped: list[SkippedRecord] = []
    cursor, more, polls = "", True, 0
    while more:
        poll = connector.poll(cursor, (), 5)
        runs |= {run.attempt_key: run for run in poll.runs}
        skipped += poll.skipped
        cursor, more, polls = poll.cursor, poll.more, polls + 1
        assert more is (poll.seen_until is None)
    return runs, skipped, polls


def test_runs_whose_steps_do_not_fit_into_one_reply_come_in_more_polls(fake: FakePgAgent) -> None:
    """Each ends PARTIAL by its last step: without that it would be green, and without all of them skipped."""
    for steps in (4, 4, MOST, 1, 2, 3):
        add(fake, steps)
    runs, skipped, polls = read_all(fake)
    assert ([RunState.PARTIAL] * 6, [], 4) == ([run.state for run in runs.values()], skipped, polls)


def test_a_run_of_more_steps_than_any_reply_holds_is_not_judged(fake: FakePgAgent) -> None:
    for steps in (2, MOST + 1, 2):
        add(fake, steps)
    runs, skipped, _ = read_all(fake)
    assert ["1", "3"] == sorted(runs)
    assert {RunState.PARTIAL} == {run.state for run in runs.values()}
    assert ["jlgid 2"] == [item.where for item in skipped]
    assert "how it ended is not judged" in skipped[0].reason


def test_open_runs_that_are_read_again_have_all_their_steps(fake: FakePgAgent) -> None:
    """They are requested by number, however many steps they have together; none of them is called deleted."""
    for _ in range(3):
        add(fake, 5, "r")
    connector = PgAgentConnector(PgAgentClient(Session(fake), "headway"))
    cursor, more = "", True
    while more:
        poll = connector.poll(cursor, (), 5)
        cursor, more = poll.cursor, poll.more
    assert ["1", "2", "3"] == sorted(json.loads(cursor)["again"])
    for row in (*fake.runs, *fake.step_log):
        row["status"] = "s"
    assert [RunState.PARTIAL] * 3 == [run.state for run in connector.poll(cursor, (), 5).runs]
