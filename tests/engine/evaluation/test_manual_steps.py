"""A step that a person completes, from the moment it waits to the moment its service is delivered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.manual.connector import CONNECTOR, ManualConnector
from connectors.manual.options import ManualOptions
from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.config.sections import DependencySettings, SystemConfig
from console.domain.run import RunRow
from console.domain.settings import JobSetting
from console.engine.api.action_request import AlreadyRequested
from console.engine.api.client import EngineClient
from tests.cli.test_recover import at_work
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway

STEP = "people/sign_off"


@dataclass
class ManualStepBench:
    """A bench with one manual step after `load`, that begins to wait at `at`."""

    bench: Bench
    at: datetime
    now: datetime

    def poll(self, now: datetime) -> None:
        self.now = now
        next(poller for name, poller in self.bench.parts.pollers.items() if poller.name.startswith("people")).poll_once(
            self.bench.fence
        )
        self.bench.turn()

    def run(self) -> RunRow:
        with self.bench.reads() as reads:
            return next(run for run in reads.jobs.job(STEP).runs if run.attempts)

    def say(self, *arguments: str) -> tuple[int, str]:
        with at_work(self.bench):
            done = headway(
                self.bench.url, "action", "complete", *arguments, "--timeout", "60"
            )  # it ends as soon as it is done
        self.bench.turn()
        return done.code, done.out + done.err


@pytest.fixture
def manual_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManualStepBench]:
    monkeypatch.setattr("console.store.access.os_user", lambda: "ann")
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    at = (datetime.now(UTC) - timedelta(minutes=3)).replace(second=0, microsecond=0)
    options = ManualOptions.model_validate({"steps": {"sign_off": {"at": f"{at:%H:%M}", "remind_after": "1m"}}})
    made: list[ManualStepBench] = []
    kind = replace(CONNECTOR, open=lambda _o, _t, _s: ManualConnector(options, lambda: made[0].now))
    # so seldom that however slow the machine, what was polled is not stale before the test has looked
    settings = config.systems["fake"].settings.model_copy(update={"kind": "manual", "poll_every": timedelta(hours=1)})
    people = SystemConfig("people", settings, kind, options)
    service = replace(config.services["supply"], delivered_by=(STEP,))
    config = replace(
        config,
        systems={**config.systems, "people": people},
        jobs={**config.jobs, STEP: JobSetting(STEP, owner="team", notify=("oncall",))},
        dependencies=(*config.dependencies, DependencySettings(upstream="fake/load", downstream=STEP)),
        services={"supply": service},
    )
    with running_bench(tmp_path, scheduler, config) as bench:
        made.append(ManualStepBench(bench, at, at - timedelta(minutes=1)))
        made[0].poll(at - timedelta(minutes=1))
        yield made[0]


def test_a_step_waits_for_a_person_and_is_completed_by_them(manual_bench: ManualStepBench) -> None:
    manual_bench.poll(manual_bench.at)
    assert (RunState.WAITING, ("approval",)) == (RunState(manual_bench.run().state), manual_bench.run().reason)
    listed = headway(manual_bench.bench.url, "action", "complete", "--json").data
    assert [(STEP, "waiting")] == [(item["step"], item["state"]) for item in listed]
    code, text = manual_bench.say("sign_off", "--note", "figures agree")
    assert Exit.OK == code, text
    assert ("succeeded", "asserted") == (manual_bench.run().state, manual_bench.run().evidence)
    data = headway(manual_bench.bench.url, "audit", "--json").data
    assert ("ann", "figures agree") in [
        (item["actor"], item["why"]) for item in data if item["verb"] == "request mark_ok"
    ]
    assert [] == headway(manual_bench.bench.url, "action", "complete", "--json").data


def test_a_step_that_is_not_done_after_all_waits_again(manual_bench: ManualStepBench) -> None:
    manual_bench.poll(manual_bench.at)
    manual_bench.say("sign_off")
    code, text = manual_bench.say("sign_off", "--undo", "--note", "wrong month")
    assert Exit.OK == code, text
    manual_bench.poll(manual_bench.at)
    assert ("waiting", ("approval",)) == (manual_bench.run().state, manual_bench.run().reason)
    data = headway(manual_bench.bench.url, "audit", "--json").data
    assert ("undo completion", "ann", "wrong month") in [(item["verb"], item["actor"], item["why"]) for item in data]
    code, text = manual_bench.say("sign_off", "--undo")
    assert (Exit.NOT_FOUND, True) == (code, "has no completed run" in text)
    assert Exit.OK == manual_bench.say("sign_off")[0]
    assert "succeeded" == manual_bench.run().state


def test_a_step_not_completed_in_time_is_notified_to_its_owner_and_ends_with_their_completion(
    manual_bench: ManualStepBench,
) -> None:
    manual_bench.poll(manual_bench.at)
    assert [] == manual_bench.bench.sink.got
    manual_bench.poll(manual_bench.at + timedelta(minutes=2))
    assert "timed_out" == manual_bench.run().state
    [(_, title, body)] = manual_bench.bench.sink.got
    assert "sign_off" in title
    assert "it is not completed yet" in body
    assert Exit.OK == manual_bench.say("sign_off")[0]
    assert "succeeded" == manual_bench.run().state


def test_a_step_is_notified_with_one_document_and_its_outcome(
    manual_bench: ManualStepBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal is not hidden by a document that marks the step as done."""
    manual_bench.poll(manual_bench.at)
    with at_work(manual_bench.bench):
        done = headway(manual_bench.bench.url, "action", "complete", "sign_off", "--json", "--timeout", "60")
        assert (Exit.OK, True) == (done.code, done.data["done"])
        assert not headway(manual_bench.bench.url, "action", "complete", "sign_off", "--undo", "--json").data["done"]
        with monkeypatch.context() as refusing:
            refusing.setattr(EngineClient, "act", refuse)
            again = headway(manual_bench.bench.url, "action", "complete", "sign_off", "--json")
    assert (Exit.REFUSED, "bob asked for it already") == (again.code, again.data["error"]["message"])


