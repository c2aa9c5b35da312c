"""Values of AWS replies, converted. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.sdk.fields import epoch_instant
from connectors.sdk.records import RunRef

AwsReply = dict[str, Any]


def instant(value: object) -> datetime | None:
    """boto3's datetime as aware UTC. None for any other value."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    try:
        return value.astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def from_milliseconds(value: object) -> datetime | None:
    """Milliseconds since 1970, as in Batch and CloudWatch Logs. None for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value:
        return None
    return epoch_instant(value / 1000)


def reference(ref: RunRef, *names: str) -> dict[str, str]:
    """The values of `native_ref` under these names, as texts; {} for any other text."""
    try:
        document = json.loads(ref.native_ref)
        return {name: str(document[name]) for name in names}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def texts(result: object) -> Mapping[str, str]:
    """The texts of a map, as in tags and arguments, without other values."""
    if not isinstance(result, Mapping):
        return {}
    return {str(name): value for name, value in result.items() if isinstance(value, str)}
