"""Replies of Prefect to records. Pure; an unreadable row raises RecordUnreadable and nothing else.

A rerun and Prefect's own retry keep the id of their flow run: attempts are read from the history of its states. Most
runs have one attempt, which their row holds whole. Deployments, flows and automations become jobs, schedules and
edges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from connectors.sdk import fields
from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import Row, masked_head
from connectors.sdk.marked_pause import without_holds
from connectors.sdk.records import JobRecord, RunRecord, RunRef, Schedule, SkippedRecord, instant_key
from connectors.sdk.states import PeriodKind, ProofLevel, RunEvidence, RunState
from connectors.sdk.vanished_runs import no_longer_listed

STATE_TYPES: dict[str, tuple[RunState, str]] = {
    "SCHEDULED": (RunState.WAITING, "time"),
    "PENDING": (RunState.QUEUED, ""),
    "RUNNING": (RunState.RUNNING, ""),
    "PAUSED": (RunState.WAITING, "approval"),
    "CANCELLING": (RunState.CANCELLING, ""),
    "COMPLETED": (RunState.SUCCEEDED, ""),
    "FAILED": (RunState.FAILED, ""),
    "CRASHED": (RunState.FAILED, ""),
    "CANCELLED": (RunState.CANCELLED, ""),
}
"""By the type of a state: Prefect's closed set."""

STATE_NAMES: dict[tuple[str, str], tuple[RunState, str]] = {
    ("SCHEDULED", "Late"): (RunState.QUEUED, "slot"),
    ("SCHEDULED", "AwaitingRetry"): (RunState.RETRYING, "time"),
    ("SCHEDULED", "AwaitingConcurrencySlot"): (RunState.QUEUED, "resource"),
    ("SCHEDULED", "Resuming"): (RunState.QUEUED, "slot"),
    ("FAILED", "TimedOut"): (RunState.TIMED_OUT, ""),
    ("COMPLETED", "Skipped"): (RunState.SKIPPED, ""),
}
"""By type and name, where the name says more. A flow may give its states any name, so an unknown one is expected."""

ENDED_TYPES = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
SCHEDULED_TYPE = "SCHEDULED"
ACTION_MARK = re.compile(r"\[(headway-[0-9a-z]{10,40}) (rerun|cancel|mark_ok|skip)\]")
"""Our text in the message of a state that we set."""
UUID_TEXT = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""An id as Prefect writes it: to read it as a UUID takes a tenth of the time of a row."""
PERIOD_LABEL = "headway.period"  # label of a run that we started: its period
SPLIT_SECOND = 0.002
PROMPT_START = timedelta(seconds=20)  # a run that starts so soon after it was due had no crashed attempt before
MAX_NAMED_TASKS = 12


@dataclass(frozen=True, slots=True)
class PrefectFailedTask:
    """A failed task run: its flow run, name, native state, and since when."""

    run: str
    name: str
    native: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PrefectRunState:
    type: str
    name: str
    message: str
    at: datetime

    @property
    def action(self) -> tuple[str, str] | None:
        """Key and verb of Headway's mark in the message; None without one."""
        match = ACTION_MARK.search(self.message)
        return (match[1], match[2]) if match else None


def marked_message(key: str, verb: str, why: str = "") -> str:
    return f"[{key} {verb}] {why}".strip()


def parse_id(row: Row, name: str = "id") -> str:
    value = fields.text(row, name)
    if UUID_TEXT.fullmatch(value):
        return value
    try:
        return str(UUID(value))
    except ValueError:
        raise RecordUnreadable(f"{name} is not an id: {masked_head(value, 60)!r}") from None


def parse_optional_id(row: Row, name: str) -> str:
    return parse_id(row, name) if row.get(name) is not None else ""


def parse_run_state(row: Any) -> PrefectRunState:
    row = fields.table(row)
    at = fields.instant(row, "timestamp")
    if at is None:
        raise RecordUnreadable("a state has no timestamp")
    kind = fields.text(row, "type")
    return PrefectRunState(kind, fields.optional_text(row, "name") or kind, fields.optional_text(row, "message"), at)


def run_history(rows: Iterable[Any], unreadable: list[SkippedRecord] | None = None) -> list[PrefectRunState]:
    states = fields.readable(rows, parse_run_state, "flow_run_states", unreadable)
    return sorted(states, key=lambda state: state.at)


