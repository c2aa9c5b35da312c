"""What is sent to Airflow 2 in place of what Airflow 3 is sent: paths and bodies. Pure; facts of 2.11, measured.

A clear takes no note and no guard, a state no note: those are calls of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from connectors import fields

Call = tuple[str, str, Mapping[str, Any]]
"""Method, path below the API's base, body."""
CLEARED_BY = ("dag_run_id", "task_ids", "include_downstream", "only_failed")


def clear(body: Mapping[str, Any], run: str = "", dry_run: bool = False) -> dict[str, Any]:
    """The body that clears tasks. Without `reset_dag_runs` the tasks would be cleared and the run stay as it ended."""
    kept = {name: body[name] for name in CLEARED_BY if name in body}
    whole = {"dag_run_id": run} if run else {}
    return {"dry_run": dry_run, **whole, **kept, "reset_dag_runs": True}


def trigger(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a start; it is due at once, at its logical date."""
    return {name: value for name, value in body.items() if value is not None and name != "run_after"}


def instead_of(method: str, path: str, body: Mapping[str, Any]) -> list[Call]:
    """The calls of Airflow 2 that do what this one does to Airflow 3, in the order in which they are sent."""
    place, noted = path.split("/"), {"note": body["note"]} if "note" in body else {}
    rest = {name: value for name, value in body.items() if name != "note"}
    if place[-1] == "clear":
        run = "/".join(place[:-1])
        return [_note(run, noted), ("POST", f"/dags/{place[2]}/clearTaskInstances", clear(rest, unquote(place[4])))]
    if place[-1] == "clearTaskInstances":
        return [(method, path, clear(rest))]
    if method == "POST" and place[-1] == "dagRuns":
        return [(method, path, trigger(body))]
    if "dagRuns" in place and method == "PATCH":
        state = {**({"dry_run": False} if "taskInstances" in place else {}), **rest}
        return [*([(method, path, state)] if rest else []), *([_note(path, noted)] if noted else [])]
    return [(method, path, body)]


def _note(path: str, noted: Mapping[str, Any]) -> Call:
    return "PATCH", f"{path}/setNote", noted


def shown(base: str, call: Call) -> str:
    """A call for people."""
    method, path, body = call
    return f"{method} {base}{path} {fields.shown(dict(body))}"
