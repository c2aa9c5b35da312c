"""Which alerts of a route leave alone, and which leave together: a flood must not bury the one that matters.

Up to `limit` alerts a minute leave as they are, the oldest first. What is over the limit waits a few seconds for
company and leaves as one digest, at most one a minute. The first word about a tier-1 service never waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.control.alerts.text import Text

WINDOW = timedelta(minutes=1)
"""In which alerts are counted, and the least time between two digests of a route."""
GATHER = timedelta(seconds=5)
"""How long the first that is over the limit waits for others."""
LINES = 200
"""Alerts that a digest lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert of one route that has not been let out."""

    id: int
    made_at: datetime
    urgent: bool
    incident: str = ""
    """The incident's name; empty where it is about none."""
    title: str = ""
    plain_title: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Ids of what leaves alone now, and what leaves together now; the rest waits."""

    alone: tuple[int, ...] = ()
    together: tuple[Waiting, ...] = ()


def let_out(waiting: Sequence[Waiting], let: int, last_digest: datetime | None, limit: int, now: datetime) -> Verdict:
    """`let`: how many left alone in the last minute. `waiting`: oldest first."""
    urgent = [one for one in waiting if one.urgent]
    others = [one for one in waiting if not one.urgent]
    room = max(limit - let - len(urgent), 0)
    alone, rest = others[:room], others[room:]
    ids = tuple(sorted(one.id for one in (*urgent, *alone)))
    if not rest:
        return Verdict(ids)
    ripe = rest[0].made_at + GATHER
    if last_digest is not None:
        ripe = max(ripe, last_digest + WINDOW)
    return Verdict(ids, tuple(rest) if now >= ripe else ())


def digest_words(together: Sequence[Waiting], limit: int) -> Text:
    """What a digest says: each incident's newest title, in the order in which they were made."""
    newest: dict[str, Waiting] = {}
    for one in together:
        key = one.incident or f"alert {one.id}"
        newest.pop(key, None)
        newest[key] = one
    lines = sorted(newest.values(), key=lambda one: one.id)
    number = f"{len(together)} more alert{'s' if len(together) > 1 else ''}"
    about = f" about {len(lines)} incident{'s' if len(lines) > 1 else ''}" if len(lines) < len(together) else ""
    title = f"[Headway] {number}{about} since {min(one.made_at for one in together):%H:%M:%S}Z"
    head = f"More than {limit} alerts came in a minute; these leave together."
    tail = "Open them: headway incidents"
    body = _list(head, [one.title for one in lines], tail)
    plain = _list(head, [one.plain_title or one.incident for one in lines], tail)
    return Text(title, body, title, plain)


def _list(head: str, titles: Sequence[str], tail: str) -> str:
    shown = [f"  {title.removeprefix('[Headway] ')}" for title in titles[:LINES]]
    if len(titles) > LINES:
        shown.append(f"  and {len(titles) - LINES} more")
    return "\n".join([head, "", *shown, "", tail]) + "\n"
