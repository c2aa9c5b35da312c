"""EMR in memory: clusters, and steps that go on with each tick. What moto lacks: steps that end, CancelSteps. Its
answers are checked by botocore's model of AWS; AWS never saw it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.emr.connector import EmrConnector
from connectors.emr.options import EmrOptions
from connectors.sdk.secrets import SecretStore
from tests.fakes.aws import Body, FakeAws, Refused, page

OPTIONS = EmrOptions(region="eu-central-1")
OPEN = ("PENDING", "RUNNING", "CANCEL_PENDING")


class FakeEmr(FakeAws):
    """`hangs` names steps that do not end."""

    def __init__(self) -> None:
        super().__init__()
        self.clusters: list[Body] = []
        """The newest first."""
        self.steps: dict[str, list[Body]] = {}
        """Of each cluster, the newest first."""
        self.hangs: set[str] = set()
        self.page_size = 50

    def connector(self, transport: httpx.BaseTransport | None = None, **options: Any) -> EmrConnector:
        """A connector whose only server is this."""
        given = OPTIONS.model_copy(update=options)
        return EmrConnector(given, SecretStore(), transport or self, settle_seconds=0)

    def cluster(self, name: str, state: str = "WAITING", began: datetime | None = None, why: str = "") -> str:
        """A new cluster."""
        at = began or datetime.now(UTC) - timedelta(hours=3)
        cluster_id = f"j-{secrets.token_hex(6).upper()}"
        reason = {"Code": why, "Message": "On the master instance, bootstrap action 1 returned a non-zero code"}
        times = {"CreationDateTime": at, "ReadyDateTime": at + timedelta(minutes=4)}
        if state.startswith("TERMINATED"):
            times["EndDateTime"] = at + timedelta(hours=1)
        status = {"State": state, "StateChangeReason": reason if why else {}, "Timeline": times}
        self.clusters.append({"Id": cluster_id, "Name": name, "Status": status})
        self.clusters.sort(key=lambda row: row["Status"]["Timeline"]["CreationDateTime"], reverse=True)
        self.steps[cluster_id] = []
        return cluster_id

    def terminate(self, cluster: str, state: str = "TERMINATED") -> None:
        """The cluster ends, and with it its open steps."""
        row = next(row for row in self.clusters if row["Id"] == cluster)
        row["Status"]["State"] = state
        for step in self.steps[cluster]:
            if step["Status"]["State"] in OPEN:
                self._end(step, "CANCELLED")

    def step(self, cluster: str, name: str, state: str = "COMPLETED", at: datetime | None = None, **more: Any) -> Body:
        """A step that was added then (default: two hours ago), and ended six minutes later unless it is open."""
        added = at or datetime.now(UTC) - timedelta(hours=2)
        times = {"CreationDateTime": added}
        if state != "PENDING":
            times["StartDateTime"] = added + timedelta(minutes=1)
        if state not in OPEN:
            times["EndDateTime"] = added + timedelta(minutes=6)
        config = {"Jar": "command-runner.jar", "Args": ["spark-submit", f"s3://etl/{name}.py"], "Properties": {}}
        made: Body = {
            "Id": f"s-{secrets.token_hex(6).upper()}", "Name": name, "Config": config, "ActionOnFailure": "CONTINUE",
            "LogUri": "s3://logs/",
            "Status": {"State": state, "StateChangeReason": {}, "Timeline": times, **more},
        }  # fmt: skip
        self.steps[cluster].append(made)
        self.steps[cluster].sort(key=lambda step: step["Status"]["Timeline"]["CreationDateTime"], reverse=True)
        return made

    def tick(self) -> None:
        """What is being cancelled ends, running steps end, and pending ones begin."""
        for step in [step for steps in self.steps.values() for step in steps]:
            status = step["Status"]
            if status["State"] == "CANCEL_PENDING":
                self._end(step, "CANCELLED")
            elif status["State"] == "RUNNING" and step["Name"] not in self.hangs:
                self._end(step, "COMPLETED")
            elif status["State"] == "PENDING" and step["Name"] not in self.hangs:
                status["State"], status["Timeline"]["StartDateTime"] = "RUNNING", datetime.now(UTC)

    def _end(self, step: Body, state: str) -> None:
        step["Status"]["State"] = state
        step["Status"]["Timeline"]["EndDateTime"] = datetime.now(UTC)

    def _ListClusters(self, body: Body) -> Body:
        states = body.get("ClusterStates")
        rows = [row for row in self.clusters if states is None or row["Status"]["State"] in states]
        since = float(body.get("CreatedAfter", 0))
        rows = [row for row in rows if row["Status"]["Timeline"]["CreationDateTime"].timestamp() > since]
        return page(rows, "Clusters", self.page_size, body.get("Marker"), "Marker")

    def _of(self, cluster: str) -> list[Body]:
        if cluster not in self.steps:
            raise Refused(400, "InvalidRequestException", f"Cluster id '{cluster}' is not valid.")
        return self.steps[cluster]

    def _ListSteps(self, body: Body) -> Body:
        return page(self._of(body["ClusterId"]), "Steps", self.page_size, body.get("Marker"), "Marker")

    def _DescribeStep(self, body: Body) -> Body:
        return {"Step": self._step(body["ClusterId"], body["StepId"])}

    def _step(self, cluster: str, step_id: str) -> Body:
        step = next((step for step in self._of(cluster) if step["Id"] == step_id), None)
        if step is None:
            raise Refused(400, "InvalidRequestException", f"Step id '{step_id}' is not valid.")
        return step

    def _CancelSteps(self, body: Body) -> Body:
        answers = []
        for step_id in body["StepIds"]:
            status = self._step(body["ClusterId"], step_id)["Status"]
            if status["State"] in OPEN:
                status["State"] = "CANCEL_PENDING"
                answers.append({"StepId": step_id, "Status": "SUBMITTED", "Reason": ""})
            else:
                answers.append({"StepId": step_id, "Status": "FAILED", "Reason": "Step is not in a cancellable state"})
        return {"CancelStepsInfoList": answers}
