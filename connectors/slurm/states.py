"""Slurm's words for a job -> our states. Source: JOB STATE CODES and JOB REASON CODES of squeue(1), Slurm 22.05."""

from __future__ import annotations

from connectors.contract import State

STATES = {
    "PENDING": State.QUEUED,
    "CONFIGURING": State.RUNNING,
    "RUNNING": State.RUNNING,
    "COMPLETING": State.RUNNING,
    "RESIZING": State.RUNNING,
    "SIGNALING": State.RUNNING,
    "STAGE_OUT": State.RUNNING,
    "STOPPED": State.RUNNING,
    "SUSPENDED": State.RUNNING,
    "SPECIAL_EXIT": State.HELD,
    "REQUEUE_HOLD": State.HELD,
    "REQUEUE_FED": State.QUEUED,
    "RESV_DEL_HOLD": State.HELD,
    "COMPLETED": State.SUCCEEDED,
    "CANCELLED": State.CANCELLED,
    "PREEMPTED": State.CANCELLED,
    "FAILED": State.FAILED,
    "BOOT_FAIL": State.FAILED,
    "LAUNCH_FAILED": State.FAILED,
    "NODE_FAIL": State.FAILED,
    "OUT_OF_MEMORY": State.FAILED,
    "TIMEOUT": State.TIMED_OUT,
    "DEADLINE": State.TIMED_OUT,
    "REVOKED": State.SKIPPED,
    "REQUEUED": State.FAILED,
}
"""REQUEUED is what accounting calls a try that was begun anew: by its exit code it had failed, else see `of`."""
WORDS = {
    "NODE_FAIL": "a node of it failed",
    "BOOT_FAIL": "its node did not boot",
    "OUT_OF_MEMORY": "it used more memory than it had asked for",
    "PREEMPTED": "it was ended for a job that goes before it",
    "TIMEOUT": "its time limit was reached",
    "DEADLINE": "it could not end before its deadline",
    "REVOKED": "a sister cluster runs it",
    "SUSPENDED": "it is suspended",
    "STOPPED": "it was stopped by a signal, and keeps its nodes",
    "SPECIAL_EXIT": "it ended with the exit code for special attention and is held in the queue",
}
HELD = ("JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "held", "Held")
NEVER = "DependencyNeverSatisfied"
WAITS = {
    "Dependency": (State.WAITING, "upstream"),
    "BeginTime": (State.PLANNED, "time"),
    "Reservation": (State.WAITING, "time"),
    "JobArrayTaskLimit": (State.QUEUED, "slot"),
    "Licenses": (State.QUEUED, "resource"),
    "Resources": (State.QUEUED, "resource"),
    "Nodes": (State.QUEUED, "resource"),
    "NodeDown": (State.QUEUED, "resource"),
    "ReqNodeNotAvail": (State.QUEUED, "resource"),
    "Priority": (State.QUEUED, "slot"),
    "None": (State.QUEUED, ""),
}
"""Why a job waits, where it is more than "in the queue"; limits of users, accounts and QOS are a matter of slots."""


def known(word: str) -> bool:
    """Whether Slurm has that word for a state."""
    return word in STATES


def of(word: str, exit_code: str) -> State:
    """The state of a part by its word, without "by UID", and its "code:signal". Unknown words are UNKNOWN.

    A try that was requeued without an exit code of its own had run, or had even ended well: nobody knows any more."""
    if word == "REQUEUED" and exit_code in ("", "0:0"):
        return State.UNKNOWN
    return STATES.get(word, State.UNKNOWN)


def waiting(reason: str, is_held: bool) -> tuple[State, str]:
    """What a PENDING job waits for: its state, and our word for why."""
    plain = reason.split(",")[0].strip("() ")
    if plain == NEVER:
        return State.BLOCKED, "upstream"
    if is_held or any(word in plain for word in HELD):
        return State.HELD, ""
    if plain.startswith(("Assoc", "QOS", "Max")) or plain.endswith("Limit"):
        return WAITS.get(plain, (State.QUEUED, "slot"))
    return WAITS.get(plain, (State.QUEUED, "resource" if "Node" in plain or "Partition" in plain else ""))
