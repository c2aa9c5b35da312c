"""Which flow runs changed, by Prefect's feed of events: it has no filter by change on the runs themselves.

An event tells that a run changed; what it is now is read from its row. Events are kept for seven days by default, and a
server or an account may have none: then the runs that are open, began or ended lately are asked for instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable, SystemUnreachable
from connectors.gathered import Gathered
from connectors.prefect import parse
from connectors.prefect.client import PAGE_LIMIT, RUN_EVENTS, PrefectClient, page_token, rows_of

PAGES_A_POLL = 20
"""Of events, fifty each."""


@dataclass(slots=True)
class Changes:
    """Ids of runs that changed, and how far that was read."""

    runs: set[str] = field(default_factory=set)
    until: datetime | None = None
    """Set where there is more to read now: the time of the last event."""


def since(client: PrefectClient, at: datetime, found: Gathered) -> Changes:
    """The runs that changed since then."""
    changes = Changes()
    reply = client.events(at)
    if reply.status != 200:
        found.warn(f"Prefect's events cannot be read ({reply.status}): their start and end are read instead")
        return _without_events(client, at, found)
    for page in range(PAGES_A_POLL):
        table = reply.table()
        rows = table.get("events")
        if not isinstance(rows, list):
            raise SystemUnreachable(f"{reply.place} has no list of events; is the url that of Prefect's API?")
        last = _take(rows, changes, found)
        following = page_token(table.get("next_page"))
        if not following or not rows:
            return changes
        if page == PAGES_A_POLL - 1 or client.deadline.left < client.deadline.seconds / 2:
            changes.until = last
            return changes
        reply = client.more_events(following)
    return changes


def _take(rows: list[Any], changes: Changes, found: Gathered) -> datetime | None:
    last = None
    for row in rows:
        try:
            last = fields.instant(fields.table(row), "occurred") or last
            resource = fields.table(fields.table(row).get("resource"))
            changes.runs.add(parse.id_of({"id": fields.text(resource, "prefect.resource.id").removeprefix(RUN_EVENTS)}))
        except RecordUnreadable as error:
            found.skip("events", error, row)
            found.complete = False
    return last


def _without_events(client: PrefectClient, at: datetime, found: Gathered) -> Changes:
    """A state that was forced upon a run that is over is seen by neither."""
    changes = Changes()
    began = (at - timedelta(seconds=1)).isoformat()
    for where, sort in (
        ({"state": {"type": {"any_": ["RUNNING", "PAUSED", "CANCELLING", "PENDING"]}}}, "ID_DESC"),
        ({"start_time": {"after_": began}}, "START_TIME_ASC"),
        ({"end_time": {"after_": began}}, "END_TIME_DESC"),
    ):
        for page in range(PAGES_A_POLL):
            rows = rows_of(client.runs(where, sort, page * PAGE_LIMIT))
            for row in rows:
                try:
                    changes.runs.add(parse.id_of(fields.table(row)))
                except RecordUnreadable as error:
                    found.skip("flow_runs", error, row)
            if len(rows) < PAGE_LIMIT:
                break
        else:
            found.complete = False
            found.warn(f"more than {PAGES_A_POLL * PAGE_LIMIT} runs began or ended since {began}: the rest is not read")
    return changes


KEPT = timedelta(days=6, hours=12)
"""PREFECT_EVENTS_RETENTION_PERIOD is seven days by default: a longer absence is made up for by walking again."""
