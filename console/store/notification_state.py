"""Notifications, suppressions, acknowledgements and silences of open incidents: as values, and decisions as rows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from console.domain.alert import (
    AcknowledgementFacts,
    NotificationState,
    OnCallShift,
    RouteNotification,
    SilenceFacts,
    SuppressionFacts,
)
from console.domain.decision import IncidentDecision, SuppressedNotice
from console.domain.ids import instant, optional_micros
from console.store.db.session import Row, Session, WriteSession
from console.store.row_values import from_row

# ruff: noqa: S608  (only our own names; every value is bound)
REOPENED = "it was reopened before that was sent"
_RECENT_INCIDENTS = "SELECT id FROM incident WHERE closed_us IS NULL UNION SELECT id FROM incident WHERE closed_us >= ?"
_PART_OF = (
    "WITH RECURSIVE up (id) AS (SELECT x.incident_id UNION"
    " SELECT m.merged_into FROM incident m JOIN up ON m.id = up.id WHERE m.merged_into IS NOT NULL) SELECT id FROM up"
)
"""The incident of an alert, and those into which it was merged since."""
_SELECT_NOTIFICATIONS = (
    "SELECT a.incident_id, a.route, a.style, a.fingerprint, a.first_us, a.last_us, a.times, (SELECT max(x.let_us) FROM"
    f" alert x WHERE x.made_us = a.last_us AND x.route = a.route AND a.incident_id IN ({_PART_OF})) AS"
    " let_us FROM {keys} JOIN alert_notified a ON a.incident_id = k.a ORDER BY a.incident_id, a.route, a.style"
)
_SELECT_DELIVERIES = (
    "SELECT k.a AS incident_id, x.route, x.made_us, d.sent_us FROM {keys} JOIN incident i ON i.id = k.a OR"
    " i.merged_into = k.a JOIN alert x ON x.incident_id = i.id JOIN delivery d ON d.alert_id ="
    " COALESCE(x.digest_id, x.id) ORDER BY d.sent_us"
)
_SELECT_SUPPRESSIONS = (
    "SELECT h.incident_id, h.route, h.style, h.kind, h.stage, h.why, h.since_us, h.until_us FROM alert_suppressed h"
    " JOIN incident i ON i.id = h.incident_id WHERE h.ended_us IS NULL AND i.closed_us IS NULL ORDER BY h.id"
)
_SELECT_ACKNOWLEDGEMENTS = (
    "SELECT a.incident_id, a.made_by, a.until_us, a.why, a.made_us, a.ended_us FROM incident i JOIN acknowledgement a"
    " ON a.id = (SELECT max(x.id) FROM acknowledgement x WHERE x.incident_id = i.id) WHERE i.closed_us IS NULL"
)


def load_notification_state(session: Session, now_us: int, closed_since_us: int | None) -> NotificationState:
    """Of incidents that are open, or that closed since then and may be reopened; with the silences not ended.
    `closed_since_us`: None to leave the last notifications out, which an evaluation needs of its part only."""
    recent = session.rows(_RECENT_INCIDENTS, (closed_since_us,)) if closed_since_us is not None else []
    return NotificationState(
        last_notifications(session, [row.id for row in recent]),
        _suppressions(session),
        _acks(session),
        _silences(session, now_us),
        _shifts(session),
    )


def last_notifications(session: Session, incidents: Sequence[int]) -> dict[int, tuple[RouteNotification, ...]]:
    notifications: dict[int, list[RouteNotification]] = defaultdict(list)
    deliveries: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in session.by_keys(_SELECT_DELIVERIES, incidents):
        deliveries[row.incident_id, row.route].append(row)
    for row in session.by_keys(_SELECT_NOTIFICATIONS, incidents):
        until = instant(row.let_us) if row.let_us and row.let_us > row.last_us else None
        of_route = deliveries[row.incident_id, row.route]
        latest = [delivery.sent_us for delivery in of_route if delivery.made_us >= row.last_us]
        accepted = tuple(instant(delivery.sent_us) for delivery in of_route if delivery.sent_us is not None)
        is_undelivered = bool(latest) and latest.count(None) == len(latest)
        delivered = {"accepted": accepted, "is_undelivered": is_undelivered}
        notifications[row.incident_id].append(from_row(RouteNotification, row, until=until, **delivered))
    return {number: tuple(facts) for number, facts in notifications.items()}


def _suppressions(session: Session) -> dict[int, tuple[SuppressionFacts, ...]]:
    suppressions: dict[int, list[SuppressionFacts]] = defaultdict(list)
    for row in session.rows(_SELECT_SUPPRESSIONS):
        suppressions[row.incident_id].append(from_row(SuppressionFacts, row))
    return {number: tuple(facts) for number, facts in suppressions.items()}


def _acks(session: Session) -> dict[int, AcknowledgementFacts]:
    return {
        row.incident_id: AcknowledgementFacts(row.made_by, instant(row.until_us), row.why, instant(row.made_us))
        for row in session.rows(_SELECT_ACKNOWLEDGEMENTS)
        if row.ended_us is None
    }


def _silences(session: Session, now_us: int) -> tuple[SilenceFacts, ...]:
    rows = session.rows(
        "SELECT id, matchers, from_us AS begins_us, until_us, made_by AS by, why FROM silence WHERE until_us > ?"
        " AND ended_us IS NULL ORDER BY id",
        (now_us,),
    )
    return tuple(from_row(SilenceFacts, row, matchers=tuple(sorted(json.loads(row.matchers).items()))) for row in rows)


def _shifts(session: Session) -> dict[str, tuple[OnCallShift, ...]]:
    rotas = session.rows("SELECT name, shifts FROM rota ORDER BY name")
    return {rota.name: parse_shifts(rota.shifts) for rota in rotas}


def parse_shifts(stored: str) -> tuple[OnCallShift, ...]:
    """The shifts of a rota, as `record_rota` stores them."""
    return tuple(OnCallShift(person, instant(begins), instant(ends)) for person, begins, ends in json.loads(stored))


def record_notified(session: WriteSession, incident_id: int, decision: IncidentDecision, now_us: int) -> None:
    """Records the decision's notices in the transaction that creates their alerts."""
    for notice in decision.notices:
        session.rows(
            "INSERT INTO alert_notified (incident_id, route, style, fingerprint, first_us, last_us, times)"
            " VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (incident_id, route, style) DO UPDATE SET"
            " fingerprint = excluded.fingerprint, last_us = excluded.last_us, times = alert_notified.times + 1",
            (incident_id, notice.route, notice.style, notice.fingerprint, now_us, now_us),
        )


