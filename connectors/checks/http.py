"""Looks at what a web address answers: whether it does, and one value of its JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from connectors.checks.questions import HttpQuestion
from connectors.contract import AccessRefused, RecordUnreadable
from connectors.contract.measured import Measured, Scalar
from connectors.transport.http import Deadline, HttpDoor

GONE = (404, 410)
TEXT_CHARACTERS = 200
MILLISECONDS = 1e11
"""A number of seconds since 1970 that is larger lies after the year 5000: then it is milliseconds."""
_STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,6})\]")


def measure(asked: HttpQuestion, headers: Mapping[str, str], ca_file: Path | None, timeout_seconds: float) -> Measured:
    """What the address answers, without redirects. 404 and 410 are answers: it is not there. Raises ConnectorError."""
    parts = urlsplit(asked.url)
    _refuse_unsendable(parts.hostname or "", headers)
    door = HttpDoor(parts.hostname or "", f"{parts.scheme}://{parts.netloc}", ca_file)
    path = parts.path or "/"
    query = f"?{parts.query}" if parts.query else ""
    try:
        deadline = Deadline(timeout_seconds)
        reply = door.call("GET", path + query, deadline, headers=headers, accept=GONE, shown=path)
    finally:
        door.close()
    if reply.status in GONE:
        return Measured(there=False)
    if not asked.json:
        return Measured(there=True)
    return _told(reply.json(), asked)


def _refuse_unsendable(host: str, headers: Mapping[str, str]) -> None:
    """Whoever sends them would name the value in its complaint, and that is a secret."""
    for name, value in headers.items():
        if not (name.isascii() and name.isprintable() and value.isascii() and value.isprintable()):
            raise AccessRefused(f"{host}: the value for header {name!a} holds what no header can. Look at its secret.")


def _told(document: Any, asked: HttpQuestion) -> Measured:
    found, value = _at(document, asked.json)
    if asked.is_time:
        return Measured(there=True, newest=_instant(value, asked.zone) if found else None)
    return Measured(there=True, value=_scalar(value), has_value=found)


def _at(document: Any, path: str) -> tuple[bool, Any]:
    """Whether there is something at that path, and what."""
    for name, place in _STEP.findall(path):
        if place and isinstance(document, list) and int(place) < len(document):
            document = document[int(place)]
        elif name and isinstance(document, dict) and name in document:
            document = document[name]
        else:
            return False, None
    return True, document


def _scalar(value: Any) -> Scalar:
    """Lists and objects count as how much is in them."""
    if isinstance(value, list | dict):
        return len(value)
    return value[:TEXT_CHARACTERS] if isinstance(value, str) else value


def _instant(value: Any, zone: str) -> datetime:
    """ISO 8601, or seconds or milliseconds since 1970."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > MILLISECONDS else value, UTC)
        found = datetime.fromisoformat(value)
    except (ValueError, TypeError, OverflowError, OSError):
        raise RecordUnreadable(f"the value is no time: {str(value)[:TEXT_CHARACTERS]!a}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))
