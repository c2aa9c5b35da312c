"""Raw replies of Prefect -> records. Pure; a row that cannot be read raises RecordUnreadable and nothing else.

A rerun keeps the id of its flow run, and so does a retry by Prefect itself: the attempts of a run are read from the
history of its states. Most runs have one attempt, which their row tells whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from connectors import fields
from connectors.contract import ACTION_KEY, Evidence, RecordUnreadable, RunRecord, State, instant_key
from connectors.fields import Row

TYPES: dict[str, tuple[State, str]] = {
    "SCHEDULED": (State.WAITING, "time"),
    "PENDING": (State.QUEUED, ""),
    "RUNNING": (State.RUNNING, ""),
    "PAUSED": (State.WAITING, "approval"),
    "CANCELLING": (State.CANCELLING, ""),
    "COMPLETED": (State.SUCCEEDED, ""),
    "FAILED": (State.FAILED, ""),
    "CRASHED": (State.FAILED, ""),
    "CANCELLED": (State.CANCELLED, ""),
}
"""By the type of a state: Prefect's closed set."""

NAMES: dict[tuple[str, str], tuple[State, str]] = {
    ("SCHEDULED", "Late"): (State.QUEUED, "slot"),
    ("SCHEDULED", "AwaitingRetry"): (State.RETRYING, "time"),
    ("SCHEDULED", "AwaitingConcurrencySlot"): (State.QUEUED, "resource"),
    ("SCHEDULED", "Resuming"): (State.QUEUED, "slot"),
    ("FAILED", "TimedOut"): (State.TIMED_OUT, ""),
    ("COMPLETED", "Skipped"): (State.SKIPPED, ""),
}
"""By type and name, where the name says more. A flow may give its states any name, so an unknown one is no surprise."""

ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
AHEAD = "SCHEDULED"
ACTED = re.compile(r"\[(headway-[0-9a-z]{10,40}) (rerun|cancel|mark_ok|skip)\]")
"""What we write into the message of a state that we set."""
WRITTEN = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""An id as Prefect writes it: to read it as a UUID takes a tenth of the time of a row."""
PERIOD_LABEL = "headway.period"
"""Label of a run that we started: the instant it is for."""
SPLIT_SECOND = 0.002
PROMPT = timedelta(seconds=20)
"""What starts that soon after it was due was not first tried, seen to crash, and tried again."""
NAMED_TASKS = 12


@dataclass(frozen=True, slots=True)
class Task:
    """A task run that is not green: its flow run, name, native word, and since when."""

    run: str
    name: str
    native: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One state of a run's history."""

    type: str
    name: str
    message: str
    at: datetime

    @property
    def action(self) -> tuple[str, str] | None:
        """Our key and verb, where we set this state."""
        return action_of(self.message)


def action_of(message: str) -> tuple[str, str] | None:
    """Key and verb of our mark in a state's message; None without one."""
    found = ACTED.search(message)
    return (found[1], found[2]) if found and ACTION_KEY.fullmatch(found[1]) else None


def marked(key: str, verb: str, why: str = "") -> str:
    """The message of a state that we set."""
    return f"[{key} {verb}] {why}".strip()


def id_of(row: Row, name: str = "id") -> str:
    """An id (a UUID) that must be there."""
    found = fields.text(row, name)
    if WRITTEN.fullmatch(found):
        return found
    try:
        return str(UUID(found))
    except ValueError:
        raise RecordUnreadable(f"{name} is no id: {found[:60]!r}") from None


def optional_id(row: Row, name: str) -> str:
    """An id that may be missing: then ""."""
    return id_of(row, name) if row.get(name) is not None else ""


def step(row: Any) -> Step:
    """One row of a run's history. Raises RecordUnreadable."""
    row = fields.table(row)
    at = fields.instant(row, "timestamp")
    if at is None:
        raise RecordUnreadable("a state has no timestamp")
    kind = fields.text(row, "type")
    return Step(kind, fields.words(row, "name") or kind, fields.words(row, "message"), at)


