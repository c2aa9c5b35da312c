"""Native names of the kind that a replayed system imitates: states, keys, and the texts of previews. Pure."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zlib import crc32

from connectors.replay.parse import JobDef
from connectors.replay.world import ReplayAttempt
from connectors.sdk.contract import Preview
from connectors.sdk.marked_pause import MarkedPause
from connectors.sdk.records import RunRecord, instant_key
from connectors.sdk.states import PeriodKind, ProofLevel, RunEvidence, RunState

OPEN_STATES: Mapping[str, tuple[str, str]] = {
    "cron": ("queued", "running"),
    "airflow": ("queued", "running"),
    "pg_cron": ("starting", "running"),
    "step_functions": ("PENDING", "RUNNING"),
}
"""Imitated kind -> its native states of a queued and of a running run."""

END_STATES: Mapping[str, Mapping[RunState, str]] = {
    "airflow": {RunState.SUCCEEDED: "success", RunState.FAILED: "failed", RunState.BLOCKED: "upstream_failed"},
    "pg_cron": {RunState.SUCCEEDED: "succeeded", RunState.FAILED: "failed"},
    "step_functions": {RunState.SUCCEEDED: "SUCCEEDED", RunState.FAILED: "FAILED", RunState.TIMED_OUT: "TIMED_OUT"},
}
UNPROVED = "CMD"
"""Native state of a cron run of which only the start is logged."""

SHOWS_QUEUE = frozenset({"airflow"})
"""Kinds that show a run before it starts."""


TEXTS: Mapping[str, Mapping[str, Any]] = tomllib.loads(Path(__file__).with_name("previews.toml").read_text("utf-8"))
"""Imitated kind -> verb -> texts of its preview; and where the mark of a hold is."""


def text_of(kind: str, name: str, job: JobDef) -> str:
    return str(TEXTS[kind][name]).format_map(_facts(job))


def preview_of(kind: str, verb: str, job: JobDef, **values: str) -> Preview:
    """The texts of a preview in the terms of the kind, with the facts of a job and `values` filled in."""
    texts, facts = TEXTS[kind][verb], _facts(job) | values
    return Preview(
        verb=texts["verb"],
        summary=texts["summary"].format_map(facts),
        scope=texts["scope"].format_map(facts),
        native_calls=tuple(call.format_map(facts) for call in texts["calls"]),
        notes=tuple(note.format_map(facts) for note in texts.get("notes", ())),
    )


def _facts(job: JobDef) -> dict[str, str]:
    checksum = f"{crc32(job.definition.encode()):08x}"
    facts = {"target": job.target, "user": job.run_as or "its user", "line": job.definition, "checksum": checksum}
    return {"name": job.native_id, **facts}


def record(kind: str, job: JobDef, attempt: ReplayAttempt) -> RunRecord | None:
    """The attempt as this kind reports it; None for one that it does not show yet."""
    blocked = attempt.ending is not None and attempt.ending.state is RunState.BLOCKED
    if attempt.started_at is None and not blocked and kind not in SHOWS_QUEUE:
        return None
    state, native, evidence = _state(kind, job, attempt)
    ends = None if job.proof is ProofLevel.START else attempt.ended_at
    by_clock = kind == "airflow" and job.schedule.dialect != "none"
    return RunRecord(
        job=attempt.job[1],
        attempt_key=attempt_key(kind, attempt),
        state=state,
        native_state=native,
        evidence=evidence,
        period_key=period_key(kind, job, attempt),
        period_at=attempt.due if by_clock else None,
        period_kind=None if by_clock else PeriodKind.RUN,
        queued_at=attempt.queued_at if kind in SHOWS_QUEUE else None,
        started_at=attempt.started_at,
        ended_at=None if state.is_open else ends,
        exit_code=_exit_code(kind, job, attempt),
        message=attempt.ending.message if attempt.ending is not None else "",
        reason="slot" if state is RunState.QUEUED else "",
        native_ref=json.dumps({"run": attempt.run, "attempt": attempt.number}),
        action_key=attempt.action_key,
    )


def _state(kind: str, job: JobDef, attempt: ReplayAttempt) -> tuple[RunState, str, RunEvidence]:
    queued, running = OPEN_STATES[kind]
    if attempt.ending is None:
        if attempt.started_at is None:
            return RunState.QUEUED, queued, RunEvidence.NATIVE
        return RunState.RUNNING, running, RunEvidence.INFERRED if job.proof is ProofLevel.START else RunEvidence.NATIVE
    if job.proof is ProofLevel.START:
        return RunState.UNKNOWN, UNPROVED, RunEvidence.INFERRED
    state = attempt.ending.state
    if kind == "cron":
        return state, f"exit {_exit_code(kind, job, attempt)}", RunEvidence.NATIVE
    return state, END_STATES[kind].get(state, str(state)), RunEvidence.NATIVE


def _exit_code(kind: str, job: JobDef, attempt: ReplayAttempt) -> int | None:
    if kind != "cron" or attempt.ending is None or job.proof is ProofLevel.START:
        return None
    return attempt.ending.exit_code if attempt.ending.exit_code is not None else int(attempt.ending.state.is_red)


def period_key(kind: str, job: JobDef, attempt: ReplayAttempt) -> str | None:
    """The period key as the kind reports it; None for cron and pg_cron, which report starts only."""
    if kind == "airflow":
        return attempt.run if job.schedule.dialect != "none" else f"triggered__{attempt.run}"
    return f"{job.native_id}-{attempt.due:%Y%m%dT%H%M%S}" if kind == "step_functions" else None


def attempt_key(kind: str, attempt: ReplayAttempt) -> str:
    """The attempt key in the form of the kind; different for each attempt of each job."""
    if kind == "airflow":
        return f"{attempt.run}@{instant_key(attempt.queued_at)}#{attempt.number}"
    if kind == "step_functions":
        return f"{attempt.job[1]}-{attempt.due:%Y%m%dT%H%M%S}#{attempt.number}"
    start: datetime = attempt.started_at or attempt.queued_at
    pid = crc32(f"{attempt.job} {attempt.run} {attempt.number}".encode()) % 90_000 + 10_000
    return f"{int(start.timestamp())}.{pid}" + (f".{attempt.number}" if kind == "pg_cron" else "")


MARKINGS = {
    "cron": MarkedPause("cron", "commented out", "comment"),
    "airflow": MarkedPause("Airflow", "paused", "note"),
    "pg_cron": MarkedPause("pg_cron", "inactive", "comment"),
    "step_functions": MarkedPause("EventBridge Scheduler", "disabled", "description"),
}


def rerun_preview(
    kind: str, job: JobDef, requested: str, run: str, label: str, failed: bool, tasks: tuple[str, ...]
) -> Preview:
    """The rerun of one run. `requested`: the native id of the task or job; `run`: the name of the run; `label`: its
    period, for people; `tasks`: the tasks of a DAG that run again."""
    verb = "rerun failed" if failed else "rerun task" if requested != job.native_id else "rerun"
    verb = verb if verb in TEXTS[kind] else "rerun"
    count = f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}"
    values = {"run": run, "label": label, "failed": json.dumps(failed), "count": count, "tasks": ", ".join(tasks)}
    preview = preview_of(kind, verb, job, **values)
    return replace(preview, affected=tasks) if kind == "airflow" else preview
