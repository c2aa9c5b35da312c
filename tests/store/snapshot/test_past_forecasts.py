"""What is learned from of the days that are over: all nights, whatever their number of services."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby

import pytest

from console.domain.decision import Decisions
from console.domain.ids import micros
from console.domain.service import Timeliness
from console.store.decisions import apply_decisions
from console.store.forecasts import MAX_PER_NIGHT, past_forecasts
from tests.store.estate import DATE, Estate, at
from tests.store.test_decisions import ROUTES, verdict


def test_every_night_is_learned_from_however_many_services_it_has(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a night with many some are, the same each time; of one of them no more forecasts than count."""
    monkeypatch.setattr("console.store.forecasts.MAX_PER_DAY", 2)
    columns = "title, deadline, zone, cutoff, tier, owner, notify, runbook, calendar, promise, ready, removed"
    with served.store.write(None) as session:
        for number in range(1, 40):
            session.rows(
                f"INSERT INTO service (name, terminals, {columns}) SELECT ?, terminals, {columns} FROM service"
                " WHERE name = 'supply'",
                (f"supply {number}",),
            )
    for night in range(4):
        day = timedelta(days=night)
        for clock, late, timeliness in (
            ("03:00", 0.2, Timeliness.AT_RISK), ("03:10", 0.3, Timeliness.AT_RISK),
            ("03:20", 0.4, Timeliness.AT_RISK), ("05:21", 0.0, Timeliness.MET),
        ):  # fmt: skip
            now = at(clock) - day
            days = tuple(
                verdict(
                    late,
                    service=f"supply {number}" if number else "supply",
                    business_date=DATE - day,
                    deadline=at("05:30") - day,
                    timeliness=timeliness,
                    delivered_at=now if timeliness is Timeliness.MET else None,
                )
                for number in range(40 if night < 3 else 3)
            )
            apply_decisions(served.store, Decisions(service_days=days), now, 7, None, ROUTES)
    later = micros(at("05:22") + timedelta(days=3))
    with served.store.read() as connection:
        forecasts, again = (past_forecasts(connection, later) for _ in range(2))
        monkeypatch.setattr("console.store.forecasts.LEARNED_BACK", timedelta(days=5))
        latest = past_forecasts(connection, later)
    assert forecasts == again
    assert [3, *[MAX_PER_NIGHT] * 3] == [
        len(list(days)) for _, days in groupby(forecasts, lambda forecast: forecast.night)
    ]
    assert {2} == {len(forecast.late) for forecast in forecasts}
    assert forecasts[-2 * MAX_PER_NIGHT :] == latest
