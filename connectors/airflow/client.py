"""Client of Airflow 3's REST API (v2): one method per call, and the detection of the server's major version.

Measured on Airflow 3.3; see docs/connectors/airflow.md. Airflow 2 has the same methods in `client_v2`. Ids may contain
":" and "+": each path segment is percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from connectors.airflow.auth import is_stale_token, public_headers
from connectors.airflow.parse import note_text
from connectors.sdk import fields
from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.send_outcome import or_put_back, raise_if_refused
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, HttpReply, SignedClient, path_segment, refusal

PAGE_LIMIT = 100  # [api] maximum_page_limit, Airflow configuration reference: larger limits are silently clipped to it


ALL_RUNS_PATH = "/dags/~/dagRuns"
ALL_TASKS_PATH = "/dags/~/dagRuns/~/taskInstances"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Start of all history: nothing is filtered."""


class AirflowClient(SignedClient):
    """All calls of one Airflow 3, signed in. `deadline` is that of the current call of the connector."""

    base = "/api/v2"
    major = 3

    def calls(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[str, ...]:
        """The request of a change as text; `path` is below the API's base."""
        return (f"{method} {self.base}{path} {fields.to_json(dict(body))}",)

    # objects

    def version(self) -> HttpReply:
        """{version, git_version}; needs no account."""
        return self._get_public("/version")

    def health(self) -> HttpReply:
        """Heartbeats of the parts; needs no account. A triggerer that is not deployed has status null."""
        return self._get_public("/monitor/health", accept={500, 503})

    def dags(self, offset: int, **where: str) -> HttpReply:
        return self._get("/dags", {**where, "limit": PAGE_LIMIT, "offset": offset, "order_by": "dag_id"})

    def dag(self, dag: str) -> HttpReply:
        """Details of one DAG: time zone, version. 404 if it was deleted."""
        return self._get(f"{dag_path(dag)}/details", accept={404})

    def dropped_dags(self, offset: int) -> HttpReply:
        """DAGs that Airflow dropped since their file cannot be imported; 3.0 lists all others as well."""
        return self.dags(offset, exclude_stale="false", has_import_errors="true")

    def is_subdag(self, dag: str) -> bool:
        """Whether a DAG is a part of another one, whose task runs it (Airflow 2)."""
        del dag
        return False

    def tasks(self, dag: str) -> HttpReply:
        return self._get(f"{dag_path(dag)}/tasks", accept={404})

    def versions(self) -> HttpReply:
        """The newest definitions of all DAGs, newest first: their ids sort by time (UUIDv7)."""
        return self._get("/dags/~/dagVersions", {"limit": PAGE_LIMIT, "order_by": "-id"}, accept={403, 404})

    def assets(self, offset: int) -> HttpReply:
        return self._get("/assets", {"limit": PAGE_LIMIT, "offset": offset, "order_by": "id"}, accept={403})

    def import_errors(self) -> HttpReply:
        return self._get("/importErrors", {"limit": PAGE_LIMIT}, accept={403})

    # runs

    def changed(self, path: str, since: datetime, page: str, until: datetime | None = None) -> HttpReply:
        """A page of ALL_RUNS_PATH or ALL_TASKS_PATH that changed since, oldest change first; `page` "" is the first,
        "offset:N" one of a server without cursors (it ignores the parameter). `until`: later changes are left out.

        Task instances cannot be ordered by change, only by id (a UUIDv7, so by age). The order must be ascending: rows
        that move during a walk move to the end and are seen again. Since EPOCH, runs are ordered by id, which has an
        index; by change each page reads them all."""
        kind, _, offset = page.partition("offset:")
        where = {"offset": offset} if offset and not kind else {"cursor": page}
        whole = since <= EPOCH
        order = "updated_at" if path == ALL_RUNS_PATH and not whole else "id"
        changed = {} if whole else {"updated_at_gte": format_filter_instant(since)}
        if until is not None and not whole:
            changed["updated_at_lte"] = format_filter_instant(until)
        query = {**changed, "order_by": order, "limit": PAGE_LIMIT, **where}
        return self._get(path, query, accept={400} if page else ())

    def run(self, dag: str, run: str) -> HttpReply:
        return self._get(run_path(dag, run), accept={404})

    def runs_of(self, dag: str, filters: Mapping[str, Any]) -> HttpReply:
        return self._get(f"{dag_path(dag)}/dagRuns", filters, accept={404})

    def upstream_events(self, dag: str, run: str) -> HttpReply:
        """The updates of assets that this run was started by, each with the run that wrote it."""
        return self._get(f"{run_path(dag, run)}/upstreamAssetEvents", accept={403, 404})

    def open_runs(self, dags: Sequence[str], offset: int) -> HttpReply:
        return self._listed_runs({"dag_ids": list(dags), "states": ["queued", "running"]}, offset)

    def open_of_all(self, offset: int) -> HttpReply:
        return self._listed_runs({"states": ["queued", "running"]}, offset)

    def ended_runs(self, dags: Sequence[str], since: datetime, offset: int) -> HttpReply:
        ended = {"states": ["success", "failed"], "end_date_gte": format_filter_instant(since)}
        return self._listed_runs({"dag_ids": list(dags), **ended}, offset)

    def changed_dated(self, since: datetime, dated: datetime, offset: int) -> HttpReply:
        """A page of the runs with a logical date from `dated` on that changed since."""
        when = {"updated_at_gte": format_filter_instant(since), "logical_date_gte": format_filter_instant(dated)}
        return self.runs_of("~", {**when, "order_by": "id", "limit": PAGE_LIMIT, "offset": offset})

    def _listed_runs(self, query: Mapping[str, Any], offset: int) -> HttpReply:
        page = {"page_limit": PAGE_LIMIT, "page_offset": offset, "order_by": "id"}
        return self._send("POST", f"{ALL_RUNS_PATH}/list", {**query, **page}, once=False)

    def task_instances(self, dag: str, run: str, offset: int) -> HttpReply:
        params = {"limit": PAGE_LIMIT, "offset": offset, "order_by": "id"}
        return self._get(f"{run_path(dag, run)}/taskInstances", params, accept={404})

    def some_task_instances(self, body: Mapping[str, Any], offset: int) -> HttpReply:
        """Task instances of the named dags, runs, tasks and states (each a list; all of them must match)."""
        page = {"page_limit": PAGE_LIMIT, "page_offset": offset, "order_by": "id"}
        return self._send("POST", f"{ALL_TASKS_PATH}/list", {**body, **page}, once=False)

    def tries(self, dag: str, run: str, task: str, map_index: int) -> HttpReply:
        index = f"/{map_index}" if map_index >= 0 else ""
        return self._get(f"{task_path(dag, run, task)}{index}/tries", accept={404})

    def log(self, dag: str, run: str, task: str, map_index: int, try_number: int, token: str | None) -> HttpReply:
        """A page of a log. A running task's page has a token for what is written later."""
        params = {"map_index": map_index} | ({"token": token} if token else {})
        path = f"{task_path(dag, run, task)}/logs/{try_number}"
        return self._get(path, params, accept={400, 404})

    log_as: str = "application/x-ndjson"
    """The form in which a log comes as one stream."""

    def log_end(self, dag: str, run: str, task: str, map_index: int, try_number: int, end_bytes: int) -> HttpReply:
        """The last `end_bytes` bytes of a whole log, streamed line by line in the form `log_as`."""
        params = {"map_index": map_index, "full_content": "true"}
        path = f"{task_path(dag, run, task)}/logs/{try_number}"
        headers = {"Accept": self.log_as}
        return self._signed("GET", path, {400, 404}, headers=headers, params=params, end_bytes=end_bytes)

    def pools(self) -> HttpReply:
        """All pools with their slots; 403 where the account may not read them."""
        return self._get("/pools", {"limit": PAGE_LIMIT}, accept={403, 404})

    def questions(self) -> HttpReply:
        """Questions of tasks that wait for a person's answer, 3.1 and later."""
        params = {"response_received": "false", "limit": PAGE_LIMIT, "order_by": "-created_at"}
        return self._get(f"{ALL_RUNS_PATH}/~/hitlDetails", params, accept={403, 404, 422})

    def question(self, dag: str, run: str, task: str, map_index: int) -> HttpReply:
        return self._get(question_path(dag, run, task, map_index), accept={404})

    # writes

    def answer(self, dag: str, run: str, task: str, map_index: int, body: Mapping[str, Any]) -> HttpReply:
        return self._send("PATCH", question_path(dag, run, task, map_index), body, accept={400, 404, 409, 422})

    def preview_clear_run(self, dag: str, run: str, body: Mapping[str, Any]) -> HttpReply:
        path = f"{run_path(dag, run)}/clear"
        return self._send("POST", path, {**body, "dry_run": True}, accept={404, 409}, once=False)

    def clear_run(self, dag: str, run: str, body: Mapping[str, Any]) -> HttpReply:
        return self._send("POST", f"{run_path(dag, run)}/clear", {**body, "dry_run": False}, accept={404, 409, 422})

    def preview_clear_tasks(self, dag: str, body: Mapping[str, Any]) -> HttpReply:
        path = f"{dag_path(dag)}/clearTaskInstances"
        return self._send("POST", path, {**body, "dry_run": True}, accept={400, 404, 409, 422}, once=False)

    def clear_tasks(self, dag: str, body: Mapping[str, Any]) -> HttpReply:
        path = f"{dag_path(dag)}/clearTaskInstances"
        return self._send("POST", path, {**body, "dry_run": False}, accept={400, 404, 409, 422})

    def trigger(self, dag: str, body: Mapping[str, Any]) -> HttpReply:
        return self._send("POST", f"{dag_path(dag)}/dagRuns", body, accept={400, 404, 409, 422})

    def patch_run(self, dag: str, run: str, body: Mapping[str, Any]) -> HttpReply:
        """Sets state and note of a run in one transaction; the states are queued, success and failed."""
        return self._send("PATCH", run_path(dag, run), body, accept={400, 404, 409, 422})

    def preview_mark_task(self, dag: str, run: str, task: str, body: Mapping[str, Any]) -> HttpReply:
        """Instances of a task whose state would change, without downstream tasks that are cleared."""
        return self._send("PATCH", f"{task_path(dag, run, task)}/dry_run", body, accept={404, 409, 422}, once=False)

    def mark_task(self, dag: str, run: str, task: str, body: Mapping[str, Any]) -> HttpReply:
        """Sets state and note of a task's instances; 409 where they have that state already."""
        return self._send("PATCH", task_path(dag, run, task), body, accept={400, 404, 409, 422})

    def patch_dag(self, dag: str, body: Mapping[str, Any]) -> HttpReply:
        return self._send("PATCH", dag_path(dag), body, accept={400, 404, 409, 422})

    def set_note(self, dag: str, run: str, note: str) -> HttpReply:
        """Replaces the note of a run ("" takes it away); harmless when repeated, and does not move `updated_at`."""
        return self._send("PATCH", run_path(dag, run), {"note": note}, accept={404}, once=False)

    @contextmanager
    def noted(self, dag: str, run: str, note: str, before: str) -> Iterator[None]:
        """The note of a run is written before what follows, and put back where that is refused."""
        try:
            raise_if_refused(self.set_note(dag, run, note))
        except SystemUnreachable as error:
            raise OutcomeUnknown(f"{error}. Whether the mark was written is looked up.") from None

        def put_back() -> None:
            if note_text(self.run(dag, run).table()) == note:
                raise_if_refused(self.set_note(dag, run, before))

        with or_put_back(put_back):
            yield

    def preview_backfill(self, body: Mapping[str, Any]) -> HttpReply:
        return self._send("POST", "/backfills/dry_run", body, accept={404, 409, 422}, once=False)

    def backfill(self, body: Mapping[str, Any]) -> HttpReply:
        """409 while the DAG has another one."""
        return self._send("POST", "/backfills", body, accept={400, 404, 409, 422})

    def change_backfill(self, number: int, change: str) -> HttpReply:
        """`change`: pause, unpause, cancel; 409 if it has ended."""
        return self._send("PUT", f"/backfills/{int(number)}/{path_segment(change)}", {}, accept={400, 404, 409, 422})

    def backfills(self, dag: str) -> HttpReply:
        """Of a DAG, newest first."""
        return self._get("/backfills", {"dag_id": dag, "limit": PAGE_LIMIT, "order_by": "-id"})

    def backfilled(self, offset: int) -> HttpReply:
        chosen = {"run_type": "backfill", "state": ["queued", "running"], "order_by": "id"}
        return self.runs_of("~", {**chosen, "limit": PAGE_LIMIT, "offset": offset})

    def backfill_status(self, number: int) -> HttpReply:
        return self._get(f"/backfills/{int(number)}", accept={404})

    def may(self, path: str, body: Mapping[str, Any]) -> HttpReply:
        """The answer to a POST that can do nothing (a dry run on a run that does not exist): 404 held, 403 missing."""
        return self._send("POST", path, body, accept={400, 403, 404, 409, 422}, once=False)

    def may_read(self, path: str) -> HttpReply:
        return self._get(path, {"limit": 1}, accept={403, 404})

    def _get_public(self, path: str, accept: Collection[int] = ()) -> HttpReply:
        """A public endpoint of Airflow; a proxy in front may still require authentication."""
        headers = public_headers(self._account, self.deadline)
        return self.endpoint.call("GET", f"{self.base}{path}", self.deadline, accept=accept, headers=headers)

    def _get(self, path: str, params: Mapping[str, Any] | None = None, accept: Collection[int] = ()) -> HttpReply:
        return self._signed("GET", path, accept, params=params)

    def _send(
        self, method: str, path: str, body: Mapping[str, Any], accept: Collection[int] = (), once: bool = True
    ) -> HttpReply:
        return self._signed(method, path, accept, body=body, once=once)

    def _signed(
        self,
        method: str,
        path: str,
        accept: Collection[int],
        once: bool = False,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> HttpReply:
        """One call with our token; an expired token is renewed once."""
        statuses = {*accept, 401, 403}

        def call(signed: dict[str, str]) -> HttpReply:
            every, url = {**signed, **(headers or {})}, f"{self.base}{path}"
            return self.endpoint.call(
                method, url, self.deadline, headers=every, accept=statuses, once=once, is_read=not once, **options
            )

        self._account.deadline = self.deadline
        reply = self._account.signed_reply(call, is_stale_token)
        if reply.status < 300 or reply.status in accept:
            return reply
        raise refusal(reply, once)


def format_filter_instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def dag_path(dag: str) -> str:
    return f"/dags/{path_segment(dag)}"


def run_path(dag: str, run: str) -> str:
    return f"{dag_path(dag)}/dagRuns/{path_segment(run)}"


def task_path(dag: str, run: str, task: str) -> str:
    return f"{run_path(dag, run)}/taskInstances/{path_segment(task)}"


def question_path(dag: str, run: str, task: str, map_index: int) -> str:
    return f"{task_path(dag, run, task)}/{map_index}/hitlDetails"


VERSION_ENDPOINTS = (("/api/v2/version", 3), ("/api/v1/version", 2))
EXPECTED = (
    "expected an Airflow 2.x or 3.x, which gives its version without a login. "
    "Fix: set url to the address that opens Airflow in a browser, with its path if it has one"
)


NEWEST_TESTED, OLDEST_TESTED = (3, 3), (2, 10)


def minor_version(version: str) -> tuple[int, int] | None:
    """Major and minor number of "3.3.2"."""
    numbers = re.match(r"(\d{1,3})\.(\d{1,3})\.", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def version_warnings(version: str) -> tuple[str, ...]:
    """Warnings about an Airflow version that Headway was not tested with."""
    minor = minor_version(version)
    if minor is not None and minor > NEWEST_TESTED:
        tested = f"newer than {NEWEST_TESTED[0]}.{NEWEST_TESTED[1]}, the newest that Headway is tested with"
        use = "used like that one: compare some runs with Airflow's screens"
        return (f"Airflow {fields.masked_head(version, 40)} is {tested}, and {use}",)
    if minor is not None and minor < OLDEST_TESTED:
        tested = f"older than {OLDEST_TESTED[0]}.{OLDEST_TESTED[1]}"
        return (f"Airflow {fields.masked_head(version, 40)} is {tested}: tries are counted otherwise there",)
    return ()


def detect_version(endpoint: HttpEndpoint, account: HttpAccount, deadline: Deadline) -> tuple[int, str]:
    """Of the API, 2 or 3, and the server's version. Raises SystemUnreachable, and NotSupported for another program;
    AccessRefused if a proxy in front refuses."""
    refused: HttpReply | None = None
    replies = list[HttpReply]()
    for path, major in VERSION_ENDPOINTS:
        headers = public_headers(account, deadline)
        reply = endpoint.call("GET", path, deadline, accept={401, 403, 404, 405, 410}, headers=headers)
        refused = reply if reply.status in (401, 403) else refused
        if reply.status != 200:
            replies.append(reply)
            continue
        if reply.content_type in ("text/html", "application/xhtml+xml"):
            raise AccessRefused(f"{reply.place} is a web page, of another program or of a login in front; {EXPECTED}")
        version = fields.optional_text(reply.table(), "version")
        minor = minor_version(version)
        if minor is not None and (minor[0] == 2 if major == 2 else minor[0] >= 3):
            return major, version
        if not version:
            raise NotSupported(f"{reply.place} has no version, so it is another program; {EXPECTED}")
        raise NotSupported(
            f"{reply.place}: this is Airflow {fields.masked_head(version, 40)}; this kind supports 2.x and 3.x"
        )
    if refused is not None:
        account.forget()
        if not headers:
            raise AccessRefused(f"{refused.place} is a refusal, of another program or of a proxy in front; {EXPECTED}")
        raise refusal(refused)
    answers = " and ".join(
        f"{reply.status} to {path}" for reply, (path, _) in zip(replies, VERSION_ENDPOINTS, strict=True)
    )
    raise NotSupported(f"Airflow: {endpoint.base_url} answered {answers}; {EXPECTED}")
