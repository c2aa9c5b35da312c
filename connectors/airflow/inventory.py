"""Inventory: every DAG with its schedule, its tasks, and the DAGs whose assets start it; and look-ups of a single
DAG.

A quiet refresh costs the pages of /dags and /assets, one page of DAG versions and one of import errors. Details and
tasks of a DAG are read again when its version changed, and for a few of the oldest each time: Airflow changes the
definition of a DAG that never ran in place, without a new version.

Previews of actions look up one DAG here: its active runs, its pause, the task instances of a run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from connectors.airflow import parse
from connectors.airflow.changes import rows_by_offset
from connectors.airflow.client import AirflowClient
from connectors.airflow.parse import AirflowTaskInstance, DagDefinition
from connectors.sdk import fields
from connectors.sdk.errors import NotSupported, RecordUnreadable
from connectors.sdk.records import Inventory, JobRecord, SkippedRecord
from connectors.sdk.transport.http import HttpReply

MAX_PAGES = 500
"""50,000 DAGs, or as many assets."""

REFRESHED_PER_READ = 5
"""Definitions read again in each inventory without a sign of change."""

RESERVE_SECONDS = 1.0
"""With less time left no further definition is read, and the inventory is incomplete."""


class AirflowInventory:
    """Reads inventories of one Airflow, and caches the definitions of its DAGs."""

    def __init__(self, client: AirflowClient, base_url: str, watched: Callable[[str], bool]) -> None:
        self._client, self._base_url, self._watched = client, base_url, watched
        self._definitions: dict[str, DagDefinition] = {}

    def read(self, previous_hash: str) -> Inventory:
        """As the contract says. DAGs whose definition could not be read in time are left out of an incomplete one: the
        next one has them."""
        skipped: list[SkippedRecord] = []
        listed = rows_by_offset(self._client.dags, "dags", MAX_PAGES, missing=(403, 404))
        named = fields.readable(
            listed.rows, lambda row: (fields.text(fields.table(row), "dag_id"), row), "dags", skipped
        )
        rows = {name: row for name, row in named if self._watched(name)}
        complete = self._read_definitions(rows, skipped) and listed.is_whole and len(named) == len(listed.rows)
        feeds = self._feeds(skipped)
        reply = self._client.import_errors()  # DAGs of these files may be missing from the list or unchanged
        errors_rows = fields.rows(reply.table().get("import_errors")) if reply.status == 200 else []
        broken: list[SkippedRecord] = []
        errors = dict(fields.readable(errors_rows, parse.parse_import_error, "importErrors", broken))
        for name, why in errors.items():
            broken.append(SkippedRecord("importErrors", f"DAG file {name} cannot be imported: {why}"))
        jobs = self._jobs(rows, feeds, errors, skipped)
        if not rows:
            complete = False
            skipped.append(SkippedRecord("dags", "Airflow lists no DAG: none exists, or this account may not read any"))
        watched = self._watched
        return Inventory.since(
            previous_hash, jobs, complete, listed.clock, [*skipped, *broken], lambda name, _: watched(name)
        )

    # definitions

    def _read_definitions(self, names: Mapping[str, fields.Row], skipped: list[SkippedRecord]) -> bool:
        """Refreshes the cached definitions; False when time ran out or one could not be read."""
        for deleted in self._definitions.keys() - set(names):
            del self._definitions[deleted]
        retimed = {  # a DAG that did not run since changes without a new version
            name
            for name, definition in self._definitions.items()
            if (names[name].get("timetable_summary") or "") != definition.timetable
        }
        moved = self._moved() | retimed
        new = [name for name in names if name not in self._definitions]
        old = [name for name in self._definitions if name in moved]
        again = [name for name in self._definitions if name not in old][:REFRESHED_PER_READ]
        whole = True
        for name in [*new, *old, *again]:
            if self._client.deadline.left < RESERVE_SECONDS:
                return whole and name in again
            whole = self._read_definition(name, skipped) and whole
        return whole

    def _moved(self) -> set[str]:
        """DAGs whose newest version is not the cached one; none if this account may not read versions."""
        reply = self._client.versions()
        rows = fields.rows(reply.table().get("dag_versions")) if reply.status == 200 else []
        newest: dict[str, int] = {}
        for dag, number in fields.readable(rows, parse.parse_dag_version):
            newest[dag] = max(number, newest.get(dag, 0))
        return {name for name, known in self._definitions.items() if newest.get(name, known.version) != known.version}

    def _read_definition(self, name: str, skipped: list[SkippedRecord]) -> bool:
        details, tasks = self._client.dag(name), self._client.tasks(name)
        if 404 in (details.status, tasks.status):
            self._definitions.pop(name, None)
            return False
        try:
            rows = fields.rows(tasks.table().get("tasks"))
            definition = parse.parse_definition(name, details.table(), rows)
        except RecordUnreadable as error:
            skipped.append(fields.skipped(f"dags/{name}", error, {"dag_id": name}))
            return False
        self._definitions.pop(name, None)
        self._definitions[name] = definition  # at the end: the oldest come first when a few are read again
        return True

    # dependencies

    def _feeds(self, skipped: list[SkippedRecord]) -> dict[str, set[str]]:
        """By DAG, the DAGs that write the assets it waits for."""
        rows = rows_by_offset(self._client.assets, "assets", MAX_PAGES, missing=(403, 404)).rows
        feeds: dict[str, set[str]] = {}
        for edges in fields.readable(rows, parse.parse_asset_edges, "assets", skipped):
            for dag, writers in edges.items():
                feeds.setdefault(dag, set()).update(writers)
        return feeds

    def _jobs(
        self,
        rows: dict[str, fields.Row],
        feeds: dict[str, set[str]],
        errors: Mapping[str, str],
        skipped: list[SkippedRecord],
    ) -> tuple[JobRecord, ...]:
        defined = [name for name in sorted(rows) if name in self._definitions]
        slots_of: dict[str, int | None] = {}
        if any(self._definitions[name].pool for name in defined):
            reply = self._client.pools()  # refused to an account that may not read pools
            pools = fields.rows(reply.table().get("pools")) if reply.status == 200 else []
            slots_of = dict(fields.readable(pools, parse.parse_pool_slots))

        def jobs_of(name: str) -> list[JobRecord]:
            row, definition = rows[name], self._definitions[name]
            producers = feeds.get(name, ())
            return [parse.dag_record(row, definition, producers, self._base_url, errors, slots_of), *definition.tasks]

        jobs: dict[str, JobRecord] = {}
        for job in itertools.chain.from_iterable(fields.readable(defined, jobs_of, "dags", skipped)):
            if jobs.setdefault(job.native_id, job) is not job:
                reason = f"{job.native_id} is the id of two jobs; the first one is kept"
                skipped.append(SkippedRecord("dags", reason))
        return tuple(jobs.values())


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
    return fields.tables(reply.table().get("dag_runs")) if reply.status == 200 else []


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