def test_a_step_completed_on_stale_data_says_how_to_complete_it_again(manual_bench: ManualStepBench) -> None:
    """The plan of the incident says "headway action complete STEP", which only said that it waits for nobody."""
    manual_bench.poll(manual_bench.at)
    assert Exit.OK == manual_bench.say("sign_off")[0]
    code, text = manual_bench.say("sign_off")
    assert (Exit.NOT_FOUND, True) == (code, "use --undo first" in text)


def test_a_step_whose_upstream_is_red_is_done_only_by_who_wants_that_all_the_same(
    manual_bench: ManualStepBench,
) -> None:
    """It was completed without a word of what it builds on."""
    manual_bench.bench.scheduler.attempt(
        "load", "k1", RunState.FAILED, manual_bench.at - timedelta(minutes=2), reason="exit 1"
    )
    manual_bench.bench.poller.poll_once(manual_bench.bench.fence)
    manual_bench.poll(manual_bench.at)
    code, text = manual_bench.say("sign_off")
    assert (Exit.REFUSED, "waiting") == (code, manual_bench.run().state), text
    assert "upstream not satisfied: fake/load is failed" in text
    assert "--anyway completes it regardless" in text
    code, text = manual_bench.say("sign_off", "--anyway")
    assert (Exit.OK, "succeeded") == (code, manual_bench.run().state), text
    assert "fake/load is failed" in text


def refuse(*_: object) -> None:
    raise AlreadyRequested("bob asked for it already")


def test_a_job_of_a_scheduler_is_no_manual_step(manual_bench: ManualStepBench) -> None:
    code, text = manual_bench.say("fake/load")
    assert (Exit.USAGE, True) == (code, "is not a manual step" in text)
