"""Batch in memory: definitions, queues, jobs that go on with each tick. What moto lacks: failing and running jobs,
attempts, filters by time, reasons of an end. Its answers are checked by botocore's model of AWS; AWS never saw it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.batch.connector import BatchConnector
from connectors.batch.options import BatchOptions
from connectors.sdk.secrets import SecretStore
from tests.fakes.aws import Body, FakeAws, Refused, page

OPTIONS = BatchOptions(region="eu-central-1")
ARN = "arn:aws:batch:eu-central-1:123456789012"
OVER = ("SUCCEEDED", "FAILED")
SUMMARY = (
    "jobArn", "jobId", "jobName", "createdAt", "status", "statusReason", "stoppedAt", "jobDefinition", "isCancelled",
    "isTerminated",
)  # fmt: skip


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


class FakeBatch(FakeAws):
    """`outcomes` says how the next jobs of a definition end; SUCCEEDED without."""

    def __init__(self) -> None:
        super().__init__()
        self.definitions: list[Body] = []
        self.queues: list[Body] = []
        self.jobs: list[Body] = []
        """Newest first."""
        self.outcomes: dict[str, str] = {}
        self.page_size = 100

    def connector(self, transport: httpx.BaseTransport | None = None, **options: Any) -> BatchConnector:
        """A connector whose only server is this."""
        given = OPTIONS.model_copy(update=options)
        return BatchConnector(given, SecretStore(), transport or self, settle_seconds=0)

    def queue(self, name: str, **more: Any) -> str:
        """A new queue that takes jobs."""
        self.queues.append(
            {
                "jobQueueName": name, "jobQueueArn": f"{ARN}:job-queue/{name}", "state": "ENABLED", "status": "VALID",
                "priority": 1, "computeEnvironmentOrder": [], **more,
            }
        )  # fmt: skip
        return name

    def definition(self, name: str, revision: int = 1, **more: Any) -> str:
        """A new revision of a job definition."""
        self.definitions.append(
            {
                "jobDefinitionName": name, "jobDefinitionArn": f"{ARN}:job-definition/{name}:{revision}",
                "revision": revision, "status": "ACTIVE", "type": "container",
                "containerProperties": {"image": f"{name}:1", "command": ["run", name]}, **more,
            }
        )  # fmt: skip
        return name

    def job(self, definition: str, status: str = "SUCCEEDED", at: datetime | None = None, **more: Any) -> Body:
        """A job that was submitted then (default: two hours ago), and ended six minutes later unless it is open."""
        made = self.made(definition, status, at or datetime.now(UTC) - timedelta(hours=2), **more)
        self.jobs.append(made)
        self.jobs.sort(key=lambda item: -int(item["createdAt"]))
        return made

    def made(self, definition: str, status: str, created: datetime, **more: Any) -> Body:
        """A job in AWS' format."""
        job_id = str(uuid.uuid4())
        log = f"{definition}/default/{job_id}"
        body: Body = {
            "jobArn": f"{ARN}:job/{job_id}", "jobId": job_id, "jobName": definition, "status": status,
            "jobQueue": f"{ARN}:job-queue/{self.queues[0]['jobQueueName']}", "createdAt": milliseconds(created),
            "jobDefinition": f"{ARN}:job-definition/{definition}:1", "startedAt": 0, "attempts": [],
            "container": {"image": f"{definition}:1", "command": ["run", definition], "environment": []},
        }  # fmt: skip
        if status in (*OVER, "RUNNING"):
            body["startedAt"] = milliseconds(created + timedelta(minutes=1))
            body["container"] |= {"logStreamName": log}
        body |= more
        if status in OVER:
            self.end(body, status, created + timedelta(minutes=6))
        return body

    def attempt(self, job: Body, exit_code: int, reason: str, began: int, ended: int, log: str) -> None:
        """An attempt of a job that is over, as Batch keeps it."""
        container = {"exitCode": exit_code, "logStreamName": log}
        reported = {"startedAt": began, "stoppedAt": ended, "statusReason": reason, "container": container}
        job["attempts"] = [*job["attempts"], reported]

    def end(self, job: Body, status: str, at: datetime, reason: str = "Essential container in task exited") -> None:
        """A job's end, with its last attempt if it ran."""
        code = 0 if status == "SUCCEEDED" else 1
        job |= {"status": status, "stoppedAt": milliseconds(at), "statusReason": job.get("statusReason", reason)}
        if job["startedAt"]:
            job["container"]["exitCode"] = code
            log = str(job["container"].get("logStreamName"))
            self.attempt(job, code, reason, job["startedAt"], job["stoppedAt"], log)

    def tick(self) -> None:
        """Every job of ours goes one step on, and what is being terminated ends."""
        now = datetime.now(UTC)
        for job in self.jobs:
            if job["status"] in OVER:
                continue
            if job.get("isTerminated"):
                self.end(job, "FAILED", now)
            elif job["jobName"].startswith("headway-") and job["status"] == "RUNNABLE":
                job |= {"status": "RUNNING", "startedAt": milliseconds(now)}
            elif job["jobName"].startswith("headway-"):
                self.end(job, self.outcomes.get(job["jobName"].partition("_")[2], "SUCCEEDED"), now)

    def _DescribeJobQueues(self, body: Body) -> Body:
        return page(self.queues, "jobQueues", self.page_size, body.get("nextToken"), "nextToken")

    def _DescribeJobDefinitions(self, body: Body) -> Body:
        return page(self.definitions, "jobDefinitions", self.page_size, body.get("nextToken"), "nextToken")

    def _ListJobs(self, body: Body) -> Body:
        if "arrayJobId" in body:
            rows = [job for job in self.jobs if job["jobId"].startswith(body["arrayJobId"] + ":")]
            rows = [row for row in rows if row["status"] == body.get("jobStatus", "RUNNING")]
        else:
            rows = [item for item in self._queued(body["jobQueue"]) if self._fits(item, body.get("filters", []))]
        reported = [{name: row[name] for name in SUMMARY if name in row} for row in rows]
        size = min(self.page_size, body.get("maxResults", 100))
        return page(reported, "jobSummaryList", size, body.get("nextToken"), "nextToken")

    def _queued(self, queue: str) -> list[Body]:
        if queue not in {item["jobQueueName"] for item in self.queues}:
            raise Refused(400, "ClientException", f"Job queue {queue} does not exist")
        return [job for job in self.jobs if job["jobQueue"].endswith(f"/{queue}") and ":" not in job["jobId"]]

    def _fits(self, job: Body, filters: list[Body]) -> bool:
        """As the API reference has it: without a filter RUNNING alone."""
        if not filters:
            return bool(job["status"] == "RUNNING")
        text, value = filters[0]["name"], filters[0]["values"][0]
        if text == "AFTER_CREATED_AT":
            return int(job["createdAt"]) > int(value)
        if text == "JOB_DEFINITION":
            return bool(job["jobDefinition"].rpartition("/")[2].partition(":")[0] == value)
        name = job["jobName"].lower()
        return bool(name.startswith(value[:-1].lower()) if value.endswith("*") else name == value.lower())

    def _DescribeJobs(self, body: Body) -> Body:
        jobs = body["jobs"]
        if len(jobs) > 100:
            raise Refused(400, "ClientException", "The number of jobs exceeds 100")
        known = {job["jobId"]: job for job in self.jobs}
        return {"jobs": [known[item] for item in jobs if item in known]}

    def _SubmitJob(self, body: Body) -> Body:
        name = body["jobDefinition"].rpartition("/")[2].partition(":")[0]
        if name not in {definition["jobDefinitionName"] for definition in self.definitions}:
            raise Refused(400, "ClientException", f"JobDefinition {name} not found")
        self._queued(body["jobQueue"])
        queue = f"{ARN}:job-queue/{body['jobQueue']}"
        job = self.job(name, "RUNNABLE", datetime.now(UTC), jobName=body["jobName"], jobQueue=queue)
        overrides = body.get("containerOverrides", {})
        job["container"] |= {text: overrides[text] for text in ("command", "environment") if text in overrides}
        job |= {text: body[text] for text in ("parameters", "arrayProperties") if text in body}
        return {"jobArn": job["jobArn"], "jobName": body["jobName"], "jobId": job["jobId"]}

    def _TerminateJob(self, body: Body) -> Body:
        for job in self.jobs:
            if job["jobId"] == body["jobId"] and job["status"] not in OVER:
                job |= {"isTerminated": True, "statusReason": body["reason"]}
        return {}
