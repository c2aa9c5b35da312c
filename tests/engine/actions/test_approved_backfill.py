"""A backfill of what hangs on tier 1: one request, one approval that shows all of it and covers each period once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import Capability, RunState
from console.domain.access import ActingRules
from console.domain.ids import new_action_key
from console.domain.plan import PlanDraft, PlanView
from console.domain.request import RequestKind
from console.engine.api.client import EngineClient
from console.engine.api.requests import ApproveAction
from console.store.queries.audit import ApprovalView
from tests.action_requests import backfill_of
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import HANGS_SECONDS
from tests.present import present

NIGHTS = 3


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """alice requested three nights of what hangs on tier 1; from then on this process is carol's."""
    scheduler = FakeScheduler(capabilities=frozenset(Capability) - {Capability.MARK})
    scheduler.job("load_orders", Schedule("debian-cron", "10 3 * * *", "UTC"))
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    service = replace(config.services["supply"], tier=1, delivered_by=("fake/load_orders",))
    acting = ActingRules(reason_tiers=(), approval_tiers=(1,))
    config = replace(config, services={"supply": service}, acting=acting)
    with running_bench(tmp_path, scheduler, config) as made:
        made.poller.poll_once(made.fence)
        made.parts.config_sync.sync(made.fence)
        monkeypatch.setattr("console.store.access.os_user", lambda: "alice")
        start(made)
        monkeypatch.setattr("console.store.access.os_user", lambda: "carol")
        yield made


def start(bench: Bench, at_once: int = 1) -> None:
    requests = EngineClient(bench.url)
    [(job_id,)] = rows(bench, "SELECT id FROM job WHERE native_id = 'load_orders'")
    first = datetime.now(UTC).date() - timedelta(days=9)
    question = requests.ask(backfill_of(job_id, first, first + timedelta(days=NIGHTS - 1), unseen=True))
    bench.parts.answers.step(bench.fence)
    draft = PlanDraft.read(requests.wait(question, HANGS_SECONDS).data)
    assert NIGHTS == len(draft.steps)
    requests.start_plan(draft, new_action_key(), "a bad file", at_once)


def rows(bench: Bench, sql: str) -> list[tuple[Any, ...]]:
    with bench.store.read() as connection:
        return [tuple(row) for row in connection.rows(sql)]


def turn(bench: Bench) -> None:
    bench.parts.plans.step(bench.fence)
    bench.parts.actions.step(bench.fence)
    bench.parts.plans.step(bench.fence)


def view(bench: Bench) -> PlanView:
    with bench.reads() as reads:
        return reads.plans.plan(1)


def waiting(bench: Bench) -> list[ApprovalView]:
    with bench.reads() as reads:
        return reads.approvals.list_approvals()


def approve(bench: Bench) -> str:
    """The reason why it was not approved; empty when it was."""
    approval = waiting(bench)[0]
    question = bench.requests().ask(ApproveAction(approval.key, approval.digest))
    bench.parts.answers.step(bench.fence)
    return bench.requests().wait(question, HANGS_SECONDS).error


def end(bench: Bench, state: RunState = RunState.SUCCEEDED) -> None:
    """What was sent and goes on ends so."""
    for step in view(bench).steps:
        if step.state == "requested" and step.action_key in bench.scheduler.acted:
            more = {"action_key": step.action_key, "period_key": None}
            bench.scheduler.attempt("load_orders", step.action_key or "", state, datetime.now(UTC), **more)
    bench.turn()
    turn(bench)


def later(bench: Bench, hours: int) -> None:
    """All that was approved, sent and ended is so much older."""
    with bench.store.write(None) as connection:
        for column in ("approved_us", "sent_us", "ended_us", "requested_us"):
            connection.rows(f"UPDATE action SET {column} = {column} - {hours * 3600 * 10**6}")


def test_one_approval_shows_the_whole_range_and_lets_each_period_run_once(bench: Bench) -> None:
    turn(bench)
    [approval] = waiting(bench)
    periods = [step.period.key for step in view(bench).steps]
    assert periods == [*approval.periods]
    assert ("covers", f"3 periods: {periods[0]} to {periods[-1]}, 1 at a time") in approval.details
    assert [] == bench.scheduler.acted
    assert "" == approve(bench)
    for _ in range(NIGHTS):
        turn(bench)
        assert [] == waiting(bench)
        end(bench)
    assert ("done", NIGHTS) == (view(bench).state, len(set(bench.scheduler.acted)))
    assert NIGHTS == len(bench.scheduler.acted)
    with bench.reads() as reads:
        [row] = [row for row in reads.audit.list_entries() if row.verb.startswith("approve")]
        sent = [row.detail["approved_by"] for row in reads.audit.list_entries() if row.verb == "send start"]
    assert ("carol", 1, periods) == (row.actor, row.detail["plan"], row.detail["periods"])
    assert ["carol"] * NIGHTS == sent


