"""An active policy reruns a failure once, within its limits, and people can stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.domain.access import REPAIR_EXPIRY
from console.domain.calendar import MaintenanceWindow
from console.domain.ids import micros
from console.domain.job import Safety
from console.domain.policy import Policy, PolicyMatch
from console.domain.reason import GreenAgain
from console.domain.settings import Declared
from console.store.policies import load_policy_repairs
from tests.cli.test_failures import RAN, at, fail, nights, rerun
from tests.cli.test_policies import declare
from tests.engine.bench import Bench
from tests.hostile.commands import Done, headway

FILE = "/var/spool/orders.csv"
FULL = Policy("full", "rerun", PolicyMatch(errors=("*No space left*",)), mode="active", breaker=2)
MORNING = timedelta(hours=3)
"""From the failure of a night to the end of the night."""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with nights(tmp_path, monkeypatch, Declared(policies=(FULL,))) as made:
        yield made


def test_an_active_policy_reruns_a_failure_once_under_its_own_name(bench: Bench) -> None:
    now = fail(bench, 0, FILE)
    [action] = headway(bench.url, "action", "--json").data
    assert ("rerun", "requested", "policy full") == tuple(action[name] for name in ("verb", "state", "requested_by"))
    bench.parts.actions.step(bench.fence)
    bench.turn()
    bench.parts.actions.step(bench.fence)
    assert [action["key"]] == bench.scheduler.acted
    at(bench, now + RAN)
    bench.scheduler.attempt("extract", "again", RunState.SUCCEEDED, now, ended_at=now + RAN, action_key=action["key"])
    bench.turn()
    bench.parts.actions.step(bench.fence)
    bench.turn()
    [ended] = headway(bench.url, "action", "--json").data
    assert (action["key"], "verified") == (ended["key"], ended["state"])


def test_the_incident_names_the_policy_and_how_it_is_stopped(bench: Bench) -> None:
    declare(bench, replace(bench.config, declared=Declared(policies=(replace(FULL, notify="always"),))))
    now = fail(bench, 0, FILE)
    title, body = bench.sink.got[-1][1:]
    assert ": policy full reruns extract [INC-0001]" in title
    assert "Stop         headway policy pause full" in body
    page = headway(bench.url, "incident", "1", "--plain").out
    assert page.startswith("Policy full reruns extract; stop it: headway policy pause full\n")
    assert 'policy "full" requests the rerun of attempt 1: headway policy pause full stops it' in page
    settle(bench, now, RunState.SUCCEEDED)
    title, body = bench.sink.got[-1][1:]
    assert title.endswith("repaired by policy full)")
    assert "Repaired" in body
    with bench.reads() as reads:
        reason = reads.incidents.incident(1).close_reason
    assert isinstance(reason, GreenAgain)
    assert "full" == reason.policy


def test_a_repaired_failure_is_notified_in_the_morning_with_the_others_of_the_night(bench: Bench) -> None:
    declare(bench, replace(bench.config, services={}))
    now = fail(bench, 0, FILE)
    [suppressed] = headway(bench.url, "alert", "--suppressed", "--json").data
    assert "repair" == suppressed["stage"]
    settle(bench, now, RunState.SUCCEEDED)
    later = now + timedelta(hours=1)
    at(bench, later)
    bench.scheduler.logs["load"] = "ERROR /var/spool/load.csv: No space left on device\n"
    bench.scheduler.attempt("load", "load", RunState.FAILED, later - timedelta(minutes=1), exit_code=1)
    bench.turn()
    settle(bench, later, RunState.SUCCEEDED, "load")
    at(bench, now + MORNING - timedelta(seconds=10))
    bench.turn()
    assert [] == bench.sink.got
    at(bench, now + MORNING)
    bench.turn()
    [(_, title, body)] = bench.sink.got
    assert "Resolved: 2 incidents" == title
    assert 2 == body.count("repaired by policy full")
    assert "Resolved before a notification was due." in body


def test_a_person_is_notified_once_the_rerun_of_a_policy_has_failed(bench: Bench) -> None:
    settle(bench, fail(bench, 0, FILE), RunState.FAILED)
    title, body = bench.sink.got[-1][1:]
    assert "restart extract" in title
    assert "Policy full did not repair it" in body
    assert "headway recover INC-0001" in body
    count = len(bench.sink.got)
    bench.turn()
    assert count == len(bench.sink.got)
    report = headway(bench.url, "policy", "report", "full").out
    assert report.startswith("policy full: repaired 0 of 1, 1 wrong\n")
    assert f"rerun of attempt 1, sent: failed; headway action {bench.scheduler.acted[0]}" in report
    [document] = headway(bench.url, "policy", "--json").data
    assert (1, 0, 0) == (document["sent"]["wrong"], document["sent"]["right"], document["wrong"])


def test_an_outcome_is_unknown_once_its_scheduler_was_asked_in_vain(bench: Bench) -> None:
    """It is unknown for a moment whenever an engine ends while it sends."""
    now, states = fail(bench, 0, FILE), []
    for looked_up in (0, 1):
        with bench.store.write(bench.fence) as session:
            session.rows("UPDATE action SET state = 'unknown', looked_up = ?", (looked_up,))
            [repair] = load_policy_repairs(session, 0, now)
        states.append(repair.action and repair.action.state)
    assert ["sending", "unknown"] == states


def settle(bench: Bench, now: datetime, state: RunState, job: str = "extract") -> None:
    """Sends what the policy requested, and lets the scheduler end the rerun."""
    bench.parts.actions.step(bench.fence)
    at(bench, now + RAN)
    key = bench.scheduler.acted[-1]
    bench.scheduler.attempt(job, key, state, now, ended_at=now + RAN, action_key=key, period_key=None)
    bench.turn()
    bench.parts.actions.step(bench.fence)
    bench.turn()


def states(bench: Bench) -> list[str]:
    return [action["state"] for action in headway(bench.url, "action", "--json").data]


def test_a_breaker_that_opened_is_closed_by_a_person(bench: Bench) -> None:
    for night in range(2):
        settle(bench, fail(bench, night, FILE), RunState.FAILED)
    assert ["failed", "failed"] == states(bench)
    title, body = next((title, body) for _, title, body in bench.sink.got if "breaker" in title)
    assert "the breaker of a policy opened: policy full" in title.lower()
    assert "2 of its repairs failed" in body
    assert "headway policy close full" in body
    assert "Closed, once the cause is fixed, by any person." in body
    fail(bench, 2, FILE)
    assert 2 == len(states(bench))
    assert "policy full: closed" in command(bench, "close", "full").out
    assert "policy full: closed: repairs" in command(bench, "close", "full").out
    fail(bench, 3, FILE)
    assert 3 == len(states(bench)), "not of the night before; what failed earlier does not count"
    verbs = [
        (row["actor"], row["verb"]) for row in headway(bench.url, "audit", "--json").data if "breaker" in row["verb"]
    ]
    assert {("headway", "open breaker"), ("mara", "close breaker")} == {*verbs}


def test_a_paused_policy_sends_nothing_not_even_what_it_requested_before(bench: Bench) -> None:
    fail(bench, 0, FILE)
    assert "policy full: paused" in command(bench, "pause", "full", "--why", "db07 moves").out
    bench.parts.actions.step(bench.fence)
    [action] = headway(bench.url, "action", "--json").data
    assert "refused" == action["state"]
    assert "policy full is paused by mara. Resume it: headway policy resume full" in action["text"]
    assert "stopped" in (listed := headway(bench.url, "policy").out)
    assert "policy full is paused by mara. Resume it: headway policy resume full" in listed
    fail(bench, 1, FILE)
    assert 1 == len(states(bench))
    command(bench, "resume", "full")
    bench.turn()
    assert 1 == len(states(bench)), "the failure that is still open is older"
    fail(bench, 2, FILE)
    assert 2 == len(states(bench))
    assert '"ful" not found; did you mean full?' in command(bench, "pause", "ful").err


def test_a_run_that_succeeds_before_its_rerun_is_sent_is_left_alone(bench: Bench) -> None:
    now = fail(bench, 0, FILE)
    at(bench, now + RAN / 2)
    bench.scheduler.attempt("extract", "own", RunState.SUCCEEDED, now, ended_at=now + RAN / 2)
    bench.poller.poll_once(bench.fence)
    bench.parts.actions.step(bench.fence)
    assert (["refused"], []) == (states(bench), bench.scheduler.acted)


def test_a_request_is_refused_where_its_policy_may_not_send_it_any_more(bench: Bench) -> None:
    config, expired = bench.config, REPAIR_EXPIRY + timedelta(seconds=1)
    ask = {**config.jobs, "fake/extract": replace(config.jobs["fake/extract"], rerun=Safety.ASK)}
    changes: dict[str, Callable[[datetime], object]] = {
        "frozen by mara": lambda _: headway(bench.url, "freeze"),
        "etl-hosts is in shadow": lambda _: headway(bench.url, "shadow", "on", "--system", "fake"),
        'has rerun = "ask": a person decides': lambda _: declare(bench, replace(config, jobs=ask)),
        "policy full is no longer in the config": lambda _: declare(bench, replace(config, declared=Declared())),
        "policy full is in shadow": lambda _: declare(
            bench, replace(config, declared=Declared(policies=(replace(FULL, mode="shadow"),)))
        ),
        "not sent within 10m and abandoned": lambda now: at(bench, now + expired),
    }
    for night, (why, change) in enumerate(changes.items()):
        now = fail(bench, night, FILE)
        change(now)
        bench.parts.actions.step(bench.fence)
        [*_, newest] = sorted(headway(bench.url, "action", "--json").data, key=lambda action: action["requested"])
        assert ("refused", True) == (newest["state"], why.replace("etl-hosts", "fake") in newest["text"]), newest
        headway(bench.url, "freeze", "--off")
        headway(bench.url, "shadow", "off", "--system", "fake")
        declare(bench, config)
    assert [] == bench.scheduler.acted


def test_what_people_did_since_the_decision_is_read_right_before_it_is_sent(bench: Bench) -> None:
    later = "{now} + 3600000000"
    run_id = "(SELECT MAX(run_id) FROM policy_repair)"
    newest, period = "(SELECT MAX(id) FROM incident)", f"(SELECT period_key FROM run WHERE id = {run_id})"
    job_id = f"(SELECT job_id FROM run WHERE id = {run_id})"
    changes = {
        "fake/extract is paused": (
            f"UPDATE job SET paused_since_us = 1 WHERE id = {job_id}",
            "UPDATE job SET paused_since_us = NULL",
        ),
        "polling paused by ben": (
            (f"INSERT INTO switch (name, set_by, at_us, until_us) VALUES ('polling fake', 'ben', 1, {later})"),
            "DELETE FROM switch WHERE name = 'polling fake'",
        ),
        "it is held by ben until": (
            (
                "INSERT INTO hold (key, job_id, state, held_by, until_us) VALUES ('by hand',"
                f" {job_id}, 'placing', 'ben', {later})"
            ),
            "DELETE FROM hold",
        ),
        "an action requested by ben on the same run": (
            (
                "INSERT INTO action (key, verb, job_id, run_id, state, origin, requested_by, requested_us, next_us)"
                f" SELECT 'mine', 'skip', {job_id}, {run_id}, 'requested', 'person', 'ben', {{now}}, {later}"
            ),
            "DELETE FROM action WHERE key = 'mine'",
        ),
        "a plan repairs the run": (
            (
                "INSERT INTO plan (id, key, state, requested_us) VALUES (1, 'k', 'paused', 1); INSERT INTO plan_step"
                f" (id, plan_id, verb, job_id, period_key) SELECT 1, 1, 'rerun', {job_id}, {period}"
            ),
            "DELETE FROM plan_step; DELETE FROM plan",
        ),
        "ben acknowledged INC-": (
            (
                "INSERT INTO acknowledgement (incident_id, made_by, made_us, until_us) VALUES"
                f" ({newest}, 'ben', 1, {later})"
            ),
            "DELETE FROM acknowledgement",
        ),
        "2 repairs of policy full failed": (
            f"UPDATE action SET state = 'failed', unsent = FALSE WHERE run_id <> {run_id} AND run_id >= {run_id} - 2",
            "UPDATE action SET state = 'refused'",
        ),
    }
    for night, (why, (change, undo)) in enumerate(changes.items()):
        now = fail(bench, night, FILE)
        execute(bench, change.format(now=micros(now)))
        assert_refused(bench, why)
        execute(bench, undo)
    patches = MaintenanceWindow("patches", ("fake",), since=now)
    fail(bench, 8, FILE)
    declare(bench, replace(bench.config, declared=Declared(policies=(FULL,), maintenance=(patches,))))
    assert_refused(bench, "in maintenance until")
    declare(bench, bench.config)
    fail(bench, 9, FILE)
    command(bench, "pause", "full")
    command(bench, "resume", "full")
    assert_refused(bench, "policy full was resumed, or its breaker closed, since the request")
    assert [] == bench.scheduler.acted


def execute(bench: Bench, statements: str) -> None:
    with bench.store.write(None) as session:
        for statement in statements.split("; "):
            session.rows(statement)


def assert_refused(bench: Bench, why: str) -> None:
    """The newest request of the policy is not sent, for this reason."""
    bench.parts.actions.step(bench.fence)
    newest = max((action for action in headway(bench.url, "action", "--json").data
                  if action["requested_by"] == "policy full"), key=lambda action: action["requested"])  # fmt: skip
    assert ("refused", True) == (newest["state"], why in newest["text"]), newest


def test_the_request_of_a_person_wins_over_one_of_a_policy_that_is_not_sent_yet(bench: Bench) -> None:
    now = fail(bench, 0, FILE)
    rerun(bench, 1, now)
    by_person, by_policy = sorted(
        headway(bench.url, "action", "--json").data, key=lambda action: str(action["requested_by"])
    )
    assert ("mara", "verified") == (by_person["requested_by"], by_person["state"])
    assert ("policy full", "refused") == (by_policy["requested_by"], by_policy["state"])
    assert [by_person["key"]] == bench.scheduler.acted


def command(bench: Bench, *words: str) -> Done:
    """A command about policies, answered by the engine of the bench, which sends nothing meanwhile."""
    over, answers = threading.Event(), bench.parts.answers
    thread = threading.Thread(target=answers.run, args=(bench.fence, over.is_set))
    thread.start()
    try:
        return headway(bench.url, "policy", *words)
    finally:
        over.set()
        answers.wake.set()
        thread.join()
