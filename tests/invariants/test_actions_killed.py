"""kill -9 around an action at every named point: it reaches its scheduler at most once for each approval, and ends
verified, or failed after a look-up that proves it never arrived (I2, F2). Nothing is sent twice.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.secrets import SecretStore
from console.domain.ids import new_action_key
from console.engine.actions.verification import never_arrived
from console.engine.api.client import EngineClient
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.engine import WAITS_FOR_LEASE
from console.failpoints import FAILPOINTS
from console.store.db import lease
from console.store.db.lease import HeldLease
from console.store.queries import open_queries
from tests.action_requests import rerun_of
from tests.deep import one_of_each
from tests.engine.bench import poll_all, wait_until_sent
from tests.invariants.engines import LEASE_SECONDS, child, store_of
from tests.invariants.worlds import Sink, World, config_of
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.store.ready import open_ready

VERIFIED, NEVER_SENT = (1, "verified"), (0, "failed")
ENDS = {
    "action.requested": VERIFIED,
    "action.intent_committed": NEVER_SENT,
    "action.before_wire": NEVER_SENT,
    "action.after_wire": VERIFIED,
    "action.after_reply": VERIFIED,
    "action.before_verify": VERIFIED,
    "action.verified": VERIFIED,
}


@pytest.fixture
def approved_rerun(tmp_path: Path) -> str:
    """`extract` has failed, everybody was notified, a person approved its rerun, and no engine works; the action's
    key."""
    world, sink = World(tmp_path, "good"), Sink(tmp_path)
    world.fail("extract")
    store = open_ready(store_of(tmp_path))
    got = lease.acquire_lease(store, "test", 60)
    assert isinstance(got, HeldLease)
    parts = EngineAssembly(config_of(tmp_path, world), store, SecretStore(), sink)
    parts.begin(got.fence)
    poll_all(parts, got.fence)
    parts.evaluator.step(got.fence)
    parts.outbox.step(got.fence)
    wait_until_sent(parts.outbox)
    key = approve(parts, got.fence, store.url)
    lease.release_lease(store, got)
    parts.finish()
    store.close()
    return key


def approve(parts: EngineAssembly, fence: int, url: str) -> str:
    requests, key = EngineClient(url), new_action_key()
    with open_queries(url) as reads:
        run_id = reads.incidents.incident(1).row.root_run_id
    assert run_id is not None
    question = requests.preview(rerun_of(run_id))
    parts.answers.step(fence)
    requests.act(rerun_of(run_id, requests.wait(question, HANGS_SECONDS).data), key)
    return key


def action(folder: Path, key: str) -> Any:
    with open_queries(store_of(folder)) as reads:
        return next(action for action in reads.actions.list_actions() if action.key == key)


def test_every_point_of_an_action_has_its_expected_end() -> None:
    assert [name for name in FAILPOINTS if name.startswith("action.")] == list(ENDS)


@pytest.mark.parametrize("name", one_of_each(ENDS, ENDS.get))
def test_f02_an_action_reaches_its_scheduler_at_most_once_whatever_kills_the_engine(
    tmp_path: Path, approved_rerun: str, name: str
) -> None:
    world = World(tmp_path, "good")
    with child(tmp_path, "armed", f"{name}:kill") as armed:
        assert -signal.SIGKILL == armed.ended(), f"{name} was never reached"
    with child(tmp_path):
        wait_until(lambda: action(tmp_path, approved_rerun).ended is not None, "the action's end")
    assert ENDS[name] == (len(world.sent), action(tmp_path, approved_rerun).state)
    assert len(world.sent) <= 1


def test_f02_killed_again_and_again_it_is_still_sent_once(tmp_path: Path, approved_rerun: str) -> None:
    for name in ("action.after_wire", "action.before_verify", "action.before_verify"):
        with child(tmp_path, f"armed {name}", f"{name}:kill") as armed:
            assert -signal.SIGKILL == armed.ended(), f"{name} was never reached"
    with child(tmp_path):
        wait_until(lambda: action(tmp_path, approved_rerun).ended is not None, "the action's end")
    assert ([approved_rerun], "verified") == (World(tmp_path, "good").sent, action(tmp_path, approved_rerun).state)


@pytest.mark.parametrize("passage", one_of_each([1, 2, 3], type))
def test_f02_a_kill_before_a_row_of_the_audit_loses_neither_the_row_nor_the_action(
    tmp_path: Path, approved_rerun: str, passage: int
) -> None:
    """The row and the change are one: the intent, what came back, the outcome."""
    with child(tmp_path, "armed", f"audit.before_append:kill:{passage}") as armed:
        assert -signal.SIGKILL == armed.ended(), "it was never reached"
    with child(tmp_path):
        wait_until(lambda: action(tmp_path, approved_rerun).ended is not None, "the action's end")
    assert VERIFIED == (len(World(tmp_path, "good").sent), action(tmp_path, approved_rerun).state)
    with open_queries(store_of(tmp_path)) as reads:
        verbs = [row.verb for row in reads.audit.list_entries() if row.detail.get("key") == approved_rerun]
        assert None is reads.audit.verify_audit().bad
    assert ["request rerun", "send rerun"] == verbs[:2]
    assert ("verified rerun", 1) == (verbs[-1], verbs.count("send rerun"))


def test_f04_an_engine_stopped_just_before_the_wire_sends_nothing_when_it_comes_back(
    tmp_path: Path, approved_rerun: str
) -> None:
    """Meanwhile another engine has looked the action up and reported that it never arrived."""
    with child(tmp_path, "first", "action.before_wire:stop", lease=LEASE_SECONDS) as first:
        wait_until(lambda: first.is_stopped, "the first engine to stop before the wire")
        with child(tmp_path, "second") as second:
            wait_until(lambda: action(tmp_path, approved_rerun).ended is not None, "the look-up of the second")
            assert "failed" == action(tmp_path, approved_rerun).state
            # on a shared store the shard, and with it the action, comes before the lease
            wait_until(lambda: "working" in second.events(), "the second to have the lease")
            first.signal(signal.SIGCONT)
            wait_until(lambda: WAITS_FOR_LEASE in first.events(), "the first to stand by")
    assert ([], "failed") == (World(tmp_path, "good").sent, action(tmp_path, approved_rerun).state)


def test_f02_a_first_write_that_lands_after_the_lookup_stays_the_only_one(tmp_path: Path, approved_rerun: str) -> None:
    """A request in the socket of a proxy is proved absent, and lands then: so nothing is sent again by itself."""
    world = World(tmp_path, "good")
    with child(tmp_path, "armed", "action.before_wire:kill") as armed:
        assert -signal.SIGKILL == armed.ended()
    with child(tmp_path):
        wait_until(lambda: action(tmp_path, approved_rerun).ended is not None, "the look-up")
        world.act(approved_rerun)
        wait_until(lambda: was_polled(tmp_path, approved_rerun), "the run that landed late to be seen")
        wait_until(
            lambda: ": rerun: it never arrived: rerun good/extract [INC-0001]" in action_report(tmp_path),
            "the alert",
        )
    assert ([approved_rerun], "failed") == (world.sent, action(tmp_path, approved_rerun).state)
    assert 1 == action_report(tmp_path).count("it never arrived")


def action_report(folder: Path) -> str:
    return "\n".join(alert.title for alert in Sink(folder).got)


def was_polled(folder: Path, key: str) -> bool:
    """Whether an attempt with this key was polled."""
    with open_queries(store_of(folder)) as reads:
        run_id = action(folder, key).run_id
        return run_id is not None and any(attempt.action_key == key for attempt in reads.runs.run(run_id).attempts)


def test_a_person_reads_why_it_failed_and_that_requesting_again_sends_it(tmp_path: Path, approved_rerun: str) -> None:
    with child(tmp_path, "armed", "action.intent_committed:kill") as armed:
        assert -signal.SIGKILL == armed.ended()
    with child(tmp_path):
        wait_until(lambda: action(tmp_path, approved_rerun).ended is not None, "the action's end")
    assert never_arrived("").text == action(tmp_path, approved_rerun).text
    assert json.dumps(approved_rerun) not in (tmp_path / "alerts").read_text()
