"""Rows of Airflow 2 (REST API v1) told as Airflow 3 tells them, so that everything behind reads one language. Pure.

What Airflow 2 does not tell is told by what stands for it (measured on 2.11): the mark of a run's attempt is its
`start_date`, which a clear takes away and the next start sets anew; that of a task is the number of its try. A row that
is no table, or lacks what is needed, goes on as it came: the parser says what is wrong with it.
"""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from connectors.fields import Row

CRON_OF = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
RUN_TYPES = {"dataset_triggered": "asset_triggered"}
ENDED = ("success", "failed")
BEGUN = ("queued", "running", "success", "failed", "skipped", "deferred", "up_for_reschedule", "restarting")


def each(table: Mapping[str, Any], name: str, translate: Callable[[Row], Row], told_as: str = "") -> Row:
    """A reply with its list `name` translated row by row, under the name that Airflow 3 has for it."""
    found = table.get(name)
    if not isinstance(found, list):
        return dict(table)
    return {**table, told_as or name: [translate(row) if isinstance(row, dict) else row for row in found]}


def dag(row: Row) -> Row:
    """One DAG of the list, or its details."""
    return {
        **row,
        "timetable_summary": _summary(row.get("schedule_interval")),
        "next_dagrun_run_after": row.get("next_dagrun_create_after"),
        "next_dagrun_logical_date": row.get("next_dagrun"),
        "relative_fileloc": row.get("fileloc"),
        "asset_expression": row.get("dataset_expression"),
        "is_stale": row.get("is_active") is False,
    }


def _summary(schedule: Any) -> Any:
    if not isinstance(schedule, dict):
        return None
    value = schedule.get("value")
    if isinstance(value, str):
        return CRON_OF.get(value, value)
    try:
        return str(timedelta(**{name: schedule[name] for name in ("days", "seconds", "microseconds")}))
    except (KeyError, TypeError, OverflowError):
        return None


def dataset(row: Row) -> Row:
    """A dataset as an asset."""
    return {**row, "name": row.get("uri"), "scheduled_dags": row.get("consuming_dags")}


def run(row: Row) -> Row:
    """One DAG run. `queued_at` holds the mark of its attempt: its start; "" before, "-END" where it never started."""
    kind, logical = row.get("run_type"), row.get("logical_date")
    by_clock = kind in ("scheduled", "backfill")
    started, ended = row.get("start_date"), row.get("end_date")
    unstarted = f"-{ended}" if row.get("state") in ENDED and isinstance(ended, str) else ""
    return {
        **row,
        "run_type": RUN_TYPES.get(str(kind), kind),
        "run_after": (row.get("data_interval_end") or logical) if by_clock else logical,
        "queued_at": started if isinstance(started, str) else unstarted,
        "no_queue_time": True,
    }


def task(row: Row) -> Row:
    """One task instance: its id is its run and try.

    A task that ended without a try of its own (skipped, upstream failed) is known by when that was: the number of its
    next try belongs to the attempt that a clear makes."""
    run_id, state, tried = row.get("dag_run_id"), row.get("state"), row.get("try_number")
    if not isinstance(run_id, str) or not isinstance(tried, int):
        return {**row, "id": None}
    if _never_began(row, tried):
        return {**row, "id": f"{run_id}#{tried}@{row.get('end_date')}", "formerly": f"{run_id}#{tried + 1}"}
    waits = tried > 0 and state in (None, "up_for_retry")
    queued = row.get("queued_when") if state in BEGUN else None
    return {**row, "id": f"{run_id}#{tried + 1 if waits else max(1, tried)}", "scheduled_when": queued}


def _never_began(row: Row, tried: int) -> bool:
    state, started, ended = row.get("state"), row.get("start_date"), row.get("end_date")
    if state == "upstream_failed":
        return True
    if state not in (*ENDED, "skipped", "removed"):
        return False
    return tried == 0 or (state in ("skipped", "removed") and started == ended)


def log_page(table: Row) -> Row:
    """A page of a log as Airflow 3 has it: `content` is the repr of a list of (host, text), and the token says itself
    whether more will come. `missing`: what is said in place of a log that is not there."""
    text = "".join(_texts(table.get("content")))
    token = _payload(table.get("continuation_token"))
    ended = token.get("end_of_log") is True
    lines = [line.removeprefix(" INFO - ") if "- ::" in line[:10] else line for line in text.splitlines()]
    return {
        "content": [{"event": line} for line in lines if not line.endswith("::endgroup::")],
        "continuation_token": None if ended else table.get("continuation_token"),
        "missing": _why(text) if ended and not token.get("log_pos") else "",
    }


def _texts(content: Any) -> Iterator[str]:
    """The texts of the pairs; what is no such list is shown as it stands."""
    if not isinstance(content, str):
        return
    try:
        pairs = ast.literal_eval(content)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pairs = None
    if not isinstance(pairs, list):
        yield content
        return
    for pair in pairs:
        yield str(pair[1]) if isinstance(pair, tuple) and len(pair) == 2 else str(pair)


def _payload(token: Any) -> Row:
    """What a signed token says; nothing where it cannot be read (it may be packed)."""
    try:
        packed = str(token).partition(".")[0]
        found = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _why(text: str) -> str:
    """The last words of Airflow about a log that is not there."""
    said = [line.strip("* ") for line in text.splitlines() if line.startswith(("***", "Error"))]
    return said[-1] if said else "Airflow has no log of it"
