"""kill -9 with the store on PostgreSQL: within each transaction, and between a commit and the wire (F1, F2).

What an engine does from one commit to the next is the same on either database: `tests/invariants` kills it at every
point, on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.invariants import test_actions_killed, test_alerts_killed, test_holds_killed, test_plans_killed
from tests.invariants.engines import STORE
from tests.invariants.held_world import HeldWorld
from tests.invariants.test_actions_killed import approved_rerun
from tests.invariants.test_holds_killed import SHOWN, warm, world
from tests.invariants.test_plans_killed import planned
from tests.invariants.test_policies_killed import (
    test_a_failure_is_rerun_once_by_its_policy_whatever_kills_the_engine,
)
from tests.invariants.test_receivers_killed import (
    test_f01_what_a_receiver_has_answered_is_stored_whatever_kills_the_engine,
)
from tests.lab.postgres import PostgresServer
from tests.lab.store_copies import migrated, store_url

__all__ = [
    "approved_rerun", "migrated", "planned", "store_url",
    "test_a_failure_is_rerun_once_by_its_policy_whatever_kills_the_engine",
    "test_f01_what_a_receiver_has_answered_is_stored_whatever_kills_the_engine", "warm", "world",
]  # fmt: skip

Kill = Callable[..., None]


@pytest.fixture(autouse=True)
def on_postgres(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engines of these tests find their store by this file; the night of the holds runs slower there."""
    monkeypatch.setattr(test_holds_killed, "RATE", 75.0)
    (tmp_path / STORE).write_text(store_url)


@pytest.mark.parametrize(
    "name", ["ingest.before_commit", "evaluate.before_commit", "outbox.claimed", "send.after_wire"]
)
def test_f01_an_alert_leaves_once_whatever_kills_the_engine(tmp_path: Path, name: str) -> None:
    test_alerts_killed.test_f01_an_alert_leaves_once_whatever_kills_the_engine(tmp_path, name)


def test_f01_what_was_held_back_leaves_once_whatever_kills_the_engine_then(tmp_path: Path) -> None:
    kill: Kill = test_alerts_killed.test_f01_what_was_held_back_leaves_once_whatever_kills_the_engine_then
    kill(tmp_path, "record.before_commit")


@pytest.mark.parametrize("name", ["action.intent_committed", "action.after_wire"])
def test_f02_an_action_reaches_its_scheduler_at_most_once_whatever_kills_the_engine(
    tmp_path: Path, approved_rerun: str, postgres: PostgresServer, name: str
) -> None:
    kill: Kill = test_actions_killed.test_f02_an_action_reaches_its_scheduler_at_most_once_whatever_kills_the_engine
    kill(tmp_path, approved_rerun, name)
    assert not (tmp_path / "headway.db").exists()  # these tests are about this database
    database = (tmp_path / STORE).read_text().rpartition("/")[2]
    assert [(1,)] == postgres.execute("SELECT count(*) FROM action WHERE key = %s", approved_rerun, database=database)


@pytest.mark.parametrize("passage", [1, 2, 3])
def test_f02_a_kill_before_a_row_of_the_audit_loses_neither_the_row_nor_the_action(
    tmp_path: Path, approved_rerun: str, passage: int
) -> None:
    kill: Kill = test_actions_killed.test_f02_a_kill_before_a_row_of_the_audit_loses_neither_the_row_nor_the_action
    kill(tmp_path, approved_rerun, passage)


def test_f02_a_plan_goes_on_whatever_kills_the_engine_and_sends_no_step_twice(tmp_path: Path, planned: str) -> None:
    kill: Kill = test_plans_killed.test_f02_a_plan_goes_on_whatever_kills_the_engine_and_sends_no_step_twice
    kill(tmp_path, planned, "action.intent_committed")


@pytest.mark.parametrize("name", ["plan.before_step", "plan.after_step"])
def test_f02_killed_at_its_second_step_a_plan_does_not_repeat_its_first(
    tmp_path: Path, planned: str, name: str
) -> None:
    test_plans_killed.test_f02_killed_at_its_second_step_a_plan_does_not_repeat_its_first(tmp_path, planned, name)


@pytest.mark.parametrize("point, verb", SHOWN)
def test_a_kill_at_any_point_of_a_hold_loses_doubles_and_strands_nothing(
    world: HeldWorld, point: str, verb: int
) -> None:
    test_holds_killed.test_a_kill_at_any_point_of_a_hold_loses_doubles_and_strands_nothing(world, point, verb)


def test_a_kill_around_a_decision_loses_doubles_and_strands_nothing(world: HeldWorld) -> None:
    kill: Kill = test_holds_killed.test_a_kill_around_a_decision_loses_doubles_and_strands_nothing
    kill(world, "evaluate.before_commit")
