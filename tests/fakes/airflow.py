"""A small Airflow 3 with a state, behind httpx: rows shaped like the recorded replies, a clock moved by hand.

It plays what the connector's tests need and no more: lists by change with cursors, clears with notes, triggers under
our id, pauses, states set by hand, notes, logs, roles. What it does was measured on 3.3.2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx

from tests.fakes.airflow_actions import FakeActs, Row, recorded, stamp

START = datetime(2026, 11, 20, 4, tzinfo=UTC)
SINCE = {"start_date": "2025-11-01T00:00:00Z"}
"""The first day of each DAG: a run by hand is started now, and no machine has a clock of before that day."""
FINISHED = ("success", "failed")
WAITING_AS = {"hang": "running", "ask": "awaiting_input", "slot": "scheduled"}


class FakeAirflow(FakeActs):
    """One Airflow. `dags` maps a DAG to its tasks in a chain; `outcome[(dag, task)]` "failed" makes a task fail, "hang"
    leaves it running, "ask" lets it wait for an answer to `question`, "slot" for a slot of a pool. A DAG of
    `by_the_clock` is due at each tick. `details_of[dag]` changes the details of a DAG; `written_by[(dag, run)]` are
    the runs that wrote its assets. `forbidden` and `lose_answer_of` are patterns of paths: of changes that are refused,
    of one whose answer is lost."""

    def __init__(self, **dags: tuple[str, ...]) -> None:
        self.now = START
        self.dags = dags
        self.outcome: dict[tuple[str, str], str] = {}
        self.runs: list[Row] = []
        self.instances: list[Row] = []
        self.history: list[Row] = []
        """Tries of tasks before the present ones."""
        self.requests: list[tuple[str, str]] = []
        self.role = "admin"
        self.tokens: set[str] = set()
        self.versions = dict.fromkeys(dags, 1)
        self.refuse_note = False
        self.lose_answer_of: str = ""
        self.forbidden: str = ""
        self.paused: set[str] = set()
        self.by_the_clock: set[str] = set()
        self.details_of: dict[str, Row] = {}
        self.import_errors: list[Row] = []
        self.stale: set[str] = set()
        """DAGs that are no longer parsed; they are listed on demand only, and have no details (as in Airflow 2)."""
        self.pools: list[Row] = []
        self.pool_of: dict[str, str] = {}
        """DAG -> the pool of its tasks, where it is not the default one."""
        self.question: Row = {"subject": "Release the numbers?", "options": ["Approve", "Reject"], "params": {}}
        self.written_by: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self.timetables: dict[str, str] = dict.fromkeys(dags, "0 0 * * *")
        self.backfills: list[Row] = []
        self.long_log = 0
        """Bytes of each log, where they are more than one page shows."""
        self._made = 0
        self.page_limit = 100
        """[api] maximum_page_limit: longer pages are cut to it without a word."""

    # -- its life ---------------------------------------------------------------------------------------------------
    def tick(self, seconds: float = 1.0) -> None:
        """Time goes on; each queued run of a DAG that is not paused is run to its end."""
        self.now += timedelta(seconds=seconds)
        for dag in self.by_the_clock - self.paused:
            self.start(dag)
        for run in self.runs:
            if run["state"] in ("queued", "running") and run["dag_id"] not in self.paused:
                self._finish(run)

    def start(self, dag: str, run_id: str = "", **more: Any) -> str:
        """Queues a run with all its tasks; its id."""
        at = stamp(self.now)
        run_id = run_id or f"scheduled__{self.now.isoformat()}"
        template = deepcopy(recorded("dagRuns_updated_since")["dag_runs"][0])
        mine = {"dag_id": dag, "dag_run_id": run_id, "queued_at": at, "state": "queued", "run_after": at}
        times = {"logical_date": at, "data_interval_start": at, "data_interval_end": at}
        empty = {"start_date": None, "end_date": None, "duration": None, "note": None}
        self.runs.append({**template, **mine, **times, **empty, **more, "_updated": self.now})
        for task in self.dags[dag]:
            self._instance(dag, run_id, task)
        return run_id

    def run(self, dag: str, run_id: str) -> Row | None:
        return next((row for row in self.runs if (row["dag_id"], row["dag_run_id"]) == (dag, run_id)), None)

    def tasks_of(self, dag: str, run_id: str) -> list[Row]:
        return [row for row in self.instances if (row["dag_id"], row["dag_run_id"]) == (dag, run_id)]

    def _uuid(self) -> str:
        self._made += 1
        digits = f"{int(self.now.timestamp() * 1000):012x}7{self._made:03x}8{0:015x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _instance(self, dag: str, run_id: str, task: str) -> None:
        template = deepcopy(recorded("taskInstances_updated_since")["task_instances"][0])
        mine = {"id": self._uuid(), "dag_id": dag, "dag_run_id": run_id, "task_id": task, "state": None}
        empty = {"try_number": 0, "start_date": None, "end_date": None, "run_after": stamp(self.now), "note": None}
        self.instances.append({**template, **mine, **empty, "_updated": self.now})

    def _finish(self, run: Row) -> None:
        began, blocked = self.now - timedelta(seconds=0.5), False
        for row in self.tasks_of(run["dag_id"], run["dag_run_id"]):
            if row["state"] in WAITING_AS.values():
                return
            if row["state"] is not None:
                blocked = blocked or row["state"] != "success"
                continue
            state = "upstream_failed" if blocked else self.outcome.get((row["dag_id"], row["task_id"]), "success")
            if state in WAITING_AS:
                native = WAITING_AS[state]
                row |= {"state": native, "try_number": 1, "start_date": stamp(began), "_updated": self.now}
                run |= {"state": "running", "start_date": stamp(began), "_updated": self.now}
                return
            tried = row["try_number"] + (state != "upstream_failed")
            row |= {"state": state, "try_number": tried, "start_date": stamp(began), "end_date": stamp(self.now)}
            row["_updated"] = self.now
            blocked = blocked or state != "success"
        run |= {"state": "failed" if blocked else "success", "start_date": stamp(began), "end_date": stamp(self.now)}
        run["_updated"] = self.now

    # -- its endpoint -----------------------------------------------------------------------------------------------
    @property
    def transport(self) -> httpx.MockTransport:
        """What a connector is opened with."""
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """One answer. Raises httpx.ReadError after the work was done, for the call named by `lose_answer_of`."""
        path = request.url.raw_path.decode().partition("?")[0]
        self.requests.append((request.method, path))
        if self.long_log and "/logs/" in path:
            return self._long_log(request)
        status, body = self._answer(request, path)
        if self.lose_answer_of and re.search(self.lose_answer_of, path) and request.method in ("POST", "PATCH", "PUT"):
            self.lose_answer_of = ""
            raise httpx.ReadError("connection reset")
        headers = {"date": format_datetime(self.now.replace(microsecond=0), usegmt=True)}
        return httpx.Response(status, json=_shown(body), headers=headers)

    def _long_log(self, request: httpx.Request) -> httpx.Response:
        """All of it at once, as a real server does with the log of a task that has ended."""
        event = b'{"timestamp": "2026-11-20T04:00:01Z", "level": "info", "event": "%s"}' % (b"x" * 900)
        many = self.long_log // 900
        if "ndjson" in request.headers["accept"]:
            return httpx.Response(200, content=(event + b"\n") * many + b'{"event": "the last line"}\n')
        if "plain" in request.headers["accept"]:
            return httpx.Response(200, content=b"%s\n" % (b"x" * 900) * many + b"the last line\n")
        return httpx.Response(200, content=b'{"content": [%s{}]}' % ((event + b", ") * many))

    def _answer(self, request: httpx.Request, path: str) -> tuple[int, Any]:
        body = json.loads(request.content) if request.content else {}
        if path == "/auth/token":
            return self._login(body)
        path = path.removeprefix("/api/v2")
        if path in ("/version", "/monitor/health"):
            return 200, recorded("version" if path == "/version" else "health")
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 401, recorded("err_expired_token")
        if self.forbidden and re.search(self.forbidden, path) and request.method != "GET":
            return 403, {"detail": "Forbidden"}
        query = {name: values[-1] for name, values in parse_qs(request.url.query.decode(), True).items()}
        for method, pattern, answer in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                return answer(self, [unquote(part) for part in match.groups()], query, body)
        return 404, {"detail": f"no route {path}"}

    def _login(self, body: Row) -> tuple[int, Any]:
        if body.get("password") != "right":
            return 401, recorded("auth_bad_password")
        token = f"token-{len(self.tokens)}"
        self.tokens.add(token)
        return 201, {"access_token": token}

    # -- what is there ----------------------------------------------------------------------------------------------
    def list_dags(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        template = recorded("dags")["dags"][1]
        rows = [
            {**template, "dag_id": dag, "dag_display_name": dag, "is_paused": dag in self.paused}
            | {"timetable_summary": self.timetables.get(dag, "0 0 * * *")}
            | {"is_stale": dag in self.stale}
            for dag in sorted(self.dags)
            if (query.get("paused") != "true" or dag in self.paused)
            and (dag not in self.stale or query.get("exclude_stale") == "false")
        ]
        return 200, self._page("dags", rows, query)

    def details(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        if parts[0] not in self.dags or parts[0] in self.stale:
            return 404, {"detail": f"The Dag with ID: `{parts[0]}` was not found"}
        results = {**recorded("dagDetails"), **SINCE, "dag_id": parts[0]}
        results |= {"timetable_summary": self.timetables.get(parts[0])}
        results |= {"timetable_periodic": True, "asset_expression": None}
        results |= {
            name: recorded("dags")["dags"][1][name] for name in recorded("dags")["dags"][1] if "interval" in name
        }
        results |= {"is_paused": parts[0] in self.paused, **self.details_of.get(parts[0], {})}
        return 200, {**results, "latest_dag_version": {"version_number": self.versions[parts[0]]}}

    def list_tasks(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        chain, template = self.dags[parts[0]], recorded("tasks")["tasks"][0]
        below = [*([name] for name in chain[1:]), []]
        rows = [
            {
                **template,
                "task_id": task,
                "downstream_task_ids": ids,
                "pool": self.pool_of.get(parts[0], "default_pool"),
            }
            for task, ids in zip(chain, below, strict=True)
        ]
        return 200, {"tasks": rows, "total_entries": len(rows)}

    def list_versions(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        rows = [{"dag_id": dag, "version_number": number} for dag, number in self.versions.items()]
        return 200, {"dag_versions": rows, "total_entries": len(rows)}

    def _page(self, name: str, rows: list[Row], query: Row) -> Row:
        first, limit = int(query.get("offset", 0)), min(self.page_limit, int(query.get("limit", 50)))
        return {name: rows[first : first + limit], "total_entries": len(rows)}

    def changed(self, name: str, rows: list[Row], query: Row) -> tuple[int, Any]:
        since = datetime.fromisoformat(query.get("updated_at_gte", "1970-01-01T00:00:00Z"))
        until = datetime.fromisoformat(query.get("updated_at_lte", "9999-01-01T00:00:00Z"))
        results = sorted((row for row in rows if since <= row["_updated"] <= until), key=lambda row: row["_updated"])
        if not (query.get("cursor") or "0").isdigit():
            return 400, recorded("dagRuns_bad_cursor")
        first, limit = int(query.get("cursor") or 0), min(self.page_limit, int(query.get("limit", 50)))
        following = str(first + limit) if first + limit < len(results) else None
        return 200, {name: results[first : first + limit], "total_entries": len(results), "next_cursor": following}

    # -- what ran ---------------------------------------------------------------------------------------------------
    def list_runs(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        since = datetime.fromisoformat(query.get("updated_at_gte", "1970-01-01T00:00:00Z"))
        if parts[0] == "~" and query.keys() & {"logical_date_gte", "logical_date_lte"}:
            rows = [row for row in self.runs if row["_updated"] >= since and is_dated(row, query)]
            return 200, self._page("dag_runs", rows, query)
        if parts[0] == "~" and "run_type" in query:
            rows = [row for row in self.runs if row["run_type"] == query["run_type"] and row["state"] not in FINISHED]
            return 200, self._page("dag_runs", rows, query)
        if parts[0] == "~":
            return self.changed("dag_runs", self.runs, query)
        rows = [row for row in self.runs if row["dag_id"] == parts[0] and row["_updated"] >= since]
        if "logical_date_gte" in query:
            rows = [row for row in rows if str(row["logical_date"])[:19] == query["logical_date_gte"][:19]]
        elif "state" in query:
            rows = [row for row in rows if row["state"] in ("running", "queued")]
        if query.get("order_by") == "-id":
            rows.reverse()
        return 200, self._page("dag_runs", rows, query)

    def list_instances(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        if parts[0] == "~":
            return self.changed("task_instances", self.instances, query)
        return 200, self._page("task_instances", self.tasks_of(*parts), query)

    def list_tries(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        named = [row for row in (*self.history, *self.tasks_of(*parts[:2])) if self._names_of(row) == parts]
        return 200, {"task_instances": [{**row, "id": None} for row in named], "total_entries": len(named)}

    def _names_of(self, row: Row) -> list[str]:
        return [row["dag_id"], row["dag_run_id"], row["task_id"]]

    def retry(self, row: Row, state: str = "failed") -> None:
        """A try of this instance begins and ends; the next one is waited for."""
        began, self.now = self.now, self.now + timedelta(seconds=2)
        times = {"start_date": stamp(began), "end_date": stamp(self.now)}
        self.history.append({**row, **times, "state": state, "try_number": row["try_number"] + 1})
        row |= {"id": self._uuid(), "state": "up_for_retry", "try_number": row["try_number"] + 1, "_updated": self.now}

    def named_instances(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        fields = (("dag_ids", "dag_id"), ("dag_run_ids", "dag_run_id"), ("task_ids", "task_id"), ("state", "state"))
        rows = [
            row for row in self.instances if all(row[field] in body.get(name, [row[field]]) for name, field in fields)
        ]
        page = {"offset": body.get("page_offset", 0), "limit": body.get("page_limit", 50)}
        return 200, self._page("task_instances", rows, page)

    def upstream_events(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        template = recorded("upstreamAssetEvents")["asset_events"][0]
        wrote = self.written_by.get((parts[0], parts[1]), [])
        return 200, {"asset_events": [{**template, "source_dag_id": dag, "source_run_id": run} for dag, run in wrote]}

    def open_runs(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        of, ended = body.get("dag_ids") or list(self.dags), body.get("end_date_gte", "")[:19]
        rows = [row for row in self.runs if row["dag_id"] in of and row["state"] in body["states"]]
        rows = [row for row in rows if not ended or str(row["end_date"])[:19] >= ended]
        return 200, self._page("dag_runs", rows, {"offset": body["page_offset"], "limit": body["page_limit"]})

    def one_run(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        run = self.run(*parts)
        return (200, run) if run else (404, recorded("dagRun_404"))

    def log(self, parts: list[str], query: Row, body: Row) -> tuple[int, Any]:
        row = next((row for row in self.tasks_of(*parts[:2]) if row["task_id"] == parts[2]), None)
        if row is None or int(parts[3]) > row["try_number"]:
            return 404, recorded("log_missing_try")
        return 200, recorded("log_upstream_failed_try0" if parts[3] == "0" else "log_failed_try")


def is_dated(row: Row, query: Row) -> bool:
    """Whether the logical date of a run is in the span that is requested; one without a date is in none."""
    at = str(row["logical_date"] or "")[:19]
    return bool(at) and query.get("logical_date_gte", "")[:19] <= at <= query.get("logical_date_lte", "9999")[:19]


def _shown(body: Any) -> Any:
    """Without our own columns."""
    if isinstance(body, dict):
        return {name: _shown(value) for name, value in body.items() if name not in ("_updated", "_answer")}
    return [_shown(item) for item in body] if isinstance(body, list) else body


Answer = Callable[[FakeAirflow, list[str], Row, Row], tuple[int, Any]]

PART = "([^/]+)"
ROUTES: tuple[tuple[str, str, Answer], ...] = (
    ("GET", "/dags", FakeAirflow.list_dags),
    ("GET", "/dags/~/dagVersions", FakeAirflow.list_versions),
    ("GET", f"/dags/{PART}/details", FakeAirflow.details),
    ("GET", f"/dags/{PART}/tasks", FakeAirflow.list_tasks),
    ("GET", "/pools", lambda fake, *_: (200 if fake.pools else 403, {"pools": fake.pools})),
    ("GET", "/assets", lambda fake, *_: (200, {"assets": [], "total_entries": 0})),
    ("GET", "/importErrors", lambda fake, *_: (200, {"import_errors": fake.import_errors, "total_entries": 0})),
    ("GET", f"/dags/{PART}/dagRuns/{PART}/upstreamAssetEvents", FakeAirflow.upstream_events),
    ("GET", f"/dags/{PART}/dagRuns", FakeAirflow.list_runs),
    ("GET", f"/dags/{PART}/dagRuns/{PART}", FakeAirflow.one_run),
    ("GET", f"/dags/{PART}/dagRuns/{PART}/taskInstances", FakeAirflow.list_instances),
    ("POST", "/dags/~/dagRuns/list", FakeAirflow.open_runs),
    ("POST", "/dags/~/dagRuns/~/taskInstances/list", FakeAirflow.named_instances),
    ("GET", f"/dags/{PART}/dagRuns/{PART}/taskInstances/{PART}/logs/{PART}", FakeAirflow.log),
    ("GET", f"/dags/{PART}/dagRuns/{PART}/taskInstances/{PART}/tries", FakeAirflow.list_tries),
    ("GET", "/dags/~/dagRuns/~/hitlDetails", FakeAirflow.list_questions),
    ("GET", f"/dags/{PART}/dagRuns/{PART}/taskInstances/{PART}/{PART}/hitlDetails", FakeAirflow.one_question),
    ("PATCH", f"/dags/{PART}/dagRuns/{PART}/taskInstances/{PART}/{PART}/hitlDetails", FakeAirflow.answer_question),
    ("POST", f"/dags/{PART}/dagRuns/{PART}/clear", FakeAirflow.clear_run),
    ("POST", f"/dags/{PART}/clearTaskInstances", FakeAirflow.clear_tasks),
    ("POST", f"/dags/{PART}/dagRuns", FakeAirflow.trigger),
    ("PATCH", f"/dags/{PART}/dagRuns/{PART}", FakeAirflow.patch_run),
    ("PATCH", f"/dags/{PART}", FakeAirflow.patch_dag),
    ("PATCH", f"/dags/{PART}/dagRuns/{PART}/taskInstances/{PART}/dry_run", FakeAirflow.mark_task_dry),
    ("PATCH", f"/dags/{PART}/dagRuns/{PART}/taskInstances/{PART}", FakeAirflow.mark_task),
    ("POST", "/backfills/dry_run", FakeAirflow.backfill_dry_run),
    ("POST", "/backfills", FakeAirflow.backfill),
    ("GET", "/backfills", FakeAirflow.list_backfills),
    ("GET", f"/backfills/{PART}", FakeAirflow.one_backfill),
    ("PUT", f"/backfills/{PART}/(pause|unpause|cancel)", FakeAirflow.change_backfill),
)
