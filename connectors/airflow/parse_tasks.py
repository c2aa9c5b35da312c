"""Task instances -> records: one per task and run, however many mapped instances it has. Pure.

An attempt of an unmapped task is its instance's id: a retry and a clear each give a new one (measured), also to tasks
that never ran and whose try_number stays 0. Mapped instances are one run of their task: the worst state counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from connectors import fields
from connectors.airflow import parse
from connectors.airflow.marks import task_action
from connectors.airflow.parse import NOT_YET, Period
from connectors.contract import Evidence, RunRecord, State

Key = tuple[str, str, str]
"""dag, run, task."""

ASKING = ("ApprovalOperator", "HITLOperator", "HITLBranchOperator", "HITLEntryOperator")
"""Operators of Airflow's standard provider whose tasks wait for a person."""

WORST_FIRST = (
    State.RUNNING,
    State.RETRYING,
    State.QUEUED,
    State.WAITING,
    State.UNKNOWN,
    State.FAILED,
    State.BLOCKED,
    State.SUCCEEDED,
    State.SKIPPED,
)
"""How mapped instances become one state: while any is open the task is open; then the worst end. A mix of success and
skipped is success: skipping is by design."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One row of task instances, as far as it is needed."""

    key: Key
    id: str
    map_index: int
    native: str
    state: State
    reason: str
    try_number: int
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    note: str
    operator: str
    formerly: str
    """The id that it had while it waited, where its end gave it another one (Airflow 2)."""
    row: Mapping[str, Any]

    @property
    def attempt(self) -> int:
        """Number of the present try; before it starts, Airflow still counts the one before."""
        between = self.try_number > 0 and self.native in (NOT_YET, "up_for_retry")
        return self.try_number + 1 if between else max(1, self.try_number)


def task_id(dag: str, task: str) -> str:
    """Native id of a task as a job. A group's name is part of the task's own id: "etl.load.write"."""
    return f"{dag}.{task}"


def task_ref(key: Key, try_number: int, map_index: int) -> str:
    dag, run, task = key
    index = {"map": map_index} if map_index >= 0 else {}
    return json.dumps({"dag": dag, "run": run, "task": task, "try": try_number, **index})


def instance(row: Any) -> Instance:
    """One task instance. Raises RecordUnreadable."""
    row = fields.table(row)
    native = fields.words(row, "state") or NOT_YET
    state, reason = parse.TASK_STATES.get(native, (State.UNKNOWN, ""))
    if native == "deferred" and fields.words(row, "operator") in ASKING:  # before 3.3; since, it is "awaiting_input"
        reason = "approval"
    has_run = native in parse.HAS_RUN
    started = fields.instant(row, "start_date") if has_run else None
    ended = None if native in (NOT_YET, "up_for_retry") else fields.instant(row, "end_date")
    started, ended = parse.ended_after_start(started, ended, state)
    uuid = fields.text(row, "id")
    return Instance(
        key=(fields.text(row, "dag_id"), fields.text(row, "dag_run_id"), fields.text(row, "task_id")),
        id=uuid,
        map_index=fields.number(row, "map_index", -1),
        native=native,
        state=state,
        reason=reason,
        try_number=fields.number(row, "try_number", 0),
        queued_at=parse.created_at(uuid) or fields.instant(row, "scheduled_when"),
        started_at=started,
        ended_at=ended,
        note=fields.words(row, "note"),
        operator=fields.words(row, "operator"),
        formerly=fields.words(row, "formerly"),
        row=row,
    )


def merged(instances: Sequence[Instance], period: Period, base_url: str) -> RunRecord:
    """The record of a task in one run, from ALL of its instances (at least one), in any order."""
    group = sorted(instances, key=lambda one: one.map_index)
    chosen = min(group, key=lambda one: (WORST_FIRST.index(one.state), one.map_index))
    started = min((one.started_at for one in group if one.started_at), default=None)
    ended = None if chosen.state.is_open else max((one.ended_at for one in group if one.ended_at), default=None)
    started, ended = parse.ended_after_start(started, ended, chosen.state)
    dag, run, task = chosen.key
    mapped = f"/mapped/{chosen.map_index}" if chosen.map_index >= 0 else ""
    return RunRecord(
        job=task_id(dag, task),
        attempt_key=_attempt_key(group, group[0].id),
        formerly=_attempt_key(group, group[0].formerly) if group[0].formerly else "",
        state=chosen.state,
        native_state=chosen.native,
        evidence=Evidence.INFERRED if chosen.native == "removed" or chosen.state is State.UNKNOWN else Evidence.NATIVE,
        period_key=period.key,
        period_at=period.at,
        interval_start=period.interval_start,
        queued_at=max((one.queued_at for one in group if one.queued_at), default=None),
        started_at=started,
        ended_at=ended,
        message=_mapped_words(group),
        reason=chosen.reason,
        native_ref=task_ref(chosen.key, chosen.attempt, chosen.map_index),
        native_url=f"{base_url}/dags/{_part(dag)}/runs/{_part(run)}/tasks/{_part(task)}{mapped}",
        action_key=next((key for one in group if (key := task_action(one.note))), None),
        context=fields.small(_context(group), "mapped"),
    )


def old_try(current: Instance, row: Any, period: Period, base_url: str, old_key: str) -> RunRecord:
    """An earlier try of an unmapped task, from Airflow's history of tries, under the key it was known by."""
    row = fields.table(row)
    whole = instance({**row, "id": current.id, "note": None})
    return replace(merged([whole], period, base_url), attempt_key=old_key, queued_at=None)


def name_of(one: Instance) -> str:
    """The task for people: "load", "work[2]"."""
    return one.key[2] if one.map_index < 0 else f"{one.key[2]}[{one.map_index}]"


def _attempt_key(group: Sequence[Instance], first: str) -> str:
    """The first instance's id, and how often the others were tried again. Mapping keeps the first one's id."""
    again = sum(one.attempt - 1 for one in group[1:])
    return f"{first}+{again:06}" if again else first  # padded: the text sorts like the number


def _mapped_words(group: Sequence[Instance]) -> str:
    if len(group) == 1 and group[0].map_index < 0:
        return ""
    counts = Counter(one.native for one in group)
    told = ", ".join(f"{count} {native}" for native, count in counts.most_common())
    red = [str(one.map_index) for one in group if one.state.is_red]
    return f"{len(group)} mapped: {told}" + (f"; not green: {', '.join(red[:20])}" if red else "")


def _context(group: Sequence[Instance]) -> dict[str, Any]:
    first = group[0]
    version = first.row.get("dag_version")
    found = {
        "try": max(one.try_number for one in group),
        "operator": first.operator or None,
        "pool": first.row.get("pool"),
        "host": first.row.get("hostname") or None,
        "version": version.get("version_number") if isinstance(version, dict) else None,
        "mapped": len(group) if first.map_index >= 0 else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _part(raw: str) -> str:
    return quote(raw, safe="")
