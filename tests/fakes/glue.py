"""Glue in memory: jobs, triggers, runs that go on with each tick. What moto lacks: failing and stopped runs, retries of
its own, runs that are queued. Its answers are checked by botocore's model of AWS; AWS never saw it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.glue.connector import GlueConnector
from connectors.glue.options import GlueOptions
from connectors.sdk.secrets import SecretStore
from tests.fakes.aws import Body, FakeAws, Refused, page

OPTIONS = GlueOptions(region="eu-central-1")
OPEN = ("STARTING", "WAITING", "RUNNING", "STOPPING")


class FakeGlue(FakeAws):
    """`outcomes` says how the next runs of a job end; SUCCEEDED without."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Body] = {}
        self.triggers: list[Body] = []
        self.runs: dict[str, list[Body]] = {}
        """Of each job, newest first."""
        self.outcomes: dict[str, str] = {}
        self.page_size = 200

    def connector(self, transport: httpx.BaseTransport | None = None, **options: Any) -> GlueConnector:
        """A connector whose only server is this."""
        given = OPTIONS.model_copy(update=options)
        return GlueConnector(given, SecretStore(), transport or self, settle_seconds=0)

    def job(self, name: str, **more: Any) -> str:
        """A new job."""
        command = {"Name": "glueetl", "ScriptLocation": f"s3://scripts/{name}.py"}
        at = datetime.now(UTC) - timedelta(days=30)
        self.jobs[name] = {
            "Name": name,
            "Role": "lab",
            "CreatedOn": at,
            "Command": command,
            "GlueVersion": "5.0",
        } | more
        self.runs.setdefault(name, [])
        return name

    def trigger(self, name: str, job: str, kind: str = "SCHEDULED", **more: Any) -> Body:
        """A new trigger, active, that starts the job."""
        action = {"JobName": job, "Arguments": more.pop("Arguments", {})}
        result = {"Name": name, "Type": kind, "State": "ACTIVATED", "Actions": [action], **more}
        self.triggers.append(result)
        return result

    def run(self, job: str, state: str = "SUCCEEDED", began: datetime | None = None, **more: Any) -> Body:
        """A run that began then (default: two hours ago), and ended five minutes later unless it is open."""
        made = self.made(job, state, began or datetime.now(UTC) - timedelta(hours=2), **more)
        self.runs[job].append(made)
        self.runs[job].sort(key=lambda item: item["StartedOn"], reverse=True)
        return made

    def made(self, job: str, state: str, began: datetime, **more: Any) -> Body:
        """A run in AWS' format."""
        body: Body = {
            "Id": f"jr_{secrets.token_hex(32)}", "JobName": job, "Attempt": 0, "JobRunState": state,
            "StartedOn": began, "LastModifiedOn": began, "LogGroupName": "/aws-glue/jobs",
            "PredecessorRuns": [], **more,
        }  # fmt: skip
        if state not in OPEN:
            body |= {"CompletedOn": began + timedelta(minutes=5), "ExecutionTime": 300}
        return body

    def tick(self) -> None:
        """Every run of ours goes one step on, and what is being stopped stops."""
        for job, runs in self.runs.items():
            for run in runs:
                state = run["JobRunState"]
                if state == "STOPPING":
                    self._end(run, "STOPPED")
                elif "--headway-action" in run.get("Arguments", {}) and state == "STARTING":
                    run["JobRunState"] = "RUNNING"
                elif "--headway-action" in run.get("Arguments", {}) and state == "RUNNING":
                    self._end(run, self.outcomes.get(job, "SUCCEEDED"))

    def _end(self, run: Body, state: str) -> None:
        run |= {"JobRunState": state, "CompletedOn": max(datetime.now(UTC), run["StartedOn"])}

    def _GetJobs(self, body: Body) -> Body:
        return page(list(self.jobs.values()), "Jobs", self.page_size, body.get("NextToken"), "NextToken")

    def _GetJob(self, body: Body) -> Body:
        return {"Job": self._job(body["JobName"])}

    def _job(self, name: str) -> Body:
        if name not in self.jobs:
            raise Refused(400, "EntityNotFoundException", f"Job {name} not found.")
        return self.jobs[name]

    def _GetTriggers(self, body: Body) -> Body:
        return page(self.triggers, "Triggers", self.page_size, body.get("NextToken"), "NextToken")

    def _GetJobRuns(self, body: Body) -> Body:
        self._job(body["JobName"])
        runs = [{name: run[name] for name in run if name != "PredecessorRuns"} for run in self.runs[body["JobName"]]]
        size = min(self.page_size, body.get("MaxResults", 200))
        return page(runs, "JobRuns", size, body.get("NextToken"), "NextToken")

    def _GetJobRun(self, body: Body) -> Body:
        return {"JobRun": self._run(body["JobName"], body["RunId"])}

    def _run(self, job: str, run_id: str) -> Body:
        self._job(job)
        for run in self.runs[job]:
            if run["Id"] == run_id:
                return run
        raise Refused(400, "EntityNotFoundException", f"Job Run Id {run_id} not found")

    def _StartJobRun(self, body: Body) -> Body:
        job = self._job(body["JobName"])
        most = job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1)
        if sum(run["JobRunState"] in OPEN for run in self.runs[job["Name"]]) >= most:
            raise Refused(400, "ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job['Name']}")
        more = {"PreviousRunId": body["JobRunId"]} if "JobRunId" in body else {}
        given = {**job.get("DefaultArguments", {}), **body.get("Arguments", {})}
        return {"JobRunId": self.run(job["Name"], "STARTING", datetime.now(UTC), Arguments=given, **more)["Id"]}

    def _BatchStopJobRun(self, body: Body) -> Body:
        done, errors = [], []
        for run_id in body["JobRunIds"]:
            result = self._run(body["JobName"], run_id)
            which = {"JobName": body["JobName"], "JobRunId": run_id}
            if result["JobRunState"] in OPEN:
                result["JobRunState"] = "STOPPING"
                done.append(which)
            else:
                message = {"ErrorCode": "InvalidInputException", "ErrorMessage": "Job Run is not in a valid state"}
                errors.append(which | {"ErrorDetail": message})
        return {"SuccessfulSubmissions": done, "Errors": errors}
