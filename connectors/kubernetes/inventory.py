"""Inventory: CronJobs with their schedules, and the standalone Jobs that the options name; single look-ups."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from connectors.kubernetes import parse
from connectors.kubernetes.client import KubernetesClient
from connectors.sdk import fields
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.fields import masked_head
from connectors.sdk.records import Inventory, JobRecord, Schedule, SkippedRecord
from connectors.sdk.transport.http import HttpReply

MAX_PAGES = 400
SCHEDULE_FIELDS = ("schedule", "timeZone", "suspend")
STANDALONE_JOB = "standalone Job: started by hand or by another program"


class KubernetesInventory:
    def __init__(self, client: KubernetesClient, watched: Callable[[str], bool], has_lone: bool) -> None:
        self._client, self._watched, self._has_lone = client, watched, has_lone

    def read(self, previous_hash: str) -> Inventory:
        skipped, clock = list[SkippedRecord](), None
        rows = []
        for row, reply in read_objects(self._client.cronjobs):
            clock = reply.clock
            rows.append(row)
        cronjobs = fields.readable(rows, lambda row: cronjob_record(fields.table(row)), "cronjobs", skipped)
        jobs = {job.native_id: job for job in cronjobs if self._watched(job.native_id)}
        if self._has_lone:
            jobs |= self._lone(skipped)
        records = (job for _, job in sorted(jobs.items()))

        def asks_for(name: str) -> bool:
            return self._watched(name) and parse.split_job_id(name)[2]  # a deleted standalone Job is not drift

        return Inventory.since(previous_hash, records, not skipped, clock, skipped, asks_for)

    def _lone(self, skipped: list[SkippedRecord]) -> dict[str, JobRecord]:
        objects = (row for row, _ in read_objects(self._client.job_names))
        schedule = Schedule("none", text=STANDALONE_JOB)
        records: dict[str, JobRecord] = {}
        for job in fields.readable(objects, lambda row: parse.parse_job(row).job, "jobs", skipped):
            _, name, is_cron = parse.split_job_id(job)
            if not is_cron and self._watched(job):
                records[job] = JobRecord(job, name, schedule, definition=STANDALONE_JOB)
        return records


def read_objects(fetch: Callable[[str], HttpReply]) -> Iterator[tuple[Any, HttpReply]]:
    """Every object of a list, with its reply. Raises SystemUnreachable for an invalid or endless list."""
    following, seen = "", set[str]()
    for _ in range(MAX_PAGES):
        reply = fetch(following)
        table = reply.table()
        items, meta = table.get("items"), table.get("metadata")
        if not isinstance(items, list) or not isinstance(meta, dict):
            raise SystemUnreachable(f"{reply.place} is not a list; is the url that of a cluster's API?")
        for row in items:
            yield row, reply
        following = str(meta.get("continue") or "")
        if not following:
            return
        if following in seen:
            break
        seen.add(following)
    raise SystemUnreachable("Kubernetes: a list does not end: its pages repeat")


def cronjob_record(row: fields.Row) -> JobRecord:
    meta, spec = parse.parse_metadata(row), fields.table(row.get("spec"))
    template = fields.table(fields.table(spec.get("jobTemplate")).get("spec"))
    pod = fields.table(fields.table(template.get("template")).get("spec"))
    defining = fields.clean_json({name: value for name, value in spec.items() if name not in SCHEDULE_FIELDS})
    return JobRecord(
        native_id=f"{fields.text(meta, 'namespace')}/{fields.text(meta, 'name')}",
        title=fields.text(meta, "name"),
        schedule=parse.parse_schedule(spec),
        paused=spec.get("suspend") is True,
        definition=masked_head(f"{_definition_text(pod)}; {parse.policy_text(spec)}", 2000),
        definition_hash=hashlib.sha256(defining.encode()).hexdigest()[:16],
        run_as=fields.optional_text(pod, "serviceAccountName"),
    )


def _definition_text(pod: fields.Row) -> str:
    texts = []
    for row in map(fields.table, fields.rows(pod.get("containers"))):
        arguments = map(str, [*fields.rows(row.get("command")), *fields.rows(row.get("args"))])
        texts.append(" ".join([fields.optional_text(row, "image"), *map(fields.clean, arguments)]))
    return "; ".join(texts)


def is_suspended(row: fields.Row) -> bool:
    return fields.subtable(row, "spec").get("suspend") is True


def read_object(reply: HttpReply) -> fields.Row | None:
    """The object of a reply; None if it does not exist. Raises RecordUnreadable for one without name or uid."""
    if reply.status == 404:
        return None
    row = reply.table()
    parse.parse_metadata(row)
    return row


def active_jobs_note(cronjob: fields.Row) -> str | None:
    active = fields.tables(fields.subtable(cronjob, "status").get("active"))
    names = [str(reference.get("name")) for reference in active]
    return f"Jobs of it are active: {', '.join(names[:5])}" if names else None
