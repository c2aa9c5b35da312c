"""Values of AWS's replies as ours. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.contract import RunRef

Reply = dict[str, Any]


def instant(value: object) -> datetime | None:
    """boto3's datetime as aware UTC. None for none, and for what cannot be told in UTC."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    try:
        return value.astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def from_milliseconds(value: object) -> datetime | None:
    """Milliseconds since 1970, as Batch and CloudWatch Logs tell them. None for none and for what is no instant."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value:
        return None
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def reference(ref: RunRef, *names: str) -> dict[str, str]:
    """What `native_ref` of a record holds under these names, as texts; {} for what is none of ours."""
    try:
        found = json.loads(ref.native_ref)
        return {name: str(found[name]) for name in names}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def texts(found: object) -> Mapping[str, str]:
    """A map of texts, as AWS keeps tags and arguments; what is none is left out."""
    if not isinstance(found, Mapping):
        return {}
    return {str(name): value for name, value in found.items() if isinstance(value, str)}
