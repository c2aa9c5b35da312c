"""Airflow's REST API, one method per call. Facts are of Airflow 3.3, measured; see docs/connectors/airflow.md.
Airflow 2 is in `client2`, under the same methods.

Ids come from outside and hold ":" and "+": each path part is percent-encoded with nothing left safe.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.airflow.auth import Auth, is_stale
from connectors.airflow.paths import part, question_path, run_path, task_path
from connectors.transport.http import Deadline, HttpDoor, Reply
from connectors.transport.http_reply import refusal

PAGE_LIMIT = 100  # [api] maximum_page_limit, Airflow configuration reference: larger limits are silently clipped to it

BUSY_PAUSE_SECONDS = 0.5

RUNS_OF_ALL = "/dags/~/dagRuns"
TASKS_OF_ALL = "/dags/~/dagRuns/~/taskInstances"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Of all history: there nothing is filtered."""


class AirflowClient:
    """All calls of one Airflow 3, signed in. `deadline` is set anew for each call of the connector."""

    base = "/api/v2"
    major = 3

    def __init__(self, door: HttpDoor, auth: Auth) -> None:
        self.door = door
        self.deadline = Deadline(0.0)
        self._auth = auth

    def close(self) -> None:
        self.door.close()

    def calls(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[str, ...]:
        """What a change would send, for people; `path` below the API's base."""
        return (f"{method} {self.base}{path} {fields.shown(dict(body))}",)

    # what is there

    def version(self) -> Reply:
        """{version, git_version}; needs no account."""
        return self._told("/version")

    def health(self) -> Reply:
        """Heartbeats of the parts; needs no account. A triggerer that is not deployed has status null."""
        return self._told("/monitor/health", accept={500, 503})

    def dags(self, offset: int) -> Reply:
        return self._get("/dags", {"limit": PAGE_LIMIT, "offset": offset, "order_by": "dag_id"})

    def paused(self, offset: int) -> Reply:
        """The DAGs that are paused, a page of them."""
        return self._get("/dags", {"paused": "true", "limit": PAGE_LIMIT, "offset": offset, "order_by": "dag_id"})

    def dag(self, dag: str) -> Reply:
        """Details of one DAG: time zone, version. 404 where it is gone."""
        return self._get(f"/dags/{part(dag)}/details", accept={404})

    def tasks(self, dag: str) -> Reply:
        return self._get(f"/dags/{part(dag)}/tasks", accept={404})

    def versions(self) -> Reply:
        """The newest definitions of all DAGs, newest first: their ids are UUIDv7, so they sort by time."""
        return self._get("/dags/~/dagVersions", {"limit": PAGE_LIMIT, "order_by": "-id"}, accept={403, 404})

    def assets(self, offset: int) -> Reply:
        return self._get("/assets", {"limit": PAGE_LIMIT, "offset": offset, "order_by": "id"}, accept={403})

    def import_errors(self) -> Reply:
        return self._get("/importErrors", {"limit": PAGE_LIMIT}, accept={403})

    # what ran

    def changed(self, path: str, since: datetime, page: str, until: datetime | None = None) -> Reply:
        """A page of RUNS_OF_ALL or TASKS_OF_ALL that changed since, oldest change first; `page` "" is the first,
        "offset:N" one of a server without cursors (it ignores the parameter). `until`: what changed later is left out.

        A time without a zone would be answered 500. Task instances cannot be ordered by change, only by id (a UUIDv7,
        so by age). The order must be ascending: rows that move while we walk move to the end and are seen again.
        Since BEGINNING, runs go by id: the order of their making, which has an index; by change there is none, and each
        page reads them all. SQLite reads them all either way: it goes by the DAGs that the account may read (seen)."""
        kind, _, offset = page.partition("offset:")
        where = {"offset": offset} if offset and not kind else {"cursor": page}
        whole = since <= BEGINNING
        order = "updated_at" if path == RUNS_OF_ALL and not whole else "id"
        changed = {} if whole else {"updated_at_gte": _instant(since)}
        if until is not None and not whole:
            changed["updated_at_lte"] = _instant(until)
        wanted = {**changed, "order_by": order, "limit": PAGE_LIMIT, **where}
        return self._get(path, wanted, accept={400} if page else ())

    def run(self, dag: str, run: str) -> Reply:
        return self._get(run_path(dag, run), accept={404})

    def runs_of(self, dag: str, filters: Mapping[str, Any]) -> Reply:
        return self._get(f"/dags/{part(dag)}/dagRuns", filters, accept={404})

    def upstream_events(self, dag: str, run: str) -> Reply:
        """The updates of assets that this run was started by, each with the run that wrote it."""
        return self._get(f"{run_path(dag, run)}/upstreamAssetEvents", accept={403, 404})

    def open_runs(self, dags: Sequence[str], offset: int) -> Reply:
        """The runs of these DAGs that are queued or running, a page of them."""
        return self._listed_runs({"dag_ids": list(dags), "states": ["queued", "running"]}, offset)

    def open_of_all(self, offset: int) -> Reply:
        """The runs of all DAGs that are queued or running, a page of them."""
        return self._listed_runs({"states": ["queued", "running"]}, offset)

    def ended_runs(self, dags: Sequence[str], since: datetime, offset: int) -> Reply:
        """The runs of these DAGs that ended since, a page of them."""
        ended = {"states": ["success", "failed"], "end_date_gte": _instant(since)}
        return self._listed_runs({"dag_ids": list(dags), **ended}, offset)

    def changed_dated(self, since: datetime, begins: datetime | None, ends: datetime | None, offset: int) -> Reply:
        """Of the runs whose logical date is in this span (both ends count, None: open), those that changed since, the
        first made first, a page of them."""
        span = {"logical_date_gte": begins, "logical_date_lte": ends}
        when = {"updated_at_gte": _instant(since)} | {name: _instant(at) for name, at in span.items() if at}
        return self.runs_of("~", {**when, "order_by": "id", "limit": PAGE_LIMIT, "offset": offset})

    def changed_of(self, dag: str, since: datetime) -> Reply:
        """The runs of a DAG that changed since, a page of the first made."""
        return self.runs_of(dag, {"updated_at_gte": _instant(since), "order_by": "id", "limit": PAGE_LIMIT})

    def _listed_runs(self, wanted: Mapping[str, Any], offset: int) -> Reply:
        page = {"page_limit": PAGE_LIMIT, "page_offset": offset, "order_by": "id"}
        return self._send("POST", f"{RUNS_OF_ALL}/list", {**wanted, **page}, once=False)

    def task_instances(self, dag: str, run: str, offset: int) -> Reply:
        params = {"limit": PAGE_LIMIT, "offset": offset, "order_by": "id"}
        return self._get(f"{run_path(dag, run)}/taskInstances", params, accept={404})

    def some_task_instances(self, body: Mapping[str, Any], offset: int) -> Reply:
        """Task instances of the named dags, runs, tasks and states (each a list; all of them must match)."""
        page = {"page_limit": PAGE_LIMIT, "page_offset": offset, "order_by": "id"}
        return self._send("POST", f"{TASKS_OF_ALL}/list", {**body, **page}, once=False)

    def tries(self, dag: str, run: str, task: str, map_index: int) -> Reply:
        index = f"/{map_index}" if map_index >= 0 else ""
        return self._get(f"{run_path(dag, run)}/taskInstances/{part(task)}{index}/tries", accept={404})

    def log(self, dag: str, run: str, task: str, map_index: int, try_number: int, token: str | None) -> Reply:
        """A page of a log. A running task gives a token that asks for what was written since."""
        params = {"map_index": map_index} | ({"token": token} if token else {})
        path = f"{run_path(dag, run)}/taskInstances/{part(task)}/logs/{try_number}"
        return self._get(path, params, accept={400, 404})

    log_as: str = "application/x-ndjson"
    """The form in which a log comes as one stream."""

    def log_end(self, dag: str, run: str, task: str, map_index: int, try_number: int, kept: int) -> Reply:
        """The last `kept` bytes of a whole log, streamed in the form `log_as`: one line after the other."""
        params = {"map_index": map_index, "full_content": "true"}
        path = f"{run_path(dag, run)}/taskInstances/{part(task)}/logs/{try_number}"
        how = {"params": params, "headers": {"Accept": self.log_as}, "end_bytes": kept}
        return self._signed("GET", path, {400, 404}, **how)

    def pools(self) -> Reply:
        """All pools with their slots; 403 where the account may not read them."""
        return self._get("/pools", {"limit": PAGE_LIMIT}, accept={403, 404})

    def questions(self) -> Reply:
        """What tasks wait for a person to answer, 3.1 and later."""
        params = {"response_received": "false", "limit": PAGE_LIMIT, "order_by": "-created_at"}
        return self._get(f"{RUNS_OF_ALL}/~/hitlDetails", params, accept={403, 404, 422})

    def question(self, dag: str, run: str, task: str, map_index: int) -> Reply:
        """What one task asks, and how it was answered; 404 where it asks nothing."""
        return self._get(question_path(dag, run, task, map_index), accept={404})

    # what we do

    def answer(self, dag: str, run: str, task: str, map_index: int, body: Mapping[str, Any]) -> Reply:
        """Answers a task that waits; 409 where it was answered before."""
        return self._send("PATCH", question_path(dag, run, task, map_index), body, accept={400, 404, 409, 422})

    def preview_clear_run(self, dag: str, run: str, body: Mapping[str, Any]) -> Reply:
        return self._send(
            "POST", f"{run_path(dag, run)}/clear", {**body, "dry_run": True}, accept={404, 409}, once=False
        )

    def clear_run(self, dag: str, run: str, body: Mapping[str, Any]) -> Reply:
        return self._send("POST", f"{run_path(dag, run)}/clear", {**body, "dry_run": False}, accept={404, 409, 422})

    def preview_clear_tasks(self, dag: str, body: Mapping[str, Any]) -> Reply:
        path = f"/dags/{part(dag)}/clearTaskInstances"
        return self._send("POST", path, {**body, "dry_run": True}, accept={400, 404, 409, 422}, once=False)

    def clear_tasks(self, dag: str, body: Mapping[str, Any]) -> Reply:
        path = f"/dags/{part(dag)}/clearTaskInstances"
        return self._send("POST", path, {**body, "dry_run": False}, accept={400, 404, 409, 422})

    def trigger(self, dag: str, body: Mapping[str, Any]) -> Reply:
        return self._send("POST", f"/dags/{part(dag)}/dagRuns", body, accept={400, 404, 409, 422})

    def patch_run(self, dag: str, run: str, body: Mapping[str, Any]) -> Reply:
        """Sets state and note of a run in one transaction; the states are queued, success and failed."""
        return self._send("PATCH", run_path(dag, run), body, accept={400, 404, 409, 422})

    def preview_mark_task(self, dag: str, run: str, task: str, body: Mapping[str, Any]) -> Reply:
        """The instances of a task (all mapped ones) whose state would change; what is cleared below is not in it."""
        return self._send("PATCH", f"{task_path(dag, run, task)}/dry_run", body, accept={404, 409, 422}, once=False)

    def mark_task(self, dag: str, run: str, task: str, body: Mapping[str, Any]) -> Reply:
        """Sets state and note of a task's instances; 409 where they have that state already."""
        return self._send("PATCH", task_path(dag, run, task), body, accept={400, 404, 409, 422})

    def patch_dag(self, dag: str, body: Mapping[str, Any]) -> Reply:
        """Pauses or resumes a DAG."""
        return self._send("PATCH", f"/dags/{part(dag)}", body, accept={400, 404, 409, 422})

    def set_note(self, dag: str, run: str, note: str) -> Reply:
        """Replaces the note of a run ("" takes it away); harmless when repeated, and does not move `updated_at`."""
        return self._send("PATCH", run_path(dag, run), {"note": note}, accept={404}, once=False)

    def preview_backfill(self, body: Mapping[str, Any]) -> Reply:
        """The runs that a backfill would make."""
        return self._send("POST", "/backfills/dry_run", body, accept={404, 409, 422}, once=False)

    def backfill(self, body: Mapping[str, Any]) -> Reply:
        """409 while the DAG has another one."""
        return self._send("POST", "/backfills", body, accept={400, 404, 409, 422})

    def change_backfill(self, number: int, change: str) -> Reply:
        """`change`: pause, unpause, cancel; 409 where it is over."""
        return self._send("PUT", f"/backfills/{int(number)}/{part(change)}", {}, accept={400, 404, 409, 422})

    def backfills(self, dag: str) -> Reply:
        """Those of a DAG, the newest first."""
        return self._get("/backfills", {"dag_id": dag, "limit": PAGE_LIMIT, "order_by": "-id"})

    def backfilled(self, offset: int) -> Reply:
        """Open runs that a backfill made, of all DAGs, a page of them."""
        of = {"run_type": "backfill", "state": ["queued", "running"]}
        return self.runs_of("~", {**of, "order_by": "id", "limit": PAGE_LIMIT, "offset": offset})

    def one_backfill(self, number: int) -> Reply:
        return self._get(f"/backfills/{int(number)}", accept={404})

    def may(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The answer to a POST that can do nothing (a dry run on a run that does not exist): 404 held, 403 missing."""
        return self._send("POST", path, body, accept={400, 403, 404, 409, 422}, once=False)

    def may_read(self, path: str) -> Reply:
        return self._get(path, {"limit": 1}, accept={403, 404})

    def _told(self, path: str, accept: Collection[int] = ()) -> Reply:
        """What Airflow answers to anybody; what stands in front of it may not."""
        headers = self._auth.headers(self.door, self.deadline) if self._auth.guards_all else {}
        return self.door.call("GET", f"{self.base}{path}", self.deadline, accept=accept, headers=headers)

    def _get(self, path: str, params: Mapping[str, Any] | None = None, accept: Collection[int] = ()) -> Reply:
        return self._signed("GET", path, accept, params=params)

    def _send(
        self, method: str, path: str, body: Mapping[str, Any], accept: Collection[int] = (), once: bool = True
    ) -> Reply:
        return self._signed(method, path, accept, body=body, once=once)

    def _signed(self, method: str, path: str, accept: Collection[int], **how: Any) -> Reply:
        """One call with our token; a token that went stale is renewed once (nothing was done under the old one).

        A look that is answered 500 is made once more: SQLite behind Airflow says so while it is locked (measured)."""
        reply = self._with_token(method, path, accept, how)
        if is_stale(reply):
            self._auth.forget()
            reply = self._with_token(method, path, accept, how)
        else:
            self._auth.accept()
        if reply.status == 500 and self.deadline.left > BUSY_PAUSE_SECONDS:
            time.sleep(BUSY_PAUSE_SECONDS)
            reply = self._with_token(method, path, accept, how)
        if reply.status < 300 or reply.status in accept:
            return reply
        raise refusal(reply, once=bool(how.get("once")))

    def _with_token(self, method: str, path: str, accept: Collection[int], how: Mapping[str, Any]) -> Reply:
        headers = {**self._auth.headers(self.door, self.deadline), **how.get("headers", {})}
        how = {name: value for name, value in how.items() if name != "headers"}
        seen = {*accept, 401, 403} if how.get("once") else {*accept, 401, 403, 500}
        return self.door.call(method, f"{self.base}{path}", self.deadline, headers=headers, accept=seen, **how)


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
