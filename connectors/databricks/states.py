"""Databricks' words for a run: what they are here, and what two fields together say. Pure.

API 2.2 tells a run twice: `status`, with a code of its end, and the older `state`, which alone knows a time-out and
what an upstream did. Where the two disagree nothing is green.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors import fields
from connectors.contract import Evidence, State

LIVES: dict[str, tuple[State, str]] = {
    "BLOCKED": (State.WAITING, "upstream"),
    "QUEUED": (State.QUEUED, "slot"),
    "PENDING": (State.QUEUED, "resource"),
    "RUNNING": (State.RUNNING, ""),
    "TERMINATING": (State.RUNNING, ""),
    "WAITING": (State.RETRYING, ""),
    "WAITING_FOR_RETRY": (State.RETRYING, ""),
}
"""Of what has not ended. PENDING: its cluster is being made."""
RESULTS: dict[str, State] = {
    "SUCCESS": State.SUCCEEDED,
    "SUCCESS_WITH_FAILURES": State.PARTIAL,
    "FAILED": State.FAILED,
    "TIMEDOUT": State.TIMED_OUT,
    "CANCELED": State.CANCELLED,
    "UPSTREAM_FAILED": State.BLOCKED,
    "UPSTREAM_CANCELED": State.BLOCKED,
    "EXCLUDED": State.SKIPPED,
    "DISABLED": State.SKIPPED,
    "MAXIMUM_CONCURRENT_RUNS_REACHED": State.SKIPPED,
}
CODES: dict[str, State] = {
    "SUCCESS": State.SUCCEEDED,
    "SUCCESS_WITH_FAILURES": State.PARTIAL,
    "USER_CANCELED": State.CANCELLED,
    "CANCELED": State.CANCELLED,
    "SKIPPED": State.SKIPPED,
    "DISABLED": State.SKIPPED,
    "MAX_CONCURRENT_RUNS_EXCEEDED": State.SKIPPED,
    **dict.fromkeys(
        (
            "BREAKING_CHANGE", "BUDGET_POLICY_LIMIT_EXCEEDED", "CLOUD_FAILURE", "CLUSTER_ERROR",
            "CLUSTER_REQUEST_LIMIT_EXCEEDED", "DRIVER_ERROR", "FEATURE_DISABLED", "INTERNAL_ERROR",
            "INVALID_CLUSTER_REQUEST", "INVALID_RUN_CONFIGURATION", "LIBRARY_INSTALLATION_ERROR",
            "MAX_JOB_QUEUE_SIZE_EXCEEDED", "MAX_SPARK_CONTEXTS_EXCEEDED", "REPOSITORY_CHECKOUT_FAILED",
            "RESOURCE_NOT_FOUND", "RUN_EXECUTION_ERROR", "STORAGE_ACCESS_ERROR", "UNAUTHORIZED_ERROR",
            "WORKSPACE_RUN_LIMIT_EXCEEDED",
        ), State.FAILED,
    ),
}  # fmt: skip
"""Termination codes. MAX_CONCURRENT_RUNS_EXCEEDED: the run before was not over, and Databricks left this one out."""
FINER = ("TIMEDOUT", "UPSTREAM_FAILED", "UPSTREAM_CANCELED", "EXCLUDED")
"""Results that say more than the code beside them."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a run is: ours, Databricks' own, and what goes with it."""

    state: State
    native: str
    reason: str = ""
    message: str = ""
    evidence: Evidence = Evidence.NATIVE


def word_of(row: fields.Row) -> Word:
    """Of a run, a task's run or a repair. Raises RecordUnreadable."""
    status, state = _table(row.get("status")), _table(row.get("state"))
    life = fields.words(status, "state") or fields.words(state, "life_cycle_state")
    message = fields.words(state, "state_message")[:1000]
    if life in LIVES:
        found, reason = LIVES[life]
        queue = _table(status.get("queue_details"))
        return Word(found, life, reason, fields.words(queue, "message")[:1000] or message)
    if life == "INTERNAL_ERROR":
        return Word(State.FAILED, life, "", message)
    if life == "SKIPPED":
        return Word(State.SKIPPED, life, "", message)
    if life != "TERMINATED":
        return Word(State.UNKNOWN, life or "(no state)", "", message, Evidence.INFERRED)
    details = _table(status.get("termination_details"))
    code, result = fields.words(details, "code"), fields.words(state, "result_state")
    return _ended(code, result, fields.words(details, "message")[:1000] or message)


def _ended(code: str, result: str, message: str) -> Word:
    by_code = CODES.get(code, State.UNKNOWN) if code else None
    by_result = RESULTS.get(result, State.UNKNOWN) if result else None
    known = [one for one in (by_code, by_result) if one is not None]
    if not known or State.UNKNOWN in known:
        odd = code if by_code is State.UNKNOWN else result
        return Word(State.UNKNOWN, odd or "TERMINATED", "", message, Evidence.INFERRED)
    if by_result is not None and (by_code is None or result in FINER):
        return Word(by_result, result, "", message)
    if by_code is None:
        return Word(State.UNKNOWN, "TERMINATED", "", message, Evidence.INFERRED)
    if by_result is not None and State.SUCCEEDED in known and by_code is not by_result:
        other = by_result if by_code is State.SUCCEEDED else by_code
        return Word(other, f"{code}, {result}", "", message, Evidence.CONFLICT)
    return Word(by_code, code, "", message)


def _table(value: object) -> fields.Row:
    return value if isinstance(value, dict) else {}
