"""DAGs, their tasks and assets -> job records. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from connectors import fields
from connectors.airflow.parse_tasks import task_id
from connectors.contract import JobRecord, Proof, Schedule

DEFAULT_POOL = "default_pool"


@dataclass(frozen=True, slots=True)
class Definition:
    """What only the details of one DAG tell; read again when its version changes."""

    version: int
    timetable: str
    zone: str
    tasks: tuple[JobRecord, ...]
    digest: str
    pool: str = ""
    """The pool of all its tasks, which run one after the other and so take one slot at a time; empty: there is none."""


def version(row: Any) -> tuple[str, int]:
    """DAG and version number of one row of DAG versions."""
    row = fields.table(row)
    return fields.text(row, "dag_id"), fields.number(row, "version_number", 0)


def definition(dag: str, details: Any, task_rows: Sequence[Any]) -> Definition:
    """The definition of a DAG from its details and its tasks. Raises RecordUnreadable."""
    details = fields.table(details)
    latest = details.get("latest_dag_version")
    number = fields.number(latest, "version_number", 0) if isinstance(latest, dict) else 0
    tasks = _tasks(dag, task_rows)
    told = [number, fields.words(details, "timetable_summary"), fields.words(details, "timezone")]
    return Definition(
        number,
        fields.words(details, "timetable_summary"),
        fields.words(details, "timezone") or "UTC",
        tasks,
        fields.short_digest([told, [one.definition_hash for one in tasks]]),
        _pool_of([fields.table(row) for row in task_rows]),
    )


def _pool_of(rows: Sequence[fields.Row]) -> str:
    """As in `Definition.pool`. The default pool is everybody's, and no chain waits for another there."""
    pools = {fields.words(row, "pool") for row in rows}
    below = [fields.rows(row.get("downstream_task_ids")) for row in rows]
    is_chain = all(len(each) <= 1 for each in below) and len({str(each[0]) for each in below if each}) == len(rows) - 1
    return pools.pop() if is_chain and len(pools) == 1 and pools.isdisjoint({"", DEFAULT_POOL}) else ""


def slots(row: Any) -> tuple[str, int | None]:
    """Name and slots of a pool; None where it has no limit. Raises RecordUnreadable."""
    row = fields.table(row)
    found = fields.number(row, "slots", -1)
    return fields.text(row, "name"), found if found >= 1 else None


def _tasks(dag: str, task_rows: Sequence[Any]) -> tuple[JobRecord, ...]:
    ahead: dict[str, list[str]] = {}
    tasks = [fields.table(row) for row in task_rows]
    for row in tasks:
        for below in fields.rows(row.get("downstream_task_ids")):
            ahead.setdefault(fields.clean(str(below)), []).append(fields.text(row, "task_id"))
    return tuple(sorted((_task(dag, row, ahead) for row in tasks), key=lambda one: one.native_id))


def _task(dag: str, row: fields.Row, ahead: Mapping[str, Sequence[str]]) -> JobRecord:
    name = fields.text(row, "task_id")
    upstreams = tuple(sorted(task_id(dag, one) for one in ahead.get(name, ())))
    operator = fields.words(row, "operator_name")
    mapped = " (mapped)" if row.get("is_mapped") is True else ""
    rule, pool = fields.words(row, "trigger_rule"), fields.words(row, "pool")
    more = [] if rule in ("", "all_success") else [rule]
    more += [] if pool in ("", DEFAULT_POOL) else [f"pool {pool}"]
    return JobRecord(
        native_id=task_id(dag, name),
        title=fields.words(row, "task_display_name") or name,
        parent=dag,
        upstreams=upstreams,
        definition=", ".join([f"{operator}{mapped}", *more]),
        definition_hash=fields.short_digest([operator, mapped, rule, upstreams, row.get("retries"), row.get("pool")]),
        proof=Proof.FULL,
        owner=fields.words(row, "owner"),
    )


