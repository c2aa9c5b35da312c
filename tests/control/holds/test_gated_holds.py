"""Holds and triggers by gates and conditions: what is held, in which words, and what releases it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.domain.check import Check, CheckHistory, CheckState, ResultSpan
from console.domain.dependency import DependencyMode, Requirement, UpstreamCondition
from console.domain.estate import DependencyFacts
from console.domain.hold import HoldState
from console.domain.settings import Declared
from tests.control.ledger import ended
from tests.control.stage import DUE, EXTRACT, LOAD, Stage, hold_edge
from tests.factories import NIGHT, at, job
from tests.reasons import why_of, zoned

STOCK = job(3, "etl-hosts/db07:stock", "03:20")


def wants(up: Any = EXTRACT, mode: DependencyMode = DependencyMode.HOLD, **what: Any) -> DependencyFacts:
    return replace(hold_edge(mode, up), wants=Requirement(**what))


def stage(*edges: DependencyFacts, **more: Any) -> Stage:
    result = Stage(*edges, extra=(STOCK,), **more)
    result.when("03:10", lambda: result.extract_ends(RunState.RUNNING, "03:10", "03:20"))
    result.when("03:20", lambda: result.extract_ends(RunState.FAILED, "03:10", "03:20"))
    return result


def either() -> list[DependencyFacts]:
    return [wants(up, gate="1", need=1) for up in (EXTRACT, STOCK)]


def test_a_gate_of_two_holds_until_one_of_them_is_good() -> None:
    night = stage(*either())
    night.when("04:10", lambda: night.run(STOCK, "03:20", RunState.SUCCEEDED, **ended("04:00", 10)))
    night.until("04:05")
    text = f"until any of {EXTRACT.name} and {STOCK.name} is good"
    assert text == zoned(night.hold().text)
    assert why_of(night.state(LOAD, "04:00")) == f"held by Headway {text} (hold {night.hold().key})"
    night.until("05:00")
    [(began, by)] = night.started()
    assert ("headway", True) == (by, at("04:10") <= began <= at("04:15"))


def test_a_gate_of_two_that_is_open_holds_nothing() -> None:
    night = stage(*either())
    night.run(STOCK, "03:20", RunState.SUCCEEDED, **ended("03:20", 10))
    night.until("04:30")
    assert ({}, [(DUE, "clock")]) == (night.held, night.started())


def test_what_waits_for_an_end_is_not_held_by_a_red_upstream() -> None:
    night = stage(wants(condition=UpstreamCondition.COMPLETION))
    night.until("04:30")
    assert ({}, [(DUE, "clock")]) == (night.held, night.started())


def test_what_runs_on_a_failure_is_started_once_when_its_upstream_failed() -> None:
    by_hand = job(2, "warehouse/load", Schedule("none"), target_id=2)
    night = stage(wants(mode=DependencyMode.TRIGGER, condition=UpstreamCondition.FAILURE), load=by_hand)
    night.until("04:30")
    [(began, by)] = night.started()
    assert ("headway", True) == (by, at("03:20") <= began <= at("03:22"))
    assert f"{EXTRACT.name} has failed" == night.hold().why


@pytest.mark.parametrize("good", ["03:40", "04:20"])
def test_what_runs_on_a_failure_is_let_go_and_not_started_once_its_upstream_is_good(good: str) -> None:
    """Good before its instant or after: its own clock does not start it either, and its run is skipped, not missed."""
    night = Stage(wants(condition=UpstreamCondition.FAILURE))
    night.whole = True
    night.when("03:10", lambda: night.extract_ends(RunState.RUNNING, "03:10", good))
    night.when(good, lambda: night.extract_ends(RunState.SUCCEEDED, "03:10", good))
    night.until("04:30")
    text = f"not needed: {EXTRACT.name} has not failed"
    assert (HoldState.RELEASED, text, None) == (night.hold().state, zoned(night.hold().text), night.source.mark)
    assert [] == night.started()
    assert f"{LOAD.name} was released and not started; {text}" in night.events
    run = night.state(LOAD, "04:00")
    assert (RunState.SKIPPED, f"{text} (hold {night.hold().key})") == (run.state, why_of(run))
    night.until("12:30")
    assert ([], ()) == (night.started(), night.estate.incidents)


def test_what_runs_on_one_of_two_failures_waits_for_the_other() -> None:
    edges = [wants(up, condition=UpstreamCondition.FAILURE, gate="1", need=1) for up in (EXTRACT, STOCK)]
    night = Stage(*edges, extra=(STOCK,))
    night.when("03:40", lambda: night.extract_ends(RunState.SUCCEEDED, "03:10", "03:40"))
    night.when("03:20", lambda: night.run(STOCK, "03:20", RunState.RUNNING, started_at=at("03:20")))
    night.when("04:40", lambda: night.run(STOCK, "03:20", RunState.FAILED, **ended("03:20", 80)))
    night.until("04:35")
    assert HoldState.HELD is night.hold().state
    night.until("05:00")
    [(began, by)] = night.started()
    assert ("headway", True) == (by, at("04:40") <= began <= at("04:45"))


def test_what_fails_after_all_while_its_job_is_let_go_is_answered() -> None:
    night = Stage(wants(condition=UpstreamCondition.FAILURE))
    night.when("03:10", lambda: night.extract_ends(RunState.SUCCEEDED, "03:10", "03:40"))
    night.when("04:02", lambda: night.extract_ends(RunState.FAILED, "04:01", "04:02"))
    night.until("04:30")
    [(_, by)] = night.started()
    assert "headway" == by


def test_a_check_holds_until_it_was_seen_to_pass() -> None:
    night = stage(wants(condition=UpstreamCondition.READY, check="file"))
    night.estate = replace(night.estate, declared=Declared(checks=(Check("file", "file", "the file"),)))
    seen = ResultSpan(CheckState.PASSED, at("04:10"), at("04:10"), "is there")

    def looked() -> None:
        facts = {("file", NIGHT): CheckHistory("file", NIGHT, (seen,))}
        night.estate = replace(night.estate, checks=facts)

    night.when("04:10", looked)
    night.until("04:05")
    assert "until check file passes" == zoned(night.hold().text)
    night.until("04:20")
    [(began, _)] = night.started()
    assert timedelta(0) <= began - at("04:10") <= timedelta(minutes=5)
