"""The log of a run: its events in the order in which Dagster stored them, with the errors of failed steps. Its own
cursor says where reading stands. What steps print (compute logs) is not in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from connectors import characters, fields
from connectors.contract import LogChunk, NotSupported, RecordUnreadable, RunRef, State
from connectors.dagster import parse
from connectors.dagster.client import DagsterClient
from connectors.dagster.references import reference

MOST_PAGES = 50
KEPT_BYTES = 1 << 20
"""Of the end of a long log while it is read; more than anybody asks to see."""
DEEPEST = 5
"""Causes of an error."""


def read(client: DagsterClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """As the contract says."""
    if start is not None:
        return _go_on(client, start, limit_bytes)
    found = reference(run)
    if not found:
        raise NotSupported(f"{run.job} {run.period_key} has no run in Dagster, and so no log")
    text, cut, cursor = "", False, ""
    for _ in range(MOST_PAGES):
        page = client.log(found, cursor)
        cursor = fields.words(page, "cursor") or cursor
        text, dropped = characters.tail(text + _text(page), KEPT_BYTES)
        cut = cut or dropped
        if page.get("hasMore") is not True:
            break
    else:
        return LogChunk(characters.tail(text, limit_bytes)[0], _place(found, cursor, 0), more=True, cut=True)
    end, dropped = characters.tail(text, limit_bytes)
    following = None if _is_over(client, found) else _place(found, cursor, 0)
    return LogChunk(end, following, cut=cut or dropped)


def _go_on(client: DagsterClient, start: str, limit_bytes: int) -> LogChunk:
    try:
        row = fields.table(json.loads(start))
        run, cursor, skip = fields.text(row, "run"), fields.words(row, "cursor"), fields.number(row, "skip", 0)
    except (ValueError, RecursionError, RecordUnreadable) as error:
        raise NotSupported(f"this place in a log cannot be read back: {error}") from None
    page = client.log(run, cursor)
    data = _text(page).encode("utf-8", "replace")[skip:]
    if len(data) > limit_bytes:
        text = characters.head(data.decode("utf-8", "ignore"), limit_bytes)
        return LogChunk(text, _place(run, cursor, skip + len(text.encode())), more=True)
    more = page.get("hasMore") is True
    over = not more and not data and _is_over(client, run)
    following = _place(run, fields.words(page, "cursor") or cursor, 0)
    return LogChunk(data.decode("utf-8", "replace"), None if over else following, more=more)


def _is_over(client: DagsterClient, run: str) -> bool:
    rows = [row for row in client.runs_of([run]) if isinstance(row, dict)]
    return not rows or not parse.STATES.get(str(rows[0].get("status")), State.UNKNOWN).is_open


def _place(run: str, cursor: str, skip: int) -> str:
    return json.dumps({"run": run, "cursor": cursor, "skip": skip})


def _text(page: fields.Row) -> str:
    return characters.joined(line for one in fields.rows(page.get("events")) for line in _lines(one))


def _lines(event: Any) -> Iterator[str]:
    """An event that cannot be read is shown as it is."""
    if not isinstance(event, dict):
        yield fields.clean(str(event)[:1000])
        return
    step, kind = event.get("stepKey"), event.get("eventType") or event.get("__typename")
    level = event.get("level")
    shown = "" if level in ("DEBUG", "INFO", None) else f"{level} "
    place = f"{step} " if isinstance(step, str) else ""
    yield fields.clean(f"{_at(event.get('timestamp'))}{shown}{place}{kind}: {event.get('message') or ''}".rstrip(": "))
    yield from _errors(event.get("error"), DEEPEST)


def _at(milliseconds: Any) -> str:
    try:
        at = datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} "


def _errors(error: Any, depth: int) -> Iterator[str]:
    if not isinstance(error, dict) or depth == 0:
        return
    yield fields.clean(f"  {str(error.get('message') or '').rstrip()}")
    for line in fields.rows(error.get("stack")):
        yield fields.clean(f"  {str(line).rstrip()}")
    yield from _errors(error.get("cause"), depth - 1)
