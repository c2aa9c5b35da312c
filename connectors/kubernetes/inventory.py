"""The inventory: every CronJob with its schedule, and the Jobs that no CronJob made where settings ask for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from connectors import fields
from connectors.contract import (
    Clock,
    Inventory,
    JobRecord,
    RecordUnreadable,
    Schedule,
    Skipped,
    SystemUnreachable,
)
from connectors.kubernetes import names, parse, schedules
from connectors.kubernetes.client import KubernetesClient
from connectors.transport.http import Reply

MOST_PAGES = 400
CLOCKS = ("schedule", "timeZone", "suspend")
LONE = "a Job by itself: started by hand or by another program"


class InventoryReader:
    """Reads inventories of one target."""

    def __init__(
        self, client: KubernetesClient, watched: Callable[[str], bool], has_lone: bool, controller_zone: str
    ) -> None:
        self._client, self._watched, self._has_lone, self._zone = client, watched, has_lone, controller_zone

    def read(self, previous_hash: str) -> Inventory:
        """As the contract says."""
        skipped, jobs = list[Skipped](), dict[str, JobRecord]()
        clock: Clock | None = None
        for row, reply in rows_of(self._client.cronjobs):
            clock = reply.clock
            try:
                one = record(fields.table(row), self._zone)
            except RecordUnreadable as error:
                skipped.append(fields.skipped("cronjobs", error, row))
                continue
            if self._watched(one.native_id):
                jobs[one.native_id] = one
        if self._has_lone:
            jobs |= self._lone(skipped)
        complete = not skipped
        found = tuple(sorted(jobs.values(), key=lambda one: one.native_id))
        digest = hashlib.sha256(repr([complete, *found]).encode("utf-8", "surrogatepass")).hexdigest()
        if digest == previous_hash and complete:
            return Inventory((), complete, digest, unchanged=True, clock=clock)
        return Inventory(found, complete, digest, clock=clock, skipped=tuple(skipped), asks_for=self._asks_for)

    def _asks_for(self, name: str, keys: tuple[str, ...]) -> bool:
        """A Job by itself that is deleted is no drift: such Jobs come and go."""
        return self._watched(name) and names.parts(name)[2]

    def _lone(self, skipped: list[Skipped]) -> dict[str, JobRecord]:
        found: dict[str, JobRecord] = {}
        for row, _ in rows_of(self._client.job_names):
            try:
                job = parse.read(row).job
            except RecordUnreadable as error:
                skipped.append(fields.skipped("jobs", error, row))
                continue
            _, name, is_cron = names.parts(job)
            if not is_cron and self._watched(job):
                found[job] = JobRecord(job, name, Schedule("none", words=LONE), definition=LONE)
        return found


def rows_of(ask: Callable[[str], Reply]) -> Iterator[tuple[Any, Reply]]:
    """Every object of a list, with the reply that it came in. Raises SystemUnreachable for a list that is none, or that
    does not end."""
    following, seen = "", set[str]()
    for _ in range(MOST_PAGES):
        reply = ask(following)
        table = reply.table()
        items, meta = table.get("items"), table.get("metadata")
        if not isinstance(items, list) or not isinstance(meta, dict):
            raise SystemUnreachable(f"{reply.place} is no list; is the url that of a cluster's API?")
        for row in items:
            yield row, reply
        following = str(meta.get("continue") or "")
        if not following:
            return
        if following in seen:
            break
        seen.add(following)
    raise SystemUnreachable("Kubernetes: a list does not end: its pages repeat")


def record(row: fields.Row, controller_zone: str) -> JobRecord:
    """A CronJob. Raises RecordUnreadable."""
    meta, spec = parse.meta_of(row), fields.table(row.get("spec"))
    template = fields.table(fields.table(spec.get("jobTemplate")).get("spec"))
    pod = fields.table(fields.table(template.get("template")).get("spec"))
    told = fields.clean_json({name: value for name, value in spec.items() if name not in CLOCKS})
    return JobRecord(
        native_id=f"{fields.text(meta, 'namespace')}/{fields.text(meta, 'name')}",
        title=fields.text(meta, "name"),
        schedule=schedules.schedule_of(spec, controller_zone),
        paused=spec.get("suspend") is True,
        definition=f"{_definition(pod)}; {schedules.policy_words(spec)}"[:2000],
        definition_hash=hashlib.sha256(told.encode()).hexdigest()[:16],
        run_as=fields.words(pod, "serviceAccountName"),
    )


def _definition(pod: fields.Row) -> str:
    told = []
    for one in fields.rows(pod.get("containers")):
        row = fields.table(one)
        words = [*fields.rows(row.get("command")), *fields.rows(row.get("args"))]
        told.append(" ".join([fields.words(row, "image"), *(fields.clean(str(word)) for word in words)]))
    return "; ".join(told)


def is_suspended(row: fields.Row) -> bool:
    spec = row.get("spec")
    return isinstance(spec, dict) and spec.get("suspend") is True
