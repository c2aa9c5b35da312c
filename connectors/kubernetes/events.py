"""What the CronJob controller tells in events: why it started nothing, and how a Job that is gone had ended.

Events live for an hour. Those of everyday (a Job was made, a Job was deleted) are not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from connectors import fields
from connectors.contract import RecordUnreadable
from connectors.gathered import Gathered
from connectors.kubernetes.client import KubernetesClient

EVERYDAY = ("SuccessfulCreate", "SuccessfulDelete", "SawCompletedJob", "UnexpectedJob", "MissingJob")
NOT_STARTED = "involvedObject.kind=CronJob," + ",".join(f"reason!={one}" for one in EVERYDAY)
SAW = re.compile(r"Saw completed job: (\S+), status: (\w+)")
MADE = re.compile(r"Created job (\S+)")
MOST_TOLD = 20
MOST_PAGES = 20


def tell_troubles(client: KubernetesClient, found: Gathered) -> None:
    """Warns of each CronJob that did not start, in the controller's own words."""
    reply = client.events(NOT_STARTED)
    if reply.status != 200:
        found.warn("events cannot be read: why a CronJob did not start stays unknown (right: list events)")
        return
    told = 0
    for one in fields.rows(reply.table().get("items")):
        words = _words(one)
        if words and told < MOST_TOLD:
            found.warn(words)
            told += 1


def _words(row: object) -> str:
    try:
        event = fields.table(row)
        about, reason = fields.table(event.get("involvedObject")), fields.text(event, "reason")
        who = f"{fields.text(about, 'namespace')}/{fields.text(about, 'name')}"
        at = fields.instant(event, "lastTimestamp") or fields.instant(event, "eventTime")
        when = f" at {at:%Y-%m-%d %H:%M:%S}Z" if at else ""
        return f"{who}: {reason}{when}: {fields.words(event, 'message')[:300]}"
    except RecordUnreadable:
        return ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a CronJob's event says of one of its Jobs."""

    namespace: str
    cronjob: str
    job: str
    at: datetime
    word: str = ""
    """Of one that ended: "Complete" or "Failed"."""


def created(client: KubernetesClient) -> Iterator[Seen]:
    """Jobs that CronJobs made within the hour that events live."""
    yield from _seen(client, "reason=SuccessfulCreate", MADE)


def completed(client: KubernetesClient, cronjob: str = "", namespace: str = "") -> Iterator[Seen]:
    """Jobs that ended within that hour, as the controller saw it; of one CronJob, or of all."""
    where = f",involvedObject.namespace={namespace},involvedObject.name={cronjob}" if cronjob else ""
    yield from _seen(client, f"reason=SawCompletedJob{where}", SAW)


def finished(client: KubernetesClient, namespace: str, cronjob: str, job: str) -> str:
    """ "Complete" or "Failed", as the controller saw a Job that is gone now; "" where no event tells."""
    return next((one.word for one in completed(client, cronjob, namespace) if one.job == job), "")


def _seen(client: KubernetesClient, where: str, said: re.Pattern[str]) -> Iterator[Seen]:
    following = ""
    for _ in range(MOST_PAGES):
        reply = client.events(f"involvedObject.kind=CronJob,{where}", following)
        if reply.status != 200:
            return
        table = reply.table()
        for row in fields.rows(table.get("items")):
            try:
                found = _one(fields.table(row), said)
            except RecordUnreadable:
                continue
            if found is not None:
                yield found
        meta = table.get("metadata")
        following = str(meta.get("continue") or "") if isinstance(meta, dict) else ""
        if not following:
            return


def _one(event: fields.Row, said: re.Pattern[str]) -> Seen | None:
    about, words = fields.table(event.get("involvedObject")), said.match(fields.words(event, "message"))
    at = fields.instant(event, "lastTimestamp") or fields.instant(event, "eventTime")
    if words is None or at is None:
        return None
    word = words[2] if said.groups > 1 else ""
    return Seen(fields.text(about, "namespace"), fields.text(about, "name"), words[1], at, word)
