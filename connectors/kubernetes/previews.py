"""What previews share: how a refusal looks, instants from outside, objects by name, Jobs that are under way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.contract import Preview
from connectors.kubernetes import parse
from connectors.transport.http import Reply


def refused(verb: str, why: str) -> Preview:
    """A preview of what cannot be done now."""
    return Preview(verb, f"cannot {verb} now", "nothing", refused=why)


def instant(key: Any) -> datetime | None:
    """An aware instant from outside, in UTC, or None for anything else."""
    try:
        at = datetime.fromisoformat(key)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def found(reply: Reply) -> fields.Row | None:
    """The object of an answer; None where it is not there. Raises RecordUnreadable for one without name or uid."""
    if reply.status == 404:
        return None
    row = reply.table()
    parse.meta_of(row)
    return row


def under_way(cronjob: fields.Row) -> str | None:
    """Jobs of a CronJob that are active, as it tells them itself."""
    status = cronjob.get("status")
    active = fields.rows(status.get("active")) if isinstance(status, dict) else []
    told = [str(one.get("name")) for one in active if isinstance(one, dict)]
    return f"Jobs of it are active: {', '.join(told[:5])}" if told else None