def attempts(steps: Sequence[Step]) -> list[list[Step]]:
    """The states of each attempt. A new one begins where a run that ran, or was over, is scheduled again; going on
    after a pause is none."""
    found: list[list[Step]] = []
    for one in steps:
        last = found[-1][-1].type if found else ""
        if not found or (one.type == AHEAD and (last == "RUNNING" or last in ENDED)):
            found.append([])
        found[-1].append(one)
    return found


def needs_history(row: Row) -> bool:
    """Whether the row may hold more than one attempt. Its `run_count` counts only what came to RUNNING: an attempt that
    crashed on its way there is in the history alone, and made what followed it start late. Where a run went once from
    start to end, the time between is the time that it ran."""
    count, native = fields.number(row, "run_count", 0), fields.words(row, "state_type")
    if native == AHEAD:
        return count > 0 or fields.words(row, "state_name") not in ("Scheduled", "Late")
    if count != 1:
        return count > 1 or native == "PENDING" or native in ENDED
    started, ended = fields.instant(row, "start_time"), fields.instant(row, "end_time")
    due = fields.instant(row, "expected_start_time")
    if native == "PENDING" or (started and due and started - due > PROMPT):
        return True
    if native not in ENDED or started is None or ended is None:
        return False
    ran = row.get("total_run_time")
    if isinstance(ran, bool) or not isinstance(ran, int | float):
        return True
    return abs((ended - started).total_seconds() - ran) > SPLIT_SECOND


def is_ahead(row: Row, now: datetime) -> bool:
    """Whether its deployment's clock only made it ahead of its time: it is no run yet."""
    at = fields.instant(row, "expected_start_time")
    waits = fields.words(row, "state_type") == AHEAD and fields.number(row, "run_count", 0) == 0
    return row.get("auto_scheduled") is True and waits and (at is None or at > now)


def run_ref(run: str, number: int = 1) -> str:
    return json.dumps({"run": run, "try": number})


def attempt_key(run: str, number: int) -> str:
    return run if number == 1 else f"{run}@{number:04}"


def runs(row: Any, job: str, history: Sequence[Step], red: Sequence[Task], ui: str) -> list[RunRecord]:
    """Every attempt of a flow run, oldest first. `history` is empty for a run whose row tells it whole; `red` are its
    task runs that are not green."""
    row = fields.table(row)
    if not history:
        return [_whole(row, job, red, ui)]
    found = attempts(history)
    return [_attempt(row, job, number, found, red, ui) for number in range(1, len(found) + 1)]


def _whole(row: Row, job: str, red: Sequence[Task], ui: str) -> RunRecord:
    kind, told = fields.text(row, "state_type"), row.get("state")
    message = fields.words(told, "message") if isinstance(told, dict) else ""
    at = fields.instant(row, "expected_start_time") or fields.instant(row, "created")
    last = Step(kind, fields.words(row, "state_name") or kind, message, at or datetime.now(UTC))
    started, ended = fields.instant(row, "start_time"), fields.instant(row, "end_time")
    return _record(row, job, 1, last, (at, started, ended), red, ui)


def _attempt(
    row: Row, job: str, number: int, found: Sequence[Sequence[Step]], red: Sequence[Task], ui: str
) -> RunRecord:
    """One of several. What was scheduled again without a word of its end was tried again by Prefect: it failed."""
    steps = found[number - 1]
    following = found[number][0] if number < len(found) else None
    last = steps[-1]
    if following is not None and last.type not in ENDED:
        last = Step("FAILED", following.name, following.message, following.at)
    started = next((one.at for one in steps if one.type == "RUNNING"), None)
    ended = last.at if last.type in ENDED else None
    mine = [one for one in red if one.at >= steps[0].at and (following is None or one.at < following.at)]
    queued = steps[0].at if number > 1 else fields.instant(row, "expected_start_time") or steps[0].at
    return _record(row, job, number, last, (queued, started, ended), mine, ui, steps[0].action)


