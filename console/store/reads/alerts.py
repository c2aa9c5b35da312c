"""Deliveries of alerts: what was given up or waits, and how one alert fared."""

from __future__ import annotations

from console.model.ids import instant, maybe_instant
from console.model.views import AlertDelivery
from console.store.reads.link import Row
from console.store.reads.plans import PlanReads

_DELIVERIES = (
    "SELECT d.id, a.route, a.kind, a.title, d.url_words, d.state, d.tries, d.repeats, a.made_us, d.sent_us, d.error"
    " FROM delivery d JOIN alert a ON a.id = d.alert_id"
)


class AlertReads(PlanReads):
    def unsent(self) -> list[AlertDelivery]:
        """What is parked, then what was tried and not accepted yet; oldest first. Tests are not among it."""
        rows = self.link.rows(
            f"{_DELIVERIES} WHERE a.kind <> 'test' AND (d.state = 'parked'"
            " OR (d.state IN ('pending', 'claimed') AND d.error <> ''))"
            " ORDER BY CASE d.state WHEN 'parked' THEN 0 ELSE 1 END, d.id LIMIT 1000"
        )
        return [_delivery(row) for row in rows]

    def deliveries_of(self, alert_id: int) -> list[AlertDelivery]:
        """Of one alert, in the order of its route's URLs."""
        return [
            _delivery(row) for row in self.link.rows(f"{_DELIVERIES} WHERE a.id = ? ORDER BY d.url_index", (alert_id,))
        ]


def _delivery(row: Row) -> AlertDelivery:
    number, route, kind, title, words, state, tries, repeats, made, sent, error = row
    return AlertDelivery(
        number, route, kind, title, words, state, tries, repeats, instant(made), maybe_instant(sent), error
    )
