"""Client of Airflow 2's REST API (v1) with the methods of `AirflowClient`. Facts measured on 2.11.

Requests are translated to v1 paths and bodies, replies to the rows of v2, so that the rest of the connector knows one
API. v1 rejects unknown parameters (400), does not order task instances, and clears without a note. Its lists filter by
change but cannot be ordered by it, so a window of time is halved until it fits a page. The identity of a run's attempt
is its `start_date`, which a clear removes and the next start sets; that of a task is its try number. A row that cannot
be translated is passed on unchanged, and the parser reports it.
"""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import unquote

from connectors.airflow.changes import rows_by_offset
from connectors.airflow.client import (
    ALL_RUNS_PATH,
    ALL_TASKS_PATH,
    EPOCH,
    PAGE_LIMIT,
    AirflowClient,
    dag_path,
    format_filter_instant,
    run_path,
    task_path,
)
from connectors.sdk import fields
from connectors.sdk.errors import ConnectorError, RecordUnreadable, SystemUnreachable
from connectors.sdk.fields import Row
from connectors.sdk.send_outcome import accepted, send_each, sent_response
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, HttpReply

FILTER_NAMES = {"logical_date_gte": "execution_date_gte", "logical_date_lte": "execution_date_lte"}
ORDER_NAMES = {"-run_after": "-execution_date"}
MAX_PAGES = 50
MAX_NOTED_TASKS = 20
MAX_GATHERED_PAGES = 4
"""Pages of one window that are read one after the other."""
INSTANCE_KEY = ("dag_id", "dag_run_id", "task_id", "map_index")
RowTranslation = Callable[[Row], Row]


@dataclass(frozen=True, slots=True)
class TranslatedReply(HttpReply):
    payload: Row = field(default_factory=dict)

    def json(self, no_number: Callable[[str], Any] = str) -> Any:
        del no_number
        return self.payload


