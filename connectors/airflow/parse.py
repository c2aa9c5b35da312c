"""Replies of Airflow to records, and the notes that carry Headway's marks. Pure; an unreadable row raises
RecordUnreadable.

A DAG run is one record per attempt. A task is one record per run, however many mapped instances it has: the worst
state counts. An attempt of a task is the number of its try within its run, so that a try which came and went between
two polls has the same identity in Airflow's history of tries. A task that never ran keeps its number: there the id of
the instance (each clear of Airflow 3 makes a new one) or its end belongs to the identity.

A note holds, in this order: the mark of our last action, people's text, the lines of holds. People's text is cut at
its end when space runs out; marks and hold lines never are.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field

from connectors.sdk import fields, marked_pause
from connectors.sdk.contract import ACTION_KEY, HOLD_MARK, HoldMark
from connectors.sdk.cron_syntax import croniter_steps
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import Row, masked_head
from connectors.sdk.records import JobRecord, RunRecord, RunRef, Schedule, instant_key
from connectors.sdk.states import PeriodKind, ProofLevel, RunEvidence, RunState
from connectors.sdk.vanished_runs import no_longer_listed

RUN_STATES: dict[str, RunState] = {
    "queued": RunState.QUEUED,
    "running": RunState.RUNNING,
    "success": RunState.SUCCEEDED,
    "failed": RunState.FAILED,
}

STATES_SET_BY_US: dict[tuple[str, str], tuple[RunState, str]] = {
    ("failed", "cancel"): (RunState.CANCELLED, "cancelled by Headway"),
    ("success", "mark_ok"): (RunState.SUCCEEDED, "marked OK by Headway"),
    ("success", "skip"): (RunState.SKIPPED, "skipped by Headway"),
}
"""By the native state and the word of Headway's mark."""

NO_STATE = "none"
"""Our name for the native state null: the scheduler has not examined the task instance yet."""

TASK_STATES: dict[str, tuple[RunState, str]] = {
    NO_STATE: (RunState.WAITING, "upstream"),
    "scheduled": (RunState.WAITING, "slot"),
    "queued": (RunState.QUEUED, ""),
    "running": (RunState.RUNNING, ""),
    "restarting": (RunState.RETRYING, ""),
    "up_for_retry": (RunState.RETRYING, "time"),
    "up_for_reschedule": (RunState.WAITING, "event"),
    "deferred": (RunState.WAITING, "event"),
    "awaiting_input": (RunState.WAITING, "approval"),
    "success": (RunState.SUCCEEDED, ""),
    "failed": (RunState.FAILED, ""),
    "upstream_failed": (RunState.BLOCKED, ""),
    "skipped": (RunState.SKIPPED, ""),
    "removed": (RunState.SKIPPED, ""),
}

STARTED_STATES = frozenset(
    {"running", "success", "failed", "skipped", "deferred", "up_for_reschedule", "awaiting_input"}
)
"""Task states in which start_date is of this attempt; in the others it still holds the attempt before (measured)."""

SCHEDULED_RUN_TYPES = frozenset({"scheduled", "backfill"})
NAMED_TASKS = 12


@dataclass(frozen=True, slots=True)
class AirflowPeriod:
    """Which run of its DAG this is; its tasks share it."""

    key: str
    at: datetime | None
    interval_start: datetime | None
    run_started_at: datetime | None = None
    """Where it is known: a waiting task of Airflow 2 has no time of its own."""

    @property
    def kind(self) -> PeriodKind:
        """RUN for a run that is not of a scheduled instant: its key is its id."""
        is_instant = self.at is not None and self.key == instant_key(self.at)
        return PeriodKind.INSTANT if is_instant else PeriodKind.RUN


def attempt_key(run_id: str, queued_at: str) -> str:
    """An attempt of a DAG run: a clear keeps the run's id and overwrites queued_at."""
    return f"{run_id}@{queued_at or '-'}"


def run_ref(dag: str, run: str) -> str:
    return json.dumps({"dag": dag, "run": run})


