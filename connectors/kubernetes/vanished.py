"""Runs whose Job came and went unseen: events of a CronJob name the Jobs that it made, and itself its latest start.

Only after a list: while changes are read, each Job is seen, also one that is deleted at once. A run that never began
has no such event and no such instant, so that it stays missed and is not taken for one that vanished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from connectors import fields
from connectors.contract import Evidence, RecordUnreadable, RunRecord, State, instant_key
from connectors.gathered import Gathered
from connectors.kubernetes import events, parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.inventory import rows_of

TOLD = {"Complete": State.SUCCEEDED, "Failed": State.FAILED}
"""What SawCompletedJob says -> what it is here."""


class Listed:
    """The Jobs of CronJobs that the present list has: their names, and of each CronJob the latest instant."""

    def __init__(self) -> None:
        self.names: set[tuple[str, str]] = set()
        self.latest: dict[str, datetime] = {}
        self.is_whole = False

    def forget(self) -> None:
        """What is not here proves nothing: no list is read, or another connector read what came before."""
        self.begin()
        self.is_whole = False

    def begin(self) -> None:
        """A list begins."""
        self.names, self.latest, self.is_whole = set(), {}, True

    def note(self, job: parse.Job) -> None:
        """Takes a Job of the list into account."""
        if job.kind == "CronJob":
            self.names.add((job.namespace, job.name))
            if job.at is not None:
                self.latest[job.job] = max(job.at, self.latest.get(job.job, job.at))


def tell_vanished(
    client: KubernetesClient, watched: Callable[[str], bool], listed: Listed, since: datetime | None, found: Gathered
) -> None:
    """A record for each Job that a CronJob made after `since` and that is not there."""
    if not listed.is_whole:
        return
    ends = {(one.namespace, one.job): one for one in events.completed(client)}
    told: set[tuple[str, datetime]] = set()
    for one in events.created(client):
        job, at = f"{one.namespace}/{one.cronjob}", parse.instant_in(one.cronjob, one.job)
        is_known = since is not None and one.at < since
        if is_known or at is None or not watched(job) or (one.namespace, one.job) in listed.names:
            continue
        told.add((job, at))
        found.add(_record(job, one.job, at, one.at, ends.get((one.namespace, one.job))))
    for job, at in _starts(client, watched, since):
        latest = listed.latest.get(job)
        if (job, at) not in told and (latest is None or latest < at):
            name = f"{job.partition('/')[2]}-{int(at.timestamp()) // 60}"
            found.add(_record(job, name, at, at, ends.get((job.partition("/")[0], name))))


def _starts(
    client: KubernetesClient, watched: Callable[[str], bool], since: datetime | None
) -> Iterator[tuple[str, datetime]]:
    """For which instant each CronJob made its latest Job, where that is after `since`."""
    for row, _ in rows_of(client.cronjobs):
        try:
            meta, status = parse.meta_of(fields.table(row)), row.get("status")
            at = fields.instant(status, "lastScheduleTime") if isinstance(status, dict) else None
        except RecordUnreadable:
            continue  # the inventory tells what cannot be read
        job = f"{meta['namespace']}/{meta['name']}"
        if at is not None and watched(job) and (since is None or at > since):
            yield job, at


def _record(job: str, name: str, at: datetime, started: datetime, end: Any) -> RunRecord:
    state = TOLD.get(end.word if end is not None else "", State.UNKNOWN)
    is_told = state is not State.UNKNOWN
    return RunRecord(
        job=job,
        attempt_key=f"name:{name}",
        state=state,
        native_state=f"SawCompletedJob: {end.word}" if is_told else "lastScheduleTime",
        evidence=Evidence.NATIVE if is_told else Evidence.INFERRED,
        period_key=instant_key(at),
        period_at=at,
        started_at=started,
        ended_at=max(end.at, started) if is_told else None,
        message=f"its Job {name} was made and is deleted: "
        + ("an event of its CronJob tells its end" if is_told else "nothing tells its end"),
    )