def split_attempts(steps: Sequence[PrefectRunState]) -> list[list[PrefectRunState]]:
    """The states of each attempt. A new one begins where a run that ran or ended is scheduled again, but not
    where it goes on after a pause."""
    attempts: list[list[PrefectRunState]] = []
    for step in steps:
        last = attempts[-1][-1].type if attempts else ""
        if not attempts or (step.type == SCHEDULED_TYPE and (last == "RUNNING" or last in ENDED_TYPES)):
            attempts.append([])
        attempts[-1].append(step)
    return attempts


def needs_history(row: Row) -> bool:
    """Whether the row may hold more than one attempt. Its `run_count` counts only what came to RUNNING: an attempt that
    crashed before RUNNING is in the history alone, and made what followed it start late. For a run with a single
    attempt, the time from start to end is its run time."""
    count, native = fields.number(row, "run_count", 0), fields.optional_text(row, "state_type")
    if native == SCHEDULED_TYPE:
        return count > 0 or fields.optional_text(row, "state_name") not in ("Scheduled", "Late")
    if count != 1:
        return count > 1 or native == "PENDING" or native in ENDED_TYPES
    started, ended = fields.instant(row, "start_time"), fields.instant(row, "end_time")
    due = fields.instant(row, "expected_start_time")
    if native == "PENDING" or (started and due and started - due > PROMPT_START):
        return True
    if native not in ENDED_TYPES or started is None or ended is None:
        return False
    ran = row.get("total_run_time")
    if isinstance(ran, bool) or not isinstance(ran, int | float):
        return True
    return abs((ended - started).total_seconds() - ran) > SPLIT_SECOND


def is_created_ahead(row: Row, now: datetime) -> bool:
    """True if the deployment's schedule created it ahead of time: it is not a run yet."""
    at = fields.instant(row, "expected_start_time")
    waits = fields.optional_text(row, "state_type") == SCHEDULED_TYPE and fields.number(row, "run_count", 0) == 0
    return row.get("auto_scheduled") is True and waits and (at is None or at > now)


def run_ref(run: str, number: int = 1) -> str:
    return json.dumps({"run": run, "try": number})


def attempt_key(run: str, number: int) -> str:
    return run if number == 1 else f"{run}@{number:04}"


def run_records(
    row: Row, job: str, history: Sequence[PrefectRunState], red: Sequence[PrefectFailedTask], ui: str
) -> list[RunRecord]:
    """Every attempt of a flow run, oldest first. `history` is empty for a run whose row is complete; `red`: its failed
    task runs."""
    if history:
        attempts = split_attempts(history)
        return [_attempt_record(row, job, number, attempts, red, ui) for number in range(1, len(attempts) + 1)]
    kind = fields.text(row, "state_type")
    message = fields.optional_text(fields.subtable(row, "state"), "message")
    at = fields.instant(row, "expected_start_time") or fields.instant(row, "created")
    last = PrefectRunState(kind, fields.optional_text(row, "state_name") or kind, message, at or datetime.now(UTC))
    times = at, fields.instant(row, "start_time"), fields.instant(row, "end_time")
    return [_run_record(row, job, 1, last, times, red, ui)]


def _attempt_record(
    row: Row,
    job: str,
    number: int,
    attempts: Sequence[Sequence[PrefectRunState]],
    red: Sequence[PrefectFailedTask],
    ui: str,
) -> RunRecord:
    """One of several attempts. An attempt without an end that was scheduled again was retried by Prefect: it failed."""
    steps = attempts[number - 1]
    following = attempts[number][0] if number < len(attempts) else None
    last = steps[-1]
    if following is not None and last.type not in ENDED_TYPES:
        last = PrefectRunState("FAILED", following.name, following.message, following.at)
    started = next((step.at for step in steps if step.type == "RUNNING"), None)
    ended = last.at if last.type in ENDED_TYPES else None
    red_tasks = [task for task in red if task.at >= steps[0].at and (following is None or task.at < following.at)]
    queued = steps[0].at if number > 1 else fields.instant(row, "expected_start_time") or steps[0].at
    return _run_record(row, job, number, last, (queued, started, ended), red_tasks, ui, steps[0].action)


