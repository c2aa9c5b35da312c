"""What a kind lends to a replayed system: its state words, keys and verbs. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

from connectors.contract import Evidence, Proof, RunRecord, State, instant_key
from connectors.replay.parse import JobDef
from connectors.replay.world import Attempt

OPEN_WORDS: Mapping[str, tuple[str, str]] = {
    "cron": ("queued", "running"),
    "airflow": ("queued", "running"),
    "pg_cron": ("starting", "running"),
    "step_functions": ("PENDING", "RUNNING"),
}
"""Lent kind -> its words for what waits and for what runs."""

END_WORDS: Mapping[str, Mapping[State, str]] = {
    "airflow": {State.SUCCEEDED: "success", State.FAILED: "failed", State.BLOCKED: "upstream_failed"},
    "pg_cron": {State.SUCCEEDED: "succeeded", State.FAILED: "failed"},
    "step_functions": {State.SUCCEEDED: "SUCCEEDED", State.FAILED: "FAILED", State.TIMED_OUT: "TIMED_OUT"},
}
UNPROVED = "CMD"
"""cron's own word for a start, where nothing more is logged."""

SHOWS_QUEUE = frozenset({"airflow"})
"""Kinds that show a run before it starts."""


@dataclass(frozen=True, slots=True)
class Verb:
    """How a rerun is called and sent, in a kind's words."""

    verb: str
    words: str
    scope: str
    calls: tuple[str, ...]
    affected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def record(lent: str, job: JobDef, one: Attempt) -> RunRecord | None:
    """The attempt as this kind would tell it; None for what it does not show yet."""
    blocked = one.ending is not None and one.ending.state is State.BLOCKED
    if one.started_at is None and not blocked and lent not in SHOWS_QUEUE:
        return None
    state, native, evidence = _state(lent, job, one)
    ends = None if job.proof is Proof.START else one.ended_at
    by_clock = lent == "airflow" and job.schedule.dialect != "none"
    return RunRecord(
        job=one.job[1],
        attempt_key=attempt_key(lent, one),
        state=state,
        native_state=native,
        evidence=evidence,
        period_key=period_key(lent, job, one),
        period_at=one.due if by_clock else None,
        queued_at=one.queued_at if lent in SHOWS_QUEUE else None,
        started_at=one.started_at,
        ended_at=None if state.is_open else ends,
        exit_code=_exit_code(lent, job, one),
        message=one.ending.message if one.ending is not None else "",
        reason="slot" if state is State.QUEUED else "",
        native_ref=json.dumps({"run": one.run, "attempt": one.number}),
        action_key=one.action_key,
    )


def _state(lent: str, job: JobDef, one: Attempt) -> tuple[State, str, Evidence]:
    queued, running = OPEN_WORDS[lent]
    if one.ending is None:
        if one.started_at is None:
            return State.QUEUED, queued, Evidence.NATIVE
        return State.RUNNING, running, Evidence.INFERRED if job.proof is Proof.START else Evidence.NATIVE
    if job.proof is Proof.START:
        return State.UNKNOWN, UNPROVED, Evidence.INFERRED
    state = one.ending.state
    if lent == "cron":
        return state, f"exit {_exit_code(lent, job, one)}", Evidence.NATIVE
    return state, END_WORDS[lent].get(state, str(state)), Evidence.NATIVE


def _exit_code(lent: str, job: JobDef, one: Attempt) -> int | None:
    if lent != "cron" or one.ending is None or job.proof is Proof.START:
        return None
    return one.ending.exit_code if one.ending.exit_code is not None else int(one.ending.state.is_red)


def period_key(lent: str, job: JobDef, one: Attempt) -> str | None:
    """As the kind knows its runs: cron and pg_cron tell starts only."""
    if lent == "airflow":
        return one.run if job.schedule.dialect != "none" else f"triggered__{one.run}"
    return f"{job.native_id}-{one.due:%Y%m%dT%H%M%S}" if lent == "step_functions" else None


def attempt_key(lent: str, one: Attempt) -> str:
    """As the kind tells attempts apart; different for each attempt of each job."""
    start: datetime = one.started_at or one.queued_at
    pid = crc32(f"{one.job} {one.run} {one.number}".encode()) % 90_000 + 10_000
    if lent == "airflow":
        return f"{one.run}@{instant_key(one.queued_at)}#{one.number}"
    if lent == "step_functions":
        return f"{one.job[1]}-{one.due:%Y%m%dT%H%M%S}#{one.number}"
    return f"{int(start.timestamp())}.{pid}" + (f".{one.number}" if lent == "pg_cron" else "")


def verb(lent: str, job: JobDef, asked: str, run: str, label: str, failed: bool, tasks: tuple[str, ...]) -> Verb:
    """The rerun of one run. `asked`: the native id that was asked for, a task's or the job's own; `run`: its name;
    `label`: its period, for people; `tasks`: what will run again of a DAG."""
    if lent == "airflow":
        return _clear(job, asked, run, label, failed, tasks)
    if lent == "pg_cron":
        words = f"run the command of pg_cron job {asked} once, at the next full minute, as {job.run_as}"
        call = f"SELECT headway.rerun('{asked}', <key>)"
        return Verb("run once", words, f"one run of {asked}, for {label}", (call,), notes=("context is lost",))
    if lent == "step_functions":
        return _execution(job, run, label, failed)
    words = f"run this crontab line once on {job.target} as {job.run_as or 'its user'}"
    call = f"ssh {job.target} headway-rerun <key> {crc32(job.definition.encode()):08x}"
    notes = (f"the line: {job.definition}", "context is lost: it runs as of now")
    return Verb("run once", words, f"one run of {asked}, for {label}", (call,), notes=notes)


def _clear(job: JobDef, asked: str, run: str, label: str, failed: bool, tasks: tuple[str, ...]) -> Verb:
    verb = "clear failed tasks" if failed else "clear task and what follows" if asked != job.native_id else "clear run"
    count = f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}"
    body = json.dumps({"dry_run": False, "only_failed": failed})
    call = f"POST /api/v2/dags/{job.native_id}/dagRuns/{run}/clear {body}"
    words = f"{verb} of {job.native_id} {label}"
    return Verb(verb, words, f"{count} of {job.native_id} {label}: {', '.join(tasks)}", (call,), affected=tasks)


def _execution(job: JobDef, run: str, label: str, failed: bool) -> Verb:
    if failed:
        words = f"redrive the failed execution of {job.native_id} from its failed state"
        return Verb("redrive", words, f"the execution {label}", (f"RedriveExecution {job.native_id}:{run}",))
    words = f"start {job.native_id} again with the input of {label}"
    call = f"StartExecution {job.native_id} name=<key> input=<that of {run}>"
    return Verb("start again", words, f"one new execution of {job.native_id}", (call,))
