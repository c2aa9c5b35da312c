"""Saved views: a table's filter, sort, columns and grouping under a name, and every fault of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, NamedTuple

from console.model.filters import FilterError, parse_filter

SORTS: Mapping[str, tuple[str, ...]] = {
    "jobs": ("attention", "name", "age", "deadline", "slack"),
    "runs": ("age", "name"),
}
"""By what each big table is sorted; with "-" before it the other way round."""
TABLES = ("jobs", "runs", "services", "incidents", "systems", "holds", "actions", "audit")
COLUMNS = ("normal", "wide")
GROUPINGS = ("none", "tier", "owner")
"""By what Services stand together."""
FIELDS = ("table", "filter", "sort", "columns", "problems", "grouping")
NAME = re.compile(r"[\w.-]{1,40}")
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""A filter reads the same whenever it is checked; only what `since:22:00` comes to differs."""


class SavedView(NamedTuple):
    """What a table shows; `mine`: one person's, else everybody's."""

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
        """What it shows, in one line: "jobs state:failed, by age, wide"."""
        parts = [
            f"{self.table} {self.filter}".strip(),
            f"by {self.sort}" if self.sort else "",
            "wide" if self.wide else "",
            "only problems" if self.problems else "",
            f"grouped by {self.grouping}" if self.grouping not in ("", "none") else "",
        ]
        return ", ".join(filter(None, parts))

    def fields(self) -> dict[str, Any]:
        """What differs from the defaults, as it is written."""
        plain = SavedView("", table="")
        return {name: value for name in FIELDS if (value := getattr(self, name)) != getattr(plain, name)}


class ViewFault(NamedTuple):
    """What is wrong with one view: its field, the value and the mend."""

    name: str
    field: str
    problem: str


def read_view(name: str, table: Any, mine: bool = False) -> tuple[SavedView | None, list[ViewFault]]:
    """The view of `[views.NAME]`; None where anything is wrong with it, with all that is."""
    if not isinstance(table, Mapping):
        return None, [ViewFault(name, "", f'is no table. Write [views.{name}] with table = "jobs" below.')]
    faults = [ViewFault(name, field, problem) for field, problem in _faults(name, table)]
    if faults:
        return None, faults
    return SavedView(name, **{field: table[field] for field in FIELDS if field in table}, mine=mine), []


def name_fault(name: str) -> str:
    """Why this is no name of a view; empty when it is one."""
    if NAME.fullmatch(name):
        return ""
    return f'"{name}": a view\'s name has at most 40 letters, digits, dots, dashes and underscores'


def _faults(name: str, table: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [("", words)] if (words := name_fault(name)) else []
    for field, value in table.items():
        if field not in FIELDS:
            close = get_close_matches(field, FIELDS, n=1)
            meant = f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(FIELDS)}."
            found.append((field, f"unknown key. {meant}"))
        elif field == "problems" and not isinstance(value, bool):
            found.append((field, f"{value!r} is neither true nor false. Write one of them."))
        elif field != "problems" and not isinstance(value, str):
            found.append((field, f"{value!r} is no text. Write it in quotes."))
    wrong = {field for field, _ in found}
    sound = {field: value for field, value in table.items() if field not in wrong}
    return found + [one for one in _of_values(sound) if one[0] not in wrong]


def _of_values(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with values that are of the right type; of a table that there is not, nothing else is told."""
    found: list[tuple[str, str]] = []
    where = table.get("table", "jobs")
    if words := one_of(where, TABLES):
        return [("table", words)]
    sort, columns = table.get("sort", ""), table.get("columns", "normal")
    if sort and (words := one_of(sort.removeprefix("-"), SORTS.get(where, ()), f"{where} cannot be sorted by it. ")):
        found.append(("sort", words))
    if words := one_of(columns, COLUMNS):
        found.append(("columns", words))
    grouping = table.get("grouping", "")
    if grouping and (
        words := one_of(
            grouping,
            GROUPINGS if where == "services" else (),
            "" if where == "services" else f"{where} have no groups. ",
        )
    ):
        found.append(("grouping", words))
    if where in SORTS and (words := _filter_fault(table.get("filter", ""))):
        found.append(("filter", words))
    return found


def _filter_fault(text: str) -> str:
    try:
        parse_filter(text, _NOON)
    except FilterError as error:
        return f"{error}."
    return ""


def one_of(value: str, known: tuple[str, ...], why: str = "") -> str:
    """Why `value` is none of these, with the near one; empty when it is."""
    if value in known:
        return ""
    close = get_close_matches(value, known, n=1)
    mend = f'Did you mean "{close[0]}"?' if close else f"There are {', '.join(known)}." if known else "Take it out."
    return f'"{value}": {why}{mend}'
