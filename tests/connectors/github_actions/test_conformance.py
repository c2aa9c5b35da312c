"""GitHub's connector keeps the contract on the fake; tests/lab holds the fake against GitHub's own description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from connectors.github_actions.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.github_actions.support import ORDERS, REPOSITORY, STOCK, job, latest_records, opened, repository
from tests.fakes.github import FakeGitHub


class TestGitHubOnTheFake(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "fake: a GitHub of ours, with a state"
    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": "tests/lab/test_github_actions_described.py"}
    lists_of_records = 3  # a run that failed comes with its two jobs
    patience_seconds = 10.0

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = repository()
        self.fake.outcome[ORDERS] = "failure"
        for file in (ORDERS, STOCK):
            self.fake.start(file)
        self.fake.tick()

    def on(self, fake: FakeGitHub) -> Connector:
        """A connector whose every request that fake answers."""
        return opened(fake)

    def connector(self) -> Connector:
        return self.on(self.fake)

    def connector_at(self, host: str, port: int) -> Connector:
        given = {"repositories": [REPOSITORY], "url": f"http://{host}:{port}", "token": {"env": "UNREAD"}}
        return CONNECTOR.open(CONNECTOR.options(**given), REPOSITORY, lambda reference: "right")

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            other = deepcopy(self.fake)
            del other.files[STOCK]
            return opened(other)
        nasty = FaultyTransport(self.fake.handle, how, r"/actions/runs$", "display_title", endless=_more)
        return opened(self.fake, nasty)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = next(run for (name, _), run in latest_records(opened(self.fake))[0].items() if name == ORDERS)
        for number in self.fake.logs:
            self.fake.logs[number] = b"0123456\n" * (size // 8)
        return opened(self.fake), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        def put() -> str:
            self.fake.now += timedelta(minutes=1)
            late = self.fake.start(ORDERS)
            late["created"] -= timedelta(minutes=2)
            self.fake.tick()
            return f"{late['id']}.1"

        return self.on(self.fake), put

    def with_a_right_revoked(self) -> Connector:
        self.fake.forbidden = "POST|PUT|DELETE"
        return self.on(self.fake)

    def make_success(self) -> str:
        return job(STOCK)

    def make_failure(self) -> str:
        return job(ORDERS)

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.start(STOCK)["attempts"][-1]["status"] = "hibernating"
        return self.on(self.fake)

    def a_running_run(self) -> RunRecord:
        self.fake.outcome[STOCK] = "hang"
        run = self.fake.start(STOCK)
        self.fake.tick()
        record = latest_records(opened(self.fake))[0][STOCK, f"{run['id']}.1"]
        assert record.state is RunState.RUNNING
        return record

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.state[job_id.partition(":")[2]] = "disabled_manually"

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.state[job_id.partition(":")[2]] = "active"

    def let_it_fall_due(self, job_id: str) -> None:
        self.fake.by_the_clock.add(job_id.partition(":")[2])
        self.fake.tick(60)
        self.fake.by_the_clock.clear()

    def native_trace(self) -> object:
        return deepcopy((self.fake.runs, self.fake.state, self.fake.variables))

    def advance(self) -> None:
        self.fake.tick()


def _more(body: Any, times: int) -> Any:
    """A list that says that there is much more, for ever."""
    return body | {"total_count": 10**9 + times} if "total_count" in body else body
