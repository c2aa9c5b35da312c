"""Fields of a JSON row, read with suspicion. A field of the wrong shape raises RecordUnreadable with its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.contract import RecordUnreadable, Skipped

Row = Mapping[str, Any]

SAMPLE_CHARACTERS = 200
CONTEXT_CHARACTERS = 2000


def clean(value: str) -> str:
    """`value` with lone surrogates (JSON can spell them) replaced: nothing can store or send those."""
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def text(row: Row, name: str) -> str:
    """A text that must be there and not empty."""
    found = row.get(name)
    if not isinstance(found, str) or not found:
        raise RecordUnreadable(f"{name} is {_shown(found)}, not a text")
    return clean(found)


def words(row: Row, name: str) -> str:
    """A text that may be missing: then ""."""
    found = row.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise RecordUnreadable(f"{name} is {_shown(found)}, not a text")
    return clean(found)


def number(row: Row, name: str, missing: int) -> int:
    """A whole number that may be missing."""
    found = row.get(name)
    if found is None:
        return missing
    if isinstance(found, bool) or not isinstance(found, int):
        raise RecordUnreadable(f"{name} is {_shown(found)}, not a whole number")
    return found


def instant(row: Row, name: str) -> datetime | None:
    """An aware instant in UTC, or None where it is missing."""
    found = row.get(name)
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(found)
        if at.tzinfo is None:
            raise RecordUnreadable(f"{name} {_shown(found)} has no zone")
        return at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise RecordUnreadable(f"{name} is {_shown(found)}, not an instant") from None


def rows(value: Any) -> list[Any]:
    """A list, or an empty one."""
    return value if isinstance(value, list) else []


def table(value: Any) -> Row:
    """A JSON object. Raises RecordUnreadable for anything else."""
    if not isinstance(value, dict):
        raise RecordUnreadable(f"the row is {_shown(value)}, not an object")
    return value


def skipped(where: str, error: RecordUnreadable, row: Any) -> Skipped:
    """A row that was left out, with its beginning."""
    return Skipped(where, str(error), clean(_shown(row)))


def _shown(value: Any) -> str:
    try:
        return json.dumps(value)[:SAMPLE_CHARACTERS]
    except (ValueError, TypeError, RecursionError):
        return f"a {type(value).__name__}"


def shown(value: Any) -> str:
    """A value of ours as JSON on one line, for people."""
    return json.dumps(value, ensure_ascii=False)


def small(context: dict[str, Any], largest: str) -> Mapping[str, Any]:
    """`context` as plain JSON, without `largest` where that would make it too big."""
    try:
        told = clean_json(context)
        if len(told) <= CONTEXT_CHARACTERS:
            return dict(json.loads(told))
        context.pop(largest, None)
        told = clean_json({**context, f"{largest}_left_out": "too large"})
        return dict(json.loads(told)) if len(told) <= CONTEXT_CHARACTERS else {}
    except (ValueError, TypeError, RecursionError):
        raise RecordUnreadable("the row's own values are not plain JSON") from None


def clean_json(value: Any) -> str:
    """JSON text without NaN, infinity and lone surrogates."""
    told = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return clean(told)


def digest(value: object) -> str:
    """SHA-256 of anything that JSON can write; anything else counts as its text."""
    return hashlib.sha256(json.dumps(value, default=str, sort_keys=True).encode()).hexdigest()


def short_digest(value: object) -> str:
    """A short fingerprint of plain values. Raises RecordUnreadable where they are not plain."""
    try:
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
    except (ValueError, TypeError, RecursionError):
        raise RecordUnreadable("the definition is not plain JSON") from None
