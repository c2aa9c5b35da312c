"""Deliveries of alerts, suppressions, silences and rotas."""

from __future__ import annotations

from datetime import datetime

from console.domain.alert import AlertDeliveryView, RotaView, SilenceView, SuppressionView, on_call
from console.domain.ids import instant, micros, optional_instant
from console.domain.message import Message, title_text
from console.store.db.session import Row
from console.store.notification_state import parse_shifts
from console.store.queries.base import ContextQueries
from console.store.queries.incidents import SELECT_SUPPRESSIONS
from console.store.row_values import from_row

# ruff: noqa: S608  (only our own names; every value is bound)
_DELIVERIES = (
    "SELECT d.id, a.route, a.kind, a.message, d.receiver, d.state, d.tries, d.repeats, a.made_us, d.sent_us, d.error,"
    " CASE WHEN d.state = 'pending' THEN d.next_us END AS next_try_us FROM delivery d JOIN alert a ON a.id = d.alert_id"
)


class AlertQueries(ContextQueries):
    def undelivered(self) -> list[AlertDeliveryView]:
        """Parked deliveries, then those that failed and are retried; oldest first, without tests."""
        rows = self.link.rows(
            f"{_DELIVERIES} WHERE a.kind <> 'test' AND (d.state = 'parked' OR (d.state IN ('pending', 'claimed') AND"
            " d.error <> '')) ORDER BY CASE d.state WHEN 'parked' THEN 0 ELSE 1 END, d.id LIMIT 1000"
        )
        return list(map(_delivery, rows))

    def deliveries(self) -> dict[str, int]:
        """Number of deliveries that have not arrived, by state: pending, claimed, parked."""
        counts: dict[str, int] = dict(
            self.link.rows(
                "SELECT state, count(*) FROM delivery WHERE state IN ('pending', 'claimed', 'parked') GROUP BY state"
            )
        )
        return {state: counts.get(state, 0) for state in ("pending", "claimed", "parked")}

    def suppressed(self) -> list[SuppressionView]:
        """Current suppressions, oldest first."""
        rows = self.link.rows(
            f"{SELECT_SUPPRESSIONS} WHERE ended_us IS NULL AND incident_id IN (SELECT id FROM incident WHERE closed_us"
            " IS NULL) OR ended_us > ? ORDER BY id",
            (micros(self.store.now()),),
        )
        return [from_row(SuppressionView, row) for row in rows]

    def accepted(self) -> set[tuple[str, str]]:
        """(route, receiver) of every URL that has accepted an alert or a test."""
        query = "SELECT DISTINCT a.route, d.receiver FROM delivery d JOIN alert a ON a.id = d.alert_id"
        return {(row.route, row.receiver) for row in self.link.rows(f"{query} WHERE d.state = 'sent'")}

    def rotas(self, at: datetime) -> list[RotaView]:
        """Every rota with its shifts at that time, by name."""
        rows = self.link.rows("SELECT name, source, shifts, until_us, read_us, error FROM rota ORDER BY name")
        return [_rota(row, at) for row in rows]

    def silences(self, ended: bool = False) -> list[SilenceView]:
        """Active and planned silences; with `ended` the latest 200 of all; newest first."""
        where = "1 = 1 OR until_us > ?" if ended else "until_us > ? AND ended_us IS NULL"
        rows = self.link.rows(
            "SELECT id, matchers, from_us AS begins_us, until_us, why, made_by AS by, ended_us, ended_by FROM silence"
            f" WHERE {where} ORDER BY id DESC LIMIT 200",
            (micros(self.store.now()),),
        )
        return [from_row(SilenceView, row) for row in rows]

    def deliveries_of(self, alert_id: int) -> list[AlertDeliveryView]:
        """In the order of its route's URLs."""
        rows = self.link.rows(f"{_DELIVERIES} WHERE a.id = ? ORDER BY d.url_index", (alert_id,))
        return list(map(_delivery, rows))


def _delivery(row: Row) -> AlertDeliveryView:
    return from_row(AlertDeliveryView, row, title=title_text(Message.from_json(row.message).without_countdown().title))


def _rota(row: Row, at: datetime) -> RotaView:
    shifts = parse_shifts(row.shifts)
    now = on_call(shifts, at)
    return from_row(
        RotaView,
        row,
        person=now.person if now else "",
        until=now.ends if now else None,
        then=tuple((shift.person, shift.begins, shift.ends) for shift in shifts if shift.begins > at),
        read=optional_instant(row.read_us or None),
        known_until=instant(row.until_us),
    )
