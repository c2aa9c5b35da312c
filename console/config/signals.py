"""Terminal signals of a person: title, bell and notification, on or off. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple


class Signals(NamedTuple):
    title: bool = True
    """Shows the number of services at risk in the terminal's title."""
    bell: bool = True
    """One bell for each new incident that affects a tier-1 service."""
    notify: bool = True
    """The same as a notification, if the terminal is not focused."""


def read_signals(table: object) -> tuple[dict[str, bool], dict[str, str]]:
    """The valid signals of a table, and the problem of each other one, by name."""
    if not isinstance(table, Mapping):
        return {}, {"": "is not a table. Write bell = false below a header of that name."}
    faults = {name: problem for name, value in table.items() if (problem := _problem(name, value))}
    return {name: value for name, value in table.items() if name not in faults}, faults


def _problem(name: str, value: Any) -> str:
    if name not in Signals._fields:
        near = get_close_matches(name, Signals._fields, 1, 0.5)
        hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(Signals._fields)}."
        return f"unknown key; {hint}"
    return "" if isinstance(value, bool) else f"{value!r} is neither true nor false. Write {name} = false."
