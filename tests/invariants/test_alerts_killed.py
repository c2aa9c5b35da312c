"""kill -9 on the way of an alert at every named point: it leaves once, or as one marked repeat where the wire was
touched (I1, F1). `tests/crash` does the same to the whole command; this runs on either database."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from console.failpoints import FAILPOINTS
from console.store.queries import open_queries
from tests.deep import one_of_each
from tests.invariants.engines import child, store_of
from tests.invariants.worlds import PATIENT, Alert, Sink, World
from tests.lab.process import wait_until
from tests.messages import REPEAT_TEXT

REPEATED = ("send.after_wire", "send.after_reply", "record.before_commit")
"""Between the wire and the record: only here may the receiver see it twice."""
STEPS = ("poll", "ingest", "evaluate", "outbox", "send", "record")
SELDOM = ("poll.mid_pages", "ingest.mid_batch")
"""Passed only where a poll has several pages, or more records than one transaction takes."""


def step_of(name: str) -> str:
    return name.partition(".")[0]


CRASHES = [name for name in FAILPOINTS if step_of(name) in STEPS and name not in SELDOM]


def failures(folder: Path) -> list[Alert]:
    return Sink(folder).failures("good/extract")


def is_recorded(folder: Path) -> bool:
    with open_queries(store_of(folder)) as reads:
        return reads.link.rows("SELECT count(*), count(*) FILTER (WHERE state = 'sent') FROM delivery") == [(1, 1)]


@pytest.mark.parametrize("name", one_of_each(CRASHES, step_of))
def test_f01_an_alert_leaves_once_whatever_kills_the_engine(tmp_path: Path, name: str) -> None:
    World(tmp_path, "good").fail("extract")
    with child(tmp_path, "armed", f"{name}:kill") as armed:
        assert -signal.SIGKILL == armed.ended(), f"{name} was never reached"
    with child(tmp_path):
        wait_until(lambda: bool(failures(tmp_path)) and is_recorded(tmp_path), "the alert and its record")
    marked = [alert.body.startswith(REPEAT_TEXT) for alert in failures(tmp_path)]
    assert [False, True][: 2 if name in REPEATED else 1] == marked
    assert 1 == len(Counter(alert.body.removeprefix(REPEAT_TEXT) for alert in failures(tmp_path)))


def is_held(folder: Path) -> bool:
    with open_queries(store_of(folder)) as reads:
        return ["wait"] == [suppression.stage for suppression in reads.alerts.suppressed()]


def hold_back_and_die(folder: Path) -> None:
    """The engine that holds the notification back is killed; the next one has no reason to."""
    (folder / PATIENT).touch()
    World(folder, "good").fail("extract")
    with child(folder, "first") as first:
        wait_until(lambda: is_held(folder), "a notice that is held back")
        os.kill(first.pid, signal.SIGKILL)
        assert -signal.SIGKILL == first.ended()
    assert [] == failures(folder)
    (folder / PATIENT).unlink()


def test_f01_a_suppressed_notification_is_sent_once_though_the_engine_dies_meanwhile(tmp_path: Path) -> None:
    hold_back_and_die(tmp_path)
    with child(tmp_path):
        wait_until(lambda: bool(failures(tmp_path)) and is_recorded(tmp_path), "the alert and its record")
    assert [False] == [alert.body.startswith(REPEAT_TEXT) for alert in failures(tmp_path)]
    with open_queries(store_of(tmp_path)) as reads:
        assert [("wait", "notified")] == [
            (suppression.stage, suppression.ended_why) for suppression in reads.incidents.incident(1).suppressed
        ]


@pytest.mark.parametrize(
    "name", one_of_each([crash for crash in CRASHES if step_of(crash) in ("outbox", "send", "record")], step_of)
)
def test_f01_what_was_held_back_leaves_once_whatever_kills_the_engine_then(tmp_path: Path, name: str) -> None:
    hold_back_and_die(tmp_path)
    with child(tmp_path, "armed", f"{name}:kill") as armed:
        assert -signal.SIGKILL == armed.ended(), f"{name} was never reached"
    with child(tmp_path):
        wait_until(lambda: bool(failures(tmp_path)) and is_recorded(tmp_path), "the alert and its record")
    marked = [alert.body.startswith(REPEAT_TEXT) for alert in failures(tmp_path)]
    assert [False, True][: 2 if name in REPEATED else 1] == marked
