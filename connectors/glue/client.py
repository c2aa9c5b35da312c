"""Talks to Glue by boto3: one method per call, replies as boto3 gives them.

Page sizes and rules: Glue API reference. GetJobRuns has no "since" and answers newest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx

from connectors.aws.door import AwsDoor
from connectors.aws.options import AwsOptions
from connectors.aws.values import Reply, given
from connectors.contract import NotSupported, RecordUnreadable, Secrets
from connectors.glue.options import GlueOptions

JOBS_SIZE = 1000  # MaxResults of GetJobs, "Valid Range: Minimum value of 1. Maximum value of 1000"
RUNS_SIZE = 200  # MaxResults of GetJobRuns and GetTriggers, "Maximum value of 200"


class GlueClient(AwsDoor):
    """One region as one identity."""

    def __init__(self, options: GlueOptions, secrets: Secrets, transport: httpx.BaseTransport | None = None) -> None:
        self.reads_logs = _reads_logs(options, options.logs_endpoint_url)
        super().__init__("Glue", options, secrets, transport, {"logs": options.logs_endpoint_url})

    def jobs(self) -> Iterator[Reply]:
        """All jobs of the region, as they are defined."""

        def page(token: str | None) -> Reply:
            return self.call("glue", "get_jobs", "Jobs", MaxResults=JOBS_SIZE, **given(NextToken=token))

        return self.pages("GetJobs", page, "Jobs", "NextToken")

    def job(self, name: str) -> Reply:
        """One job. Raises Gone."""
        found: Reply = self.call("glue", "get_job", "Job", JobName=name)["Job"]
        return found

    def triggers(self) -> Iterator[Reply]:
        """All triggers of the region: schedules, and conditions on other jobs."""

        def page(token: str | None) -> Reply:
            return self.call("glue", "get_triggers", "Triggers", MaxResults=RUNS_SIZE, **given(NextToken=token))

        return self.pages("GetTriggers", page, "Triggers", "NextToken")

    def runs(self, job: str, size: int, token: str | None = None) -> Reply:
        """One page of a job's runs, newest first."""
        more = given(NextToken=token)
        return self.call("glue", "get_job_runs", "JobRuns", JobName=job, MaxResults=min(size, RUNS_SIZE), **more)

    def run(self, job: str, run: str) -> Reply:
        """One run, with the runs that its trigger waited for. Raises Gone, RecordUnreadable."""
        reply = self.call("glue", "get_job_run", "JobRun", JobName=job, RunId=run, PredecessorsIncluded=True)
        found: Reply = reply["JobRun"]
        if found.get("Id") != run:
            raise RecordUnreadable(f"{self.place}: the answer is about {found.get('Id')}, we asked for {run}")
        return found

    def start(self, job: str, arguments: Mapping[str, str], previous: str | None = None) -> str:
        """Id of the new run. Glue knows no token: the same call again starts another."""
        more = {"Arguments": dict(arguments), **given(JobRunId=previous)}
        return str(self.call("glue", "start_job_run", "JobRunId", once=True, JobName=job, **more)["JobRunId"])

    def stop(self, job: str, run: str) -> None:
        """Asks a run to stop. Raises NotSupported with Glue's reason where it does not."""
        needed = "ResponseMetadata"
        found = self.call("glue", "batch_stop_job_run", needed, once=True, JobName=job, JobRunIds=[run])
        for error in found.get("Errors", ()):
            said = error.get("ErrorDetail") or {}
            words = f"{said.get('ErrorCode', '')}: {said.get('ErrorMessage', '')}"
            raise NotSupported(f"{self.place}: {run} of {job} was not stopped: {words[:300]}")


def _reads_logs(options: AwsOptions, address: str | None) -> bool:
    """False where only the address of Glue is known: CloudWatch Logs is another service."""
    return options.endpoint_url is None or address is not None