def test_verb_and_parameters_of_each_covered_step_are_shown(bench: Bench) -> None:
    """A parameter that repeated the requester's own text for the period was left out, and so was another verb."""
    turn(bench)
    with bench.store.write(None) as connection:
        changed = "UPDATE plan_step SET verb = 'rerun', period_key = 'full', parameters = ? WHERE place = 3"
        connection.rows(changed, (json.dumps({"mode": "full"}),))
    [approval] = waiting(bench)
    first, second, third = approval.periods
    assert "rerun full (mode full)" == third
    assert ("periods", f"{first}, {second}, {third}") in approval.details


def test_what_the_requester_wrote_cannot_look_like_another_period_or_parameter(bench: Bench) -> None:
    """A parameter of any name was left out where it repeated the period of the run, and no text was quoted."""
    turn(bench)
    bench.scheduler.attempt("load_orders", "n1", RunState.FAILED, present(), period_key="2026-11-20")
    bench.poller.poll_once(bench.fence)
    steps = [
        ("start", None, "2026-11-28), 2026-11-29", {}),
        ("start", None, "full", {"period_at": "full", "mode": "a, drop_before 1\u202e"}),
        ("rerun", 1, "", {"period_at": "2026-11-20", "drop_before": "2026-11-20", "tables": ["a"]}),
    ]
    with bench.store.write(None) as connection:
        [(bench_run,)] = connection.rows("SELECT id FROM run WHERE period_key = '2026-11-20'")
        for place, (verb, run, period, parameters) in enumerate(steps, 1):
            changed = (verb, run and bench_run, period, json.dumps(parameters), place)
            connection.rows(
                "UPDATE plan_step SET verb = ?, run_id = ?, period_key = ?, parameters = ? WHERE place = ?", changed
            )
    [approval] = waiting(bench)
    assert (
        '"2026-11-28), 2026-11-29"',
        'full (mode "a, drop_before 1\\u202e")',
        'rerun 2026-11-20 (drop_before 2026-11-20, tables ["a"])',
    ) == approval.periods
    given = replace(approval, parameters={"mode": "a, drop yes"})
    assert ("given", 'mode "a, drop yes"') in given.details


def test_the_need_for_an_approval_is_notified_once_for_the_whole_range(bench: Bench) -> None:
    turn(bench)
    bench.send()
    [(_, title, body)] = [pair for pair in bench.sink.got if "Approval required" in pair[1]]
    assert "start fake/load_orders, 3 periods: " in title
    assert f"headway action approve {waiting(bench)[0].key}" in body
    approve(bench)
    end(bench)
    bench.send()
    assert 1 == len([pair for pair in bench.sink.got if "Approval required" in pair[1]])


def test_an_approval_that_never_came_stops_the_plan_and_is_notified(bench: Bench) -> None:
    turn(bench)
    later(bench, 2)
    turn(bench)
    assert ("stopped", []) == (view(bench).state, bench.scheduler.acted)
    bench.send()
    [body] = [body for _, title, body in bench.sink.got if "plan 1 stopped" in title.lower()]
    assert "not approved within 1h" in body
    assert [] == [title for _, title, _ in bench.sink.got if "start: not approved in time" in title.lower()]


def test_a_period_that_failed_is_not_run_a_second_time_under_the_same_approval(bench: Bench) -> None:
    turn(bench)
    approve(bench)
    turn(bench)
    end(bench, RunState.FAILED)
    assert "stopped" == view(bench).state
    EngineClient(bench.url).steer_plan(1, RequestKind.RESUME_PLAN)
    turn(bench)
    assert (1, 1) == (len(bench.scheduler.acted), len(waiting(bench)))
    approve(bench)
    turn(bench)
    assert 2 == len(bench.scheduler.acted)


@pytest.mark.parametrize("hours, sent", [(0, 2), (2, 1)])
def test_an_approval_lasts_while_one_period_follows_the_other_and_grows_old_in_a_pause(
    bench: Bench, hours: int, sent: int
) -> None:
    turn(bench)
    approve(bench)
    turn(bench)
    EngineClient(bench.url).steer_plan(1, RequestKind.PAUSE_PLAN)
    end(bench)
    later(bench, hours)
    EngineClient(bench.url).steer_plan(1, RequestKind.RESUME_PLAN)
    turn(bench)
    assert sent == len(bench.scheduler.acted)


def test_a_night_that_takes_hours_does_not_make_the_approval_old(bench: Bench) -> None:
    turn(bench)
    approve(bench)
    turn(bench)
    later(bench, 2)
    end(bench)
    turn(bench)
    assert (2, "running") == (len(bench.scheduler.acted), view(bench).state)


def test_several_at_once_are_approved_by_one_yes(bench: Bench) -> None:
    with bench.store.write(None) as connection:
        connection.rows("UPDATE plan SET at_once = 3")
    turn(bench)
    assert NIGHTS == len(waiting(bench))
    bench.send()
    assert 1 == len([pair for pair in bench.sink.got if "Approval required" in pair[1]])
    assert "" == approve(bench)
    assert [] == waiting(bench)
    turn(bench)
    assert NIGHTS == len(set(bench.scheduler.acted)) == len(bench.scheduler.acted)
