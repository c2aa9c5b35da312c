"""What a Job's conditions and pods say of its run. Pure.

A Job is over with the condition Complete or Failed. `failed: 1` alone is a pod that failed: the Job tries again until
its backoffLimit. Pods tell what the Job does not: whether they wait for a node or an image, and with what they exited.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from connectors import fields
from connectors.contract import Evidence, State
from connectors.kubernetes.pods import Pod

FAILURES: dict[str, State] = {
    "DeadlineExceeded": State.TIMED_OUT,
    "FailedIndexes": State.PARTIAL,
}
"""Reasons of the condition Failed that say more than that. FailedIndexes: every index ran, and some failed."""
ON_THE_WAY = ("FailureTarget", "SuccessCriteriaMet")
"""The end is decided, and pods are still being ended."""
KNOWN = ("Complete", "Failed", "Suspended", *ON_THE_WAY)


@dataclass(frozen=True, slots=True)
class Word:
    """What a run is: ours, Kubernetes' own, and what goes with it."""

    state: State
    native: str
    reason: str = ""
    message: str = ""
    evidence: Evidence = Evidence.NATIVE


def word_of(
    status: fields.Row, spec: fields.Row, held: Mapping[str, fields.Row], pods: Sequence[Pod], ended_by: Container[str]
) -> Word:
    """Of a Job as it is now. `ended_by`: "us" where we set the deadline that it passed, "deletion" where it is being
    deleted. Raises RecordUnreadable."""
    if "Failed" in held:
        return _failed(held, status, "us" in ended_by)
    if "Complete" in held:
        row = held["Complete"]
        return Word(State.SUCCEEDED, "Complete", message=fields.words(row, "message"))
    if "deletion" in ended_by:
        return Word(State.CANCELLING, "Terminating", message="it is being deleted")
    unknown = sorted(set(held) - set(KNOWN))
    if unknown:
        return Word(State.UNKNOWN, unknown[0], evidence=Evidence.INFERRED)
    if "Suspended" in held or spec.get("suspend") is True:
        return Word(State.HELD, "Suspended")
    for name in ON_THE_WAY:
        if name in held:
            return Word(State.RUNNING, name, message=fields.words(held[name], "message"))
    return _open(status, pods)


def true_conditions(status: fields.Row) -> dict[str, fields.Row]:
    """Conditions that hold, by type. Raises RecordUnreadable."""
    found = [fields.table(one) for one in fields.rows(status.get("conditions"))]
    return {fields.text(one, "type"): one for one in found if one.get("status") == "True"}


def _failed(held: Mapping[str, fields.Row], status: fields.Row, is_ours_to_end: bool) -> Word:
    row = held["Failed"]
    reason, message = fields.words(row, "reason"), fields.words(row, "message")
    native = f"Failed: {reason}" if reason else "Failed"
    if "Complete" in held:
        return Word(State.FAILED, "Complete and Failed", message=message, evidence=Evidence.CONFLICT)
    if reason == "DeadlineExceeded" and is_ours_to_end:
        return Word(State.CANCELLED, native, message="ended by Headway")
    state = FAILURES.get(reason, State.FAILED)
    if state is State.PARTIAL and fields.number(status, "succeeded", 0) == 0:
        state = State.FAILED
    return Word(state, native, message=message)


def _open(status: fields.Row, pods: Sequence[Pod]) -> Word:
    active, failed = fields.number(status, "active", 0), fields.number(status, "failed", 0)
    alive = [one for one in pods if one.is_alive]
    tried = f"{failed} of its pods failed" if failed else ""
    if active == 0 and failed > 0:
        return Word(State.RETRYING, "BackOff", message=f"{tried}: it waits before it tries again")
    if active == 0:
        return Word(State.QUEUED, "no pod yet", "resource")
    waiting = next((one.waiting for one in alive if one.waiting), "")
    if alive and all(one.phase == "Pending" for one in alive):
        return Word(State.QUEUED, waiting or "Pending", "resource", waiting and alive[0].message)
    if waiting == "CrashLoopBackOff":
        return Word(State.RETRYING, waiting, message=alive[0].message)
    return Word(State.RUNNING, "Active", message=tried)