def _record(
    row: Row,
    job: str,
    number: int,
    last: Step,
    times: tuple[datetime | None, datetime | None, datetime | None],
    red: Sequence[Task],
    ui: str,
    action: tuple[str, str] | None = None,
) -> RunRecord:
    run = id_of(row)
    state, reason = NAMES.get((last.type, last.name)) or TYPES.get(last.type, (State.UNKNOWN, ""))
    ours = last.action[1] if last.action else ""
    if state is State.SUCCEEDED and red and ours != "mark_ok":
        state = State.PARTIAL
    queued, started, ended = times
    ended = None if state.is_open or ended is None else max(ended, started or ended)
    key, at = _period(row, run)
    return RunRecord(
        job=job,
        attempt_key=attempt_key(run, number),
        state=state,
        native_state=last.name if last.type in TYPES else last.type,
        evidence=Evidence.INFERRED if state is State.UNKNOWN else Evidence.NATIVE,
        period_key=key,
        period_at=at,
        queued_at=queued,
        started_at=started,
        ended_at=ended,
        message="; ".join(one for one in (last.message, _not_green(red) if state is State.PARTIAL else "") if one),
        reason=reason if state.is_open else "",
        native_ref=run_ref(run, number),
        native_url=f"{ui}/runs/flow-run/{run}" if ui else "",
        action_key=_key(row, number, action),
        context=_context(row, number),
    )


def _key(row: Row, number: int, action: tuple[str, str] | None) -> str | None:
    """Ours, by the key of a run that we started, or by the word in the state that began a later attempt."""
    if number > 1:
        return action[0] if action and action[1] == "rerun" else None
    key = fields.words(row, "idempotency_key")
    return key if ACTION_KEY.fullmatch(key) else None


def _period(row: Row, run: str) -> tuple[str, datetime | None]:
    """By the instant for runs of the clock and for ours in their place, else by the run's own id."""
    at = fields.instant(row, "expected_start_time")
    labels = row.get("labels")
    label = labels.get(PERIOD_LABEL) if isinstance(labels, dict) else None
    if isinstance(label, str) and ACTION_KEY.fullmatch(fields.words(row, "idempotency_key")):
        ours = fields.instant({"label": label}, "label")
        if ours is not None:
            return instant_key(ours), ours
    if row.get("auto_scheduled") is True and at is not None:
        return instant_key(at), at
    return run, at


def _not_green(red: Sequence[Task]) -> str:
    names = sorted(f"{one.name} ({one.native})" for one in red)
    more = len(names) - NAMED_TASKS
    return f"tasks not green: {', '.join(names[:NAMED_TASKS])}" + (f" and {more} more" if more > 0 else "")


def _context(row: Row, number: int) -> Mapping[str, Any]:
    found = {
        "run_name": row.get("name"),
        "try": number,
        "version": row.get("flow_version"),
        "work_pool": row.get("work_pool_name"),
        "called_by_task_run": row.get("parent_task_run_id"),
        "tags": row.get("tags") or None,
        "parameters": row.get("parameters") or None,
    }
    return fields.small({name: value for name, value in found.items() if value is not None}, "parameters")


def task(row: Any) -> Task | None:
    """A task run that is not green; None for one that only waits for its turn. Raises RecordUnreadable."""
    row = fields.table(row)
    name, kind = fields.words(row, "state_name"), fields.text(row, "state_type")
    if kind == "PENDING" and name != "NotReady":
        return None
    told = row.get("state")
    at = fields.instant(told, "timestamp") if isinstance(told, dict) else None
    at = at or fields.instant(row, "end_time") or fields.instant(row, "created")
    if at is None:
        raise RecordUnreadable("a task run has no time")
    return Task(id_of(row, "flow_run_id"), fields.text(row, "name"), name or kind, at)


def not_read(run: str) -> Task:
    """What stands for the tasks of a run that were too many to read: it is not called green."""
    return Task(run, "more tasks than are read", "not seen", datetime.max.replace(tzinfo=UTC))
