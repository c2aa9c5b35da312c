"""What the CronJob controller tells in events: why it started nothing, and how a Job that is gone had ended.

Events live for an hour. Those of everyday (a Job was made, a Job was deleted) are not asked for.
"""

from __future__ import annotations

import re

from connectors import fields
from connectors.contract import RecordUnreadable
from connectors.gathered import Gathered
from connectors.kubernetes.client import KubernetesClient

EVERYDAY = ("SuccessfulCreate", "SuccessfulDelete", "SawCompletedJob", "UnexpectedJob", "MissingJob")
NOT_STARTED = "involvedObject.kind=CronJob," + ",".join(f"reason!={one}" for one in EVERYDAY)
SAW = re.compile(r"Saw completed job: (\S+), status: (\w+)")
MOST_TOLD = 20


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


def finished(client: KubernetesClient, namespace: str, cronjob: str, job: str) -> str:
    """ "Complete" or "Failed", as the controller saw a Job that is gone now; "" where no event tells."""
    where = f"involvedObject.namespace={namespace},involvedObject.name={cronjob},reason=SawCompletedJob"
    reply = client.events(f"involvedObject.kind=CronJob,{where}")
    if reply.status != 200:
        return ""
    for one in fields.rows(reply.table().get("items")):
        said = SAW.match(str(one.get("message"))) if isinstance(one, dict) else None
        if said is not None and said[1] == job:
            return said[2]
    return ""
