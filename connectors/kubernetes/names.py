"""What our annotations are called, what Kubernetes calls its own, and how names are made. Pure."""

from __future__ import annotations

import json

from connectors import fields
from connectors.contract import RecordUnreadable, RunRef

ACTION = "headway/action"
"""On a Job that we made: the action's key."""
AGAIN_OF = "headway/again-of"
"""On a rerun: uid of the Job that it runs again."""
CANCELLED = "headway/cancelled"
"""On a Job that we ended: the action's key."""
HOLD = "headway/hold"
"""On a CronJob that we suspended: the mark."""
SAME_JOB = "headway/job"
"""On a rerun of a Job that no CronJob made: which one it belongs to."""
MANUAL = "cronjob.kubernetes.io/instantiate"
"""As kubectl writes it on a Job that it makes from a CronJob."""
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""For which instant a Job was made; the CronJob controller writes it since 1.28."""

LONGEST_NAME = 63  # a Job's name is a label of its pods
LONE = "job"


def run_name(job: str, key: str) -> str:
    """The name of a Job made under `key`: it begins as its CronJob or Job is called, and two of one key collide."""
    room = LONGEST_NAME - len(key) - 1
    begin = job[:room].rstrip("-.")
    return f"{begin}-{key}" if begin else key


def reference(namespace: str, name: str, uid: str) -> str:
    """A `native_ref`."""
    return json.dumps({"ns": namespace, "name": name, "uid": uid})


def referred(run: RunRef) -> tuple[str, str, str]:
    """Namespace, name and uid of the Job that a run handed back is; three times "" where it is none (a MISSED run)."""
    try:
        row = fields.table(json.loads(run.native_ref))
        return fields.text(row, "ns"), fields.text(row, "name"), fields.text(row, "uid")
    except (ValueError, RecursionError, RecordUnreadable):
        return "", "", ""


def parts(job: str) -> tuple[str, str, bool]:
    """Namespace and name of a job's id, and whether it is a CronJob: "reports/nightly", "reports/job/migrate"."""
    namespace, _, rest = job.partition("/")
    kind, _, name = rest.rpartition("/")
    return namespace, name, not kind
