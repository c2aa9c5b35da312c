"""A pgAgent in memory: the recorded tables of a real one, an agent that a test advances, and no server.

It replaces `PgAgentClient`, below which is only SQL; that part is tested on a real server."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectors.pgagent.client import HOLD_PREFIX, JobPlan, PgAgentClient, PgAgentPage, PgAgentSituation
from connectors.pgagent.parse import run_log
from connectors.sdk.contract import HoldMark
from connectors.sdk.errors import NotSupported
from connectors.sdk.job_agent import PAGE_ROWS, GiveLog, Plan, Row
from connectors.sdk.records import LogChunk
from connectors.sdk.transport.postgres import PostgresSession

RECORDING = Path(__file__).parents[1] / "recordings" / "pgagent" / "night.json"


class FakePgAgent:
    """The tables, the signed-in user, and one agent."""

    def __init__(self) -> None:
        by_key: dict[str, Any] = json.loads(RECORDING.read_text())
        self.access: Row = by_key["access"]
        self.agents: list[Row] = by_key["agents"]
        self.jobs: list[Row] = by_key["jobs"]
        self.steps: list[Row] = by_key["steps"]
        self.schedules: list[Row] = by_key["schedules"]
        self.runs: list[Row] = by_key["runs"]
        self.step_log: list[Row] = by_key["step_log"]
        self.started: list[Row] = []
        self.sessions = 0
        """Our own sessions that still send."""
        self.page_rows = 3  # so that history comes in pages

    @property
    def newest(self) -> int:
        return max((int(row["jlgid"]) for row in self.runs), default=0)

    def named(self, name: str) -> Row:
        return next(row for row in self.jobs if row["jobname"] == name)

    def pass_time(self, seconds: float) -> None:
        self.access = self.access | {"clock": str(float(self.access["clock"]) + seconds)}

    def run(self, jobid: int, status: str, result: int | None = 1, jlgid: int | None = None) -> Row:
        """The agent runs a job, and it ends with the given status (or stays open)."""
        clock, number = float(self.access["clock"]), jlgid or self.newest + 1
        ended = None if status == "r" else str(clock + 0.01)
        times = {"started": str(clock), "ended": ended}
        row = {"jlgid": number, "jobid": jobid, "status": status, **times}
        step = {"jslid": 100 + number, "jlgid": number, "name": "step 1", "kind": "s", "output": "", **times}
        self.runs.append(row)
        self.step_log.append(step | {"status": status, "result": result})
        self.pass_time(1)
        return row

    def work(self) -> None:
        """The agent runs the due jobs."""
        for job in self.jobs:
            if job["enabled"] and job["is_due"] and job["agent"] is None:
                self.run(job["jobid"], "s")
                job |= {"is_due": False, "next_run": None}

    def start(self, jobid: int, key: str) -> None:
        """What `headway.pgagent_start` does. Raises NotSupported as the function does."""
        job = next((row for row in self.jobs if row["jobid"] == jobid), None)
        if any(row["action_key"] == key for row in self.started):
            return
        if job is None or not job["enabled"] or job["agent"] is not None or job["is_due"] or not self.agents:
            raise NotSupported(f"pgAgent job {jobid} is not there, disabled, running, due or without an agent")
        after = max((row["jlgid"] for row in self.runs if row["jobid"] == jobid), default=0)
        self.started.append({"action_key": key, "jobid": jobid, "after_jlgid": after})
        job |= {"is_due": True}

    def hold(self, jobid: int, mark: HoldMark) -> None:
        """What `headway.pgagent_hold` does. Raises NotSupported as the function does."""
        job = next((row for row in self.jobs if row["jobid"] == jobid), None)
        if job is None:
            raise NotSupported(f"no pgAgent job {jobid}")
        if job["comment"].startswith(f"{mark.text}\n") and not job["enabled"]:
            return
        if shown(job)["hold"] or not job["enabled"] or (job["is_due"] and job["agent"] is None):
            raise NotSupported(f"pgAgent job {jobid} is held, paused or about to start")
        job |= {"comment": f"{mark.text}\n{job['comment']}", "enabled": False}

    def release(self, jobid: int, hold: str, enable: bool) -> None:
        """What `headway.pgagent_release` does. Raises NotSupported as the function does."""
        job = next((row for row in self.jobs if row["jobid"] == jobid), None)
        mark = HoldMark.read(str(shown(job)["hold"] or "")) if job else None
        if job is None or mark is None or mark.id != hold:
            raise NotSupported(f"pgAgent job {jobid} does not bear hold {hold}")
        job |= {"comment": shown(job)["comment"], "enabled": enable or job["enabled"]}


def shown(row: Row) -> Row:
    """A job as the client's SQL returns it: the hold mark apart from the comment."""
    match = re.match(HOLD_PREFIX, row["comment"])
    return row | {"comment": row["comment"][match.end() if match else 0 :], "hold": match[1] if match else None}


