"""The page of one thing as `name: value`: for who listens, a column made of room is no column."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import State, Verb
from console.cli.plain import named
from console.engine.wishes import Wish
from console.model.ids import new_action_key
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.hostile.commands import headway

__all__ = ["bench"]

PAGES = {
    "job fake/extract": ("timeliness: ", "evidence: this source proves: ", "next: ", "run: "),
    "incident 1": ("services hurt", "opened: ", "| "),
    "services supply": ("service: Supply plan", "tier: ", "deadline: ", "owner: ", "why: "),
    "systems fake": ("kind: ", "polled: ", "jobs: 2"),
    "actions KEY": ("asked by: ", "why: a bad file", "key: headway-"),
}


@pytest.fixture
def night(bench: Bench) -> tuple[Bench, str]:
    bench.scheduler.attempt("extract", "a1", State.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="exit 1")
    bench.turn()
    shown = {"verb": "run again", "words": "run it again", "scope": "1 run", "native_calls": ["POST /again"]}
    key = new_action_key()
    bench.requests().act(Wish(Verb.RERUN, 1, preview=shown, why="a bad file"), key)
    return bench, key


@pytest.mark.parametrize("line", PAGES)
def test_every_page_of_one_thing_is_told_a_fact_a_line(
    night: tuple[Bench, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, key = night
    words = line.replace("KEY", key).split()
    columns, told = headway(bench.url, *words), headway(bench.url, *words, "--plain")
    assert columns.code == told.code
    assert "  " in columns.out
    assert [] == [one for one in told.out.splitlines() if re.search(r"\S {2,}|^ ", one) and not one.startswith("|")]
    told_lines = told.out.splitlines()
    assert [] == [fact for fact in PAGES[line] if not any(one.startswith(fact) for one in told_lines)], told.out
    assert "–" not in [one.partition(": ")[2] for one in told_lines]
    monkeypatch.setenv("HEADWAY_PLAIN", "1")
    assert without_ages(told.out) == without_ages(headway(bench.url, *words).out)


def without_ages(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def test_what_a_source_said_is_left_as_it_is() -> None:
    lines = ["owner       data-platform", "runbook     –", "  | owner    of  the log", "etl/db07:x  failed", ""]
    assert ["owner: data-platform", "runbook: none", "| owner    of  the log", "etl/db07:x, failed", ""] == list(
        named(lines)
    )


def test_room_behind_a_stop_is_no_second_fact() -> None:
    assert ["ERROR: division by zero", "A, b"] == list(named(["ERROR:  division by zero", "A   b"]))
