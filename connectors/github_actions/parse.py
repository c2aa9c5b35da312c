"""Rows of runs and jobs -> records. Pure.

A rerun keeps the run's id and counts its attempts; the list shows the latest. GitHub tells no end of a run: it is the
end of its last job where jobs were read, else the row's last change.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from connectors import fields
from connectors.contract import ACTION_KEY, Evidence, RecordUnreadable, RunRecord, State

FOLDER = ".github/workflows/"
STATUSES: dict[str, tuple[State, str]] = {
    "requested": (State.QUEUED, ""),
    "queued": (State.QUEUED, "slot"),
    "pending": (State.WAITING, "slot"),
    "waiting": (State.WAITING, "approval"),
    "in_progress": (State.RUNNING, ""),
}
"""Of what has not ended. pending: its concurrency group is taken; waiting: a deployment's protection rule."""
CONCLUSIONS: dict[str, State] = {
    "success": State.SUCCEEDED,
    "neutral": State.SKIPPED,
    "skipped": State.SKIPPED,
    "failure": State.FAILED,
    "startup_failure": State.FAILED,
    "timed_out": State.TIMED_OUT,
    "cancelled": State.CANCELLED,
    "stale": State.LOST,
    "action_required": State.WAITING,
}
"""Of what has ended; stale: GitHub gave it up; action_required: a maintainer must approve it before it runs."""
WORST_FIRST = (
    State.RUNNING, State.QUEUED, State.WAITING, State.UNKNOWN, State.FAILED, State.TIMED_OUT, State.LOST,
    State.CANCELLED, State.SUCCEEDED, State.SKIPPED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """One job of an attempt of a run."""

    id: int
    attempt: int
    shown: str
    state: State
    native: str
    reason: str
    started_at: datetime | None
    ended_at: datetime | None
    runner: str
    step: str
    """The step that failed."""


def job_of(repository: str, path: str) -> str:
    """Native id of a workflow: "acme/etl:nightly.yml"."""
    return f"{repository}:{path.partition('@')[0].removeprefix(FOLDER)}"


def path_of(row: fields.Row) -> str:
    """The workflow's file, also of a run. Raises RecordUnreadable."""
    return fields.text(row, "path").partition("@")[0]


def id_of(row: fields.Row, name: str = "id") -> int:
    """A whole number above 0. Raises RecordUnreadable."""
    found = fields.number(row, name, 0)
    if found <= 0:
        raise RecordUnreadable(f"{name} is {found}, not an id")
    return found


def attempt_of(row: fields.Row) -> int:
    return max(1, fields.number(row, "run_attempt", 1))


def key_of(run: int, attempt: int) -> str:
    """Attempt key: "30433642.1"."""
    return f"{run}.{attempt}"


def ref_of(run: int, attempt: int, task: str = "") -> str:
    """What `RunRecord.native_ref` holds."""
    return json.dumps({"run": run, "attempt": attempt, **({"task": task} if task else {})})


def state_of(row: fields.Row) -> tuple[State, str, str]:
    """State, native word and reason of a run or a job."""
    status, conclusion = fields.words(row, "status"), fields.words(row, "conclusion")
    if status != "completed":
        state, reason = STATUSES.get(status, (State.UNKNOWN, ""))
        return state, status or "(no status)", reason
    state = CONCLUSIONS.get(conclusion, State.UNKNOWN)
    return state, conclusion or "(no conclusion)", "approval" if state is State.WAITING else ""


def run(row: Any, repository: str) -> RunRecord:
    """The record of the attempt that a row shows. Raises RecordUnreadable."""
    row = fields.table(row)
    number, attempt = id_of(row), attempt_of(row)
    state, native, reason = state_of(row)
    created, began = fields.instant(row, "created_at"), fields.instant(row, "run_started_at")
    has_begun = state not in (State.QUEUED, State.WAITING)
    started = (began or created) if has_begun else None
    changed = fields.instant(row, "updated_at")
    ended = None if state.is_open or state is State.UNKNOWN else _not_before(changed, started)
    event = fields.words(row, "event")
    return RunRecord(
        job=job_of(repository, path_of(row)),
        attempt_key=key_of(number, attempt),
        state=state,
        native_state=native,
        evidence=Evidence.INFERRED if state in (State.UNKNOWN, State.LOST) else Evidence.NATIVE,
        period_key=None if event == "schedule" else str(number),
        again_of=key_of(number, 1) if attempt > 1 else "",
        queued_at=created if attempt == 1 else began,
        started_at=started,
        ended_at=ended,
        reason=reason,
        native_ref=ref_of(number, attempt),
        native_url=url_of(row, attempt),
        action_key=_action_of(row, event, attempt),
        context=fields.small(_context(row, event), "title"),
    )


def url_of(row: fields.Row, attempt: int = 1) -> str:
    """Where a person sees it; "" for what is no https address."""
    found = fields.words(row, "html_url")
    if not found.startswith("https://"):
        return ""
    return f"{found}/attempts/{attempt}" if attempt > 1 else found


def with_jobs(record: RunRecord, jobs: Sequence[Job]) -> RunRecord:
    """The record with what its jobs tell: the jobs that are not green, PARTIAL for a green run with such, the end."""
    if not jobs:
        return record
    red = [one for one in jobs if one.state.is_red]
    green = record.state is State.SUCCEEDED
    ends = [one.ended_at for one in jobs if one.ended_at]
    if record.ended_at is not None and ends:
        record = replace(record, ended_at=_not_before(max(ends), record.started_at))
    if not red:
        return record
    named = [f"{one.shown} ({one.native}{f' in {one.step}' if one.step else ''})" for one in red]
    rest = f" and {len(named) - 10} more" if len(named) > 10 else ""
    message = fields.clean(f"jobs not green: {', '.join(named[:10])}{rest}")[:1000]
    return replace(record, state=State.PARTIAL if green else record.state, message=message)


def job(row: Any) -> Job:
    """One job of an attempt. Raises RecordUnreadable."""
    row = fields.table(row)
    state, native, reason = state_of(row)
    started = fields.instant(row, "started_at") if state not in (State.QUEUED, State.WAITING) else None
    ended = None if state.is_open else _not_before(fields.instant(row, "completed_at"), started)
    return Job(
        id=id_of(row),
        attempt=attempt_of(row),
        shown=fields.text(row, "name"),
        state=state,
        native=native,
        reason=reason,
        started_at=started,
        ended_at=ended,
        runner=fields.words(row, "runner_name"),
        step=_failed_step(row),
    )


def task(whole: RunRecord, name: str, jobs: Sequence[Job]) -> RunRecord:
    """The record of a task in an attempt, from all of its jobs (at least one): of a matrix the worst counts."""
    chosen = min(jobs, key=lambda one: (WORST_FIRST.index(one.state), one.id))
    run_id, attempt = (int(part) for part in whole.attempt_key.split("."))
    attempt = min(attempt, chosen.attempt)
    starts = [one.started_at for one in jobs if one.started_at]
    ends = [one.ended_at for one in jobs if one.ended_at]
    started = min(starts, default=None)
    counts = Counter(one.native for one in jobs)
    several = f"{len(jobs)} jobs: {', '.join(f'{n} {word}' for word, n in counts.most_common())}" if jobs[1:] else ""
    words = [several, f"failed in {chosen.step}" if chosen.step else ""]
    return RunRecord(
        job=f"{whole.job}.{name}",
        attempt_key=key_of(run_id, attempt),
        state=chosen.state,
        native_state=chosen.native,
        evidence=Evidence.INFERRED if chosen.state in (State.UNKNOWN, State.LOST) else Evidence.NATIVE,
        period_key=str(run_id),
        queued_at=whole.queued_at,
        started_at=started,
        ended_at=None if chosen.state.is_open else _not_before(max(ends, default=None), started),
        message="; ".join(one for one in words if one),
        reason=chosen.reason,
        native_ref=ref_of(run_id, attempt, name),
        native_url=whole.native_url,
        context={"runner": chosen.runner} if chosen.runner else {},
    )


def _failed_step(row: fields.Row) -> str:
    for step in fields.rows(row.get("steps")):
        if isinstance(step, dict) and step.get("conclusion") in ("failure", "timed_out"):
            return fields.clean(str(step.get("name")))[:100]
    return ""


def _not_before(at: datetime | None, start: datetime | None) -> datetime | None:
    return max(at, start) if at is not None and start is not None else at


def _action_of(row: fields.Row, event: str, attempt: int) -> str | None:
    """Our key in the title of a run that was dispatched; a rerun repeats the title, and is none of ours by that."""
    if event != "workflow_dispatch" or attempt > 1:
        return None
    found = ACTION_KEY.search(fields.words(row, "display_title"))
    return found[0] if found else None


def _context(row: fields.Row, event: str) -> dict[str, Any]:
    found = {
        "event": event or None,
        "title": fields.words(row, "display_title")[:200] or None,
        "branch": fields.words(row, "head_branch") or None,
        "commit": fields.words(row, "head_sha")[:40] or None,
        "number": fields.number(row, "run_number", 0) or None,
        "by": login_of(row) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def login_of(row: fields.Row) -> str:
    """Who started this attempt; "" where the row does not tell."""
    for name in ("triggering_actor", "actor"):
        who = row.get(name)
        if isinstance(who, dict) and isinstance(who.get("login"), str):
            return fields.clean(who["login"])
    return ""
