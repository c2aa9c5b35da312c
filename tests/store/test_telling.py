"""What each evaluation reads of what was told is found by its incidents, however many there ever were."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from console.model.ids import micros
from console.model.values import Settings
from console.store import muting, telling
from console.store.estate import load
from console.store.muting import Said
from tests.store.estate import Estate, at

GROWING = ("alert_told", "alert_held", "acknowledgement", "incident", " a ", " h ", " o ", " i ")


@pytest.mark.parametrize("name", ["_TOLD", "_HELD", "_ACKS"])
def test_no_growing_table_is_walked_through(served: Estate, name: str) -> None:
    query: str = getattr(telling, name)
    values = (0,) * query.count("?")
    with served.store.read() as connection:
        steps = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)]
    assert [] == [step for step in steps if step.startswith("SCAN") and any(one in f"{step} " for one in GROWING)]


@pytest.mark.parametrize("until_us", [micros(datetime.max.replace(tzinfo=UTC)), 1 << 62])
def test_a_silence_that_ends_when_no_calendar_does_stops_no_evaluation(served: Estate, until_us: int) -> None:
    said = Said("ann", "h", "w", micros(at("03:00")))
    muting.add_silence(served.store, None, {"system": "x"}, until_us, until_us, said)  # type: ignore[arg-type]
    [found] = load(served.store, at("04:00"), Settings()).telling.silences
    found.until.astimezone(ZoneInfo("Pacific/Kiritimati"))
