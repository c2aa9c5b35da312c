"""Structured log lines of Airflow -> text. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from connectors import fields

GROUP, GROUP_END = "::group::", "::endgroup::"
AIRFLOWS_OWN = "/site-packages/airflow/"
MOST_FRAMES = 20
"""Of one exception, the innermost ones; Airflow's own are left out where the author's are there."""


def lines(content: Any) -> list[str]:
    """The lines of a page of a log, each with its time and level. A line that cannot be read is shown as it is."""
    return [line for entry in fields.rows(content) for line in _entry(entry)]


def streamed(rows: Sequence[str]) -> list[Any]:
    """The entries of a log that came as one JSON object a line; a line that is none as it is."""
    return [_read(row) for row in rows if row]


def _read(row: str) -> Any:
    try:
        return json.loads(row)
    except (ValueError, RecursionError):
        return row


def _entry(entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield fields.clean(str(entry)[:1000])
        return
    event = fields.clean(str(entry.get("event", "")))
    if event.startswith(GROUP_END):
        return
    if event.startswith(GROUP):
        yield f"[{event.removeprefix(GROUP)}]"
        return
    at, level = entry.get("timestamp"), entry.get("level")
    shown_at = f"{at[:23].replace('T', ' ')} " if isinstance(at, str) else ""
    shown_level = f"{level.upper()} " if isinstance(level, str) and level not in ("info", "") else ""
    yield fields.clean(shown_at) + fields.clean(shown_level) + event
    yield from _errors(entry.get("error_detail"))


def _errors(details: Any) -> Iterator[str]:
    """The exceptions of a line, each with where it came from. They are not in `event`."""
    for one in fields.rows(details):
        if isinstance(one, dict):
            frames = [frame for frame in fields.rows(one.get("frames")) if isinstance(frame, dict)]
            authors = [frame for frame in frames if AIRFLOWS_OWN not in str(frame.get("filename"))]
            for frame in (authors or frames)[-MOST_FRAMES:]:
                yield fields.clean(f"    {frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}")
            yield fields.clean(f"  {one.get('exc_type')}: {one.get('exc_value')}")
