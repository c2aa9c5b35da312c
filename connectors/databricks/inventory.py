"""The inventory: every job with its schedule and its tasks by type, in their order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from connectors import fields
from connectors.contract import Inventory, JobRecord, RecordUnreadable, Skipped
from connectors.databricks import parse, schedules
from connectors.databricks.client import DatabricksClient
from connectors.databricks.pages import pages, whole

MOST_PAGES = 200
HOLD_TAG = "headway_hold"
"""Tag of a job that bears the mark of a hold."""


class InventoryReader:
    """Reads inventories of one workspace."""

    def __init__(self, client: DatabricksClient, watched: Callable[[str, str], bool]) -> None:
        self._client, self._watched = client, watched
        self._names: dict[str, str] = {}

    def read(self, previous_hash: str) -> Inventory:
        """As the contract says."""
        skipped: list[Skipped] = []
        rows, clock, complete = list[Any](), None, True
        for some, reply in pages(self._client.jobs, "jobs", MOST_PAGES):
            rows, clock, complete = rows + some, reply.clock, not reply.table().get("next_page_token")
        jobs: dict[str, JobRecord] = {}
        for row in rows:
            try:
                jobs |= {one.native_id: one for one in self._jobs(fields.table(row))}
            except RecordUnreadable as error:
                skipped.append(fields.skipped("jobs", error, row))
        if not rows:
            skipped.append(Skipped("jobs", "Databricks lists no job: there is none, or this account may view none"))
        complete = complete and not skipped
        found = tuple(sorted(jobs.values(), key=lambda one: one.native_id))
        told = repr([complete, *found])
        digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        if digest == previous_hash and complete:
            return Inventory((), complete, digest, unchanged=True, clock=clock, skipped=tuple(skipped))
        return Inventory(found, complete, digest, clock=clock, skipped=tuple(skipped), asks_for=self._asks_for)

    def _asks_for(self, name: str, keys: tuple[str, ...]) -> bool:
        return self._watched(name, self._names.get(name, ""))

    def _jobs(self, row: fields.Row) -> list[JobRecord]:
        number = parse.id_of(row, "job_id")
        name = fields.words(fields.table(row.get("settings")), "name")
        self._names[str(number)] = name
        if not self._watched(str(number), name):
            return []
        if row.get("has_more") is True:
            row = whole(lambda page: self._client.job(number, page)) or row
        return records(row)


def records(row: fields.Row) -> list[JobRecord]:
    """A job and its tasks. Raises RecordUnreadable."""
    job, settings = str(parse.id_of(row, "job_id")), fields.table(row.get("settings"))
    tasks = [fields.table(one) for one in fields.rows(settings.get("tasks"))]
    called = {str(one["run_job_task"].get("job_id")) for one in tasks if isinstance(one.get("run_job_task"), dict)}
    told = fields.clean_json(
        {name: value for name, value in settings.items() if name not in ("tags", *schedules.CLOCKS)}
    )
    whole_job = JobRecord(
        native_id=job,
        title=fields.words(settings, "name"),
        schedule=schedules.schedule_of(settings),
        paused=schedules.is_paused(settings),
        definition=_definition(settings, tasks),
        definition_hash=hashlib.sha256(told.encode()).hexdigest()[:16],
        run_as=fields.words(row, "run_as_user_name"),
        owner=fields.words(row, "creator_user_name"),
    )
    return [whole_job, *(_task(job, one, called - {job}) for one in tasks)]


def _task(job: str, row: fields.Row, called: set[str]) -> JobRecord:
    kind, what = parse.type_of(row)
    ahead = [fields.text(fields.table(one), "task_key") for one in fields.rows(row.get("depends_on"))]
    runs_job = row.get("run_job_task")
    other = str(runs_job.get("job_id")) if isinstance(runs_job, dict) else ""
    return JobRecord(
        native_id=f"{job}.{fields.text(row, 'task_key')}",
        title=fields.text(row, "task_key"),
        parent=job,
        upstreams=(*(f"{job}.{one}" for one in ahead), *([other] if other in called else [])),
        definition=f"{kind}: {what}" if what else kind,
    )


def _definition(settings: fields.Row, tasks: list[fields.Row]) -> str:
    kinds = sorted({parse.type_of(one)[0] for one in tasks})
    health = settings.get("health")
    rules = fields.rows(health.get("rules")) if isinstance(health, dict) else []
    told = [f"{row.get('metric')} {row.get('op')} {row.get('value')}" for row in rules[:10] if isinstance(row, dict)]
    words = f"{len(tasks)} tasks: {', '.join(kinds)}" + (f"; health: {', '.join(told)}" if told else "")
    return fields.clean(words)


def tags_of(settings: fields.Row) -> dict[str, str]:
    """A job's tags as they are."""
    found = settings.get("tags")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