def parse_period(row: Row) -> AirflowPeriod:
    """The scheduled instant for scheduled runs (and our replacements of them), else the run's own id."""
    run_id, run_after = fields.text(row, "dag_run_id"), fields.instant(row, "run_after")
    start, end = fields.instant(row, "data_interval_start"), fields.instant(row, "data_interval_end")
    interval_start = start if start is not None and end is not None and start < end else None
    kind = fields.optional_text(row, "run_type") or run_id.partition("__")[0]
    at = run_after if kind in SCHEDULED_RUN_TYPES else None
    if TRIGGERED_RUN_ID.fullmatch(run_id):  # ours may start before or after their time
        at = end if interval_start is not None else fields.instant(row, "logical_date")
    return AirflowPeriod(instant_key(at) if at else run_id, at or run_after, interval_start)


def run_record(row: Any, base_url: str, failed_tasks: Sequence[str] = ()) -> RunRecord:
    """One DAG run in its present attempt; `failed_tasks` are its failed and blocked tasks, "load (failed)"."""
    row = fields.table(row)
    dag, run_id, native = fields.text(row, "dag_id"), fields.text(row, "dag_run_id"), fields.text(row, "state")
    queued, period = fields.optional_text(row, "queued_at"), parse_period(row)
    state, message = _run_state(native, fields.optional_text(row, "note"), queued, failed_tasks)
    started, ended = consistent_times(fields.instant(row, "start_date"), fields.instant(row, "end_date"), state)
    return RunRecord(
        job=dag,
        attempt_key=attempt_key(run_id, queued),
        formerly=attempt_key(run_id, "") if queued and row.get("no_queue_time") else "",
        state=state,
        native_state=native,
        evidence=RunEvidence.INFERRED if state is RunState.UNKNOWN else RunEvidence.NATIVE,
        period_key=period.key,
        period_at=period.at,
        period_kind=period.kind,
        interval_start=period.interval_start,
        queued_at=None if row.get("no_queue_time") else fields.instant(row, "queued_at"),
        started_at=started,
        ended_at=ended,
        message=message,
        reason="slot" if state is RunState.QUEUED else "",
        native_ref=run_ref(dag, run_id),
        native_url=f"{base_url}/dags/{quote(dag, '')}/runs/{quote(run_id, '')}",
        action_key=action_of_run(run_id, fields.optional_text(row, "note"), queued),
        context=_run_context(row),
    )


def _run_state(native: str, note: str, queued: str, failed_tasks: Sequence[str]) -> tuple[RunState, str]:
    """State and message of a run. Airflow has no state for a run that is cancelled or skipped, and keeps the failed
    tasks of one that was marked OK."""
    message = f"tasks not green: {fields.listed(failed_tasks, NAMED_TASKS)}" if failed_tasks else ""
    ended = STATES_SET_BY_US.get((native, ending_verb(note, queued)))
    if ended is not None:
        return ended[0], f"{ended[1]}; {message}" if message else ended[1]
    state = RUN_STATES.get(native, RunState.UNKNOWN)
    return (RunState.PARTIAL if state is RunState.SUCCEEDED and failed_tasks else state), message


def consistent_times(
    started: datetime | None, ended: datetime | None, state: RunState
) -> tuple[datetime | None, datetime | None]:
    """Start and end without contradiction: an open run has no end, and no end is before its start."""
    if state.is_open:
        return started, None
    return started, (max(ended, started) if ended is not None and started is not None else ended)


def _run_context(row: Row) -> Mapping[str, Any]:
    versions = [version.get("version_number") for version in fields.tables(row.get("dag_versions"))]
    context = {
        "run_id": row.get("dag_run_id"),
        "run_type": row.get("run_type"),
        "triggered_by": row.get("triggered_by"),
        "user": row.get("triggering_user_name"),
        "version": versions[-1] if versions else None,
        "conf": row.get("conf") or None,
    }
    return fields.bounded_context(context, "conf")


