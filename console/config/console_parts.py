"""`[console.keys]`, `[console.signals]` and `[views.NAME]`: what all share who look at an estate,
checked as one person's own file is."""

from __future__ import annotations

import json
from typing import Any

from console.config.near import near
from console.config.reading import Reading, Table
from console.personal.keymap import read_keys
from console.personal.signals import read_signals
from console.personal.views import read_view

KNOWN = ("keys", "signals")


def console_text(document: Table, reading: Reading) -> str:
    """All parts as the store keeps them for the consoles, JSON; empty where none is configured."""
    keys = _keys(document.get("console", {}), reading)
    views = {}
    for name, table in document.get("views", {}).items():
        view, faults = read_view(name, table)
        for one in faults:
            reading.fault(("views", name, *filter(None, [one.field])), one.problem)
        if view is not None:
            views[name] = view.fields()
    signals = _signals(document.get("console", {}).get("signals", {}), reading)
    found = {name: part for name, part in (("keys", keys), ("views", views), ("signals", signals)) if part}
    return json.dumps(found, sort_keys=True) if found else ""


def _signals(table: Any, reading: Reading) -> dict[str, bool]:
    found, faults = read_signals(table)
    for one in faults:
        reading.fault(("console", "signals", *filter(None, [one.name])), one.problem)
    return found


def _keys(table: Table, reading: Reading) -> Table:
    for name in table:
        if name not in KNOWN:
            reading.fault(("console", name), f"unknown key. {near(name, KNOWN)}")
    keys = table.get("keys", {})
    if not isinstance(keys, dict):
        reading.fault(("console", "keys"), 'is no table. Write [console.keys] with rerun = "x" below.')
        return {}
    for one in read_keys(keys)[1]:
        reading.fault(("console", "keys", one.name), one.problem)
    return dict(keys)
