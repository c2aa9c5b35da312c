from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.replay.client import PAUSE, RESUME, ActionLog, SentAction
from connectors.replay.connector import CONNECTOR, ReplayConnector
from connectors.replay.options import ReplayOptions
from connectors.sdk.conformance import Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.replay import nights

FILES_ONLY = {
    "network": "no server: a replay reads files",
    "unknown_word": "a recorded night is validated when it is read",
}


class Replayed(Reads, Logs, Reruns, Starts, Holds):
    kind = CONNECTOR
    against = "real: a recorded night"
    unplayed: ClassVar[Mapping[str, str]] = {
        "answering": "a recorded night is validated when it is read",
        "crowded": "a recorded night is validated when it is read",
        "long_log": "a recorded night is validated when it is read",
        "with_a_run_behind": "a recorded night is validated when it is read",
        "with_a_right_revoked": "a recorded night is validated when it is read",
    }
    limits = FILES_ONLY
    system: ClassVar[str]
    target: ClassVar[str]
    good: ClassVar[str]
    bad: ClassVar[str]

    @pytest.fixture(autouse=True)
    def a_night(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.now: datetime = nights.at(20)

    def connector(self) -> Connector:
        options: dict[str, Any] = {**nights.files(self.folder, self.now), "system": self.system}
        return ReplayConnector(ReplayOptions.model_validate(options), self.target)

    def test_a_cursor_of_another_layout_is_reported(self) -> None:
        with self.opened() as connector:
            warnings = connector.poll('{"former": 1}', (), 20).warnings
            assert any(CURSOR_UNREADABLE in warning for warning in warnings)
            assert not any("cursor" in warning for warning in connector.poll("", (), 20).warnings)

    def make_success(self) -> str:
        return self.good

    def make_failure(self) -> str:
        return self.bad

    def native_trace(self) -> object:
        path = self.folder / "actions.jsonl"
        return path.read_bytes() if path.exists() else b""

    def less_history(self, trace: object) -> object:
        """The memory keeps what was done: a hold and its release stand in it, and undo each other."""
        lines = trace.splitlines() if isinstance(trace, bytes) else []
        return [line for line in lines if line and json.loads(line).get("verb") not in ("hold", "release")]

    def start_ask(self, job_id: str) -> ActionSpec:
        """Due a minute ago by the replay's clock."""
        period = instant_key(self.now - timedelta(minutes=1))
        return ActionSpec(
            Verb.START, RunRef(job_id, period, "", ""), RunState.PLANNED, {"period_at": period, "why": "it is due"}
        )

    def pause_by_hand(self, job_id: str) -> None:
        self._by_hand(job_id, PAUSE)

    def resume_by_hand(self, job_id: str) -> None:
        self._by_hand(job_id, RESUME)

    def _by_hand(self, job_id: str, verb: str) -> None:
        action = SentAction(new_key(), (self.system, job_id), "", self.now, verb)
        ActionLog(self.folder / "actions.jsonl").append(action)

    def let_it_fall_due(self, job_id: str) -> None:
        """A run more in the recording, in a minute, and ten minutes that pass."""
        path = self.folder / "night.json"
        night = json.loads(path.read_text())
        due = (self.now - nights.BEGINS).total_seconds() + 60
        night["recorded"].setdefault(f"{self.system}/{job_id}", []).append([due, 1, 30, 0])
        path.write_text(json.dumps(night))
        self.now += timedelta(minutes=10)
        nights.set_clock(self.folder, self.now)

    def advance(self) -> None:
        self.now += timedelta(minutes=1)
        nights.set_clock(self.folder, self.now)


class TestReplayOfCron(Replayed):
    system, target, good, bad = "hosts", "db07", "db07:calm", "db07:extract"


class TestReplayOfAirflow(Replayed):
    system, target, good, bad = "flow", "airflow", "load", "check"


class TestReplayOfAirflowTasks(Replayed):
    system, target, good, bad = "flow", "airflow", "load.stage", "check.compare"

    def a_startable_job(self) -> str:
        """A task starts with its DAG."""
        return "load"

    a_holdable_job = a_startable_job


class TestReplayOfStepFunctions(Replayed):
    system, target, good, bad = "aws", "eu", "settle", "settle"

    def make_success(self) -> str:
        """Its first attempt failed; a rerun after the orders came ended well."""
        actions = ActionLog(self.folder / "actions.jsonl")
        if not actions.read():
            requested = ((nights.EXTRACT, 15.5), (nights.LOAD, 16.5), (nights.SETTLE, 18.5))
            for number, (job, hours) in enumerate(requested):
                actions.append(nights.rerun(job, hours, number))
        return self.good


del Replayed