def _run_record(
    row: Row,
    job: str,
    number: int,
    last: PrefectRunState,
    times: tuple[datetime | None, datetime | None, datetime | None],
    red: Sequence[PrefectFailedTask],
    ui: str,
    action: tuple[str, str] | None = None,
) -> RunRecord:
    run = parse_id(row)
    state, reason = STATE_NAMES.get((last.type, last.name)) or STATE_TYPES.get(last.type, (RunState.UNKNOWN, ""))
    verb = last.action[1] if last.action else ""
    if state is RunState.SUCCEEDED and red and verb != "mark_ok":
        state = RunState.PARTIAL
    queued, started, ended = times
    ended = None if state.is_open or ended is None else max(ended, started or ended)
    key, at = _run_period(row, run)
    idempotency_key = fields.optional_text(row, "idempotency_key")
    key_of_row = idempotency_key if ACTION_KEY.fullmatch(idempotency_key) else None
    names = sorted(f"{task.name} ({task.native})" for task in red)
    named = f"tasks not green: {fields.listed(names, MAX_NAMED_TASKS)}"
    return RunRecord(
        job=job,
        attempt_key=attempt_key(run, number),
        state=state,
        native_state=last.name if last.type in STATE_TYPES else last.type,
        evidence=RunEvidence.INFERRED if state is RunState.UNKNOWN else RunEvidence.NATIVE,
        period_key=key,
        period_at=at,
        period_kind=PeriodKind.RUN if key == run else PeriodKind.INSTANT,
        queued_at=queued,
        started_at=started,
        ended_at=ended,
        message="; ".join(filter(None, (last.message, named if state is RunState.PARTIAL else ""))),
        reason=reason if state.is_open else "",
        native_ref=run_ref(run, number),
        native_url=f"{ui}/runs/flow-run/{run}" if ui else "",
        action_key=key_of_row if number == 1 else action[0] if action and action[1] == "rerun" else None,
        context=_run_context(row, number),
    )


def _run_period(row: Row, run: str) -> tuple[str, datetime | None]:
    """The scheduled instant for scheduled runs and for our replacements of them, else the run's own id."""
    at = fields.instant(row, "expected_start_time")
    labels = fields.subtable(row, "labels")
    if isinstance(labels.get(PERIOD_LABEL), str) and ACTION_KEY.fullmatch(fields.optional_text(row, "idempotency_key")):
        period = fields.instant(labels, PERIOD_LABEL)
        if period is not None:
            return instant_key(period), period
    if row.get("auto_scheduled") is True and at is not None:
        return instant_key(at), at
    return run, at


def _run_context(row: Row, number: int) -> Mapping[str, Any]:
    context = {
        "run_name": row.get("name"),
        "try": number,
        "version": row.get("flow_version"),
        "work_pool": row.get("work_pool_name"),
        "called_by_task_run": row.get("parent_task_run_id"),
        "tags": row.get("tags") or None,
        "parameters": row.get("parameters") or None,
    }
    return fields.bounded_context(context, "parameters")


def parse_failed_task(row: Any) -> PrefectFailedTask | None:
    """A task run that is not green; None for one that only waits for its turn. Raises RecordUnreadable."""
    row = fields.table(row)
    name, kind = fields.optional_text(row, "state_name"), fields.text(row, "state_type")
    if kind == "PENDING" and name != "NotReady":
        return None
    at = fields.instant(fields.subtable(row, "state"), "timestamp")
    at = at or fields.instant(row, "end_time") or fields.instant(row, "created")
    if at is None:
        raise RecordUnreadable("a task run has no time")
    return PrefectFailedTask(parse_id(row, "flow_run_id"), fields.text(row, "name"), name or kind, at)


def unread_tasks(run: str) -> PrefectFailedTask:
    """Placeholder for tasks that were too many to read, so that the run does not count as green."""
    return PrefectFailedTask(run, "more tasks than are read", "not seen", datetime.max.replace(tzinfo=UTC))


MAX_TRIGGER_DEPTH = 5  # of triggers within triggers


def deployment_record(
    row: fields.Row,
    job: str,
    upstreams: Iterable[str],
    next_at: datetime | None,
    ui: str,
    slots_of: Mapping[str, int | None] | None = None,
) -> JobRecord:
    """One deployment. `slots_of`: how many runs of each work pool there may be at once."""
    pool = fields.optional_text(row, "work_pool_name")
    description = without_holds(fields.optional_text(row, "description"))
    place = fields.optional_text(row, "entrypoint") or fields.optional_text(row, "path")
    suffix = "" if description in ("", "None") else f": {masked_head(description, 500)}"
    defining = {name: row.get(name) for name in ("entrypoint", "version", "parameters", "job_variables", "pull_steps")}
    return JobRecord(
        native_id=job,
        title=job,
        schedule=parse_schedule(row, next_at),
        paused=row.get("paused") is True,
        upstreams=tuple(sorted(set(upstreams) - {job})),
        definition=f"{place}{suffix}",
        definition_hash=fields.short_digest(defining),
        proof=ProofLevel.FULL,
        run_as=pool,
        native_url=f"{ui}/deployments/deployment/{parse_id(row)}" if ui else "",
        pool=pool if pool in (slots_of or {}) else "",
        slots=(slots_of or {}).get(pool),
    )