def uuid7_time(uuid: str) -> datetime | None:
    """When this attempt of a task was made: task instance ids are UUIDv7, whose first 48 bits are milliseconds."""
    digits = uuid.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        return None
    try:
        return datetime.fromtimestamp(int(digits[:12], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


InstanceKey = tuple[str, str, str]
"""dag, run, task."""

APPROVAL_OPERATORS = ("ApprovalOperator", "HITLOperator", "HITLBranchOperator", "HITLEntryOperator")
"""Operators of Airflow's standard provider whose tasks wait for a person."""

WORST_FIRST = (
    RunState.RUNNING, RunState.RETRYING, RunState.QUEUED, RunState.WAITING, RunState.FAILED, RunState.BLOCKED,
    RunState.UNKNOWN, RunState.SUCCEEDED, RunState.SKIPPED,
)  # fmt: skip
"""How mapped instances become one state: while any is open the task is open; then the worst end. A mix of success and
skipped is success: skipping is by design."""


@dataclass(frozen=True, slots=True)
class AirflowTaskInstance:
    key: InstanceKey
    attempt_key: str
    map_index: int
    native: str
    state: RunState
    reason: str
    try_number: int
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    note: str
    operator: str
    formerly: str
    """The attempt key that it had while it waited, where it ended without a try of its own."""
    attempt: int
    """Number of the present try; before it starts, Airflow still counts the one before."""
    previous_start: datetime | None
    """Of the try before, where the present one has not started."""
    row: Mapping[str, Any]


def task_job_id(dag: str, task: str) -> str:
    """Native id of a task as a job. A group's name is part of the task's own id: "etl.load.write"."""
    return f"{dag}.{task}"


def task_ref(key: InstanceKey, try_number: int, map_index: int) -> str:
    dag, run, task = key
    index = {"map": map_index} if map_index >= 0 else {}
    return json.dumps({"dag": dag, "run": run, "task": task, "try": try_number, **index})


def parse_instance(row: Any) -> AirflowTaskInstance:
    """One task instance. Raises RecordUnreadable."""
    row = fields.table(row)
    native = fields.optional_text(row, "state") or NO_STATE
    state, reason = TASK_STATES.get(native, (RunState.UNKNOWN, ""))
    operator = fields.optional_text(row, "operator")
    if native == "deferred" and operator in APPROVAL_OPERATORS:  # before 3.3; since, it is "awaiting_input"
        reason = "approval"
    started = fields.instant(row, "start_date") if native in STARTED_STATES else None
    ended = None if native in (NO_STATE, "up_for_retry") else fields.instant(row, "end_date")
    started, ended = consistent_times(started, ended, state)
    key = fields.text(row, "dag_id"), fields.text(row, "dag_run_id"), fields.text(row, "task_id")
    tried, uuid = fields.number(row, "try_number", -1), fields.optional_text(row, "id")
    if tried < 0:
        raise RecordUnreadable("try_number is missing")
    is_passive = _ended_without_a_try(row, native, tried)
    attempt = tried + 1 if is_passive or native in (NO_STATE, "up_for_retry") else max(1, tried)
    attempt_key, formerly = task_attempt_key(key[1], attempt), ""
    if is_passive:
        ended_as = uuid or fields.optional_text(row, "end_date")[:SECOND]
        attempt_key, formerly = f"{task_attempt_key(key[1], tried)}@{ended_as}", attempt_key
    return AirflowTaskInstance(
        key=key,
        attempt_key=attempt_key,
        map_index=fields.number(row, "map_index", -1),
        native=native,
        state=state,
        reason=reason,
        try_number=tried,
        queued_at=_queued_at(row, uuid, attempt),
        started_at=started,
        ended_at=ended,
        note=fields.optional_text(row, "note"),
        operator=operator,
        formerly=formerly,
        attempt=attempt,
        previous_start=fields.instant(row, "start_date") if attempt > 1 and native not in STARTED_STATES else None,
        row=row,
    )


def _queued_at(row: Row, uuid: str, attempt: int) -> datetime | None:
    """When this try was made, or scheduled: a task that the scheduler lost is tried again under its old id (3.0)."""
    made, scheduled = uuid7_time(uuid), fields.instant(row, "scheduled_when")
    return max(made, scheduled) if made and scheduled and attempt > 1 else made or scheduled


SECOND = len("2026-11-20T05:00:00")
"""Precision of an end in an attempt key: Airflow 2 skips a task again within milliseconds where two tasks skip it. It
stays two attempts where the second changes in between."""


def task_attempt_key(run_id: str, try_number: int) -> str:
    return f"{run_id}#{try_number}"


def _ended_without_a_try(row: Row, native: str, tried: int) -> bool:
    """Whether the instance was skipped or blocked: the number of its next try belongs to the attempt of a clear."""
    is_passive = native in ("skipped", "removed") and row.get("start_date") == row.get("end_date")
    has_ended = native in ("success", "failed", "skipped", "removed")
    return native == "upstream_failed" or is_passive or (has_ended and tried == 0)


def task_record(instances: Sequence[AirflowTaskInstance], period: AirflowPeriod, base_url: str) -> RunRecord:
    """The record of a task in one run, from ALL of its instances (at least one), in any order."""
    group = sorted(instances, key=lambda instance: instance.map_index)
    chosen = min(group, key=lambda instance: (WORST_FIRST.index(instance.state), instance.map_index))
    started = min((instance.started_at for instance in group if instance.started_at), default=None)
    ended = max((instance.ended_at for instance in group if instance.ended_at), default=None)
    started, ended = consistent_times(started, ended, chosen.state)
    queued = max((instance.queued_at for instance in group if instance.queued_at), default=None)
    queued = queued or (period.run_started_at if chosen.state is RunState.WAITING else None)
    if queued is not None:  # attempts are ordered by these times
        queued = max(queued, *(instance.previous_start or queued for instance in group))
    dag, run, task = chosen.key
    is_inferred = chosen.native == "removed" or chosen.state is RunState.UNKNOWN
    mapped = f"/mapped/{chosen.map_index}" if chosen.map_index >= 0 else ""
    return RunRecord(
        job=task_job_id(dag, task),
        attempt_key=_group_attempt_key(group, group[0].attempt_key),
        formerly=_group_attempt_key(group, group[0].formerly) if group[0].formerly else "",
        state=chosen.state,
        native_state=chosen.native,
        evidence=RunEvidence.INFERRED if is_inferred else RunEvidence.NATIVE,
        period_key=period.key,
        period_at=period.at,
        period_kind=period.kind,
        interval_start=period.interval_start,
        queued_at=queued,
        started_at=started,
        ended_at=ended,
        message=_mapped_text(group),
        reason=chosen.reason,
        native_ref=task_ref(chosen.key, chosen.attempt, chosen.map_index),
        native_url=f"{base_url}/dags/{quote(dag, '')}/runs/{quote(run, '')}/tasks/{quote(task, '')}{mapped}",
        action_key=next((key for instance in group if (key := action_of_task(instance.note))), None),
        context=fields.bounded_context(_task_context(group), "mapped"),
    )


def earlier_try_records(
    current: AirflowTaskInstance, rows: Iterable[Any], period: AirflowPeriod, base_url: str
) -> Iterator[RunRecord]:
    """Every try of an unmapped task before the present one; `rows` is Airflow's history of tries. One that has no
    readable end there is UNKNOWN."""
    ended: dict[int, RunRecord] = {}
    for whole in fields.readable(rows, lambda row: parse_instance({**fields.table(row), "id": None, "note": None})):
        record = task_record([whole], period, base_url)
        if whole.key == current.key and not record.state.is_open:
            ended[whole.try_number] = replace(
                record, attempt_key=task_attempt_key(whole.key[1], whole.try_number), formerly="", queued_at=None
            )
    for number in range(1, current.attempt):
        job, key = task_job_id(current.key[0], current.key[2]), task_attempt_key(current.key[1], number)
        ref, message = task_ref(current.key, number, -1), "Airflow's history has no end of this try"
        yield ended.get(number) or cleared_record(job, key, ref, period, message)


def cleared_record(
    job: str, attempt_key: str, native_ref: str, period: AirflowPeriod, message: str, started_at: datetime | None = None
) -> RunRecord:
    """An attempt that a clear replaced before its end was seen."""
    return RunRecord(
        job=job,
        attempt_key=attempt_key,
        state=RunState.UNKNOWN,
        native_state="cleared",
        evidence=RunEvidence.INFERRED,
        period_key=period.key,
        period_at=period.at,
        period_kind=period.kind,
        interval_start=period.interval_start,
        started_at=started_at,
        message=message,
        native_ref=native_ref,
    )


def instance_name(instance: AirflowTaskInstance) -> str:
    """The task for people: "load", "work[2]"."""
    return instance.key[2] if instance.map_index < 0 else f"{instance.key[2]}[{instance.map_index}]"


def _group_attempt_key(group: Sequence[AirflowTaskInstance], first: str) -> str:
    """The first instance's key, and the number of retries of the others. Mapping keeps the first key."""
    again = sum(instance.attempt - 1 for instance in group[1:])
    return f"{first}+{again:06}" if again else first  # padded: the text sorts like the number


def _mapped_text(group: Sequence[AirflowTaskInstance]) -> str:
    if len(group) == 1 and group[0].map_index < 0:
        return ""
    counts = Counter(instance.native for instance in group)
    states = ", ".join(f"{count} {native}" for native, count in counts.most_common())
    red = [str(instance.map_index) for instance in group if instance.state.is_red]
    return f"{len(group)} mapped: {states}" + (f"; not green: {', '.join(red[:20])}" if red else "")


def _task_context(group: Sequence[AirflowTaskInstance]) -> dict[str, Any]:
    first = group[0]
    return {
        "try": max(instance.try_number for instance in group),
        "operator": first.operator or None,
        "pool": first.row.get("pool"),
        "host": first.row.get("hostname") or None,
        "version": fields.subtable(first.row, "dag_version").get("version_number"),
        "mapped": len(group) if first.map_index >= 0 else None,
    }


DEFAULT_POOL = "default_pool"


@dataclass(frozen=True, slots=True)
class DagDefinition:
    """The part of a DAG that needs its details; read again when its version changes."""

    version: int
    timetable: str
    zone: str
    tasks: tuple[JobRecord, ...]
    digest: str
    pool: str = ""
    """The pool of all its tasks, which run one after the other and so take one slot at a time; empty without one."""


def parse_dag_version(row: Any) -> tuple[str, int]:
    row = fields.table(row)
    return fields.text(row, "dag_id"), fields.number(row, "version_number", 0)


def parse_definition(dag: str, details: Any, task_rows: Sequence[Any]) -> DagDefinition:
    """The definition of a DAG from its details and its tasks. Raises RecordUnreadable."""
    details = fields.table(details)
    number = fields.number(fields.subtable(details, "latest_dag_version"), "version_number", 0)
    timetable, zone = timetable_summary(details), fields.optional_text(details, "timezone")
    rows, upstreams = [fields.table(row) for row in task_rows], dict[str, list[str]]()
    for row in rows:
        for downstream in fields.rows(row.get("downstream_task_ids")):
            upstreams.setdefault(fields.clean(str(downstream)), []).append(fields.text(row, "task_id"))
    tasks = tuple(sorted((_task_job(dag, row, upstreams) for row in rows), key=lambda job: job.native_id))
    digest = fields.short_digest([[number, timetable, zone], [task.definition_hash for task in tasks]])
    return DagDefinition(number, timetable, zone or "UTC", tasks, digest, _dag_pool(rows))


def _dag_pool(rows: Sequence[fields.Row]) -> str:
    """As in `DagDefinition.pool`. The default pool is shared by all DAGs, and no chain waits for another there."""
    pools = {fields.optional_text(row, "pool") for row in rows}
    below = [fields.rows(row.get("downstream_task_ids")) for row in rows]
    is_chain = (
        all(len(names) <= 1 for names in below) and len({str(names[0]) for names in below if names}) == len(rows) - 1
    )
    return pools.pop() if is_chain and len(pools) == 1 and pools.isdisjoint({"", DEFAULT_POOL}) else ""


def parse_pool_slots(row: Any) -> tuple[str, int | None]:
    """Name and slots of a pool; None where it has no limit. Raises RecordUnreadable."""
    row = fields.table(row)
    value = fields.number(row, "slots", -1)
    return fields.text(row, "name"), value if value >= 1 else None


def _task_job(dag: str, row: fields.Row, upstreams_by_task: Mapping[str, Sequence[str]]) -> JobRecord:
    name = fields.text(row, "task_id")
    upstreams = tuple(sorted(task_job_id(dag, upstream) for upstream in upstreams_by_task.get(name, ())))
    operator = fields.optional_text(row, "operator_name")
    mapped = " (mapped)" if row.get("is_mapped") is True else ""
    rule, pool = fields.optional_text(row, "trigger_rule"), fields.optional_text(row, "pool")
    definition = [f"{operator}{mapped}"]
    definition += [] if rule in ("", "all_success") else [rule]
    definition += [] if pool in ("", DEFAULT_POOL) else [f"pool {pool}"]
    return JobRecord(
        native_id=task_job_id(dag, name),
        title=fields.optional_text(row, "task_display_name") or name,
        parent=dag,
        upstreams=upstreams,
        definition=", ".join(definition),
        definition_hash=fields.short_digest([operator, mapped, rule, upstreams, row.get("retries"), row.get("pool")]),
        proof=ProofLevel.FULL,
        owner=fields.optional_text(row, "owner"),
    )


def dag_record(
    row: Any,
    definition: DagDefinition,
    producers: Iterable[str],
    base_url: str,
    broken: Mapping[str, str] | None = None,
    slots_of: Mapping[str, int | None] | None = None,
    last_due: datetime | None = None,
) -> JobRecord:
    """One DAG from its row in the list. `producers`: DAGs whose assets start it. `broken`: files that cannot be
    imported, with the reason, which becomes part of the definition and so a drift. `slots_of`: slots by pool.
    `last_due`: as in `parse_schedule`."""
    row = fields.table(row)
    name, bundle = fields.text(row, "dag_id"), fields.optional_text(row, "relative_fileloc")
    error = import_error_of(row, broken) or ("Airflow gives no reason" if row.get("has_import_errors") is True else "")
    version = f", version {definition.version}" if definition.version else ""
    stale = f"; its file cannot be imported: {error}" if error else ""
    return JobRecord(
        native_id=name,
        title=fields.optional_text(row, "dag_display_name") or name,
        schedule=parse_schedule(row, definition.zone, last_due),
        paused=row.get("is_paused") is True,
        upstreams=tuple(sorted({producer for producer in producers if producer != name})),
        definition=f"{len(definition.tasks)} tasks in {bundle}{version}{stale}",
        definition_hash=fields.short_digest([definition.digest, error]) if error else definition.digest,
        proof=ProofLevel.FULL,
        native_url=f"{base_url}/dags/{quote(name, '')}",
        owner=fields.clean(", ".join(owner for owner in fields.rows(row.get("owners")) if isinstance(owner, str))),
        pool=definition.pool,
        slots=(slots_of or {}).get(definition.pool),
    )


def parse_schedule(row: fields.Row, zone: str, last_due: datetime | None = None) -> Schedule:
    """Dialect "airflow" for periodic timetables, "airflow-one-run" where a DAG has one active run at most, "none" for
    those by asset or by hand. `next_at` is Airflow's own next run_after. The expression is reported only where it gives
    that instant, or without one `last_due`, the run_after of the last scheduled run: a timetable may be any code, and
    Airflow reports UTC for many a DAG with another zone."""
    summary = timetable_summary(row)
    text = fields.optional_text(row, "timetable_description") or summary
    following = fields.instant(row, "next_dagrun_run_after")
    if not is_periodic(row):
        return Schedule("none", zone=zone, text=text)
    dialect = "airflow-one-run" if row.get("max_active_runs") == 1 else "airflow"
    due = following or last_due
    if not _is_cron(row):
        return Schedule(dialect, "", zone, text, following)
    if due is not None and _expression_matches(summary, zone, due):
        return Schedule(dialect, summary, zone, text, following)
    return Schedule(dialect, "", zone, f"{text} (in a zone that Airflow does not report)", following)


def needs_last_due(row: fields.Row) -> bool:
    """Whether only its last run shows that the expression of this DAG holds: Airflow reports no next run of a DAG at
    its limit of active runs."""
    return _is_cron(row) and is_periodic(row) and fields.instant(row, "next_dagrun_run_after") is None


def parse_scheduled_time(row: Any) -> datetime | None:
    """run_after of a run that the scheduler made; None for another one. Raises RecordUnreadable."""
    row = fields.table(row)
    return fields.instant(row, "run_after") if row.get("run_type") == "scheduled" else None


UNRESOLVED_ALIASES = {"Unresolved DatasetAlias": "Dataset", "Unresolved AssetAlias": "Asset"}
"""Summaries until a run first writes the alias."""
NOT_PERIODIC = frozenset({"", "@once", "@continuous", "Dataset", "Asset", "Partitioned Asset"})
"""Summaries of timetables that have no next run by the clock; "@once" has one until it ran."""


def timetable_summary(row: fields.Row) -> str:
    """Summary of a DAG's timetable, the same before and after an alias of its assets is resolved."""
    summary = fields.optional_text(row, "timetable_summary")
    return UNRESOLVED_ALIASES.get(summary, summary)


def _is_cron(row: fields.Row) -> bool:
    return len(timetable_summary(row).split()) in (5, 6, 7)


def is_periodic(row: fields.Row) -> bool:
    """Whether a DAG has a time-based schedule. Before 3.3 only its summary shows it: a DAG at its limit of active runs
    has no next run."""
    periodic = row.get("timetable_periodic")
    if periodic is None:
        return timetable_summary(row) not in NOT_PERIODIC
    return periodic is True


def _expression_matches(expression: str, zone: str, at: datetime) -> bool:
    """Whether the expression in this zone gives this instant. It does not where the timetable has a zone of its own:
    the API reports only that of the DAG (measured: UTC for a timetable in Europe/Berlin). A time that the clocks jump
    over runs later by as much."""
    try:
        place = ZoneInfo(zone)
        local = at.astimezone(place).replace(tzinfo=None)
        last = next(croniter_steps(expression, local + timedelta(microseconds=1), forward=False), None)
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError):
        return False
    return last == local or (last is not None and last.replace(tzinfo=place).astimezone(UTC) == at)


def interval_before(expression: str, zone: str, end: datetime) -> datetime | None:
    """Start of the data interval that ends at `end`, where the ends follow this expression; None where `end` does not
    fit it, or the clock was changed in between."""
    if not _expression_matches(expression, zone, end):
        return None
    place = ZoneInfo(zone)
    local = end.astimezone(place)
    last = next(croniter_steps(expression, local.replace(tzinfo=None), forward=False), None)
    start = last.replace(tzinfo=place) if last is not None else None
    return start.astimezone(UTC) if start is not None and start.utcoffset() == local.utcoffset() else None


def parse_asset_edges(row: Any) -> dict[str, set[str]]:
    """DAG -> DAGs whose tasks write the asset that schedules it, of one asset."""
    row = fields.table(row)
    writers = {_dag_id(task) for task in fields.rows(row.get("producing_tasks"))}
    scheduled = row.get("scheduled_dags", row.get("consuming_dags"))  # Airflow 3.0
    return {_dag_id(dag): writers for dag in fields.rows(scheduled) if writers}


def _dag_id(row: Any) -> str:
    return fields.text(fields.table(row), "dag_id")


def import_error_of(row: Row, broken: Mapping[str, str] | None) -> str:
    """Why the file of this DAG cannot be imported; "" if it can. Airflow 2 names files by their whole path."""
    paths = (row.get("relative_fileloc"), row.get("fileloc"))
    return next((error for path in paths if isinstance(path, str) and (error := (broken or {}).get(path))), "")


def parse_import_error(row: Any) -> tuple[str, str]:
    """A DAG file that cannot be imported, and the last line of its traceback."""
    row = fields.table(row)
    trace = fields.optional_text(row, "stack_trace").strip().splitlines() or [""]
    return fields.optional_text(row, "filename") or "?", masked_head(trace[-1], 200) or "no reason given"


NOTE_CHARACTERS = 1000  # DAGRunClearBody.note, DAGRunPatchBody.note, max_length, Airflow 3.3

TRIGGERED_RUN_ID = re.compile(r"headway__([0-9a-z]{10,40})")
"""A run that we triggered: its id is ours, which makes a second send answer 409."""
ACTION_MARK = re.compile(
    r"\[(?P<key>headway-[0-9a-z]{10,40}) (?P<word>rerun|cancel|mark_ok|skip)"
    r"(?:; was (?P<was>[^;\]]+))?(?:; is (?P<now>[^;\]]+))?\]"
)
"""The action, the attempt it found (`was`, its queued_at), and the attempt it created."""
ENDING_VERBS = ("cancel", "mark_ok", "skip")
"""Words that say how an attempt came to its end; "rerun" says how one came to be."""


def run_id_for_key(key: str) -> str:
    return "headway__" + key.removeprefix("headway-")


def action_mark(key: str, was: str = "", now: str = "", verb: str = "rerun") -> str:
    """Headway's mark in a note: the action, the attempt it found, and the attempt it created."""
    return f"[{key} {verb}{f'; was {was}' if was else ''}{f'; is {now}' if now else ''}]"


def action_of_run(run_id: str, note: str, queued_at: str) -> str | None:
    """Our action that made this attempt: by the id of a run that we triggered, else by the mark in its note. A mark
    applies to the attempt that it says it made; without one, to any but the attempt that it found."""
    reruns = [mark for mark in ACTION_MARK.finditer(note) if mark["word"] == "rerun"]
    for mark in reruns:
        is_for_attempt = mark["now"] == queued_at if mark["now"] else mark["was"] != queued_at
        if is_for_attempt and ACTION_KEY.fullmatch(mark["key"]):
            return mark["key"]
    triggered = TRIGGERED_RUN_ID.fullmatch(run_id)
    return f"headway-{triggered[1]}" if triggered and not reruns else None


def action_of_task(note: str) -> str | None:
    match = next((mark for mark in ACTION_MARK.finditer(note) if mark["word"] == "rerun"), None)
    return match["key"] if match and ACTION_KEY.fullmatch(match["key"]) else None


def ending_verb(note: str, queued_at: str) -> str:
    """How we ended this attempt: "cancel", "mark_ok" or "skip"; "" if we did not."""
    marks = (mark for mark in ACTION_MARK.finditer(note) if mark["word"] in ENDING_VERBS)
    unstarted = queued_at.startswith("-")  # Airflow 2: it had no mark yet when it was ended
    return next((mark["word"] for mark in marks if mark["was"] == queued_at or (unstarted and not mark["was"])), "")


def note_has_key(note: Any, key: str) -> bool:
    return isinstance(note, str) and any(mark["key"] == key for mark in ACTION_MARK.finditer(note))


def note_text(row: Mapping[str, Any]) -> str:
    """The note of a run or task; "" without one."""
    note = row.get("note")
    return fields.clean(note) if isinstance(note, str) else ""


def note_with_mark(mark: str, note: str, keep_reruns: bool = False) -> str:
    """The note with Headway's mark at its head, in the place of our older ones (`keep_reruns`: but those of reruns)."""
    old = [match for match in ACTION_MARK.finditer(note) if keep_reruns and match["word"] == "rerun"]
    holds = [match[0] for match in HOLD_MARK.finditer(note)]
    people = HOLD_MARK.sub("", ACTION_MARK.sub("", note)).strip()
    marks = [mark, *(match[0] for match in old)]
    room = NOTE_CHARACTERS - sum(len(line) + 1 for line in (*marks, *holds))
    return "\n".join(line for line in (*marks, people[: max(0, room)], *holds) if line)[:NOTE_CHARACTERS]


def note_without_mark(note: str, key: str) -> str:
    return ACTION_MARK.sub(lambda mark: "" if mark["key"] == key else mark[0], note).strip()


def note_with_hold(note: str, mark: HoldMark) -> str | None:
    """The note with the line of the hold, in the place of older ones; None if it would be too long."""
    whole = marked_pause.with_hold(note, mark)
    return whole if len(whole) <= NOTE_CHARACTERS else None


@dataclass(frozen=True, slots=True)
class AirflowRunReference:
    """Contents of `RunRecord.native_ref`."""

    dag: Annotated[str, Field(min_length=1)]
    run: Annotated[str, Field(min_length=1)]
    task: str = ""
    try_number: Annotated[int, Field(validation_alias=AliasChoices("try", "try_number"))] = 0
    map_index: Annotated[int, Field(validation_alias=AliasChoices("map", "map_index"))] = -1


def parse_reference(run: RunRef) -> AirflowRunReference | None:
    """The reference of a run; None if it has none (a MISSED run)."""
    return fields.read_reference(AirflowRunReference, run.native_ref)


def vanished_run(run: RunRef) -> RunRecord:
    """Airflow refuses to delete active runs; so a missing started run ended unseen, or its history was purged."""
    message = "Airflow no longer has this run: it was deleted or purged, and its end was not seen"
    return no_longer_listed(run, "deleted", message)


def superseded_run(run: RunRef, period: AirflowPeriod) -> RunRecord:
    """An open attempt that a clear replaced before its end was seen."""
    message = "cleared before its end was seen; Airflow keeps no run-level history of it"
    return cleared_record(run.job, run.attempt_key, run.native_ref, period, message, run.started_at)
