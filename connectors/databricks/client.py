"""The Jobs API 2.2 of a workspace, one method per call. Held against the types of databricks-sdk 0.156; Databricks
itself was not seen, see docs/connectors/databricks.md."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors.databricks.account import MachineAccount
from connectors.transport.account import Account
from connectors.transport.http import Deadline, HttpDoor, Reply

JOBS_LIMIT = 100  # jobs/list: "greater than 0 and less or equal to 100"
RUNS_LIMIT = 24  # jobs/runs/list: "greater than 0 and less than 25"
BASE = "/api/2.2/jobs"
GONE = frozenset({400, 404})
"""For an id that is not there: INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST."""
ANSWERED = frozenset({400, 404, 409, 422})


class DatabricksClient:
    """All calls of one workspace. `deadline` is set anew for each call of the connector."""

    def __init__(self, door: HttpDoor, account: Account) -> None:
        self.door = door
        self._account = account
        self._deadline = Deadline(0.0)

    @property
    def deadline(self) -> Deadline:
        return self._deadline

    @deadline.setter
    def deadline(self, value: Deadline) -> None:
        self._deadline = value
        if isinstance(self._account, MachineAccount):
            self._account.deadline = value

    def close(self) -> None:
        self.door.close()

    def jobs(self, page: str) -> Reply:
        """Jobs with their first hundred tasks."""
        return self._get("/list", {"limit": JOBS_LIMIT, "expand_tasks": "true", **_token(page)})

    def job(self, job: int, page: str = "") -> Reply:
        """One job; `page` for more of its tasks. 400 or 404 where it is gone."""
        return self._get("/get", {"job_id": job, **_token(page)}, GONE)

    def runs(self, page: str = "", **where: str | int) -> Reply:
        """Runs of jobs with their tasks, latest start first: by job_id, start_time_from and _to (ms), active_only."""
        given = {**where, "limit": RUNS_LIMIT, "run_type": "JOB_RUN", "expand_tasks": "true"}
        return self._get("/runs/list", {**given, **_token(page)})

    def run(self, run: int, page: str = "") -> Reply:
        """One run with its repairs; `page` for more of its tasks. 400 or 404 where it is gone."""
        return self._get("/runs/get", {"run_id": run, "include_history": "true", **_token(page)}, GONE)

    def output(self, task_run: int) -> Reply:
        """What a task's run left, 5 MB at most. 400 for a run without output."""
        return self._get("/runs/get-output", {"run_id": task_run}, GONE)

    def run_now(self, body: Mapping[str, Any]) -> Reply:
        return self._send("/run-now", body)

    def repair(self, body: Mapping[str, Any]) -> Reply:
        return self._send("/runs/repair", body)

    def cancel(self, run: int) -> Reply:
        return self._send("/runs/cancel", {"run_id": run})

    def update(self, body: Mapping[str, Any]) -> Reply:
        """Top-level settings that the body names are replaced whole; all others stay."""
        return self._send("/update", body)

    def _get(self, path: str, params: Mapping[str, Any], accept: Collection[int] = ()) -> Reply:
        def call(headers: dict[str, str]) -> Reply:
            wanted = {*accept, 401}
            return self.door.call("GET", BASE + path, self.deadline, params=params, headers=headers, accept=wanted)

        return self._account.asking(call)

    def _send(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Once, never repeated. A 4xx that comes back proves that nothing was done."""
        headers = self._account.headers()
        return self.door.call(
            "POST", BASE + path, self.deadline, body=dict(body), headers=headers, accept=ANSWERED, once=True
        )


def _token(page: str) -> dict[str, str]:
    return {"page_token": page} if page else {}