def is_scheduled(row: fields.Row) -> bool:
    """Whether a running schedule makes runs of the deployment."""
    return row.get("paused") is not True and bool(_active(row))


def _active(row: fields.Row) -> list[fields.Row]:
    return [schedule for schedule in fields.tables(row.get("schedules")) if schedule.get("active") is True]


def parse_pool_slots(row: Any) -> tuple[str, int | None]:
    """Name and limit of a work pool; None where it has none. Raises RecordUnreadable."""
    row = fields.table(row)
    limit = fields.number(row, "concurrency_limit", 0) if row.get("concurrency_limit") is not None else 0
    return fields.text(row, "name"), limit if limit >= 1 else None


def flow_record(name: str, flow_id: str, ui: str) -> JobRecord:
    """A flow that runs without a deployment: another flow calls it, or a person does."""
    return JobRecord(
        native_id=name,
        title=name,
        schedule=Schedule("none", text="Called by another flow, or by hand"),
        definition="a flow without a deployment",
        definition_hash=fields.short_digest([name]),
        proof=ProofLevel.FULL,
        native_url=f"{ui}/flows/flow/{flow_id}" if ui else "",
    )


def parse_schedule(row: fields.Row, next_at: datetime | None) -> Schedule:
    """Of the dialect "prefect": a single cron expression, otherwise a description and the next run."""
    active = _active(row)
    rules = [schedule["schedule"] for schedule in active if isinstance(schedule.get("schedule"), dict)]
    if not rules:
        return Schedule("none", text="No active schedule")
    text = "; ".join(_rule_text(rule) for rule in rules)
    zones = [fields.optional_text(rule, "timezone") or "UTC" for rule in rules]
    cron = fields.optional_text(rules[0], "cron")
    if len(rules) > 1 or rules[0].get("day_or") is False:
        return Schedule("prefect", "", zones[0], text, next_at)
    return Schedule("prefect", cron, zones[0], text, next_at)


def _rule_text(rule: fields.Row) -> str:
    if cron := fields.optional_text(rule, "cron"):
        return f"cron {cron} ({fields.optional_text(rule, 'timezone') or 'UTC'})"
    if rrule := fields.optional_text(rule, "rrule"):
        return f"rrule {masked_head(rrule, 200)}"
    every = rule.get("interval")
    is_number = isinstance(every, int | float) and not isinstance(every, bool)
    return f"every {every:g} s" if is_number else "its own schedule"


def automation_edges(row: Any) -> tuple[set[str], set[str]]:
    """Edges of an automation that runs deployments when flow runs change: the resources that it watches
    ("prefect.flow.ID", "prefect.deployment.ID"), and the deployments that it runs. Empty for any other automation."""
    row = fields.table(row)
    if row.get("enabled") is not True:
        return set(), set()
    runs = {
        parse_id(action, "deployment_id")
        for action in fields.tables(row.get("actions"))
        if action.get("type") == "run-deployment" and action.get("deployment_id") is not None
    }
    return (set(_watched_resources(row.get("trigger"), MAX_TRIGGER_DEPTH)), runs) if runs else (set(), set())


def _watched_resources(trigger: Any, depth: int) -> Iterator[str]:
    if not isinstance(trigger, dict) or depth == 0:
        return
    for inner in fields.rows(trigger.get("triggers")):
        yield from _watched_resources(inner, depth - 1)
    expected = [event for event in fields.rows(trigger.get("expect")) if isinstance(event, str)]
    if trigger.get("posture") != "Reactive" or not any(event.startswith("prefect.flow-run.") for event in expected):
        return
    related = trigger.get("match_related")
    for place in fields.tables(related if isinstance(related, list) else [related]):
        resource = place.get("prefect.resource.id")
        for resource_id in resource if isinstance(resource, list) else [resource]:
            if isinstance(resource_id, str) and resource_id.startswith(("prefect.deployment.", "prefect.flow.")):
                yield resource_id


@dataclass(frozen=True, slots=True)
class PrefectRunReference:
    """Contents of `RunRecord.native_ref`: a flow run and the number of its attempt."""

    run: Annotated[str, Field(pattern=f"^{UUID_TEXT.pattern}$")]
    number: Annotated[int, Field(alias="try")] = 1


def parse_reference(run: RunRef) -> PrefectRunReference | None:
    return fields.read_reference(PrefectRunReference, run.native_ref)


def vanished_run(run: RunRef) -> RunRecord:
    message = "Prefect no longer has this run: it was deleted, or its deployment's schedule was changed"
    return no_longer_listed(run, "deleted", message)
