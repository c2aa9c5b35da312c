"""A policy whose repairs people approve: what they are shown, and how many of them it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from console.cli.clock_format import timestamp
from console.domain.access import Person
from console.domain.settings import Declared
from console.engine.api.client import EngineClient
from console.engine.api.requests import ApproveAction
from tests.cli.test_active_policies import FILE, FULL
from tests.cli.test_failures import fail, nights, rerun
from tests.cli.test_policies import declare
from tests.engine.bench import Bench
from tests.hostile.commands import headway
from tests.lab.process import HANGS_SECONDS

TWO = replace(FULL, approval="two")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with nights(tmp_path, monkeypatch, Declared(policies=(TWO,))) as made:
        yield made


def approve(bench: Bench, person: str) -> str:
    """The engine's refusal of this person's approval; empty if it counts."""
    with bench.reads() as reads:
        [approval] = reads.approvals.list_approvals()
    client = EngineClient(bench.url, Person(person), "test")
    request_id = client.ask(ApproveAction(approval.key, approval.digest))
    bench.parts.answers.step(bench.fence)
    return client.wait(request_id, HANGS_SECONDS).error


def states(bench: Bench) -> list[tuple[str, str, str]]:
    """State, first approver and approver of each action."""
    bench.parts.actions.step(bench.fence)
    actions = headway(bench.url, "action", "--json").data
    return [(action["state"], action["first_approver"], action["approved_by"]) for action in actions]


def test_a_repair_is_sent_once_two_persons_have_approved_it(bench: Bench) -> None:
    fail(bench, 0, FILE)
    assert [("requested", "", "")] == states(bench)
    assert "approved it already" not in approve(bench, "ben")
    assert [("requested", "ben", "")] == states(bench)
    assert "Ben approved it already: a second person must approve it" in approve(bench, "Ben")
    assert ([("requested", "ben", "")], []) == (states(bench), bench.scheduler.acted)
    assert "" == approve(bench, "lee")
    assert ([("sent", "ben", "lee")], 1) == (states(bench), len(bench.scheduler.acted))
    [action] = headway(bench.url, "action", "--json").data
    assert "by ben and lee" in headway(bench.url, "action", action["key"]).out


def test_an_approver_is_shown_what_it_does_how_often_it_worked_and_what_waiting_costs(bench: Bench) -> None:
    declare(bench, replace(bench.config, declared=Declared(policies=())))
    now = fail(bench, 0, FILE)
    rerun(bench, 1, now)
    declare(bench, replace(bench.config, declared=Declared(policies=(TWO,))))
    fail(bench, 1, FILE)
    bench.parts.actions.step(bench.fence)
    approve(bench, "ben")
    [approval] = headway(bench.url, "action", "approvals", "--json").data
    assert "rerun worked 1 of 1 time, median 14m" in headway(bench.url, "action", "approvals").out
    with bench.reads() as reads:
        [view] = reads.approvals.list_approvals()
    rows = dict(view.terms.facts(timestamp, now + timedelta(days=1)))
    assert approval["key"] == view.key
    assert ("rerun worked 1 of 1 time, median 14m", "1 of 2 by ben") == (rows["worked"], rows["approved"])
    assert re.search(r", in \d+h", rows["act by"]), rows
    assert ", in 1h; expires then" in rows["until"], rows
