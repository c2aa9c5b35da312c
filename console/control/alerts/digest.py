"""Digests: up to `limit` alerts of a route are sent as they are each minute, oldest first.

The rest wait a few seconds and are sent as one digest, at most one a minute; a single one is sent alone. The first
notification about a tier-1 service never waits. Ends that wait for the same hour are one digest too, if their route was
not notified of the incidents: a night of failures that policies repaired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from console.domain.alert import INCIDENT_PLACEHOLDER, PendingAlert
from console.domain.message import Columns, CommandRef, Details, Facts, Lines, Link, Message, filled_blocks, title_text
from console.domain.message_group import digest_title
from console.timing.formats import zone_label

WINDOW = timedelta(minutes=1)
"""Window in which alerts are counted, and the least time between two digests of a route."""
GATHER = timedelta(seconds=5)
"""How long the first alert over the limit waits for others."""
LINES = 200
"""Alerts that a digest lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class DigestPlan:
    """Ids to send alone now, and alerts to send together now; the rest waits."""

    alone: tuple[int, ...] = ()
    together: tuple[PendingAlert, ...] = ()


def plan_digest(
    waiting: Sequence[PendingAlert], sent_last_minute: int, last_digest: datetime | None, limit: int, now: datetime
) -> DigestPlan:
    """The alerts to send alone, and the rest as a digest. `waiting`: oldest first.

    A single alert over the limit is sent alone, at most one a minute: the next waits for others, or for a minute.
    """
    urgent = [alert for alert in waiting if alert.urgent]
    deferrable = [alert for alert in waiting if not alert.urgent]
    room = max(limit - sent_last_minute - len(urgent), 0)
    alone, rest = deferrable[:room], deferrable[room:]
    ids = tuple(sorted(alert.id for alert in (*urgent, *alone)))
    if not rest:
        return DigestPlan(ids)
    ripe = rest[0].made_at + GATHER
    if last_digest is not None:
        ripe = max(ripe, last_digest + WINDOW)
    if now < ripe:
        return DigestPlan(ids)
    if len(rest) > 1:
        return DigestPlan(ids, tuple(rest))
    may_exceed = sent_last_minute + len(ids) <= limit or now >= rest[0].made_at + WINDOW
    return DigestPlan(tuple(sorted((*ids, rest[0].id))) if may_exceed else ids)


def digest_message(
    together: Sequence[PendingAlert], limit: int, zone: str, link: str = "", *, plain: bool = False
) -> Message:
    """Digest with each incident's newest title and its commands, and all that asks for a person, in the order of their
    creation. `link`: that of the config."""
    newest: dict[str, PendingAlert] = {}
    for alert in together:
        key = alert.incident if alert.incident and not alert.needs_person else f"alert {alert.id}"
        newest.pop(key, None)
        newest[key] = alert
    lines = sorted(newest.values(), key=lambda alert: alert.id)
    default = zone_label(min(alert.made_at for alert in together), zone)
    messages = [Message.from_json(line.message) for line in lines]
    zones = [message.zone_label or default for message in messages]
    has_one_zone = len({*zones}) == 1
    steps = dict.fromkeys(command for message in messages[:LINES] for command in message.commands)
    allowed = f"{limit} alert{'s' if limit > 1 else ''}"
    waited = f"these {len(together)} are sent together" if len(together) > 1 else "this one waited"
    note = f"More than {allowed} in one minute: {waited}."
    if all(alert.due_at is not None for alert in together):
        note = "Resolved before a notification was due."
    note += f" Times: {zones[0]}." if has_one_zone else ""
    titled = [Message.from_json(line.plain) for line in lines] if plain else messages
    titles = [replace(message, blocks=()).without_countdown().title for message in titled]
    titles = [title or (line.incident,) for title, line in zip(titles, lines, strict=True)]
    listed = tuple(map(title_text, titles[:LINES]))
    start = Link(_without_incident(link)) if link else CommandRef("headway incident")
    blocks = filled_blocks(
        Lines(listed) if has_one_zone else Columns(("Alert", "Times"), tuple(zip(listed, zones, strict=False))),
        Lines((f"and {len(titles) - LINES} more",) if len(titles) > LINES else ()),
        Facts((*(("Do", CommandRef(step)) for step in steps), ("Open", start))),
        Details(),
        Lines((note,)),
    )
    return Message(digest_title(titles), blocks)


def _without_incident(link: str) -> str:
    """The link without the part that selects one incident."""
    before, placeholder, _ = link.partition(INCIDENT_PLACEHOLDER)
    return before[: before.rfind("/") + 1] if placeholder else link
