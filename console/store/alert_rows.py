"""An alert and its deliveries as rows. Every alert, whatever it is about, is made here: the one place where its route
becomes deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from console.model.decisions import ALERT
from console.store.wire import Wire

TEST, DIGEST, FALLBACK, HEADWAY, PERSON = "test", "digest", "fallback", "headway", "person"
GROUP, NOISE = "group", "noise"
"""Kinds that are not about one incident's change (`console.model.words.AlertKind` has those)."""
_ALERT = (
    "incident_id", "dedup_key", "kind", "version", "route", "title", "body", "plain_title", "plain_body", "made_us",
    "urgent", "waits", "let_us", "fallback_of",
)  # fmt: skip
_DELIVERY = (
    "alert_id", "url_index", "url_words", "state", "tries", "next_us", "repeats", "error", "since_us", "refusals",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewAlert:
    """One notice to one route, in words that are ready to be sent."""

    route: str
    kind: str
    title: str
    body: str
    dedup_key: str
    plain_title: str = ""
    plain_body: str = ""
    """The same without a word from outside."""
    incident_id: int | None = None
    version: int = 1
    urgent: bool = False
    waits: bool = True
    """Whether the outbox still has to decide that it leaves alone."""
    fallback_of: int | None = None
    not_before_us: int = 0
    """It leaves alone, and not before then; 0: now."""


def insert_alert(lines: Wire, routes: Mapping[str, tuple[str, ...]], one: NewAlert, now_us: int) -> int | None:
    """The alert's id, with a delivery for each URL of its route; None where the incident has told just that already.

    `routes`: route -> the words of each of its URLs. A route without one makes an alert that reaches nobody.
    """
    let_us = one.not_before_us or (0 if one.waits else now_us)
    columns = ", ".join(_ALERT)
    marks = ", ".join("?" * len(_ALERT))
    rows = lines.rows(
        f"INSERT INTO alert ({columns}) VALUES ({marks})"  # noqa: S608  (our own column names)
        " ON CONFLICT (incident_id, route, kind, version) DO NOTHING RETURNING id",
        (
            one.incident_id, one.dedup_key, one.kind, one.version, one.route, one.title, one.body, one.plain_title,
            one.plain_body, now_us, one.urgent, one.waits and not one.not_before_us, let_us, one.fallback_of,
        ),
    )  # fmt: skip
    for (alert_id,) in rows:
        _number(lines, alert_id, one)
        lines.insert(
            "delivery",
            _DELIVERY,
            [
                (alert_id, place, words, "pending", 0, one.not_before_us, 0, "", one.not_before_us or now_us, 0)
                for place, words in enumerate(routes.get(one.route, ()))
            ],
        )
        return int(alert_id)
    return None


def _number(lines: Wire, alert_id: int, one: NewAlert) -> None:
    """Puts the alert's own number into its words, where they name it."""
    if ALERT in one.body or ALERT in one.plain_body:
        told = (numbered(one.body, alert_id), numbered(one.plain_body, alert_id), alert_id)
        lines.rows("UPDATE alert SET body = ?, plain_body = ? WHERE id = ?", told)


def numbered(text: str, alert_id: int) -> str:
    return text.replace(ALERT, str(alert_id))
