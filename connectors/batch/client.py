"""AWS Batch by boto3: one method per call, and the log of an attempt.

Page sizes and rules: Batch API reference. ListJobs without a filter lists only RUNNING jobs; with a filter all, newest
first by createdAt. DescribeJobs takes 100 ids and passes over those that it does not know. The log is the CloudWatch
stream that Batch names for an attempt; of an array job, that of a failed child.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from connectors.batch import parse
from connectors.sdk.aws.cloudwatch_logs import AwsLogClient, LogStream, chunk
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import LogChunk, RunRef

PAGE_SIZE = 100  # maxResults of ListJobs, DescribeJobQueues and DescribeJobDefinitions; ids of one DescribeJobs


class BatchClient(AwsLogClient):
    service = "Batch"

    def queues(self) -> Iterator[AwsReply]:
        return self.rows("batch", "describe_job_queues", "jobQueues", "nextToken", maxResults=PAGE_SIZE)

    def definitions(self) -> Iterator[AwsReply]:
        which: dict[str, Any] = {"status": "ACTIVE", "maxResults": PAGE_SIZE}
        return self.rows("batch", "describe_job_definitions", "jobDefinitions", "nextToken", **which)

    def listed(
        self, queue: str, filter_name: str, value: str, size: int = PAGE_SIZE, token: str | None = None
    ) -> tuple[list[AwsReply], str | None]:
        """One page of a queue's jobs by a filter ("AFTER_CREATED_AT", "JOB_NAME", "JOB_DEFINITION"), newest first, and
        the token of the next."""
        filters = [{"name": filter_name, "values": [value]}]
        which: dict[str, Any] = {"jobQueue": queue, "filters": filters, "maxResults": min(size, PAGE_SIZE)}
        return self.page("batch", "list_jobs", "jobSummaryList", "nextToken", token, **which)

    def children(self, array: str, status: str) -> list[AwsReply]:
        """Some children of an array that have this status."""
        reply = self.call("batch", "list_jobs", "jobSummaryList", arrayJobId=array, jobStatus=status)
        replies: list[AwsReply] = reply["jobSummaryList"]
        return replies

    def jobs(self, ids: Sequence[str]) -> list[AwsReply]:
        """These jobs, whole, in the order of Batch."""
        replies: list[AwsReply] = []
        for first in range(0, len(ids), PAGE_SIZE):
            replies += self.call("batch", "describe_jobs", "jobs", jobs=list(ids[first : first + PAGE_SIZE]))["jobs"]
        requested = set(ids)
        return [item for item in replies if item.get("jobId") in requested]

    def submit(self, name: str, queue: str, definition: str, **arguments: Any) -> str:
        """Id of the new job. Batch knows no token: the same call again submits another."""
        which = {"jobName": name, "jobQueue": queue, "jobDefinition": definition, **arguments}
        return str(self.call("batch", "submit_job", "jobId", once=True, **which)["jobId"])

    def terminate(self, job: str, reason: str) -> None:
        """Ends a job that runs, cancels one that does not yet; the reason stays with it."""
        self.call("batch", "terminate_job", "ResponseMetadata", once=True, jobId=job, reason=reason)


GROUP = "/aws/batch/job"  # Batch User Guide, "Using the awslogs log driver"
CHILDREN = ("FAILED", "RUNNING", "SUCCEEDED")
"""Of an array, the first child of the first of these is read."""
CONTAINERS = ("nodeProperties", "eksProperties", "ecsProperties")
"""Jobs of several containers: their stream is ambiguous."""


def read_log(client: BatchClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """The tail (`start` None), or the part after `start`. Raises NotSupported without a log."""
    job_id, number = parse.place(run)
    if not job_id:
        raise NotSupported(f"run {run.attempt_key} of {run.job} names no job of Batch")
    client.require_logs()
    job = one_job(client, job_id)
    if (job.get("arrayProperties") or {}).get("size"):
        children = (child for status in CHILDREN for child in client.children(job_id, status)[:1])
        child = next(children, None)
        if child is None:
            raise NotSupported(f"no child of array {job_id} has begun: an array has no log of its own")
        job, number = one_job(client, str(child["jobId"])), 0
    container = job.get("container") or {}
    attempts = [attempt.get("container") or {} for attempt in job.get("attempts") or () if attempt.get("stoppedAt")]
    if 0 < number <= len(attempts):
        name = attempts[number - 1].get("logStreamName")
    else:  # the last attempt
        name = container.get("logStreamName") or (attempts[-1].get("logStreamName") if attempts else "")
    is_open = parse.state_of(job).is_open
    if not name and is_open:
        return LogChunk("", start or "", more=False)
    if not name:
        raise NotSupported(f"Batch names no log of {run.attempt_key}: it never ran, or writes elsewhere")
    group = ((container.get("logConfiguration") or {}).get("options") or {}).get("awslogs-group") or GROUP
    return chunk(client, [LogStream(str(group), str(name))], start or None, limit_bytes, is_open)


def one_job(client: BatchClient, job_id: str) -> AwsReply:
    """One job, whole. Raises NotSupported when Batch does not know it any more."""
    jobs = client.jobs([job_id])
    if not jobs:
        raise NotSupported(f"{client.place}: job {job_id} no longer exists")
    return jobs[0]
