"""kill -9 around a plan at every named point: it continues at its step, and no step is sent twice for one approval."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from connectors.sdk.secrets import SecretStore
from console.domain.ids import new_action_key
from console.domain.plan import PlanDraft, PlanView
from console.domain.request import RequestKind
from console.engine.api.client import EngineClient
from console.engine.api.requests import ProposeRecovery
from console.engine.supervisor.assembly import EngineAssembly
from console.failpoints import FAILPOINTS
from console.store.db import lease
from console.store.db.lease import HeldLease
from console.store.queries import open_queries
from tests.deep import one_of_each
from tests.engine.bench import poll_all
from tests.invariants.engines import child, store_of
from tests.invariants.worlds import Sink, World, config_of
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.store.ready import open_ready

GOES_ON, STOPS = "done", "stopped"
ENDS = {
    "plan.before_step": GOES_ON,
    "plan.after_step": GOES_ON,
    "action.requested": GOES_ON,
    "action.intent_committed": STOPS,
    "action.before_wire": STOPS,
    "action.after_wire": GOES_ON,
    "action.after_reply": GOES_ON,
    "action.before_verify": GOES_ON,
    "action.verified": GOES_ON,
}
"""Where nobody can prove that it left, it is looked up; proved absent, a person is asked before it is sent again."""


@pytest.fixture
def planned(tmp_path: Path) -> str:
    """extract and load have failed, a plan for both was approved, and no engine works; the store's URL."""
    return approved_plan(tmp_path)


def approved_plan(folder: Path) -> str:
    """The same in any folder."""
    world, sink = World(folder, "good"), Sink(folder)
    world.fail("extract")
    world.fail("load", "b1")
    url = store_of(folder)
    store = open_ready(url)
    got = lease.acquire_lease(store, "test", 60)
    assert isinstance(got, HeldLease)
    parts = EngineAssembly(config_of(folder, world), store, SecretStore(), sink)
    parts.begin(got.fence)
    poll_all(parts, got.fence)
    parts.evaluator.step(got.fence)
    requests = EngineClient(url)
    question = requests.ask(ProposeRecovery(1))
    parts.answers.step(got.fence)
    draft = PlanDraft.read(requests.wait(question, HANGS_SECONDS).data)
    assert ["good/extract", "good/load"] == [step.job for step in draft.steps]
    requests.start_plan(draft, new_action_key(), "the disk was full")
    lease.release_lease(store, got)
    parts.finish()
    store.close()
    return url


def plan(url: str) -> PlanView:
    with open_queries(url) as reads:
        return reads.plans.plan(1)


def ended(folder: Path, url: str, name: str) -> PlanView:
    """The plan, once an engine has worked on it until it went no further."""
    with child(folder, name):
        wait_until(lambda: plan(url).state != "running", "the plan's end")
    return plan(url)


def test_every_point_of_a_plan_has_its_expected_end() -> None:
    assert [name for name in FAILPOINTS if name.startswith(("action.", "plan."))] == [*list(ENDS)[2:], *list(ENDS)[:2]]


@pytest.mark.parametrize("name", one_of_each(ENDS, ENDS.get))
def test_f02_a_plan_goes_on_whatever_kills_the_engine_and_sends_no_step_twice(
    tmp_path: Path, planned: str, name: str
) -> None:
    world = World(tmp_path, "good")
    with child(tmp_path, "armed", f"{name}:kill") as armed:
        assert -signal.SIGKILL == armed.ended(), f"{name} was never reached"
    plan_view = ended(tmp_path, planned, "next")
    assert ENDS[name] == plan_view.state, plan_view
    if ENDS[name] == STOPS:
        assert_a_person_was_notified(tmp_path)
        assert ([], "failed", "planned") == (world.sent, *(step.state for step in plan_view.steps))
        EngineClient(planned).steer_plan(1, RequestKind.RESUME_PLAN)
        assert GOES_ON == ended(tmp_path, planned, "resumed").state
    assert ["extract", "load"] == world.sent_jobs
    assert len(world.sent) == len(set(world.sent))


def assert_a_person_was_notified(folder: Path) -> None:
    """That the plan stopped and why, once, whichever engine it was."""
    with child(folder, "teller"):
        wait_until(lambda: sent_alerts(folder), "the alert")
    [(title, body)] = sent_alerts(folder)
    assert title.endswith(": plan 1 stopped: headway plan resume 1 [INC-0001]")
    text = re.sub(r"\ADelayed by \d+ min\.\n\n", "", body)  # by a busy machine
    assert re.match(r"  \| step 1, good/extract extract@[\d-]+: looked up: it never arrived\.", text)


def sent_alerts(folder: Path) -> list[tuple[str, str]]:
    return [(alert.title, alert.body) for alert in Sink(folder).got if "plan 1 stopped" in alert.title.lower()]


@pytest.mark.parametrize("name", one_of_each(["plan.before_step", "plan.after_step"], ENDS.get))
def test_f02_killed_at_its_second_step_a_plan_does_not_repeat_its_first(
    tmp_path: Path, planned: str, name: str
) -> None:
    with child(tmp_path, "armed", f"{name}:kill:2") as armed:
        assert -signal.SIGKILL == armed.ended(), f"{name} was never reached a second time"
    assert "verified" == plan(planned).steps[0].state
    assert GOES_ON == ended(tmp_path, planned, "next").state
    assert ["extract", "load"] == World(tmp_path, "good").sent_jobs
