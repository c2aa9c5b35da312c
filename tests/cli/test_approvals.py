"""`headway action approvals`, `approve`: what another person must say yes to, shown whole; withdrawn with its plan."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from console.domain.ids import new_action_key
from console.domain.plan import PlanDraft
from console.domain.request import RequestKind
from console.engine.api.client import EngineClient
from console.engine.api.requests import ProposeRecovery
from tests.cli.test_audit import answering, bench, key
from tests.engine.bench import Bench
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS

__all__ = ["bench", "key"]


def test_what_waits_for_approval_is_listed_and_approved_by_another(bench: Bench, key: str) -> None:
    assert [key] == [action["key"] for action in headway(bench.url, "action", "approvals", "--json").data]
    assert "a bad file" in headway(bench.url, "action", "approvals").out
    with answering(bench):
        done = headway(bench.url, "action", "approve", key, "--yes")
    assert (0, True) == (done.code, f"{key}: approved" in done.out), done.err
    bench.parts.actions.step(bench.fence)
    assert [key] == bench.scheduler.acted
    assert [] == headway(bench.url, "action", "approvals", "--json").data


@pytest.mark.parametrize("name", ["alice", "Alice", "ALICE"])
def test_a_person_cannot_approve_their_own_action(
    bench: Bench, key: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("console.store.access.os_user", lambda: name)
    done = headway(bench.url, "action", "approve", key, "--yes")
    assert (4, True) == (done.code, "another person must approve it" in done.err)


def test_an_unrequested_action_cannot_be_approved(bench: Bench) -> None:
    assert 6 == headway(bench.url, "action", "approve", "headway-nothing", "--yes").code


def test_approving_without_a_terminal_takes_a_yes(bench: Bench, key: str) -> None:
    done = headway(bench.url, "action", "approve", key)
    assert (2, True) == (done.code, "Fix: --yes" in done.err)


def test_an_approver_sees_the_full_action_its_requester_reason_and_expiry(bench: Bench, key: str) -> None:
    shown = [line.split(maxsplit=1) for line in headway(bench.url, "action", "approve", key).out.splitlines()]
    results = dict(shown[1:])
    [row] = headway(bench.url, "action", "approvals", "--json").data
    until = datetime.fromisoformat(row["requested"]) + timedelta(hours=1)
    assert ["rerun", "fake/extract"] == shown[0]
    assert {
        "why": "a bad file",
        "system": "fake",
        "does": "run it again",
        "scope": "1 run",
        "sends": "POST /again",
    } == {label: results[label] for label in ("why", "system", "does", "scope", "sends")}
    assert (True, f"{until:%Y-%m-%d %H:%M:%S} UTC, in 1h; expires then") == (
        results["period"].startswith("extract@"),
        results["until"],
    )
    assert "alice" == results["by"]


def test_a_scheduler_is_queried_first_where_only_it_knows_what_would_be_approved(bench: Bench, key: str) -> None:
    """As on a shared store, which keeps no preview that a console claims."""
    with bench.store.write(None) as connection:
        connection.rows("UPDATE action SET preview = '{}'")
    bench.scheduler.overlap = "extract runs since 03:10"
    with answering(bench):
        shown = headway(bench.url, "action", "approve", key).out.splitlines()
    assert {"  does      run extract again", "  scope     1 run", "  note      extract runs since 03:10"} <= {*shown}


def test_actions_requested_by_an_aborted_plan_are_withdrawn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.store.access.os_user", lambda: "alice")
    requests, parts = EngineClient(bench.url), bench.parts
    parts.evaluator.step(bench.fence)
    question = requests.ask(ProposeRecovery(1))
    parts.answers.step(bench.fence)
    requests.start_plan(PlanDraft.read(requests.wait(question, HANGS_SECONDS).data), new_action_key(), "a bad file")
    parts.plans.step(bench.fence)
    parts.actions.step(bench.fence)
    [row] = headway(bench.url, "action", "approvals", "--json").data
    assert (1, "run extract again", "a bad file") == (row["plan"], row["text"], row["why"])
    requests.steer_plan(1, RequestKind.ABORT_PLAN)
    assert [] == headway(bench.url, "action", "approvals", "--json").data
    parts.actions.step(bench.fence)
    with bench.reads() as reads:
        entries = [(action.state, action.text) for action in reads.actions.list_actions()]
    assert [("refused", "plan 1 was aborted before this step was sent")] == entries
