"""Runs whose Job came and went unseen: a CronJob tells for which instant it last made one.

Only after a list: while changes are read, each Job is seen, also one that is deleted at once. A run that never began
has no such instant, so that it stays missed and is not taken for one that vanished.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from connectors import fields
from connectors.contract import Evidence, RecordUnreadable, RunRecord, State, instant_key
from connectors.gathered import Gathered
from connectors.kubernetes import events, parse
from connectors.kubernetes.client import KubernetesClient

MOST_PAGES = 40
MOST_ASKED = 20


class Latest:
    """Of each CronJob, the latest instant for which a list of Jobs had one."""

    def __init__(self) -> None:
        self.of: dict[str, datetime] = {}
        self.is_whole = True

    def forget(self) -> None:
        """Another connector read what came before."""
        self.of.clear()
        self.is_whole = False

    def begin(self) -> None:
        self.of.clear()
        self.is_whole = True

    def note(self, job: parse.Job) -> None:
        """Takes a Job of the list into account."""
        if job.at is not None:
            self.of[job.job] = max(job.at, self.of.get(job.job, job.at))


def tell_vanished(
    client: KubernetesClient, watched: Callable[[str], bool], latest: Latest, since: datetime | None, found: Gathered
) -> None:
    """A record for each latest start whose Job is not there, where it began after `since`."""
    if not latest.is_whole:
        return
    following, asked = "", 0
    for _ in range(MOST_PAGES):
        table = client.cronjobs(following).table()
        for row in fields.rows(table.get("items")):
            record = _vanished(client, row, watched, latest, since, asked < MOST_ASKED)
            if record is not None:
                asked += 1
                found.add(record)
        meta = table.get("metadata")
        following = str(meta.get("continue") or "") if isinstance(meta, dict) else ""
        if not following:
            return


def _vanished(
    client: KubernetesClient,
    row: Any,
    watched: Callable[[str], bool],
    latest: Latest,
    since: datetime | None,
    may_ask: bool,
) -> RunRecord | None:
    try:
        meta, status = parse.meta_of(fields.table(row)), row.get("status")
        at = fields.instant(status, "lastScheduleTime") if isinstance(status, dict) else None
    except RecordUnreadable:
        return None  # the inventory tells what cannot be read
    namespace, cronjob = str(meta["namespace"]), str(meta["name"])
    job = f"{namespace}/{cronjob}"
    if at is None or not watched(job) or (since is not None and at <= since):
        return None
    if job in latest.of and latest.of[job] >= at:
        return None
    name = f"{cronjob}-{int(at.timestamp()) // 60}"
    said = events.finished(client, namespace, cronjob, name) if may_ask else ""
    states = {"Complete": State.SUCCEEDED, "Failed": State.FAILED}
    state = states.get(said, State.UNKNOWN)
    return RunRecord(
        job=job,
        attempt_key=f"name:{name}",
        state=state,
        native_state=f"SawCompletedJob: {said}" if said in states else "lastScheduleTime",
        evidence=Evidence.NATIVE if said in states else Evidence.INFERRED,
        period_key=instant_key(at),
        period_at=at,
        started_at=at,
        message="its Job was made and is deleted: "
        + ("an event of its CronJob tells its end" if said in states else "nothing tells its end"),
    )
