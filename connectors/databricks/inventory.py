"""Inventory: every job with its schedule and its tasks; and look-ups of a single job.

Previews of actions look up a job's settings and its active runs here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from connectors.databricks import parse
from connectors.databricks.client import DatabricksClient, read_pages, read_whole
from connectors.sdk import fields
from connectors.sdk.errors import ActionRefused
from connectors.sdk.records import Inventory, JobRecord, SkippedRecord

MAX_PAGES = 200
HOLD_TAG = "headway_hold"  # tag of a job that bears the mark of a hold


class DatabricksInventory:
    def __init__(self, client: DatabricksClient, watched: Callable[[str, str], bool]) -> None:
        self._client, self._watched = client, watched
        self._names: dict[str, str] = {}

    def read(self, previous_hash: str) -> Inventory:
        skipped: list[SkippedRecord] = []
        rows, clock, complete = list[Any](), None, True
        for page_rows, reply in read_pages(self._client.jobs, "jobs", MAX_PAGES):
            rows, clock, complete = rows + page_rows, reply.clock, not reply.table().get("next_page_token")
        by_row = fields.readable(rows, self._jobs, "jobs", skipped)
        jobs = {job.native_id: job for records in by_row for job in records}
        if not rows:
            skipped.append(SkippedRecord("jobs", "the list is empty: none exists, or this account may view none"))
        records = (job for _, job in sorted(jobs.items()))
        complete = complete and not skipped

        def watched(job: str) -> bool:
            return self._watched(job, self._names.get(job, ""))

        return Inventory.since(previous_hash, records, complete, clock, skipped, watched)

    def _jobs(self, item: Any) -> list[JobRecord]:
        row = fields.table(item)
        number = fields.positive(row, "job_id")
        name = fields.optional_text(fields.table(row.get("settings")), "name")
        self._names[str(number)] = name
        if not self._watched(str(number), name):
            return []
        if row.get("has_more") is True:
            row = read_whole(lambda page: self._client.job(number, page)) or row
        return job_records(row)


def job_records(row: fields.Row) -> list[JobRecord]:
    job, settings = str(fields.positive(row, "job_id")), fields.table(row.get("settings"))
    tasks = [fields.table(task) for task in fields.rows(settings.get("tasks"))]
    called = {str(task["run_job_task"].get("job_id")) for task in tasks if isinstance(task.get("run_job_task"), dict)}
    defining = fields.clean_json(
        {name: value for name, value in settings.items() if name not in ("tags", *parse.TRIGGER_KINDS)}
    )
    rules = fields.tables(fields.subtable(settings, "health").get("rules"))[:10]
    health_rules = ", ".join(f"{rule.get('metric')} {rule.get('op')} {rule.get('value')}" for rule in rules)
    kinds = sorted({parse.task_type(task)[0] for task in tasks})
    text = f"{len(tasks)} tasks: {', '.join(kinds)}" + (f"; health: {health_rules}" if rules else "")
    whole_job = JobRecord(
        native_id=job,
        title=fields.optional_text(settings, "name"),
        schedule=parse.parse_schedule(settings),
        paused=parse.is_paused(settings),
        definition=fields.clean(text),
        definition_hash=hashlib.sha256(defining.encode()).hexdigest()[:16],
        run_as=fields.optional_text(row, "run_as_user_name"),
        owner=fields.optional_text(row, "creator_user_name"),
    )
    return [whole_job, *(_task_record(job, task, called - {job}) for task in tasks)]


def _task_record(job: str, row: fields.Row, called: set[str]) -> JobRecord:
    kind, detail = parse.task_type(row)
    ahead = [fields.text(fields.table(upstream), "task_key") for upstream in fields.rows(row.get("depends_on"))]
    called_job = str(fields.subtable(row, "run_job_task").get("job_id"))
    return JobRecord(
        native_id=f"{job}.{fields.text(row, 'task_key')}",
        title=fields.text(row, "task_key"),
        parent=job,
        upstreams=(*(f"{job}.{upstream}" for upstream in ahead), *([called_job] if called_job in called else [])),
        definition=f"{kind}: {detail}" if detail else kind,
    )


def job_tags(settings: fields.Row) -> dict[str, str]:
    return {str(name): str(value) for name, value in fields.subtable(settings, "tags").items()}


def read_job_settings(client: DatabricksClient, job: str) -> fields.Row:
    """A job's settings. Raises ActionRefused for a task, and where Databricks has no such job; RecordUnreadable."""
    is_job = job.isascii() and job.isdigit() and len(job) <= 18
    row = read_whole(lambda page: client.job(int(job), page)) if is_job else None
    if row is None or row.get("job_id") != int(job):
        raise ActionRefused(f"Databricks has no job {job}; a task starts with its job, never alone")
    return fields.table(row.get("settings"))


def active_runs_note(client: DatabricksClient, job: str, but: int = 0) -> str | None:
    rows, _ = next(read_pages(lambda page: client.runs(page, active_only="true", job_id=int(job)), "runs", 1))
    runs = [str(row.get("run_id")) for row in fields.tables(rows) if row.get("run_id") != but]
    return f"other runs are active: {', '.join(runs[:5])}" if runs else None
