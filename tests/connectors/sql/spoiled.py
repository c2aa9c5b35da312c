"""Rows of a database as odd as a driver may hand them over."""

from __future__ import annotations

from typing import Any

from connectors.sdk.conformance.faults import GARBLED, LONG_BYTES, LONG_LINE, NOT_A_NUMBER, NOT_UTF8, TWICE


def spoiled(rows: list[dict[str, Any]], how: str) -> list[dict[str, Any]]:
    """What views may hold at their worst. A driver never hands over half a row or a web page."""
    last = rows[-1] if rows else {}
    text = next((name for name in ("message", "definition") if name in last), "")
    if how == GARBLED:
        last |= dict.fromkeys(last)
    elif how == NOT_A_NUMBER:
        last |= {name: float("nan") for name in ("seconds", "enabled") if name in last}
    elif how == NOT_UTF8:
        last[text] = "caf\udce9"
    elif how == LONG_LINE:
        last[text] = "x" * LONG_BYTES
    elif how == TWICE:
        return rows + [dict(row) for row in rows]
    else:
        raise ValueError(how)
    return rows
