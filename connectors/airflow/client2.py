"""Airflow 2's REST API (v1) under the methods of `AirflowClient`; facts are of 2.11, measured.

It refuses parameters that it does not know (400), orders task instances by nothing, and clears without a note.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.airflow import rows2
from connectors.airflow.client import PAGE_LIMIT, RUNS_OF_ALL, TASKS_OF_ALL, AirflowClient, run_path
from connectors.airflow.windows import Window
from connectors.transport.http import Reply

FILTERS = {"logical_date_gte": "execution_date_gte", "logical_date_lte": "execution_date_lte"}
ORDERS = {"-run_after": "-execution_date"}
Translate = Callable[[fields.Row], fields.Row]


@dataclass(frozen=True, slots=True)
class Told(Reply):
    """A reply in the words of Airflow 3."""

    words: fields.Row

    def json(self) -> Any:
        return self.words


class Airflow2Client(AirflowClient):
    """All calls of one Airflow 2."""

    base = "/api/v1"
    major = 2

    def health(self) -> Reply:
        return self.door.call("GET", "/api/v1/health", self.deadline, accept={500, 503})

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

    def changed(self, path: str, since: datetime, page: str) -> Reply:
        """A page of what changed: all of a window of time, since nothing orders task instances, and pages that are
        asked for one after the other would miss what moves between them (PostgreSQL moves each row that it changes)."""
        name, translate = ("dag_runs", rows2.run) if path == RUNS_OF_ALL else ("task_instances", rows2.task)
        window = Window.of(page, since)
        while True:
            reply = self._get(path, {**window.filters, "limit": PAGE_LIMIT, **_ordered(path, window)})
            table = reply.table()
            rows = fields.rows(table.get(name))
            total = fields.number(table, "total_entries", 0)
            now = reply.clock.target if reply.clock else datetime.now(UTC)
            if len(rows) >= total or window.is_smallest:
                following = window.after(len(rows), total, now)
                return _told(reply, {**rows2.each(table, name, translate), "next_cursor": following})
            window = window.narrowed(total, now)

    def run(self, dag: str, run: str) -> Reply:
        reply = super().run(dag, run)
        return _told(reply, rows2.run(reply.table())) if reply.status == 200 else reply

    def runs_of(self, dag: str, filters: Mapping[str, Any]) -> Reply:
        asked = {FILTERS.get(name, name): value for name, value in filters.items()}
        asked["order_by"] = ORDERS.get(str(asked.get("order_by")), asked.get("order_by", "id"))
        return _listed(super().runs_of(dag, asked), "dag_runs", rows2.run)

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


def _ordered(path: str, window: Window) -> Mapping[str, str]:
    if path != RUNS_OF_ALL:
        return {}
    return {"order_by": "id" if window.offset else "updated_at"}


def _listed(reply: Reply, name: str, translate: Translate, told_as: str = "") -> Reply:
    if reply.status != 200:
        return reply
    return _told(reply, rows2.each(reply.table(), name, translate, told_as))


def _told(reply: Reply, words: fields.Row) -> Reply:
    return Told(reply.who, reply.call, reply.status, reply.headers, reply.body, reply.clock, words)


def _local(status: int, words: fields.Row) -> Reply:
    """An answer of our own, for what is not asked of Airflow 2."""
    return Told("Airflow", "nothing", status, {}, json.dumps(words).encode(), None, words)
