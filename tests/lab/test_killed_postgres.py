"""Every kill -9 of tests/invariants once more, with the store on PostgreSQL: alerts, actions, plans, holds, receivers
(F1, F2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.invariants import (
    test_actions_killed,
    test_alerts_killed,
    test_holds_killed,
    test_plans_killed,
    test_receivers_killed,
)
from tests.invariants.engines import STORE
from tests.invariants.test_actions_killed import approved_rerun
from tests.invariants.test_holds_killed import warm, world
from tests.invariants.test_plans_killed import planned
from tests.lab.postgres import PostgresServer
from tests.lab.store_copies import migrated, store_url

__all__ = ["approved_rerun", "migrated", "planned", "store_url", "warm", "world"]

for _module in (
    test_alerts_killed, test_actions_killed, test_plans_killed, test_holds_killed, test_receivers_killed,
):  # fmt: skip
    globals().update({name: result for name, result in vars(_module).items() if name.startswith("test_")})


@pytest.fixture(autouse=True)
def on_postgres(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engines of these tests find their store by this file; the night of the holds runs slower there."""
    monkeypatch.setattr(test_holds_killed, "RATE", 75.0)
    monkeypatch.setattr(test_holds_killed, "LIMIT_SECONDS", 180.0)
    (tmp_path / STORE).write_text(store_url)


def test_the_store_of_these_tests_is_postgresql(tmp_path: Path, approved_rerun: str, postgres: PostgresServer) -> None:
    assert not (tmp_path / "headway.db").exists()
    database = (tmp_path / STORE).read_text().rpartition("/")[2]
    assert [(1,)] == postgres.execute("SELECT count(*) FROM action WHERE key = %s", approved_rerun, database=database)