def restart_escalation(session: WriteSession, incident_id: int, now_us: int) -> None:
    """Restarts the time until the incident is escalated."""
    session.rows("UPDATE alert_notified SET first_us = ? WHERE incident_id = ?", (now_us, incident_id))


def inherit_notifications(session: WriteSession, merged: int, into: int) -> None:
    """Routes notified of a merged incident count as notified of the one into which it was merged."""
    session.rows(
        "INSERT INTO alert_notified (incident_id, route, style, fingerprint, first_us, last_us, times)"
        " SELECT ?, route, style, fingerprint, first_us, last_us, times FROM alert_notified WHERE incident_id = ?"
        " ON CONFLICT (incident_id, route, style) DO NOTHING",
        (into, merged),
    )


def record_suppressed(session: WriteSession, incident_id: int, decision: IncidentDecision, now_us: int) -> bool:
    """Records the current suppressions with their reasons and ends the others; True if any changed. One that continues
    with another reason keeps its begin."""
    rows = session.rows(
        "SELECT id, since_us, route, style, kind, stage, why, until_us FROM alert_suppressed"
        " WHERE incident_id = ? AND ended_us IS NULL",
        (incident_id,),
    )
    stored = {_Suppression(*(getattr(row, name) for name in _Suppression._fields)): row.id for row in rows}
    since = {(row.route, row.style, row.stage): row.since_us for row in rows}
    current = {_row(notice): notice for notice in decision.suppressed}
    reasons = {(fact.route, fact.style): why for fact, why in decision.dropped if why}
    notified = {(notice.route, notice.style) for notice in decision.notices}
    for suppression, number in stored.items():
        if suppression not in current:
            style = (suppression.route, suppression.style)
            why = "notified" if style in notified else reasons.get(style, "")
            session.rows("UPDATE alert_suppressed SET ended_us = ?, ended_why = ? WHERE id = ?", (now_us, why, number))
    for suppression, notice in current.items():
        if suppression not in stored:
            started = since.get((notice.route, notice.style, notice.stage), now_us)
            ended = optional_micros(notice.until) if decision.closed else None
            session.rows(
                "INSERT INTO alert_suppressed (incident_id, route, style, kind, stage, why, until_us, since_us,"
                " ended_us, ended_why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (incident_id, *suppression, started, ended, "notified" if decision.closed else ""),
            )
    return current.keys() != stored.keys()


def end_suppressions(session: WriteSession, incident_id: int, why: str, now_us: int) -> None:
    """Ends all suppressions of an incident that was merged into another."""
    session.rows(
        "UPDATE alert_suppressed SET ended_us = ?, ended_why = ? WHERE incident_id = ? AND ended_us IS NULL",
        (now_us, why, incident_id),
    )


def retract_recovery(session: WriteSession, incident_id: int, now_us: int) -> list[str]:
    """Drops the delayed notifications that a reopened incident is resolved. The routes that would have got them."""
    delayed = "alert_id IN (SELECT id FROM alert WHERE incident_id = ? AND NOT waits AND let_us > ?)"
    rows = session.rows(
        f"UPDATE delivery SET state = 'dropped', error = ? WHERE state = 'pending' AND tries = 0 AND next_us > ?"
        f" AND {delayed} RETURNING alert_id",
        (REOPENED, now_us, incident_id, now_us),
    )
    session.rows(
        "UPDATE alert_suppressed SET ended_us = ?, ended_why = ? WHERE incident_id = ? AND ended_us > ?",
        (now_us, REOPENED, incident_id, now_us),
    )
    alerts = sorted({row.alert_id for row in rows})
    routes = session.by_keys("SELECT a.route FROM {keys} JOIN alert a ON a.id = k.a", alerts)
    return sorted({row.route for row in routes})


class _Suppression(NamedTuple):
    """Columns of `alert_suppressed` that say what is suppressed and why."""

    route: str
    style: str
    kind: str
    stage: str
    why: str
    until_us: int | None


def _row(notice: SuppressedNotice) -> _Suppression:
    until_us = optional_micros(notice.until)
    return _Suppression(notice.route, notice.style, notice.kind.value, notice.stage, notice.why, until_us)
