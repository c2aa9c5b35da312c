"""Client of a workspace's Jobs API 2.2: one method per call, token-paged lists, and sign-in.

Sign-in is a personal access token, or a service principal whose OAuth tokens live for an hour. Checked against the
types of databricks-sdk 0.156, not against Databricks itself; see docs/connectors/databricks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from connectors.sdk import fields
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.transport.http import HttpReply, SignedClient

JOBS_LIMIT = 100  # jobs/list: "greater than 0 and less or equal to 100"
RUNS_LIMIT = 24  # jobs/runs/list: "greater than 0 and less than 25"
JOBS_PATH = "/api/2.2/jobs"
GONE_STATUSES = frozenset({400, 404})  # for an unknown id: INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
ANSWERED_STATUSES = frozenset({400, 404, 409, 422})


class DatabricksClient(SignedClient):
    def jobs(self, page: str) -> HttpReply:
        return self._get("/list", {"limit": JOBS_LIMIT, "expand_tasks": "true", **_page_token(page)})

    def job(self, job: int, page: str = "") -> HttpReply:
        """One job; `page` for more of its tasks. 400 or 404 if it was deleted."""
        return self._get("/get", {"job_id": job, **_page_token(page)}, GONE_STATUSES)

    def runs(self, page: str = "", **where: str | int) -> HttpReply:
        """Runs of jobs with their tasks, latest start first: by job_id, start_time_from and _to (ms), active_only."""
        params = {**where, "limit": RUNS_LIMIT, "run_type": "JOB_RUN", "expand_tasks": "true"}
        return self._get("/runs/list", {**params, **_page_token(page)})

    def run(self, run: int, page: str = "") -> HttpReply:
        """One run with its repairs; `page` for more of its tasks. 400 or 404 if it was deleted."""
        return self._get("/runs/get", {"run_id": run, "include_history": "true", **_page_token(page)}, GONE_STATUSES)

    def output(self, task_run: int) -> HttpReply:
        """Output of a task's run, at most 5 MB. 400 for a run without output."""
        return self._get("/runs/get-output", {"run_id": task_run}, GONE_STATUSES)

    def run_now(self, body: Mapping[str, Any]) -> HttpReply:
        return self._send("/run-now", body)

    def repair(self, body: Mapping[str, Any]) -> HttpReply:
        return self._send("/runs/repair", body)

    def cancel(self, run: int) -> HttpReply:
        return self._send("/runs/cancel", {"run_id": run})

    def update(self, body: Mapping[str, Any]) -> HttpReply:
        """Top-level settings that the body names are replaced whole; all others stay."""
        return self._send("/update", body)

    def _get(self, path: str, params: Mapping[str, Any], accept: Collection[int] = ()) -> HttpReply:
        return self.read("GET", JOBS_PATH + path, accept, params=params)

    def _send(self, path: str, body: Mapping[str, Any]) -> HttpReply:
        return self.send("POST", JOBS_PATH + path, body, ANSWERED_STATUSES)


def _page_token(page: str) -> dict[str, str]:
    return {"page_token": page} if page else {}


PAGED_PARTS = ("tasks", "repair_history", "job_parameters")  # lists of a run or a job that come a hundred at a time

EMPTY_PAGE_FIELDS = frozenset({"has_more", "next_page_token", "prev_page_token"})
"""A reply without the list has an empty one."""


def read_pages(fetch: Callable[[str], HttpReply], name: str, max_pages: int) -> Iterator[tuple[list[Any], HttpReply]]:
    """The rows of each page, at most so many pages. Raises SystemUnreachable for another shape, and for a page that
    names itself as the next."""
    token = ""
    for _ in range(max_pages):
        reply = fetch(token)
        table = reply.table()
        rows = table.get(name, [] if table.keys() <= EMPTY_PAGE_FIELDS else None)
        if not isinstance(rows, list):
            raise SystemUnreachable(f"{reply.place} has no list of {name}; is the url that of a Databricks workspace?")
        yield rows, reply
        following = table.get("next_page_token")
        if not isinstance(following, str) or not following or table.get("has_more") is False:
            return
        if following == token:
            raise SystemUnreachable(f"{reply.place} names itself as its next page: the list does not end")
        token = following


MAX_JOB_PAGES = 20


def read_whole(fetch: Callable[[str], HttpReply]) -> fields.Row | None:
    first = fetch("")
    if first.status != 200:
        return None
    row = first.table()
    token = row.get("next_page_token")
    for _ in range(MAX_JOB_PAGES):
        if not isinstance(token, str) or not token:
            break
        page = fetch(token)
        table = page.table() if page.status == 200 else {}
        settings = table.get("settings")
        if isinstance(settings, dict) and isinstance(row.get("settings"), dict):
            row["settings"]["tasks"] = [*fields.rows(row["settings"].get("tasks")), *fields.rows(settings.get("tasks"))]
        for part in PAGED_PARTS:
            if part in table:
                row[part] = [*fields.rows(row.get(part)), *fields.rows(table[part])]
        token = table.get("next_page_token")
    return row
