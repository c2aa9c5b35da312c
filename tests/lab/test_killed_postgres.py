"""kill -9 with the store on PostgreSQL: the tests that `tests/invariants` runs on SQLite (F1, F2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.invariants import test_holds_killed
from tests.invariants.engines import STORE
from tests.invariants.test_actions_killed import (
    approved_rerun,
    test_f02_a_kill_before_a_row_of_the_audit_loses_neither_the_row_nor_the_action,
    test_f02_an_action_reaches_its_scheduler_at_most_once_whatever_kills_the_engine,
)
from tests.invariants.test_alerts_killed import (
    test_f01_an_alert_leaves_once_whatever_kills_the_engine,
    test_f01_what_was_held_back_leaves_once_whatever_kills_the_engine_then,
)
from tests.invariants.test_holds_killed import (
    test_a_kill_around_a_decision_loses_doubles_and_strands_nothing,
    test_a_kill_at_any_point_of_a_hold_loses_doubles_and_strands_nothing,
    warm,
    world,
)
from tests.invariants.test_plans_killed import (
    planned,
    test_f02_a_plan_goes_on_whatever_kills_the_engine_and_sends_no_step_twice,
    test_f02_killed_at_its_second_step_a_plan_does_not_repeat_its_first,
)
from tests.invariants.test_policies_killed import test_a_failure_is_rerun_once_by_its_policy_whatever_kills_the_engine
from tests.invariants.test_receivers_killed import (
    test_f01_what_a_receiver_has_answered_is_stored_whatever_kills_the_engine,
)
from tests.lab.store_copies import migrated, store_url

__all__ = [
    "approved_rerun", "migrated", "planned", "store_url",
    "test_a_failure_is_rerun_once_by_its_policy_whatever_kills_the_engine",
    "test_a_kill_around_a_decision_loses_doubles_and_strands_nothing",
    "test_a_kill_at_any_point_of_a_hold_loses_doubles_and_strands_nothing",
    "test_f01_an_alert_leaves_once_whatever_kills_the_engine",
    "test_f01_what_a_receiver_has_answered_is_stored_whatever_kills_the_engine",
    "test_f01_what_was_held_back_leaves_once_whatever_kills_the_engine_then",
    "test_f02_a_kill_before_a_row_of_the_audit_loses_neither_the_row_nor_the_action",
    "test_f02_a_plan_goes_on_whatever_kills_the_engine_and_sends_no_step_twice",
    "test_f02_an_action_reaches_its_scheduler_at_most_once_whatever_kills_the_engine",
    "test_f02_killed_at_its_second_step_a_plan_does_not_repeat_its_first",
    "warm", "world",
]  # fmt: skip


@pytest.fixture(autouse=True)
def on_postgres(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The engines of these tests find their store by this file; the night of the holds runs slower there."""
    monkeypatch.setattr(test_holds_killed, "RATE", 75.0)
    (tmp_path / STORE).write_text(store_url)
    yield
    assert not (tmp_path / "headway.db").exists()  # these tests are about this database
