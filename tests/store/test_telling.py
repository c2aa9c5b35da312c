"""What each evaluation reads of what was told is found by its incidents, however many there ever were."""

from __future__ import annotations

import pytest

from console.store import telling
from tests.store.estate import Estate

GROWING = ("alert_told", "alert_held", "acknowledgement", "incident", " a ", " h ", " o ", " i ")


@pytest.mark.parametrize("name", ["_OWN", "_MERGED", "_HELD", "_ACKS"])
def test_no_growing_table_is_walked_through(served: Estate, name: str) -> None:
    query: str = getattr(telling, name)
    values = (0,) * query.count("?")
    with served.store.read() as connection:
        steps = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)]
    assert [] == [step for step in steps if step.startswith("SCAN") and any(one in f"{step} " for one in GROWING)]
