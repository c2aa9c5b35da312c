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
from console.config.sections import DependencySettings, JobSettings, ServiceSettings, SystemConfig
from console.domain.run import RunRow
from console.engine.api.action_request import AlreadyRequested
from console.engine.api.client import EngineClient
from tests.cli.test_recover import at_work
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway

STEP = "people/sign_off"


@dataclass
class Desk:
    """A bench with one manual step after `load`, that begins to wait at `at`."""

    bench: Bench
    at: datetime
    now: datetime

    def poll(self, now: datetime) -> None:
        self.now = now
        next(one for name, one in self.bench.parts.pollers.items() if one.name.startswith("people")).poll_once(
            self.bench.fence
        )
        self.bench.turn()

    def run(self) -> RunRow:
        with self.bench.reads() as reads:
            return next(one for one in reads.jobs.job(STEP).runs if one.attempts)

    def say(self, *words: str) -> tuple[int, str]:
        with at_work(self.bench):
            done = headway(
                self.bench.url, "action", "complete", *words, "--timeout", "60"
            )  # it ends as soon as it is done
        self.bench.turn()
        return done.code, done.out + done.err


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("console.store.access.os_user", lambda: "ann")
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config = estate_config(tmp_path, scheduler)
    at = (datetime.now(UTC) - timedelta(minutes=3)).replace(second=0, microsecond=0)
    options = ManualOptions.model_validate({"steps": {"sign_off": {"at": f"{at:%H:%M}", "remind_after": "1m"}}})
    made: list[Desk] = []
    kind = replace(CONNECTOR, open=lambda _o, _t, _s: ManualConnector(options, lambda: made[0].now))
    # so seldom that however slow the machine, what was polled is not stale before the test has looked
    settings = config.systems["fake"].settings.model_copy(update={"kind": "manual", "poll_every": timedelta(hours=1)})
    people = SystemConfig("people", settings, kind, options)
    service: ServiceSettings = config.services["supply"].model_copy(update={"delivered_by": (STEP,)})
    config = replace(
        config,
        systems={**config.systems, "people": people},
        jobs={**config.jobs, STEP: JobSettings(owner="team", notify=("oncall",))},
        dependencies=(*config.dependencies, DependencySettings(upstream="fake/load", downstream=STEP)),
        services={"supply": service},
    )
    with running_bench(tmp_path, scheduler, config) as bench:
        made.append(Desk(bench, at, at - timedelta(minutes=1)))
        made[0].poll(at - timedelta(minutes=1))
        yield made[0]


def test_a_step_waits_for_a_person_and_is_completed_by_them(desk: Desk) -> None:
    desk.poll(desk.at)
    assert (RunState.WAITING, "approval") == (RunState(desk.run().state), desk.run().reason)
    listed = headway(desk.bench.url, "action", "complete", "--json").data
    assert [(STEP, "waiting")] == [(one["step"], one["state"]) for one in listed]
    code, words = desk.say("sign_off", "--note", "figures agree")
    assert Exit.OK == code, words
    assert ("succeeded", "asserted") == (desk.run().state, desk.run().evidence)
    told = headway(desk.bench.url, "audit", "--json").data
    assert ("ann", "figures agree") in [(one["actor"], one["why"]) for one in told if one["verb"] == "request mark_ok"]
    assert [] == headway(desk.bench.url, "action", "complete", "--json").data


def test_a_step_that_is_not_done_after_all_waits_again(desk: Desk) -> None:
    desk.poll(desk.at)
    desk.say("sign_off")
    code, words = desk.say("sign_off", "--undo", "--note", "wrong month")
    assert Exit.OK == code, words
    desk.poll(desk.at)
    assert ("waiting", "approval") == (desk.run().state, desk.run().reason)
    told = headway(desk.bench.url, "audit", "--json").data
    assert ("undo completion", "ann", "wrong month") in [(one["verb"], one["actor"], one["why"]) for one in told]
    code, words = desk.say("sign_off", "--undo")
    assert (Exit.NOT_FOUND, True) == (code, "has no completed run" in words)
    assert Exit.OK == desk.say("sign_off")[0]
    assert "succeeded" == desk.run().state


def test_a_step_not_completed_in_time_is_notified_to_its_owner_and_ends_with_their_completion(desk: Desk) -> None:
    desk.poll(desk.at)
    assert [] == desk.bench.sink.got
    desk.poll(desk.at + timedelta(minutes=2))
    assert "timed_out" == desk.run().state
    [(_, title, body)] = desk.bench.sink.got
    assert "sign_off" in title
    assert "it is not completed yet" in body
    assert Exit.OK == desk.say("sign_off")[0]
    assert "succeeded" == desk.run().state


def test_a_step_is_notified_with_one_document_and_its_outcome(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal stood behind a document that called the step done."""
    desk.poll(desk.at)
    with at_work(desk.bench):
        done = headway(desk.bench.url, "action", "complete", "sign_off", "--json", "--timeout", "60")
        assert (Exit.OK, True) == (done.code, done.data["done"])
        assert not headway(desk.bench.url, "action", "complete", "sign_off", "--undo", "--json").data["done"]
        with monkeypatch.context() as refusing:
            refusing.setattr(EngineClient, "act", refuse)
            again = headway(desk.bench.url, "action", "complete", "sign_off", "--json")
    assert (Exit.REFUSED, "bob asked for it already") == (again.code, again.data["error"]["message"])


def test_a_step_completed_on_stale_data_says_how_to_complete_it_again(desk: Desk) -> None:
    """The plan of the incident says "headway action complete STEP", which only said that it waits for nobody."""
    desk.poll(desk.at)
    assert Exit.OK == desk.say("sign_off")[0]
    code, words = desk.say("sign_off")
    assert (Exit.NOT_FOUND, True) == (code, "use --undo first" in words)


def test_a_step_whose_upstream_is_red_is_done_only_by_who_wants_that_all_the_same(desk: Desk) -> None:
    """It was completed without a word of what it builds on."""
    desk.bench.scheduler.attempt("load", "k1", RunState.FAILED, desk.at - timedelta(minutes=2), reason="exit 1")
    desk.bench.poller.poll_once(desk.bench.fence)
    desk.poll(desk.at)
    code, words = desk.say("sign_off")
    assert (Exit.REFUSED, "waiting") == (code, desk.run().state), words
    assert "upstream not satisfied: fake/load is failed" in words
    assert "--anyway completes it regardless" in words
    code, words = desk.say("sign_off", "--anyway")
    assert (Exit.OK, "succeeded") == (code, desk.run().state), words
    assert "fake/load is failed" in words


def refuse(*_: object) -> None:
    raise AlreadyRequested("bob asked for it already")


def test_a_job_of_a_scheduler_is_no_manual_step(desk: Desk) -> None:
    code, words = desk.say("fake/load")
    assert (Exit.USAGE, True) == (code, "is not a manual step" in words)
