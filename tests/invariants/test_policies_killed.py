"""kill -9 between the decision of a policy and the outcome of its rerun: the failure is rerun once, under the name of
the policy, and notified once if the rerun fails."""

from __future__ import annotations

import signal
from pathlib import Path

from console.store.queries import open_queries
from tests.invariants.engines import child, store_of
from tests.invariants.worlds import REPAIRING, RERUNS_FAIL, Sink, World
from tests.lab.process import wait_until

POINTS = ("policy.recorded", "action.requested", "action.after_wire", "action.before_verify")


def ended(folder: Path) -> list[tuple[str, str]]:
    with open_queries(store_of(folder)) as reads:
        return [(view.requested_by, view.state) for view in reads.actions.list_actions() if view.ended is not None]


def test_a_failure_is_rerun_once_by_its_policy_whatever_kills_the_engine(tmp_path: Path) -> None:
    (tmp_path / REPAIRING).touch()
    world = World(tmp_path, "good")
    world.fail("extract")
    for point in POINTS:
        with child(tmp_path, f"armed {point}", f"{point}:kill") as armed:
            assert -signal.SIGKILL == armed.ended(), f"{point} was never reached"
    assert 1 == len(world.sent)
    with child(tmp_path):
        wait_until(lambda: bool(ended(tmp_path)), "the end of the rerun")
    assert ([("policy all", "verified")], ["extract"]) == (ended(tmp_path), world.sent_jobs)
    with open_queries(store_of(tmp_path)) as reads:
        entries = [row for row in reads.audit.list_entries() if row.detail.get("key") == world.sent[0]]
    verbs = [row.verb for row in entries]
    assert (["request rerun", "send rerun"], "verified rerun", 1) == (verbs[:2], verbs[-1], verbs.count("send rerun"))
    assert "policy all" == entries[0].actor
    assert [] == Sink(tmp_path).got


def test_a_failed_repair_is_notified_once_whatever_kills_the_engine(tmp_path: Path) -> None:
    for name in (REPAIRING, RERUNS_FAIL):
        (tmp_path / name).touch()
    World(tmp_path, "good").fail("extract")
    for point in POINTS:
        with child(tmp_path, f"armed {point}", f"{point}:kill") as armed:
            assert -signal.SIGKILL == armed.ended(), f"{point} was never reached"
        assert [] == Sink(tmp_path).got, point
    with child(tmp_path):
        wait_until(lambda: bool(Sink(tmp_path).got), "its notification")
    assert ([("policy all", "failed")], 1) == (ended(tmp_path), len(Sink(tmp_path).got))
