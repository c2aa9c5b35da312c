"""Notifications, suppressions, acknowledgements and silences of open incidents: as values, and decisions as rows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import date

from console.domain.alert import (
    AcknowledgementFacts,
    IncidentPhase,
    JobErrors,
    NotificationState,
    NotifiedDay,
    NotifiedIncident,
    OnCallShift,
    RouteNotification,
    SilenceFacts,
    SuppressedNotice,
    SuppressionFacts,
)
from console.domain.decision import IncidentDecision, Notice
from console.domain.ids import instant, optional_micros
from console.store.db.session import Row, Session, WriteSession
from console.store.names import decode_name, encode_name
from console.store.row_values import from_row

# ruff: noqa: S608  (only our own names; every value is bound)
REOPENED = "it was reopened before that was sent"
_PART_OF = (
    "WITH RECURSIVE up (id) AS (SELECT x.incident_id UNION"
    " SELECT m.merged_into FROM incident m JOIN up ON m.id = up.id WHERE m.merged_into IS NOT NULL) SELECT id FROM up"
)
"""The incident of an alert, and those into which it was merged since."""
_PARTS = (
    "WITH RECURSIVE part (id) AS (SELECT k.a FROM {keys} UNION SELECT i.id FROM part p JOIN incident i"
    " ON i.merged_into = p.id) SELECT id FROM part"
)
_SELECT_NOTIFICATIONS = (
    "SELECT a.incident_id, a.route, a.style, a.cause, a.phase, a.errors, a.causes, a.first_us, a.last_us, a.times,"
    " (SELECT max(x.let_us) FROM alert x WHERE x.made_us = a.last_us AND x.route = a.route AND a.incident_id IN"
    f" ({_PART_OF})) AS let_us FROM {{keys}} JOIN alert_notified a ON a.incident_id = k.a ORDER BY a.incident_id,"
    " a.route, a.style"
)
_SELECT_DAYS = (
    "SELECT a.incident_id, a.route, a.style, a.service, a.business_date, a.status, a.expected_us, a.act_by_us"
    " FROM {keys} JOIN alert_notified_day a ON a.incident_id = k.a ORDER BY a.service, a.business_date"
)
_SELECT_DELIVERIES = (
    "SELECT k.a AS incident_id, x.route, x.made_us, d.sent_us, d.since_us FROM {keys} JOIN incident i ON i.id = k.a OR"
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


def load_notification_state(session: Session, now_us: int) -> NotificationState:
    """The state of open incidents, with the silences not ended; without the last notifications, which an evaluation
    needs of its part only (`last_notifications`)."""
    return NotificationState(
        {}, _suppressions(session), load_acknowledgements(session), _silences(session, now_us), _shifts(session)
    )


def last_notifications(session: Session, incidents: Sequence[int]) -> dict[int, tuple[RouteNotification, ...]]:
    """By incident: these and those merged into them, which may have the newest state of a service day for a route."""
    incidents = [row.id for row in session.by_keys(_PARTS, incidents)]
    notifications: dict[int, list[RouteNotification]] = defaultdict(list)
    deliveries: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in session.by_keys(_SELECT_DELIVERIES, incidents):
        deliveries[row.incident_id, row.route].append(row)
    days: dict[tuple[int, str, str], list[NotifiedDay]] = defaultdict(list)
    for row in session.by_keys(_SELECT_DAYS, incidents):
        day = from_row(NotifiedDay, row, business_date=date.fromisoformat(row.business_date))
        days[row.incident_id, row.route, row.style].append(day)
    for row in session.by_keys(_SELECT_NOTIFICATIONS, incidents):
        of_route = deliveries[row.incident_id, row.route]
        # `since_us` of a delayed alert is its release; of any other alert, its creation.
        is_delayed = all(delivery.since_us == row.let_us for delivery in of_route if delivery.made_us == row.last_us)
        until = instant(row.let_us) if is_delayed and row.let_us and row.let_us > row.last_us else None
        latest = [delivery.sent_us for delivery in of_route if delivery.made_us >= row.last_us]
        accepted = tuple(instant(delivery.sent_us) for delivery in of_route if delivery.sent_us is not None)
        is_undelivered = bool(latest) and latest.count(None) == len(latest)
        content = NotifiedIncident(
            decode_name(row.cause),
            IncidentPhase(row.phase),
            tuple(JobErrors(*error) for error in json.loads(row.errors)),
            tuple(json.loads(row.causes)),
            tuple(days[row.incident_id, row.route, row.style]),
        )
        notification = from_row(
            RouteNotification, row, content=content, until=until, accepted=accepted, is_undelivered=is_undelivered
        )
        notifications[row.incident_id].append(notification)
    return {number: tuple(facts) for number, facts in notifications.items()}


def _suppressions(session: Session) -> dict[int, tuple[SuppressionFacts, ...]]:
    suppressions: dict[int, list[SuppressionFacts]] = defaultdict(list)
    for row in session.rows(_SELECT_SUPPRESSIONS):
        suppressions[row.incident_id].append(from_row(SuppressionFacts, row))
    return {number: tuple(facts) for number, facts in suppressions.items()}


def load_acknowledgements(session: Session) -> dict[int, AcknowledgementFacts]:
    """Open incident -> its newest acknowledgement, if that was not withdrawn."""
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


def record_notified(session: WriteSession, incident_id: int, notices: Sequence[Notice], now_us: int) -> None:
    """Records the notices in the transaction that creates their alerts."""
    for notice in notices:
        key, content = (incident_id, notice.route, notice.style), notice.content
        session.rows(
            "INSERT INTO alert_notified (incident_id, route, style, cause, phase, errors, causes, first_us, last_us,"
            " times) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (incident_id, route, style) DO UPDATE SET"
            " cause = excluded.cause, phase = excluded.phase, errors = excluded.errors, causes = excluded.causes,"
            " last_us = excluded.last_us, times = alert_notified.times + 1",
            (
                *key,
                encode_name(content.cause),
                content.phase.value,
                json.dumps(content.errors),
                json.dumps(content.causes),
                now_us,
                now_us,
            ),
        )
        session.rows("DELETE FROM alert_notified_day WHERE incident_id = ? AND route = ? AND style = ?", key)
        session.insert(
            "alert_notified_day",
            ("incident_id", "route", "style", "service", "business_date", "status", "expected_us", "act_by_us"),
            [
                (
                    *key,
                    day.service,
                    day.business_date.isoformat(),
                    day.status,
                    optional_micros(day.expected),
                    optional_micros(day.act_by),
                )
                for day in content.days
            ],
        )


def restart_escalation(session: WriteSession, incident_id: int, now_us: int) -> None:
    """Restarts the time until the incident is escalated."""
    session.rows("UPDATE alert_notified SET first_us = ? WHERE incident_id = ?", (now_us, incident_id))


def inherit_notifications(session: WriteSession, merged: int, into: int) -> None:
    """Routes notified of a merged incident count as notified of the one into which it was merged."""
    for table, columns in (
        ("alert_notified_day", "service, business_date, status, expected_us, act_by_us"),
        ("alert_notified", "cause, phase, errors, causes, first_us, last_us, times"),
    ):
        session.rows(
            f"INSERT INTO {table} (incident_id, route, style, {columns}) SELECT ?, m.route, m.style, {columns}"
            f" FROM {table} m WHERE m.incident_id = ? AND NOT EXISTS (SELECT 1 FROM alert_notified o"
            " WHERE o.incident_id = ? AND o.route = m.route AND o.style = m.style)",
            (into, merged, into),
        )


def record_suppressed(session: WriteSession, incident_id: int, decision: IncidentDecision, now_us: int) -> bool:
    """Records the current suppressions with their reasons and ends the others; True if any changed. One that continues
    with another reason keeps its begin."""
    rows = session.rows(
        "SELECT id, since_us, route, style, kind, stage, why, until_us FROM alert_suppressed"
        " WHERE incident_id = ? AND ended_us IS NULL",
        (incident_id,),
    )
    stored = {from_row(SuppressedNotice, row): row.id for row in rows}
    since = {(row.route, row.style, row.stage): row.since_us for row in rows}
    current = dict.fromkeys(decision.suppressions.notices)
    reasons = {(fact.route, fact.style): why for fact, why in decision.suppressions.dropped if why}
    notified = {(notice.route, notice.style) for notice in decision.notices}
    for notice, number in stored.items():
        if notice not in current:
            style = (notice.route, notice.style)
            why = "notified" if style in notified else reasons.get(style, "")
            session.rows("UPDATE alert_suppressed SET ended_us = ?, ended_why = ? WHERE id = ?", (now_us, why, number))
    for notice in current:
        if notice not in stored:
            until_us = optional_micros(notice.until)
            what = (notice.route, notice.style, str(notice.kind), notice.stage, notice.why, until_us)
            started = since.get((notice.route, notice.style, notice.stage), now_us)
            ended = until_us if decision.closed else None
            session.rows(
                "INSERT INTO alert_suppressed (incident_id, route, style, kind, stage, why, until_us, since_us,"
                " ended_us, ended_why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (incident_id, *what, started, ended, "notified" if decision.closed else ""),
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
