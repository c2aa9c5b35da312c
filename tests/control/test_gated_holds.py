"""Holds and triggers by gates and conditions: what is held, in which words, and what lets it go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from connectors.contract import Schedule, State
from console.model.checks import Check, CheckFacts, CheckState, Stretch
from console.model.declared import Declared
from console.model.values import DependencyFacts
from console.model.wants import Condition, Wants
from console.model.words import Mode
from tests.control.ledger import ended
from tests.control.stage import DUE, EXTRACT, LOAD, Stage, hold_edge
from tests.factories import NIGHT, at, job

STOCK = job(3, "etl-hosts/db07:stock", "03:20")


def wants(up: Any = EXTRACT, mode: Mode = Mode.HOLD, **what: Any) -> DependencyFacts:
    return replace(hold_edge(mode, up), wants=Wants(**what))


def stage(*edges: DependencyFacts, **more: Any) -> Stage:
    found = Stage(*edges, extra=(STOCK,), **more)
    found.when("03:10", lambda: found.extract_ends(State.RUNNING, "03:10", "03:20"))
    found.when("03:20", lambda: found.extract_ends(State.FAILED, "03:10", "03:20"))
    return found


def either() -> list[DependencyFacts]:
    return [wants(up, gate="1", need=1) for up in (EXTRACT, STOCK)]


def test_a_gate_of_two_holds_until_one_of_them_is_good() -> None:
    night = stage(*either())
    night.when("04:10", lambda: night.run(STOCK, "03:20", State.SUCCEEDED, **ended("04:00", 10)))
    night.until("04:05")
    words = f"until any of {EXTRACT.name} and {STOCK.name} is good"
    assert words == night.hold().words
    assert night.state(LOAD, "04:00").reason == f"held by Headway {words} (hold {night.hold().key})"
    night.until("05:00")
    [(began, by)] = night.started()
    assert ("headway", True) == (by, at("04:10") <= began <= at("04:15"))


def test_a_gate_of_two_that_is_open_holds_nothing() -> None:
    night = stage(*either())
    night.run(STOCK, "03:20", State.SUCCEEDED, **ended("03:20", 10))
    night.until("04:30")
    assert ({}, [(DUE, "clock")]) == (night.held, night.started())


def test_what_waits_for_an_end_is_not_held_by_a_red_upstream() -> None:
    night = stage(wants(condition=Condition.COMPLETION))
    night.until("04:30")
    assert ({}, [(DUE, "clock")]) == (night.held, night.started())


def test_what_runs_on_a_failure_is_started_once_when_its_upstream_failed() -> None:
    by_hand = job(2, "warehouse/load", Schedule("none"), target_id=2)
    night = stage(wants(mode=Mode.TRIGGER, condition=Condition.FAILURE), load=by_hand)
    night.until("04:30")
    [(began, by)] = night.started()
    assert ("headway", True) == (by, at("03:20") <= began <= at("03:22"))
    assert f"{EXTRACT.name} has failed" == night.hold().why


def test_a_check_holds_until_it_was_seen_to_pass() -> None:
    night = stage(wants(condition=Condition.READY, check="file"))
    night.estate = replace(night.estate, declared=Declared(checks=(Check("file", "file", "the file"),)))
    seen = Stretch(CheckState.PASSED, at("04:10"), at("04:10"), "is there")

    def looked() -> None:
        facts = {("file", NIGHT): CheckFacts("file", NIGHT, (seen,))}
        night.estate = replace(night.estate, checks=facts)

    night.when("04:10", looked)
    night.until("04:05")
    assert "until check file passes" == night.hold().words
    night.until("04:20")
    [(began, _)] = night.started()
    assert timedelta(0) <= began - at("04:10") <= timedelta(minutes=5)
