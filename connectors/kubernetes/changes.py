"""What a watch answers: an object a line, each with what happened to it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable, Skipped, SystemUnreachable
from connectors.transport.http import Reply

EXPIRED = 410


@dataclass(slots=True)
class Changes:
    """What changed since a resourceVersion, in its order."""

    rows: list[tuple[str, fields.Row]] = field(default_factory=list)
    """ADDED, MODIFIED or DELETED, and the Job as it is, or was at its end."""
    version: str = ""
    """The latest that was told; "" where nothing was."""
    is_expired: bool = False
    """The server no longer knows what happened since: all is to be listed anew."""
    skipped: list[Skipped] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    """Words that are not known."""


def read(reply: Reply) -> Changes:
    """Raises SystemUnreachable for what is no watch."""
    if reply.status == EXPIRED:
        return Changes(is_expired=True)
    found = Changes()
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise reply.not_json(kind)
    for line in reply.body.splitlines():
        if line.strip():
            _take(line, reply, found)
    return found


def _take(line: bytes, reply: Reply, found: Changes) -> None:
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise SystemUnreachable(f"{reply.place} is not whole: a line of {len(line)} bytes is no JSON") from None
    try:
        what, job = fields.text(fields.table(row), "type"), fields.table(row.get("object"))
    except RecordUnreadable as error:
        found.skipped.append(fields.skipped("changes of Jobs", error, row))
        return
    if what == "ERROR":
        _error(job, reply, found)
        return
    if what in ("ADDED", "MODIFIED", "DELETED"):
        found.rows.append((what, job))
    elif what != "BOOKMARK":
        found.odd.append(what)
    found.version = version_of(job) or found.version


def _error(status: fields.Row, reply: Reply, found: Changes) -> None:
    if status.get("code") != EXPIRED:
        raise SystemUnreachable(f"{reply.place} ends with an error: {str(status.get('message'))[:200]}")
    found.is_expired = True


def version_of(row: Any) -> str:
    """resourceVersion of an object or a list; "" without one. It is opaque: compared by nobody."""
    meta = row.get("metadata") if isinstance(row, dict) else None
    found = meta.get("resourceVersion") if isinstance(meta, dict) else None
    return found if isinstance(found, str) else ""
