"""Amazon EMR on EC2 by boto3: one method per call.

Rules: Amazon EMR API reference. ListClusters and ListSteps answer 50 rows a page, the newest first. EMR has one error
for all that a request may have wrong, so an id that it does not know is recognised by its message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from connectors.sdk.aws.client import AwsClient, AwsNotFound
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import masked_head

ACTIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING")
UNKNOWN_ID = "is not valid"

T = TypeVar("T")


class EmrClient(AwsClient):
    def clusters(self, **which: Any) -> Iterator[AwsReply]:
        return self.rows("emr", "list_clusters", "Clusters", "Marker", **which)

    def clusters_since(self, since: datetime) -> list[AwsReply]:
        """Those that are active, and those that were created since then."""
        by_id = {str(row.get("Id")): row for row in self.clusters(ClusterStates=list(ACTIVE))}
        return list((by_id | {str(row.get("Id")): row for row in self.clusters(CreatedAfter=since)}).values())

    def steps(self, cluster: str, marker: str | None = None) -> tuple[list[AwsReply], str | None]:
        """One page of a cluster's steps, newest first, and the marker of the next. Raises AwsNotFound."""
        return self._known(lambda: self.page("emr", "list_steps", "Steps", "Marker", marker, ClusterId=cluster))

    def step(self, cluster: str, step: str) -> AwsReply:
        """One step. Raises AwsNotFound, RecordUnreadable."""
        reply = self._known(lambda: self.call("emr", "describe_step", "Step", ClusterId=cluster, StepId=step))
        return self.about(step, "Id", reply["Step"])

    def cancel(self, cluster: str, step: str) -> None:
        """Requests the end of a step. Raises NotSupported with EMR's reason where it refuses."""
        which = {"ClusterId": cluster, "StepIds": [step], "StepCancellationOption": "SEND_INTERRUPT"}
        for row in self.call("emr", "cancel_steps", "CancelStepsInfoList", once=True, **which)["CancelStepsInfoList"]:
            if row.get("Status") != "SUBMITTED":
                reason = masked_head(str(row.get("Reason", "")), 300)
                raise NotSupported(f"{self.place}: {step} was not cancelled: {reason}")

    @staticmethod
    def _known(call: Callable[[], T]) -> T:
        try:
            return call()
        except NotSupported as error:
            raise (AwsNotFound(str(error)) if UNKNOWN_ID in str(error) else error) from None
