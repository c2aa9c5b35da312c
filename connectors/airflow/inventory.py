"""Inventory: every DAG with its schedule, its tasks, and the DAGs whose assets start it; and look-ups of a single
DAG.

A quiet refresh costs the pages of /dags and /assets, one page of DAG versions and one of import errors. Details and
tasks of a DAG are read again when its version changed, and for a few of the oldest each time: Airflow changes the
definition of a DAG that never ran in place, without a new version.

Previews of actions look up one DAG here: its active runs, its pause, the task instances of a run.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from connectors.airflow import parse
from connectors.airflow.changes import AirflowPages, AirflowRows, rows_by_offset
from connectors.airflow.client import AirflowClient
from connectors.airflow.parse import AirflowTaskInstance, DagDefinition
from connectors.sdk import fields
from connectors.sdk.errors import NotSupported, RecordUnreadable, SystemUnreachable
from connectors.sdk.records import Inventory, JobRecord, SkippedRecord
from connectors.sdk.transport.http import HttpReply

MAX_PAGES = 500
"""50,000 DAGs, or as many assets."""

REFRESHED_PER_READ = 5
"""Definitions read again in each inventory without a sign of change."""

RESERVE_SECONDS = 1.0
"""With less time left, or with less than the slowest request of the call took, the rest is left to the next call."""

LAST_RUNS = 25
"""Newest runs of a DAG without a next run, among which its last scheduled one is looked for."""

MAX_LIST_AGE_SECONDS = 600.0
"""The list of DAGs is read again while their definitions are read for longer than this."""


@dataclass(slots=True)
class InventoryRound:
    """An inventory while it is read, which takes several calls of a slow server."""

    dags: AirflowPages
    dropped: AirflowPages
    """DAGs that Airflow dropped, read where a DAG file cannot be imported."""
    assets: AirflowPages
    listed: AirflowRows | None = None
    listed_at: float = 0.0
    rows: dict[str, fields.Row] = field(default_factory=dict)
    """By DAG that the settings select, its row in the list."""
    errors: Mapping[str, str] | None = None
    """By DAG file that cannot be imported, why."""
    broken: set[str] | None = None
    """DAGs that Airflow dropped since their file cannot be imported; they keep their last definition."""
    feeds: dict[str, set[str]] | None = None
    """By DAG, the DAGs that write the assets it waits for."""
    unread: list[str] | None = None
    """DAGs whose definition is still to be read."""
    refreshed: list[str] = field(default_factory=list)
    """DAGs whose definition is read again if there is time."""
    complete: bool = True
    """False if a row or a definition could not be read."""
    skipped: list[SkippedRecord] = field(default_factory=list)


class AirflowInventory:
    """Reads inventories of one Airflow, and caches the definitions of its DAGs."""

    def __init__(self, client: AirflowClient, base_url: str, watched: Callable[[str], bool]) -> None:
        self._client, self._base_url, self._watched = client, base_url, watched
        self._definitions: dict[str, DagDefinition] = {}
        self._slots_of: Mapping[str, int | None] = {}
        """Slots by pool."""
        self._last_due: dict[str, datetime | None] = {}
        """Of DAGs without a next run: when the last scheduled one was due; None where there is none."""
        self._round = self._new_round()
        self._request_seconds: list[float] = []
        """Of the answered requests of the present call."""

    def _new_round(self) -> InventoryRound:
        client = self._client
        dags, dropped, assets = (
            AirflowPages(partial(self._request, fetch), name, MAX_PAGES, missing=(403, 404))
            for fetch, name in ((client.dags, "dags"), (client.dropped_dags, "dags"), (client.assets, "assets"))
        )
        return InventoryRound(dags, dropped, assets)

    def read(self, previous_hash: str) -> Inventory:
        """As the contract says. Where time runs out: the DAGs that are known so far, and the next call goes on. Raises
        SystemUnreachable only if no request of this call was answered."""
        current = self._round
        self._request_seconds.clear()
        is_finished = False
        try:
            self._read_further(current)
            is_finished = True
        except SystemUnreachable:
            if not self._request_seconds:
                raise
        except BaseException:
            self._round = self._new_round()
            raise
        if is_finished or (current.unread and time.monotonic() - current.listed_at > MAX_LIST_AGE_SECONDS):
            self._round = self._new_round()
        skipped = list(current.skipped)
        skipped += [
            SkippedRecord("importErrors", f"DAG file {name} cannot be imported: {why}")
            for name, why in (current.errors or {}).items()
        ]
        jobs = self._jobs(current, skipped) if current.feeds is not None else ()
        if not is_finished:
            count = f"{len(self._definitions)} of {len(current.rows)} DAGs are read" if jobs else "no DAG is read yet"
            skipped.append(SkippedRecord("dags", f"slow server: {count}, the rest follows with the next polls"))
        elif not current.rows:
            skipped.append(SkippedRecord("dags", "Airflow lists no DAG: none exists, or this account may not read any"))
        complete = is_finished and current.complete and bool(current.rows)
        clock = current.listed.clock if current.listed else None
        inventory = Inventory.since(previous_hash, jobs, complete, clock, skipped, self._watched)
        return replace(inventory, more=not is_finished)

    def _read_further(self, current: InventoryRound) -> None:
        """Goes on with the round. Raises SystemUnreachable where time runs out before its end."""
        if current.listed is None:
            current.listed = current.dags.read()
            self._take_list(current, current.listed)
        if current.errors is None:
            reply = self._request(self._client.import_errors)  # their DAGs may be missing from the list, or unchanged
            errors = fields.rows(reply.table().get("import_errors")) if reply.status == 200 else []
            current.errors = dict(fields.readable(errors, parse.parse_import_error, "importErrors", current.skipped))
        if current.broken is None:
            self._take_broken(current, current.dropped.read().rows if current.errors else [])
        if current.feeds is None:
            current.feeds = _feeds(current.assets.read().rows, current.skipped)
        if current.unread is None:
            current.unread, current.refreshed = self._outdated(current.rows)
        while current.unread:
            self._require_time(2)
            self._read_definition(current.unread[0], current)
            del current.unread[0]
        while current.refreshed and self._has_time(2):
            self._read_definition(current.refreshed[0], current)
            del current.refreshed[0]
        for name, row in current.rows.items():
            if parse.needs_last_due(row) and name in self._definitions and not self._has_expression(name, row):
                self._read_last_due(name)
        if any(self._definitions[name].pool for name in current.rows if name in self._definitions):
            reply = self._request(self._client.pools)  # refused to an account that may not read pools
            pools = fields.rows(reply.table().get("pools")) if reply.status == 200 else []
            self._slots_of = dict(fields.readable(pools, parse.parse_pool_slots))

    def _has_expression(self, name: str, row: fields.Row) -> bool:
        return parse.parse_schedule(row, self._definitions[name].zone, self._last_due.get(name)).expression != ""

    def _read_last_due(self, name: str) -> None:
        reply = self._request(self._client.runs_of, name, {"limit": LAST_RUNS, "order_by": "-run_after"})
        times = fields.readable(run_rows(reply), parse.parse_scheduled_time)
        self._last_due[name] = next((at for at in times if at is not None), None)

    def _has_time(self, requests: int = 1) -> bool:
        """Whether so many requests fit into the rest of the call; the first of a call always does."""
        slowest = max(self._request_seconds, default=0.0)
        return not self._request_seconds or self._client.deadline.left > max(RESERVE_SECONDS, requests * slowest)

    def _require_time(self, requests: int = 1) -> None:
        if not self._has_time(requests):
            raise SystemUnreachable("Airflow: the call has no time for its next request")

    def _request(self, request: Callable[..., HttpReply], *arguments: object) -> HttpReply:
        self._require_time()
        return self._timed(request, *arguments)

    def _timed(self, request: Callable[..., HttpReply], *arguments: object) -> HttpReply:
        began = time.monotonic()
        reply = request(*arguments)
        self._request_seconds.append(time.monotonic() - began)
        return reply

    def _take_list(self, current: InventoryRound, listed: AirflowRows) -> None:
        """Selects the DAGs of the list, and forgets definitions of those that it no longer has."""
        named = fields.readable(
            listed.rows, lambda row: (fields.text(fields.table(row), "dag_id"), row), "dags", current.skipped
        )
        current.rows = {name: row for name, row in named if self._watched(name)}
        current.complete = listed.is_whole and len(named) == len(listed.rows)
        current.listed_at = time.monotonic()

    def _take_broken(self, current: InventoryRound, rows: Sequence[Any]) -> None:
        """Keeps the DAGs of files that cannot be imported, and forgets the definitions of those that are gone."""
        named = {
            str(row.get("dag_id")): row for row in fields.tables(rows) if parse.import_error_of(row, current.errors)
        }
        current.broken = {name for name in named.keys() - current.rows.keys() if self._watched(name)}
        current.rows |= {name: named[name] for name in current.broken}
        for deleted in self._definitions.keys() - set(current.rows):
            del self._definitions[deleted]
            self._last_due.pop(deleted, None)

    # definitions

    def _outdated(self, rows: Mapping[str, fields.Row]) -> tuple[list[str], list[str]]:
        """DAGs whose definition is not cached or has changed, and the oldest ones of the others."""
        retimed = {  # a DAG that did not run since changes without a new version
            name
            for name, definition in self._definitions.items()
            if parse.timetable_summary(rows[name]) != definition.timetable
        }
        moved = self._moved() | retimed
        new = [name for name in rows if name not in self._definitions]
        old = [name for name in self._definitions if name in moved]
        return [*new, *old], [name for name in self._definitions if name not in moved][:REFRESHED_PER_READ]

    def _moved(self) -> set[str]:
        """DAGs whose newest version is not the cached one; none if this account may not read versions."""
        reply = self._request(self._client.versions)
        rows = fields.rows(reply.table().get("dag_versions")) if reply.status == 200 else []
        newest: dict[str, int] = {}
        for dag, number in fields.readable(rows, parse.parse_dag_version):
            newest[dag] = max(number, newest.get(dag, 0))
        return {name for name, known in self._definitions.items() if newest.get(name, known.version) != known.version}

    def _read_definition(self, name: str, current: InventoryRound) -> None:
        details, tasks = self._timed(self._client.dag, name), self._timed(self._client.tasks, name)
        if 404 in (details.status, tasks.status):
            if name in self._definitions and name in (current.broken or ()):
                return  # Airflow 2 forgets the tasks of a DAG whose file cannot be imported
            self._definitions.pop(name, None)
            current.complete = False
            return
        try:
            rows = fields.rows(tasks.table().get("tasks"))
            definition = parse.parse_definition(name, details.table(), rows)
        except RecordUnreadable as error:
            current.skipped.append(fields.skipped(f"dags/{name}", error, {"dag_id": name}))
            current.complete = False
            return
        self._definitions.pop(name, None)
        self._definitions[name] = definition  # at the end: the oldest come first when a few are read again

    def _jobs(self, current: InventoryRound, skipped: list[SkippedRecord]) -> tuple[JobRecord, ...]:
        feeds, errors = current.feeds or {}, current.errors

        def jobs_of(name: str) -> list[JobRecord]:
            row, definition = current.rows[name], self._definitions[name]
            producers = feeds.get(name, ())
            last_due = self._last_due.get(name)
            record = parse.dag_record(row, definition, producers, self._base_url, errors, self._slots_of, last_due)
            return [record, *definition.tasks]

        defined = [
            name
            for name, row in sorted(current.rows.items())
            if name in self._definitions and (not parse.needs_last_due(row) or name in self._last_due)
        ]
        jobs: dict[str, JobRecord] = {}
        for job in itertools.chain.from_iterable(fields.readable(defined, jobs_of, "dags", skipped)):
            if jobs.setdefault(job.native_id, job) is not job:
                reason = f"{job.native_id} is the id of two jobs; the first one is kept"
                skipped.append(SkippedRecord("dags", reason))
        return tuple(jobs.values())


def _feeds(rows: Sequence[Any], skipped: list[SkippedRecord]) -> dict[str, set[str]]:
    """By DAG, the DAGs that write the assets it waits for."""
    feeds: dict[str, set[str]] = {}
    for edges in fields.readable(rows, parse.parse_asset_edges, "assets", skipped):
        for dag, writers in edges.items():
            feeds.setdefault(dag, set()).update(writers)
    return feeds


MAX_NAMED_TASKS = 12
MAX_TASK_PAGES = 50
"""Pages of task instances of one run: 5,000."""


def no_such_dag(dag: str, verb: str) -> str:
    """Why nothing is done to a job that is not a DAG. Raises NotSupported if it may be a task."""
    if "." in dag:
        raise NotSupported(
            f"Airflow has no DAG {dag}; if that is a task: Airflow can {verb} no single task, {verb} its DAG"
        )
    return f"Airflow has no DAG {dag}"


def active_runs(client: AirflowClient, dag: str, but: str = "") -> list[str]:
    """Runs of the DAG that are running or queued now, some with their state, without the run `but`."""
    reply = client.runs_of(dag, {"state": ["running", "queued"], "limit": 5, "order_by": "-run_after"})
    return [f"{row.get('dag_run_id')} ({row.get('state')})" for row in run_rows(reply) if row.get("dag_run_id") != but]


def active_runs_note(client: AirflowClient, dag: str, run: str = "") -> str | None:
    runs = active_runs(client, dag, run)
    return f"other runs of {dag} are active: {', '.join(runs)}" if runs else None


def run_rows(reply: HttpReply) -> list[fields.Row]:
    return fields.tables(reply.rows("dag_runs")) if reply.status == 200 else []


def paused_note(client: AirflowClient, dag: str, row: fields.Row | None = None) -> tuple[str, ...]:
    """A note on actions on a paused DAG; none for one that is not paused."""
    if row is None:
        reply = client.dag(dag)
        row = reply.table() if reply.status == 200 else {}
    if row.get("is_paused") is True:
        return (f"{dag} is paused: the run stays queued until the DAG is resumed",)
    return ()


def server_time(reply: HttpReply) -> datetime:
    return reply.clock.target if reply.clock else datetime.now(UTC)


def read_task_instances(client: AirflowClient, dag: str, run: str) -> list[AirflowTaskInstance] | None:
    """All task instances of a run; None if it was deleted."""
    fetch = partial(client.task_instances, dag, run)
    answer = rows_by_offset(fetch, "task_instances", MAX_TASK_PAGES, missing=(404,))
    return None if answer.is_missing else readable_instances(answer.rows)


def readable_instances(rows: Any) -> list[AirflowTaskInstance]:
    instances = fields.readable(fields.rows(rows), parse.parse_instance)
    return sorted(instances, key=lambda instance: (instance.key[2], instance.map_index))


def task_names_text(affected: Sequence[AirflowTaskInstance]) -> str:
    return fields.listed([parse.instance_name(instance) for instance in affected], MAX_NAMED_TASKS)


def count_text(affected: Sequence[Any], noun: str = "task") -> str:
    """ "1 task", "3 tasks"."""
    return f"1 {noun}" if len(affected) == 1 else f"{len(affected)} {noun}s"


def run_label(row: fields.Row, run_id: str) -> str:
    """The run for people: its data interval's date, else its instant, else its id."""
    period = parse.parse_period(row)
    if period.interval_start is not None:
        return period.interval_start.strftime("%Y-%m-%d")
    if period.at is not None and period.key != run_id:
        return period.at.strftime("%Y-%m-%d %H:%MZ")
    return run_id
