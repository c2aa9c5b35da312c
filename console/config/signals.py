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


class SignalFault(NamedTuple):
    name: str
    problem: str


def read_signals(table: object) -> tuple[dict[str, bool], list[SignalFault]]:
    """The signals of a table and its faults; the valid part is used."""
    if not isinstance(table, Mapping):
        return {}, [SignalFault("", "is not a table. Write bell = false below a header of that name.")]
    faults = [SignalFault(name, _problem(name, value)) for name, value in table.items() if _problem(name, value)]
    wrong = {fault.name for fault in faults}
    return {name: value for name, value in table.items() if name not in wrong}, faults


def _problem(name: str, value: Any) -> str:
    if name not in Signals._fields:
        near = get_close_matches(name, Signals._fields, 1, 0.5)
        hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(Signals._fields)}."
        return f"unknown key; {hint}"
    return "" if isinstance(value, bool) else f"{value!r} is neither true nor false. Write {name} = false."