class FakeClient(PgAgentClient):
    """The client's questions, answered from the fake; rows are copies, as they would come over a wire."""

    def __init__(self, fake: FakePgAgent) -> None:
        super().__init__(PostgresSession(dict, "headway"), "headway")
        self._fake = fake

    def access(self) -> tuple[Row, list[Row]]:
        return copy.deepcopy((self._fake.access, self._fake.agents))

    def plan(self) -> JobPlan:
        self._require_access()
        fake = self._fake
        return copy.deepcopy(JobPlan(fake.access, self._jobs(), fake.steps, fake.schedules))

    def page(self, after: int, again: Sequence[int]) -> PgAgentPage:
        self._require_access()
        fake, limit = self._fake, min(PAGE_ROWS, self._fake.page_rows)
        runs = sorted((row for row in fake.runs if row["jlgid"] > after), key=lambda row: int(row["jlgid"]))[:limit]
        old = [row for row in fake.runs if row["jlgid"] in again]
        ids = {row["jlgid"] for row in (*runs, *old)}
        steps = [row for row in fake.step_log if row["jlgid"] in ids]
        newest, is_full = fake.newest or None, len(runs) >= limit
        started = [self._with_run(row) for row in fake.started]
        page = PgAgentPage(fake.access, fake.agents, self._jobs(), runs, old, steps, started, newest, is_full)
        return copy.deepcopy(page)

    def jobs(self) -> tuple[Row, list[Row]]:
        self._require_access()
        return copy.deepcopy((self._fake.access, self._jobs()))

    def situation(self, jobid: int, key: str = "") -> PgAgentSituation:
        self._require_access()
        fake = self._fake
        job = next((row for row in self._jobs() if row["jobid"] == jobid), None)
        running = [row for row in fake.runs if row["jobid"] == jobid and row["status"] == "r"]
        started = next((self._with_run(row) for row in fake.started if row["action_key"] == key), None)
        return copy.deepcopy(PgAgentSituation(fake.access, job, running, fake.agents, started, fake.sessions))

    def log(self, jlgid: int, give: GiveLog) -> LogChunk | None:
        row = next((row for row in self._fake.runs if row["jlgid"] == jlgid), None)
        steps = [step for step in self._fake.step_log if step["jlgid"] == jlgid]
        parts = run_log(row, copy.deepcopy(steps), lambda step: iter([step["output"] or ""])) if row else ()
        return give(parts, row["status"] == "r") if row else None

    def start(self, jobid: int, key: str) -> None:
        self._fake.start(jobid, key)

    def hold(self, plan: Plan, mark: HoldMark) -> None:
        self._fake.hold(plan["jobid"], mark)

    def release(self, plan: Plan, hold: str, key: str, enable: bool) -> None:
        self._fake.release(plan["jobid"], hold, enable)

    def _with_run(self, row: Row) -> Row:
        logged = {step["jlgid"] for step in self._fake.step_log}
        after = [
            run["jlgid"]
            for run in self._fake.runs
            if run["jobid"] == row["jobid"]
            and run["jlgid"] > row["after_jlgid"]
            and (run["status"] != "i" or run["jlgid"] in logged)
        ]
        return row | {"jlgid": min(after, default=None)}

    def _jobs(self) -> list[Row]:
        return [shown(row) for row in self._fake.jobs]

    def _require_access(self) -> None:
        self.require_view(self._fake.access)
