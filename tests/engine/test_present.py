"""Who else looks at an incident: told by each console while it shows it, over a minute after its last word."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import State
from console.engine.requests import Requests
from console.model.ids import micros
from console.store import asker, permissions, presence
from console.store.reads.holders import holder_name
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.present import present

__all__ = ["bench"]


@pytest.fixture
def red(bench: Bench) -> Bench:
    """One incident."""
    bench.scheduler.attempt("extract", "a1", State.FAILED, present() - timedelta(minutes=1), message="exit 1")
    bench.turn()
    return bench


def tell(bench: Bench, console: str, incident_id: int | None, person: str = "mara", ago: float = 0) -> None:
    with asker.transaction(bench.url) as run:
        at = micros(datetime.now(UTC) - timedelta(seconds=ago))
        presence.tell(run, console, incident_id, person, "10.0.0.7", at)


def seen(bench: Bench) -> list[str]:
    return [one.person for one in bench.reads().incident(1).row.lookers]


def test_a_console_is_seen_in_the_list_and_at_the_incident_under_the_name_that_actions_carry(red: Bench) -> None:
    Requests(red.url).present(1)
    assert [permissions.os_user()] == seen(red)
    assert [1] == [len(one.lookers) for one in red.reads().incidents() if one.id == 1]
    Requests(red.url).present(None)
    assert [] == seen(red)


def test_who_has_it_open_the_longest_stands_first_and_keeps_the_time_since_when(red: Bench) -> None:
    tell(red, "a:1", 1, "mara", ago=50)
    tell(red, "b:2", 1, "noor", ago=20)
    tell(red, "a:1", 1, "mara", ago=5)
    [mara, noor] = red.reads().incident(1).row.lookers
    assert (("mara", 50), ("noor", 20)) == ((mara.person, _ago(mara.since)), (noor.person, _ago(noor.since)))
    assert 5 == _ago(mara.seen)


def _ago(at: datetime) -> int:
    return round((datetime.now(UTC) - at).total_seconds() / 5) * 5


def test_a_console_without_a_word_for_a_minute_is_over_and_begins_anew(red: Bench) -> None:
    tell(red, "a:1", 1, ago=61)
    assert [] == seen(red)
    tell(red, "a:1", 1)
    assert [0] == [_ago(one.since) for one in red.reads().incident(1).row.lookers]


def test_a_console_of_this_machine_that_has_ended_is_gone_at_once(red: Bench) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    here = holder_name()
    tell(red, here, 1, "mara")
    tell(red, here.replace(f":{os.getpid()}~", f":{ended.pid}~"), 1, "noor")
    assert ["mara"] == seen(red)


def test_one_that_goes_to_another_incident_has_left_the_first(red: Bench) -> None:
    tell(red, "a:1", 1, ago=30)
    tell(red, "a:1", 2)
    assert [] == seen(red)
    tell(red, "a:1", 1)
    assert [0] == [_ago(one.since) for one in red.reads().incident(1).row.lookers]


def test_what_was_over_long_ago_is_removed_by_the_engine(red: Bench) -> None:
    tell(red, "a:1", 1, ago=1000)
    tell(red, "b:2", 1)
    red.parts.answers.step(red.fence)
    with asker.transaction(red.url, writes=False) as run:
        assert [("b:2",)] == [tuple(row) for row in run("SELECT console FROM presence", ())]
