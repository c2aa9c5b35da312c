"""What an attempt wrote: the stream that Batch names for it in CloudWatch; of an array, that of a failed child."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.aws.logs import Stream, chunk
from connectors.aws.values import Reply
from connectors.batch import parse
from connectors.batch.client import BatchClient
from connectors.contract import LogChunk, NotSupported, RunRef

GROUP = "/aws/batch/job"  # Batch User Guide, "Using the awslogs log driver"
CHILDREN = ("FAILED", "RUNNING", "SUCCEEDED")
"""Of an array, the first child of the first of these is read."""
CONTAINERS = ("nodeProperties", "eksProperties", "ecsProperties")
"""Jobs of several containers: which of their streams is meant is not told here."""


def read(client: BatchClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """The tail (`start` None), or what follows. Raises NotSupported where there is none."""
    job_id, number = parse.place(run)
    if not job_id:
        raise NotSupported(f"run {run.attempt_key} of {run.job} names no job of Batch")
    if not client.reads_logs:
        raise NotSupported("endpoint_url is the address of Batch alone: give logs_endpoint_url as well")
    job = one_job(client, job_id)
    if (job.get("arrayProperties") or {}).get("size"):
        job, number = _child(client, job_id), 0
    name = _stream(job, number)
    is_open = parse.state_of(job).is_open
    if not name and is_open:
        return LogChunk("", start or "", more=False)
    if not name:
        raise NotSupported(f"Batch names no log of {run.attempt_key}: it never ran, or writes elsewhere")
    return chunk(client, [Stream(_group(job), name)], start or None, limit_bytes, is_open)


def one_job(client: BatchClient, job_id: str) -> Reply:
    """One job, whole. Raises NotSupported when Batch does not know it any more."""
    found = client.jobs([job_id])
    if not found:
        raise NotSupported(f"{client.place}: job {job_id} is not there any more")
    return found[0]


def _child(client: BatchClient, array: str) -> Reply:
    for status in CHILDREN:
        for one in client.children(array, status)[:1]:
            return one_job(client, str(one["jobId"]))
    raise NotSupported(f"no child of array {array} has begun: an array has no log of its own")


def _stream(job: Mapping[str, Any], number: int) -> str:
    """Name of the attempt's stream; 0: of the last."""
    attempts = [one.get("container") or {} for one in job.get("attempts") or () if one.get("stoppedAt")]
    if 0 < number <= len(attempts):
        return str(attempts[number - 1].get("logStreamName") or "")
    container = job.get("container") or {}
    return str(container.get("logStreamName") or (attempts[-1].get("logStreamName") if attempts else "") or "")


def _group(job: Mapping[str, Any]) -> str:
    given = ((job.get("container") or {}).get("logConfiguration") or {}).get("options") or {}
    return str(given.get("awslogs-group") or GROUP)
