"""Saved views: a table's filter, sort, columns and grouping under a name, and every fault of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, NamedTuple

from console.domain.filter import FilterError, parse_filter

SORTS: Mapping[str, tuple[str, ...]] = {
    "jobs": ("attention", "name", "age", "deadline", "slack"),
    "runs": ("age", "name"),
}
"""Sort keys of each big table; "-" before one reverses it."""
TABLES = ("jobs", "runs", "services", "incidents", "systems", "holds", "actions", "audit")
COLUMNS = ("normal", "wide")
GROUPINGS = ("none", "tier", "owner")
"""Groupings of the services table."""
FIELDS = ("table", "filter", "sort", "columns", "problems", "grouping")
NAME = re.compile(r"[\w.-]{1,40}")
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""A filter reads the same whenever it is checked; only what `since:22:00` comes to differs."""


class SavedView(NamedTuple):
    """Filter, sorting and columns of a table; `mine`: of one person, else of the team."""

    name: str
    table: str = "jobs"
    filter: str = ""
    sort: str = ""
    columns: str = "normal"
    problems: bool = False
    grouping: str = ""
    mine: bool = False

    @property
    def wide(self) -> bool:
        return self.columns == "wide"

    @property
    def says(self) -> str:
        """The view in one line: "jobs state:failed, by age, wide"."""
        parts = [
            f"{self.table} {self.filter}".strip(),
            f"by {self.sort}" if self.sort else "",
            "wide" if self.wide else "",
            "only problems" if self.problems else "",
            f"grouped by {self.grouping}" if self.grouping not in ("", "none") else "",
        ]
        return ", ".join(filter(None, parts))

    def fields(self) -> dict[str, Any]:
        """The values that differ from the defaults, as in TOML."""
        plain = SavedView("", table="")
        return {name: value for name in FIELDS if (value := getattr(self, name)) != getattr(plain, name)}


def read_view(name: str, table: Any, mine: bool = False) -> tuple[SavedView | None, list[tuple[str, str]]]:
    """The view of `[views.NAME]`; None with any fault, and all faults: (field, problem)."""
    if not isinstance(table, Mapping):
        return None, [("", f'is not a table. Write [views.{name}] with table = "jobs" below.')]
    if faults := _faults(name, table):
        return None, faults
    return SavedView(name, **{field: table[field] for field in FIELDS if field in table}, mine=mine), []


def name_fault(name: str) -> str:
    """Why this name of a view is invalid; empty if it is valid."""
    if NAME.fullmatch(name):
        return ""
    return f'"{name}": a view\'s name has at most 40 letters, digits, dots, dashes and underscores'


def _faults(name: str, table: Mapping[str, Any]) -> list[tuple[str, str]]:
    faults = [("", problem)] if (problem := name_fault(name)) else []
    for field, value in table.items():
        if field not in FIELDS:
            close = get_close_matches(field, FIELDS, n=1)
            meant = f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(FIELDS)}."
            faults.append((field, f"unknown key. {meant}"))
        elif field == "problems" and not isinstance(value, bool):
            faults.append((field, f"{value!r} is neither true nor false. Write one of them."))
        elif field != "problems" and not isinstance(value, str):
            faults.append((field, f"{value!r} is not text. Write it in quotes."))
    wrong = {field for field, _ in faults}
    sound = {field: value for field, value in table.items() if field not in wrong}
    return faults + [fault for fault in _value_faults(sound) if fault[0] not in wrong]


def _value_faults(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Faults of values of the right type; for an unknown table nothing else is checked."""
    name = table.get("table", "jobs")
    if problem := choice_fault(name, TABLES):
        return [("table", problem)]
    sort, columns, grouping = table.get("sort", ""), table.get("columns", "normal"), table.get("grouping", "")
    has_groups = name == "services"
    no_groups = "" if has_groups else f"{name} have no groups. "
    problems = {
        "sort": sort and choice_fault(sort.removeprefix("-"), SORTS.get(name, ()), f"{name} cannot be sorted by it. "),
        "columns": choice_fault(columns, COLUMNS),
        "grouping": grouping and choice_fault(grouping, GROUPINGS if has_groups else (), no_groups),
        "filter": _filter_fault(table.get("filter", "")) if name in SORTS else "",
    }
    return [(field, problem) for field, problem in problems.items() if problem]


def _filter_fault(text: str) -> str:
    try:
        parse_filter(text, _NOON)
    except FilterError as error:
        return f"{error}."
    return ""


def choice_fault(value: str, known: tuple[str, ...], why: str = "") -> str:
    """Why `value` is not one of these, with a similar one; empty if it is."""
    if value in known:
        return ""
    close = get_close_matches(value, known, n=1)
    fix = f'Did you mean "{close[0]}"?' if close else f"There are {', '.join(known)}." if known else "Take it out."
    return f'"{value}": {why}{fix}'
