"""Talks to Batch by boto3: one method per call, replies as boto3 gives them.

Page sizes and rules: Batch API reference. ListJobs without a filter tells only RUNNING jobs; with a filter all, newest
first by createdAt. DescribeJobs takes 100 ids and passes over those that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from connectors.aws.door import AwsDoor
from connectors.aws.values import Reply, given
from connectors.batch.options import BatchOptions
from connectors.contract import Secrets

PAGE_SIZE = 100  # maxResults of ListJobs, DescribeJobQueues and DescribeJobDefinitions; ids of one DescribeJobs


class BatchClient(AwsDoor):
    """One region as one identity."""

    def __init__(self, options: BatchOptions, secrets: Secrets, transport: httpx.BaseTransport | None = None) -> None:
        self.reads_logs = options.endpoint_url is None or options.logs_endpoint_url is not None
        super().__init__("Batch", options, secrets, transport, {"logs": options.logs_endpoint_url})

    def queues(self) -> Iterator[Reply]:
        """All job queues of the region."""

        def page(token: str | None) -> Reply:
            more = given(nextToken=token)
            return self.call("batch", "describe_job_queues", "jobQueues", maxResults=PAGE_SIZE, **more)

        return self.pages("DescribeJobQueues", page, "jobQueues", "nextToken")

    def definitions(self, name: str | None = None) -> Iterator[Reply]:
        """All revisions of job definitions that are active, or of one."""

        def page(token: str | None) -> Reply:
            more = given(jobDefinitionName=name, nextToken=token)
            call, rows = "describe_job_definitions", "jobDefinitions"
            return self.call("batch", call, rows, status="ACTIVE", maxResults=PAGE_SIZE, **more)

        return self.pages("DescribeJobDefinitions", page, "jobDefinitions", "nextToken")

    def listed(self, queue: str, word: str, value: str, size: int = PAGE_SIZE, token: str | None = None) -> Reply:
        """One page of a queue's jobs by a filter ("AFTER_CREATED_AT", "JOB_NAME", "JOB_DEFINITION"), newest first."""
        filters = [{"name": word, "values": [value]}]
        which: dict[str, Any] = {"jobQueue": queue, "filters": filters, "maxResults": min(size, PAGE_SIZE)}
        return self.call("batch", "list_jobs", "jobSummaryList", **which, **given(nextToken=token))

    def children(self, array: str, status: str) -> list[Reply]:
        """Some children of an array that have this status."""
        reply = self.call("batch", "list_jobs", "jobSummaryList", arrayJobId=array, jobStatus=status)
        found: list[Reply] = reply["jobSummaryList"]
        return found

    def jobs(self, ids: Sequence[str]) -> list[Reply]:
        """What Batch knows of these jobs, whole, in its order."""
        found: list[Reply] = []
        for first in range(0, len(ids), PAGE_SIZE):
            found += self.call("batch", "describe_jobs", "jobs", jobs=list(ids[first : first + PAGE_SIZE]))["jobs"]
        asked = set(ids)
        return [one for one in found if one.get("jobId") in asked]

    def submit(self, name: str, queue: str, definition: str, **more: Any) -> str:
        """Id of the new job. Batch knows no token: the same call again submits another."""
        which = {"jobName": name, "jobQueue": queue, "jobDefinition": definition, **more}
        return str(self.call("batch", "submit_job", "jobId", once=True, **which)["jobId"])

    def terminate(self, job: str, reason: str) -> None:
        """Ends a job that runs, cancels one that does not yet; the reason stays with it."""
        self.call("batch", "terminate_job", "ResponseMetadata", once=True, jobId=job, reason=reason)
