"""Airflow 2's REST API (v1) under the methods of `AirflowClient`; facts are of 2.11, measured.

It refuses parameters that it does not know (400), orders task instances by nothing, and clears without a note.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.airflow import bodies2, rows2
from connectors.airflow.client import (
    BEGINNING,
    PAGE_LIMIT,
    RUNS_OF_ALL,
    TASKS_OF_ALL,
    AirflowClient,
)
from connectors.airflow.paths import dag_path, run_path, task_path
from connectors.airflow.walk import page_at
from connectors.airflow.windows import Window
from connectors.contract import ConnectorError, OutcomeUnknown, SystemUnreachable
from connectors.sending import after_once
from connectors.transport.http import Reply

FILTERS = {"logical_date_gte": "execution_date_gte", "logical_date_lte": "execution_date_lte"}
ORDERS = {"-run_after": "-execution_date"}
RED = ("failed", "upstream_failed")
MOST_PAGES = 50
MOST_NOTED = 20
MOST_GATHERED = 4
"""Pages of one window that are read one after the other."""
KEY = ("dag_id", "dag_run_id", "task_id", "map_index")
Translate = Callable[[fields.Row], fields.Row]


@dataclass(frozen=True, slots=True)
class Told(Reply):
    """A reply in the words of Airflow 3."""

    words: fields.Row = field(default_factory=dict)

    def json(self) -> Any:
        return self.words


class Airflow2Client(AirflowClient):
    """All calls of one Airflow 2."""

    base = "/api/v1"
    major = 2
    log_as = "text/plain"

    def health(self) -> Reply:
        return self._told("/health", accept={500, 503})

    def dags(self, offset: int) -> Reply:
        return _listed(super().dags(offset), "dags", rows2.dag)

    def paused(self, offset: int) -> Reply:
        return _listed(super().paused(offset), "dags", rows2.dag)

    def dag(self, dag: str) -> Reply:
        reply = super().dag(dag)
        return _told(reply, rows2.dag(reply.table())) if reply.status == 200 else reply

    def versions(self) -> Reply:
        """It keeps no versions."""
        return _local(404, {"detail": "Airflow 2 keeps no versions of DAGs"})

    def assets(self, offset: int) -> Reply:
        reply = self._get("/datasets", {"limit": PAGE_LIMIT, "offset": offset, "order_by": "id"}, accept={403})
        return _listed(reply, "datasets", rows2.dataset, "assets")

    # what ran

    def changed(self, path: str, since: datetime, page: str, until: datetime | None = None) -> Reply:
        """A page of what changed, which ends by itself (`until` does not count): all of a window of time, since nothing
        orders task instances, and pages that are asked for one after the other would miss what moves between them
        (PostgreSQL moves each row that it changes)."""
        name, translate = ("dag_runs", rows2.run) if path == RUNS_OF_ALL else ("task_instances", rows2.task)
        if since <= BEGINNING and path == RUNS_OF_ALL:
            first = {"order_by": "id", "limit": PAGE_LIMIT, "offset": page.removeprefix("offset:") or 0}
            return _listed(self._get(path, first, accept={400} if page else ()), name, translate)
        window = Window.of(page, since)
        while True:
            reply = self._get(path, {**window.filters, "limit": PAGE_LIMIT, **_ordered(path, window)})
            table = reply.table()
            rows = fields.rows(table.get(name))
            total = fields.number(table, "total_entries", 0)
            now = reply.clock.target if reply.clock else datetime.now(UTC)
            if window.is_smallest and not rows and total > window.offset:
                raise SystemUnreachable(f"{reply.place} counts {total} rows and lists none of them")
            rest = [] if len(rows) >= total or window.offset else self._rest(path, name, window, table)
            if rest:
                return _told(reply, {name: [translate(row) for row in rest], "next_cursor": window.after(1, 1, now)})
            if len(rows) >= total or window.is_smallest:
                following = window.after(len(rows), total, now)
                return _told(reply, {**rows2.each(table, name, translate), "next_cursor": following})
            window = window.narrowed(total, now)

    def _rest(self, path: str, name: str, window: Window, first: fields.Row) -> list[fields.Row]:
        """All rows of a window of a few pages (many tasks are set in one statement, so at one moment); none where the
        pages do not add up to what the last one counts: something moved between them, and a smaller window tells."""
        read: dict[tuple[Any, ...], fields.Row] = {}
        table, taken = first, 0
        for _ in range(MOST_GATHERED):
            rows = fields.rows(table.get(name))
            taken += len(rows)
            read |= {tuple(row.get(part) for part in KEY): row for row in rows if isinstance(row, dict)}
            total = fields.number(table, "total_entries", 0)
            if not rows or taken >= total or total > MOST_GATHERED * PAGE_LIMIT:
                break
            asked = {**window.filters, "limit": PAGE_LIMIT, "offset": taken}
            table = self._get(path, {**asked, **_ordered(path, window)}).table()
        return list(read.values()) if len(read) >= fields.number(table, "total_entries", 0) else []

    def run(self, dag: str, run: str) -> Reply:
        reply = super().run(dag, run)
        return _told(reply, rows2.run(reply.table())) if reply.status == 200 else reply

    def runs_of(self, dag: str, filters: Mapping[str, Any]) -> Reply:
        asked = {FILTERS.get(name, name): value for name, value in filters.items()}
        asked["order_by"] = ORDERS.get(str(asked.get("order_by")), asked.get("order_by", "id"))
        return _listed(super().runs_of(dag, asked), "dag_runs", rows2.run)

    def upstream_events(self, dag: str, run: str) -> Reply:
        reply = self._get(f"{run_path(dag, run)}/upstreamDatasetEvents", accept={403, 404})
        return _listed(reply, "dataset_events", dict, "asset_events")

    def _listed_runs(self, wanted: Mapping[str, Any], offset: int) -> Reply:
        return _listed(super()._listed_runs(wanted, offset), "dag_runs", rows2.run)

    def task_instances(self, dag: str, run: str, offset: int) -> Reply:
        reply = self._get(f"{run_path(dag, run)}/taskInstances", {"limit": PAGE_LIMIT, "offset": offset}, accept={404})
        return _listed(reply, "task_instances", rows2.task)

    def some_task_instances(self, body: Mapping[str, Any], offset: int) -> Reply:
        asked = {**body, "page_limit": PAGE_LIMIT, "page_offset": offset}
        return _listed(self._send("POST", f"{TASKS_OF_ALL}/list", asked, once=False), "task_instances", rows2.task)

    def log(self, dag: str, run: str, task: str, map_index: int, try_number: int, token: str | None) -> Reply:
        reply = super().log(dag, run, task, map_index, try_number, token)
        if reply.status != 200:
            return reply
        page = rows2.log_page(reply.table())
        return _local(404, {"detail": page["missing"]}) if page["missing"] and not token else _told(reply, page)

    # what we do

    def calls(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(bodies2.shown(self.base, one) for one in bodies2.instead_of(method, path, body))

    def preview_clear_run(self, dag: str, run: str, body: Mapping[str, Any]) -> Reply:
        return self.preview_clear_tasks(dag, {**body, "dag_run_id": run})

    def preview_clear_tasks(self, dag: str, body: Mapping[str, Any]) -> Reply:
        """Its answer names tasks only: the instances are looked up, so that mapped ones are told apart."""
        sent, run = bodies2.clear(body, dry_run=True), str(body["dag_run_id"])
        path = f"{dag_path(dag)}/clearTaskInstances"
        reply = self._send("POST", path, sent, accept={400, 404, 409}, once=False)
        if reply.status != 200:
            return reply
        found = [row for row in fields.rows(reply.table().get("task_instances")) if isinstance(row, dict)]
        names = {row.get("task_id") for row in found}
        only = RED if sent.get("only_failed") else None
        rows = [row for row in self._all_of(dag, run) if row.get("task_id") in names]
        return _told(reply, {"task_instances": [row for row in rows if only is None or row.get("state") in only]})

    def _all_of(self, dag: str, run: str) -> list[fields.Row]:
        rows: list[fields.Row] = []
        offset = 0
        for _ in range(MOST_PAGES):
            reply = self.task_instances(dag, run, offset)
            if reply.status != 200:
                break
            told, following = page_at(reply, "task_instances", offset, shared=0)
            rows += [row for row in told if isinstance(row, dict)]
            if following is None:
                break
            offset = following
        return rows

    def clear_run(self, dag: str, run: str, body: Mapping[str, Any]) -> Reply:
        """Takes no note, and says so as an Airflow 3.1 does. The answer tells of the run what it must be by now."""
        if "note" in body:
            return _local(422, {"detail": "note: Airflow 2 takes none with a clear"})
        reply = self.clear_tasks(dag, {**body, "dag_run_id": run})
        if reply.status != 200:
            return reply
        cleared = fields.rows(after_once(reply).get("task_instances"))
        return _told(reply, {"queued_at": ""}) if cleared else self.run(dag, run)

    def clear_tasks(self, dag: str, body: Mapping[str, Any]) -> Reply:
        """The note goes to the tasks that were named, after the clear: what a person reads there, and no proof."""
        reply = self._send("POST", f"{dag_path(dag)}/clearTaskInstances", bodies2.clear(body), accept={400, 404, 409})
        run, note = str(body["dag_run_id"]), body.get("note")
        if reply.status == 200 and isinstance(note, str):
            for task in body.get("task_ids", ())[:MOST_NOTED]:
                self._note_task(dag, run, task, -1, note)
        return reply

    def trigger(self, dag: str, body: Mapping[str, Any]) -> Reply:
        reply = super().trigger(dag, bodies2.trigger(body))
        return _told(reply, rows2.run(reply.table())) if reply.status == 200 else reply

    def patch_run(self, dag: str, run: str, body: Mapping[str, Any]) -> Reply:
        """The state, then the note: a note without its state would claim what was not done."""
        reply = super().patch_run(dag, run, {"state": body["state"]})
        if reply.status == 200 and "note" in body:
            with suppress(ConnectorError):
                self.set_note(dag, run, body["note"])
        return reply

    def set_note(self, dag: str, run: str, note: str) -> Reply:
        return self._send("PATCH", f"{run_path(dag, run)}/setNote", {"note": note}, accept={404}, once=False)

    def preview_mark_task(self, dag: str, run: str, task: str, body: Mapping[str, Any]) -> Reply:
        """Its own dry run does not look at the state: what has it already is left out here."""
        rows = [row for row in self._all_of(dag, run) if row.get("task_id") == task]
        return _local(200, {"task_instances": [row for row in rows if row.get("state") != body["new_state"]]})

    def mark_task(self, dag: str, run: str, task: str, body: Mapping[str, Any]) -> Reply:
        """One call for each mapped instance, then the notes. Raises OutcomeUnknown where some were set and one not."""
        sent = {"dry_run": False, "new_state": body["new_state"]}
        rows = fields.rows(self.preview_mark_task(dag, run, task, body).table().get("task_instances"))
        reply = _local(409, {"detail": f"{task} is {body['new_state']} already"})
        indexes = [row.get("map_index", -1) for row in rows]
        for number, index in enumerate(indexes):
            where = task_path(dag, run, task) + (f"/{index}" if index >= 0 else "")
            reply = self._send("PATCH", where, sent, accept={400, 404, 409})
            if reply.status >= 300 and number:
                raise OutcomeUnknown(f"{reply.place} is a refusal: {reply.said}; {number} instances were set before")
            if reply.status >= 300:
                return reply
        for index in indexes[:MOST_NOTED]:
            self._note_task(dag, run, task, index, str(body["note"]))
        return reply

    def _note_task(self, dag: str, run: str, task: str, index: int, note: str) -> None:
        where = task_path(dag, run, task) + (f"/{index}" if index >= 0 else "")
        with suppress(ConnectorError):
            self._send("PATCH", f"{where}/setNote", {"note": note}, accept={404}, once=False)


def _ordered(path: str, window: Window) -> Mapping[str, str]:
    if path != RUNS_OF_ALL:
        return {}
    return {"order_by": "id" if window.offset else "updated_at"}


def _listed(reply: Reply, name: str, translate: Translate, told_as: str = "") -> Reply:
    if reply.status != 200:
        return reply
    return _told(reply, rows2.each(reply.table(), name, translate, told_as))


def _told(reply: Reply, words: fields.Row) -> Reply:
    return Told(reply.who, reply.call, reply.status, reply.headers, reply.body, reply.clock, words=words)


def _local(status: int, words: fields.Row) -> Reply:
    """An answer of our own, for what is not asked of Airflow 2."""
    return Told("Airflow", "nothing", status, {}, json.dumps(words).encode(), None, words=words)
