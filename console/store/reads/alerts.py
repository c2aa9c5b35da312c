"""Deliveries of alerts: what was given up or waits, and how one alert fared."""

from __future__ import annotations

import json
from datetime import datetime

from console.model.alerting import Shift, on_call
from console.model.ids import instant, maybe_instant, micros
from console.model.noise import Noise
from console.model.views import AlertDelivery, HeldView, RotaView, SilenceView
from console.store.noise import noise_since
from console.store.reads.grounds import HELD, held_view
from console.store.reads.link import Row
from console.store.reads.plans import PlanReads

# ruff: noqa: S608  (the statements are made of our own words; every value is bound)
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

    def held_back(self) -> list[HeldView]:
        """What is held back now, oldest first."""
        rows = self.link.rows(
            f"{HELD} WHERE ended_us IS NULL AND incident_id IN (SELECT id FROM incident WHERE closed_us IS NULL)"
            " OR ended_us > ? ORDER BY id",
            (micros(self.now()),),
        )
        return [held_view(row) for row in rows]

    def noise(self, since: datetime) -> Noise:
        """The alerts about incidents since then, counted."""
        return noise_since(self.link.rows, since, self.now())

    def latest_alerts(self, limit: int) -> list[tuple[int, str]]:
        """Number and title of those about incidents, newest first."""
        query = "SELECT id, title FROM alert WHERE incident_id IS NOT NULL ORDER BY id DESC LIMIT ?"
        return [(row[0], row[1]) for row in self.link.rows(query, (limit,))]

    def has_alert(self, number: int) -> bool:
        return bool(self.link.rows("SELECT 1 FROM alert WHERE id = ?", (number,)))

    def rotas(self, at: datetime) -> list[RotaView]:
        """Every rota as it stands at that time, by name."""
        rows = self.link.rows("SELECT name, source, shifts, until_us, read_us, error FROM rota ORDER BY name")
        return [_rota(row, at) for row in rows]

    def silences(self, ended: bool = False) -> list[SilenceView]:
        """Those that last or are to come; with `ended` the latest 200 of all; newest first."""
        where = "1 = 1 OR until_us > ?" if ended else "until_us > ? AND ended_us IS NULL"
        rows = self.link.rows(
            "SELECT id, matchers, from_us, until_us, why, made_by, ended_us, ended_by FROM silence"
            f" WHERE {where} ORDER BY id DESC LIMIT 200",
            (micros(self.now()),),
        )
        return [
            SilenceView(
                number, json.loads(matchers), instant(begins), instant(until), why, by, maybe_instant(end), end_by
            )
            for number, matchers, begins, until, why, by, end, end_by in rows
        ]

    def deliveries_of(self, alert_id: int) -> list[AlertDelivery]:
        """Of one alert, in the order of its route's URLs."""
        return [
            _delivery(row) for row in self.link.rows(f"{_DELIVERIES} WHERE a.id = ? ORDER BY d.url_index", (alert_id,))
        ]


def _rota(row: Row, at: datetime) -> RotaView:
    name, source, text, until, read, error = row
    shifts = [Shift(person, instant(begins), instant(ends)) for person, begins, ends in json.loads(text)]
    now = on_call(shifts, at)
    then = tuple((one.person, one.begins, one.ends) for one in shifts if one.begins > at)
    return RotaView(
        name, source, now.person if now else "", now.ends if now else None, then, maybe_instant(read or None),
        instant(until), error,
    )  # fmt: skip


def _delivery(row: Row) -> AlertDelivery:
    number, route, kind, title, words, state, tries, repeats, made, sent, error = row
    return AlertDelivery(
        number, route, kind, title, words, state, tries, repeats, instant(made), maybe_instant(sent), error
    )
