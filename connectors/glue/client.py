"""AWS Glue by boto3: one method per call, and the log of a run.

Page sizes and rules: Glue API reference. GetJobRuns has no "since" and answers newest first. Logs: AWS Glue User Guide,
"Logging for AWS Glue jobs": below the run's log group, `output` and `error`, each with a stream of the run's id, read
as one text ordered by time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.glue import parse
from connectors.sdk.aws.cloudwatch_logs import AwsLogClient, LogStream, chunk
from connectors.sdk.aws.values import AwsReply, given
from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import masked_head
from connectors.sdk.records import LogChunk, RunRef

JOBS_SIZE = 1000  # MaxResults of GetJobs, "Valid Range: Minimum value of 1. Maximum value of 1000"
RUNS_SIZE = 200  # MaxResults of GetJobRuns and GetTriggers, "Maximum value of 200"


class GlueClient(AwsLogClient):
    service = "Glue"

    def jobs(self) -> Iterator[AwsReply]:
        return self.rows("glue", "get_jobs", "Jobs", "NextToken", MaxResults=JOBS_SIZE)

    def job(self, name: str) -> AwsReply:
        reply: AwsReply = self.call("glue", "get_job", "Job", JobName=name)["Job"]
        return reply

    def triggers(self) -> Iterator[AwsReply]:
        """All triggers of the region: schedules, and conditions on other jobs."""
        return self.rows("glue", "get_triggers", "Triggers", "NextToken", MaxResults=RUNS_SIZE)

    def runs(self, job: str, size: int, token: str | None = None) -> tuple[list[AwsReply], str | None]:
        """One page of a job's runs, newest first, and the token of the next."""
        which: dict[str, Any] = {"JobName": job, "MaxResults": min(size, RUNS_SIZE)}
        return self.page("glue", "get_job_runs", "JobRuns", "NextToken", token, **which)

    def run(self, job: str, run: str) -> AwsReply:
        """One run, with the runs that its trigger waited for. Raises Gone, RecordUnreadable."""
        reply = self.call("glue", "get_job_run", "JobRun", JobName=job, RunId=run, PredecessorsIncluded=True)
        return self.about(run, "Id", reply["JobRun"])

    def start(self, job: str, arguments: Mapping[str, str], previous: str | None = None) -> str:
        """Id of the new run. Glue knows no token: the same call again starts another."""
        which = {"JobName": job, "Arguments": dict(arguments), **given(JobRunId=previous)}
        return str(self.call("glue", "start_job_run", "JobRunId", once=True, **which)["JobRunId"])

    def stop(self, job: str, run: str) -> None:
        """Asks a run to stop. Raises NotSupported with Glue's reason where it does not."""
        which = {"JobName": job, "JobRunIds": [run]}
        reply = self.call("glue", "batch_stop_job_run", "ResponseMetadata", once=True, **which)
        for error in reply.get("Errors", ()):
            detail = error.get("ErrorDetail") or {}
            reason = masked_head(f"{detail.get('ErrorCode', '')}: {detail.get('ErrorMessage', '')}", 300)
            raise NotSupported(f"{self.place}: {run} of {job} was not stopped: {reason}")


GROUP = "/aws-glue/jobs"
PARTS = ("output", "error")


def read_log(client: GlueClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """The tail (`start` None), or the part after `start`. Raises NotSupported without a log."""
    job, run_id = parse.place(run)
    if not run_id:
        raise NotSupported(f"run {run.attempt_key} of {run.job} names no run of Glue")
    client.require_logs()
    result = client.run(job, run_id)
    group = str(result.get("LogGroupName") or GROUP).rstrip("/")
    streams = [LogStream(f"{group}/{part}", run_id) for part in PARTS]
    return chunk(client, streams, start, limit_bytes, parse.is_open(result))