class AirflowClientV2(AirflowClient):
    base = "/api/v1"
    major = 2
    log_as = "text/plain"

    def __init__(self, endpoint: HttpEndpoint, account: HttpAccount) -> None:
        super().__init__(endpoint, account)
        self._is_subdag: dict[str, bool] = {}

    def health(self) -> HttpReply:
        return self._get_public("/health", accept={500, 503})

    def dags(self, offset: int, **where: str) -> HttpReply:
        return _translated_list(super().dags(offset, **where), "dags", translate_dag)

    def dropped_dags(self, offset: int) -> HttpReply:
        """All DAGs, dropped or not."""
        return self.dags(offset, only_active="false")

    def dag(self, dag: str) -> HttpReply:
        reply = super().dag(dag)
        return _translated_reply(reply, translate_dag(reply.table())) if reply.status == 200 else reply

    def is_subdag(self, dag: str) -> bool:
        """Read once for each id with a dot: lists of runs and tasks do not show it, and /dags leaves subdags out."""
        if "." in dag and dag not in self._is_subdag:
            self._is_subdag[dag] = self._get(dag_path(dag), accept={403, 404}).table().get("is_subdag") is True
        return self._is_subdag.get(dag, False)

    def versions(self) -> HttpReply:
        return _local_reply(404, {"detail": "Airflow 2 keeps no versions of DAGs"})

    def assets(self, offset: int) -> HttpReply:
        reply = self._get("/datasets", {"limit": PAGE_LIMIT, "offset": offset, "order_by": "id"}, accept={403})

        def as_asset(row: Row) -> Row:
            return {**row, "name": row.get("uri"), "scheduled_dags": row.get("consuming_dags")}

        return _translated_list(reply, "datasets", as_asset, "assets")

    # runs

    def changed(self, path: str, since: datetime, page: str, until: datetime | None = None) -> HttpReply:
        """A page of changes (`until` is ignored): all of a time window, since task instances have no order, and
        consecutive pages would miss rows that move between them (PostgreSQL moves each row that it changes)."""
        name, translate = ("dag_runs", translate_run) if path == ALL_RUNS_PATH else ("task_instances", translate_task)
        if since <= EPOCH and path == ALL_RUNS_PATH:
            first = {"order_by": "id", "limit": PAGE_LIMIT, "offset": page.removeprefix("offset:") or 0}
            return _translated_list(self._get(path, first, accept={400} if page else ()), name, translate)
        window = ChangeWindow.of(page, since)
        while True:
            reply = self._window(path, window, window.offset)
            table = reply.table()
            rows = fields.rows(table.get(name))
            total = fields.number(table, "total_entries", 0)
            now = reply.clock.target if reply.clock else datetime.now(UTC)
            if window.is_smallest and not rows and total > window.offset:
                raise SystemUnreachable(f"{reply.place} counts {total} rows and lists none of them")
            rest = [] if len(rows) >= total or window.offset else self._rest(path, name, window, table)
            if rest:
                return _translated_reply(
                    reply, {name: [translate(row) for row in rest], "next_cursor": window.after(1, 1, now)}
                )
            if len(rows) >= total or window.is_smallest:
                following = window.after(len(rows), total, now)
                return _translated_reply(reply, {**translate_list(table, name, translate), "next_cursor": following})
            window = window.narrowed(total, now)

    def _window(self, path: str, window: ChangeWindow, offset: int) -> HttpReply:
        order = {"order_by": "id" if window.offset else "updated_at"} if path == ALL_RUNS_PATH else {}
        return self._get(path, {**window.filters, "limit": PAGE_LIMIT, "offset": offset, **order})

    def _rest(self, path: str, name: str, window: ChangeWindow, first: Row) -> list[Row]:
        """All rows of a window of a few pages (many tasks are set in one statement, so at one moment); none if rows
        moved between the pages, so that they do not add up to the last one's total."""
        read: dict[tuple[Any, ...], Row] = {}
        table, count = first, 0
        for _ in range(MAX_GATHERED_PAGES):
            rows = fields.rows(table.get(name))
            count += len(rows)
            read |= {tuple(row.get(part) for part in INSTANCE_KEY): row for row in fields.tables(rows)}
            total = fields.number(table, "total_entries", 0)
            if not rows or count >= total or total > MAX_GATHERED_PAGES * PAGE_LIMIT:
                break
            table = self._window(path, window, count).table()
        return list(read.values()) if len(read) >= fields.number(table, "total_entries", 0) else []

    def run(self, dag: str, run: str) -> HttpReply:
        reply = super().run(dag, run)
        return _translated_reply(reply, translate_run(reply.table())) if reply.status == 200 else reply

    def runs_of(self, dag: str, filters: Mapping[str, Any]) -> HttpReply:
        query = {FILTER_NAMES.get(name, name): value for name, value in filters.items()}
        query["order_by"] = ORDER_NAMES.get(str(query.get("order_by")), query.get("order_by", "id"))
        return _translated_list(super().runs_of(dag, query), "dag_runs", translate_run)

    def upstream_events(self, dag: str, run: str) -> HttpReply:
        reply = self._get(f"{run_path(dag, run)}/upstreamDatasetEvents", accept={403, 404})
        return _translated_list(reply, "dataset_events", dict, "asset_events")

    def _listed_runs(self, query: Mapping[str, Any], offset: int) -> HttpReply:
        return _translated_list(super()._listed_runs(query, offset), "dag_runs", translate_run)

    def task_instances(self, dag: str, run: str, offset: int) -> HttpReply:
        reply = self._get(f"{run_path(dag, run)}/taskInstances", {"limit": PAGE_LIMIT, "offset": offset}, accept={404})
        return _translated_list(reply, "task_instances", translate_task)

    def some_task_instances(self, body: Mapping[str, Any], offset: int) -> HttpReply:
        query = {**body, "page_limit": PAGE_LIMIT, "page_offset": offset}
        return _translated_list(
            self._send("POST", f"{ALL_TASKS_PATH}/list", query, once=False), "task_instances", translate_task
        )

    def log(self, dag: str, run: str, task: str, map_index: int, try_number: int, token: str | None) -> HttpReply:
        reply = super().log(dag, run, task, map_index, try_number, token)
        if reply.status != 200:
            return reply
        page = translate_log_page(reply.table())
        if page["missing"] and not token:
            return _local_reply(404, {"detail": page["missing"]})
        return _translated_reply(reply, page)

    # writes

    def calls(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(
            text for call in calls_v2(method, path, body) for text in super(AirflowClientV2, self).calls(*call)
        )

    def preview_clear_run(self, dag: str, run: str, body: Mapping[str, Any]) -> HttpReply:
        return self.preview_clear_tasks(dag, {**body, "dag_run_id": run})

    def preview_clear_tasks(self, dag: str, body: Mapping[str, Any]) -> HttpReply:
        """Its reply names tasks only: the instances are read, to distinguish mapped ones."""
        sent, run = clear_body(body, dry_run=True), str(body["dag_run_id"])
        path = f"{dag_path(dag)}/clearTaskInstances"
        reply = self._send("POST", path, sent, accept={400, 404, 409}, once=False)
        if reply.status != 200:
            return reply
        names = {row.get("task_id") for row in fields.tables(reply.table().get("task_instances"))}
        rows = [row for row in self._all_of(dag, run) if row.get("task_id") in names]
        if sent.get("only_failed"):
            rows = [row for row in rows if row.get("state") in ("failed", "upstream_failed")]
        return _translated_reply(reply, {"task_instances": rows})

    def _all_of(self, dag: str, run: str) -> list[Row]:
        fetch = partial(self.task_instances, dag, run)
        return fields.tables(rows_by_offset(fetch, "task_instances", MAX_PAGES, missing=(404,)).rows)

    def clear_run(self, dag: str, run: str, body: Mapping[str, Any]) -> HttpReply:
        """Accepts no note, and reports that like Airflow 3.1. The reply has the run's expected state."""
        if "note" in body:
            return _local_reply(422, {"detail": "note: Airflow 2 does not accept one with a clear"})
        reply = self.clear_tasks(dag, {**body, "dag_run_id": run})
        if reply.status != 200:
            return reply
        cleared = fields.rows(sent_response(reply).get("task_instances"))
        return _translated_reply(reply, {"queued_at": ""}) if cleared else self.run(dag, run)

    def clear_tasks(self, dag: str, body: Mapping[str, Any]) -> HttpReply:
        """The note goes to the named tasks, after the clear: information for people, no proof."""
        reply = self._send("POST", f"{dag_path(dag)}/clearTaskInstances", clear_body(body), accept={400, 404, 409})
        run, note = str(body["dag_run_id"]), body.get("note")
        if reply.status == 200 and isinstance(note, str):
            for task in body.get("task_ids", ())[:MAX_NOTED_TASKS]:
                self._note_task(dag, run, task, -1, note)
        return reply

    def trigger(self, dag: str, body: Mapping[str, Any]) -> HttpReply:
        reply = super().trigger(dag, trigger_body(body))
        return _translated_reply(reply, translate_run(sent_response(reply))) if reply.status == 200 else reply

    def patch_run(self, dag: str, run: str, body: Mapping[str, Any]) -> HttpReply:
        """The state, then the note: a note without its state would be wrong."""
        reply = super().patch_run(dag, run, {"state": body["state"]})
        if reply.status == 200 and "note" in body:
            with suppress(ConnectorError):
                self.set_note(dag, run, body["note"])
        return reply

    def set_note(self, dag: str, run: str, note: str) -> HttpReply:
        return self._send("PATCH", f"{run_path(dag, run)}/setNote", {"note": note}, accept={404}, once=False)

    def preview_mark_task(self, dag: str, run: str, task: str, body: Mapping[str, Any]) -> HttpReply:
        """Its own dry run ignores the state: instances that have it already are left out here."""
        rows = [row for row in self._all_of(dag, run) if row.get("task_id") == task]
        return _local_reply(200, {"task_instances": [row for row in rows if row.get("state") != body["new_state"]]})

    def mark_task(self, dag: str, run: str, task: str, body: Mapping[str, Any]) -> HttpReply:
        """One call for each mapped instance, then the notes. Raises OutcomeUnknown where some were set and one not."""
        sent = {"dry_run": False, "new_state": body["new_state"]}
        rows = fields.rows(self.preview_mark_task(dag, run, task, body).table().get("task_instances"))
        indexes = [row.get("map_index", -1) for row in rows]
        if not indexes:
            return _local_reply(409, {"detail": f"{task} is {body['new_state']} already"})

        def mark(index: int) -> None:
            accepted(self._send("PATCH", _instance_path(dag, run, task, index), sent, accept={400, 404, 409}))

        send_each((f"instance {index} was set", partial(mark, index)) for index in indexes)
        for index in indexes[:MAX_NOTED_TASKS]:
            self._note_task(dag, run, task, index, str(body["note"]))
        return _local_reply(200, {})

    def _note_task(self, dag: str, run: str, task: str, index: int, note: str) -> None:
        with suppress(ConnectorError):
            path = f"{_instance_path(dag, run, task, index)}/setNote"
            self._send("PATCH", path, {"note": note}, accept={404}, once=False)


def _instance_path(dag: str, run: str, task: str, index: int) -> str:
    return task_path(dag, run, task) + (f"/{index}" if index >= 0 else "")


def _translated_list(reply: HttpReply, name: str, translate: RowTranslation, list_name: str = "") -> HttpReply:
    if reply.status != 200:
        return reply
    return _translated_reply(reply, translate_list(reply.table(), name, translate, list_name))


def _translated_reply(reply: HttpReply, payload: Row) -> HttpReply:
    return TranslatedReply(
        reply.source, reply.call, reply.status, reply.headers, reply.body, reply.clock, payload=payload
    )


def _local_reply(status: int, payload: Row) -> HttpReply:
    return TranslatedReply("Airflow", "nothing", status, {}, json.dumps(payload).encode(), None, payload=payload)


MIN_WINDOW = timedelta(milliseconds=2)
RESOLUTION = timedelta(microseconds=1)
"""Airflow's finest resolution: two windows share no row."""
WIDEN_FACTOR = 2
"""How much wider the window after one that fitted may be."""
WINDOW_PAGE = 100


@dataclass(frozen=True, slots=True)
class ChangeWindow:
    """Changes from `since` to `until` (both counted in; None: open), from the row of number `offset` on."""

    since: datetime
    until: datetime | None = None
    offset: int = 0

    @classmethod
    def of(cls, page: str, since: datetime) -> ChangeWindow:
        """From the text of a page; any other text is the first page."""
        try:
            row = fields.parse_table(page) if page else {}
            begins = fields.instant(row, "since") or since
            return cls(begins, fields.instant(row, "until"), fields.number(row, "offset", 0))
        except RecordUnreadable:
            return cls(since)

    @property
    def filters(self) -> dict[str, str]:
        until = {"updated_at_lte": format_filter_instant(self.until)} if self.until else {}
        return {"updated_at_gte": format_filter_instant(self.since), **until}

    @property
    def page(self) -> str:
        until = self.until.isoformat() if self.until else None
        return json.dumps({"since": self.since.isoformat(), "until": until, "offset": self.offset})

    @property
    def is_smallest(self) -> bool:
        return self.offset > 0 or (self.until is not None and self.until - self.since <= MIN_WINDOW)

    def narrowed(self, total: int, now: datetime) -> ChangeWindow:
        """The part of the window that fits a page if its `total` rows are spread evenly; at most its first half."""
        width = (self.until or max(now, self.since + MIN_WINDOW)) - self.since
        part = min(0.5, WINDOW_PAGE / 2 / max(1, total))
        return replace(self, until=self.since + max(MIN_WINDOW, width * part))

    def after(self, rows: int, total: int, now: datetime) -> str | None:
        """The page that follows this one of `rows` rows; None at the end."""
        if self.until is None:
            return None
        if rows and self.offset + rows < total:
            return replace(self, offset=self.offset + rows).page
        width = (self.until - self.since) * (WIDEN_FACTOR if rows < WINDOW_PAGE // 2 else 1)
        begins = self.until + RESOLUTION
        ends = begins + max(width, MIN_WINDOW)
        return ChangeWindow(begins, None if ends >= now else ends).page


NativeCall = tuple[str, str, Mapping[str, Any]]
"""Method, path below the API's base, body."""
CLEAR_FIELDS = ("dag_run_id", "task_ids", "include_downstream", "only_failed")


def clear_body(body: Mapping[str, Any], run: str = "", dry_run: bool = False) -> dict[str, Any]:
    """The body that clears tasks. Without `reset_dag_runs` the tasks would be cleared and the run stay as it ended."""
    copied = {name: body[name] for name in CLEAR_FIELDS if name in body}
    whole = {"dag_run_id": run} if run else {}
    return {"dry_run": dry_run, **whole, **copied, "reset_dag_runs": True}


def trigger_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a start; it is due at once, at its logical date."""
    return {name: value for name, value in body.items() if value is not None and name != "run_after"}


def calls_v2(method: str, path: str, body: Mapping[str, Any]) -> list[NativeCall]:
    """The calls of Airflow 2 that do what this one does to Airflow 3, in the order in which they are sent."""
    parts, rest = path.split("/"), {name: value for name, value in body.items() if name != "note"}
    note = [("PATCH", f"{path.removesuffix('/clear')}/setNote", {"note": body["note"]})] if "note" in body else []
    if parts[-1] == "clear":
        clear = clear_body(rest, unquote(parts[4]))
        return [*note, ("POST", f"/dags/{parts[2]}/clearTaskInstances", clear)]
    if parts[-1] == "clearTaskInstances":
        return [(method, path, clear_body(rest))]
    if method == "POST" and parts[-1] == "dagRuns":
        return [(method, path, trigger_body(body))]
    if "dagRuns" in parts and method == "PATCH":
        state = {**({"dry_run": False} if "taskInstances" in parts else {}), **rest}
        return [*([(method, path, state)] if rest else []), *note]
    return [(method, path, body)]


CRON_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
RUN_TYPES = {"dataset_triggered": "asset_triggered"}
ENDED_STATES = ("success", "failed")
STARTED_STATES = ("queued", "running", "success", "failed", "skipped", "deferred", "up_for_reschedule", "restarting")


def translate_list(table: Mapping[str, Any], name: str, translate: Callable[[Row], Row], list_name: str = "") -> Row:
    """A reply with its list `name` translated row by row, under the name that Airflow 3 has for it."""
    items = table.get(name)
    if not isinstance(items, list):
        return dict(table)
    return {**table, list_name or name: [translate(row) if isinstance(row, dict) else row for row in items]}


def translate_dag(row: Row) -> Row:
    """One DAG of the list, or its details."""
    return {
        **row,
        "timetable_summary": _schedule_summary(row.get("schedule_interval")),
        "next_dagrun_run_after": row.get("next_dagrun_create_after"),
        "next_dagrun_logical_date": row.get("next_dagrun"),
        "relative_fileloc": row.get("fileloc"),
        "asset_expression": row.get("dataset_expression"),
        "is_stale": row.get("is_active") is False,
    }


def _schedule_summary(schedule: Any) -> Any:
    if not isinstance(schedule, dict):
        return None
    value = schedule.get("value")
    if isinstance(value, str):
        return CRON_PRESETS.get(value, value)
    try:
        return str(timedelta(**{name: schedule[name] for name in ("days", "seconds", "microseconds")}))
    except (KeyError, TypeError, OverflowError):
        return None


def translate_run(row: Row) -> Row:
    """One DAG run. `queued_at` holds the mark of its attempt: its start; "" before, "-END" where it never started."""
    kind, logical = row.get("run_type"), row.get("logical_date")
    by_clock = kind in ("scheduled", "backfill")
    started, ended = row.get("start_date"), row.get("end_date")
    unstarted = f"-{ended}" if row.get("state") in ENDED_STATES and isinstance(ended, str) else ""
    return {
        **row,
        "run_type": RUN_TYPES.get(str(kind), kind),
        "run_after": (row.get("data_interval_end") or logical) if by_clock else logical,
        "queued_at": started if isinstance(started, str) else unstarted,
        "no_queue_time": True,
    }


def translate_task(row: Row) -> Row:
    """One task instance: it has no id, so that its run and try identify it."""
    return {**row, "id": None, "scheduled_when": row.get("queued_when") if row.get("state") in STARTED_STATES else None}


def translate_log_page(table: Row) -> Row:
    """A page of a log in the format of Airflow 3: `content` is the repr of a list of (host, text), and the token itself
    shows whether more will come. `missing`: Airflow's message about a missing log."""
    text = "".join(_log_texts(table.get("content")))
    token = _token_payload(table.get("continuation_token"))
    ended = token.get("end_of_log") is True
    messages = [line.strip("* ") for line in text.splitlines() if line.startswith(("***", "Error"))]
    lines = [line.removeprefix(" INFO - ") if "- ::" in line[:10] else line for line in text.splitlines()]
    return {
        "content": [{"event": line} for line in lines if not line.endswith("::endgroup::")],
        "continuation_token": None if ended else table.get("continuation_token"),
        "missing": (messages or ["Airflow has no log of it"])[-1] if ended and not token.get("log_pos") else "",
    }


def _log_texts(content: Any) -> Iterator[str]:
    if not isinstance(content, str):
        return
    try:
        pairs = ast.literal_eval(content)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pairs = None
    if not isinstance(pairs, list):
        yield content
        return
    for pair in pairs:
        yield str(pair[1]) if isinstance(pair, tuple) and len(pair) == 2 else str(pair)


def _token_payload(token: Any) -> Row:
    """Payload of a signed token; empty if it cannot be read (it may be compressed)."""
    try:
        packed = str(token).partition(".")[0]
        payload = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}
