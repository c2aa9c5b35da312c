"""Measures a web address: whether it answers, and one value of its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from connectors.checks.queries import HttpQuery, Measurement
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.field_mapping import value_at_names
from connectors.sdk.fields import masked_head
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint

NOT_FOUND = (404, 410)
TEXT_CHARACTERS = 200
MILLISECONDS = 1e11
"""A number of seconds since 1970 that is larger lies after the year 5000: then it is milliseconds."""
MISSING = object()


def measure(query: HttpQuery, headers: Mapping[str, str], ca_file: Path | None, timeout_seconds: float) -> Measurement:
    """The answer of the address, without redirects. 404 and 410 mean that it is not there. Raises ConnectorError."""
    parts = urlsplit(query.url)
    endpoint = HttpEndpoint(parts.hostname or "", f"{parts.scheme}://{parts.netloc}", ca_file)
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    try:
        deadline = Deadline(timeout_seconds)
        reply = endpoint.call("GET", target, deadline, headers=headers, accept=NOT_FOUND, shown=path)
    finally:
        endpoint.close()
    if reply.status in NOT_FOUND:
        return Measurement(exists=False)
    if not query.json:
        return Measurement(exists=True)
    value = value_at_names(reply.json(), query.json, MISSING)
    if query.is_time:
        return Measurement(exists=True, newest=None if value is MISSING else _instant(value, query.zone))
    if isinstance(value, list | dict):
        return Measurement(exists=True, value=len(value), has_value=True)
    text = masked_head(value, TEXT_CHARACTERS) if isinstance(value, str) else value
    return Measurement(exists=True, value=None if value is MISSING else text, has_value=value is not MISSING)


def _instant(value: Any, zone: str) -> datetime:
    """ISO 8601, or seconds or milliseconds since 1970."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > MILLISECONDS else value, UTC)
        at = datetime.fromisoformat(value)
    except (ValueError, TypeError, OverflowError, OSError):
        raise RecordUnreadable(f"the value is not a time: {masked_head(str(value), TEXT_CHARACTERS)!a}") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(zone))