def dag(
    row: Any,
    known: Definition,
    producers: Iterable[str],
    base_url: str,
    broken: Mapping[str, str] | None = None,
    slots_of: Mapping[str, int | None] | None = None,
) -> JobRecord:
    """One DAG from its row in the list, with what its definition told and the DAGs whose assets start it.

    `broken`: files that cannot be imported, with the reason: their DAGs stay as they were read last, and the words in
    the definition make that a drift. `slots_of`: by pool."""
    row = fields.table(row)
    name, bundle = fields.text(row, "dag_id"), fields.words(row, "relative_fileloc")
    error = _error_of(row, bundle, broken or {})
    version = f", version {known.version}" if known.version else ""
    stale = f"; its file cannot be imported: {error}" if error else ""
    return JobRecord(
        native_id=name,
        title=fields.words(row, "dag_display_name") or name,
        schedule=schedule(row, known.zone),
        paused=row.get("is_paused") is True,
        upstreams=tuple(sorted({one for one in producers if one != name})),
        definition=f"{len(known.tasks)} tasks in {bundle}{version}{stale}",
        definition_hash=fields.short_digest([known.digest, error]) if error else known.digest,
        proof=Proof.FULL,
        native_url=f"{base_url}/dags/{quote(name, safe='')}",
        owner=fields.clean(", ".join(one for one in fields.rows(row.get("owners")) if isinstance(one, str))),
        pool=known.pool,
        slots=(slots_of or {}).get(known.pool),
    )


def schedule(row: fields.Row, zone: str) -> Schedule:
    """Periodic timetables are of the dialect "airflow"; those by asset or by hand are "none", with their words.

    `next_at` is Airflow's own next run_after. The expression is told only where it gives that instant: a timetable may
    be any code."""
    summary, said = fields.words(row, "timetable_summary"), fields.words(row, "timetable_description")
    following = fields.instant(row, "next_dagrun_run_after")
    if not is_periodic(row):
        return Schedule("none", zone=zone, words=said or summary)
    if following is None or _gives(summary, zone, following):
        return Schedule("airflow", summary, zone, said or summary, following)
    return Schedule("airflow", "", zone, f"{said or summary} (in a zone that Airflow does not tell)", following)


def is_periodic(row: fields.Row) -> bool:
    """Whether a DAG runs by the clock. Before 3.3 Airflow does not say: what has a next run, or five fields, does."""
    periodic = row.get("timetable_periodic")
    if periodic is None:
        by_words = len(fields.words(row, "timetable_summary").split()) == 5
        return fields.instant(row, "next_dagrun_run_after") is not None or by_words
    return periodic is True


def _gives(expression: str, zone: str, at: datetime) -> bool:
    """Whether the expression in this zone gives this instant. It does not where the timetable has a zone of its own:
    the API tells only the DAG's (measured: a timetable in Europe/Berlin is told as UTC)."""
    try:
        local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        return next(CronSim(expression, local - timedelta(minutes=1))) == local
    except (CronSimError, ZoneInfoNotFoundError, StopIteration, ValueError, OSError, OverflowError):
        return False


def interval_before(expression: str, zone: str, end: datetime) -> datetime | None:
    """Start of the data interval that ends at `end`, where the ends follow this expression: the instant before it.

    None where that is not sure: `end` is no instant of the expression, or the clock was changed in between."""
    if not _gives(expression, zone, end):
        return None
    place = ZoneInfo(zone)
    local = end.astimezone(place)
    try:
        start = next(CronSim(expression, local.replace(tzinfo=None), reverse=True)).replace(tzinfo=place)
    except (CronSimError, StopIteration, ValueError, OverflowError):
        return None
    return start.astimezone(UTC) if start.utcoffset() == local.utcoffset() else None


def feeds(row: Any) -> dict[str, set[str]]:
    """DAG -> DAGs whose tasks write the asset that schedules it, of one asset."""
    row = fields.table(row)
    writers = {_dag_of(one) for one in fields.rows(row.get("producing_tasks"))}
    return {_dag_of(one): writers for one in fields.rows(row.get("scheduled_dags")) if writers}


def _dag_of(row: Any) -> str:
    return fields.text(fields.table(row), "dag_id")


def _error_of(row: fields.Row, bundle: str, broken: Mapping[str, str]) -> str:
    """Why the file of a DAG cannot be imported; "" where it can. Airflow 2 names files by their whole path."""
    found = broken.get(bundle) or broken.get(fields.words(row, "fileloc"))
    return found or ("Airflow tells no reason" if row.get("has_import_errors") is True else "")


def import_error(row: Any) -> tuple[str, str]:
    """A DAG file that cannot be imported, and the last line of its traceback."""
    row = fields.table(row)
    trace = fields.words(row, "stack_trace").strip().splitlines() or [""]
    return fields.words(row, "filename") or "?", trace[-1][:200] or "no reason is told"
