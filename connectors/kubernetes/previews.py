"""What previews share: objects by name, Jobs that are under way."""

from __future__ import annotations

from connectors import fields
from connectors.kubernetes import parse
from connectors.transport.http import Reply


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
