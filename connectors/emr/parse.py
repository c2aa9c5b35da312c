"""EMR replies read as records. A job is a cluster's name and a step's name; a step is a run.

Pure: whatever a reply holds, only RecordUnreadable is raised. Facts: Amazon EMR API reference, StepSummary and
ClusterSummary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from connectors.sdk.aws.values import instant, reference
from connectors.sdk.fields import digest, masked_head, reading
from connectors.sdk.records import JobRecord, RunRecord, RunRef
from connectors.sdk.states import ProofLevel, RunState

Row = Mapping[str, Any]

STATES = {
    "PENDING": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "CANCEL_PENDING": RunState.CANCELLING,
    "COMPLETED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "INTERRUPTED": RunState.FAILED,
    "CANCELLED": RunState.CANCELLED,
}
ENDED_CLUSTERS = ("TERMINATED", "TERMINATED_WITH_ERRORS")
TEXT_CHARACTERS = 1000


def created(row: Row) -> datetime | None:
    """When the step was added to its cluster, or the cluster was created."""
    return instant(_timeline(row).get("CreationDateTime"))


def state_of(step: Row) -> str:
    return str((step.get("Status") or {}).get("State"))


def is_open(step: Row) -> bool:
    return STATES.get(state_of(step), RunState.UNKNOWN).is_open


def has_ended(cluster: Row) -> bool:
    return str((cluster.get("Status") or {}).get("State")) in ENDED_CLUSTERS


def terminated(cluster: Row) -> dict[str, Any]:
    """The cluster once EMR lists it no longer, without the reason of its former state."""
    return {**cluster, "Status": {"State": "TERMINATED", "Timeline": _timeline(cluster)}}


@reading("a step")
def job(step: Row, cluster_name: str) -> JobRecord:
    """The job of a step. Its arguments may hold secrets: they are in the hash alone."""
    config, name = step.get("Config") or {}, f"{cluster_name}/{step['Name']}"
    parts = [str(config.get(field) or "") for field in ("Jar", "MainClass")]
    return JobRecord(
        native_id=name,
        title=name,
        definition=masked_head(" ".join(part for part in parts if part), TEXT_CHARACTERS),
        definition_hash=digest(config),
        proof=ProofLevel.EXIT,
    )


@reading("a step")
def run(step: Row, cluster_id: str, cluster_name: str, cluster_end: str, region: str) -> RunRecord:
    """The step as a run. `cluster_end`: why its cluster ended, the message of a step that was cancelled with it."""
    step_id, native = str(step["Id"]), str(step["Status"]["State"])
    state, times = STATES.get(native, RunState.UNKNOWN), _timeline(step)
    began, ended = instant(times.get("StartDateTime")), instant(times.get("EndDateTime"))
    message = _reason(step) or (cluster_end if state is RunState.CANCELLED else "")
    return RunRecord(
        job=f"{cluster_name}/{step['Name']}",
        attempt_key=step_id,
        state=state,
        native_state=native,
        queued_at=created(step),
        started_at=began,
        ended_at=None if state.is_open or ended is None else max(ended, began or ended),
        message=masked_head(message, TEXT_CHARACTERS),
        native_ref=json.dumps({"cluster": cluster_id, "step": step_id}),
        native_url=f"https://{region}.console.aws.amazon.com/emr/home?region={region}#/clusterDetails/{cluster_id}",
    )


def cluster_end(cluster: Row) -> str:
    """Why a cluster ended: "BOOTSTRAP_FAILURE: On the master instance …"; "" without a reason."""
    change = (cluster.get("Status") or {}).get("StateChangeReason") or {}
    return ": ".join(str(change[name]) for name in ("Code", "Message") if change.get(name))


def place(ref: RunRef) -> tuple[str, str]:
    """Cluster and step of a run that EMR has; ("", "") for any other reference."""
    result = reference(ref, "cluster", "step")
    return (result["cluster"], result["step"]) if result else ("", "")


def _timeline(step: Row) -> Row:
    times = (step.get("Status") or {}).get("Timeline")
    return times if isinstance(times, Mapping) else {}


def _reason(step: Row) -> str:
    """The reason of a failure and the place of its log; "" without one."""
    status = step.get("Status") or {}
    details, change = status.get("FailureDetails") or {}, status.get("StateChangeReason") or {}
    reasons = [str(part) for part in (details.get("Reason"), details.get("Message")) if part]
    if not reasons and change.get("Message"):
        reasons = [str(change["Message"])]
    return ": ".join(reasons) + (f" (log: {details['LogFile']})" if details.get("LogFile") else "")
