"""A hold that is due for release and cannot be released: a person is notified, and nothing is promised meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from connectors.sdk.states import RunState, Verb
from console.control.expectations.expected_runs import expect_runs
from console.control.snapshot.holds import held_start_of
from console.domain.decision import HoldDecision
from console.domain.hold import HoldReason, HoldState
from console.domain.ids import utc_minute
from console.domain.switches import Modes, SwitchState
from console.domain.text import render
from tests.control.holds.test_state_machine import failed, reason, repaired
from tests.control.stage import EXTRACT, LOAD, Stage
from tests.factories import at
from tests.reasons import zoned

NO_RIGHT = "no right to do this"
STUCK = zoned(HoldReason.RELEASE_FAILED.text((NO_RIGHT,)))


class RefusedReleaseNight(Stage):
    """A night that records its notifications; every release is refused until `fixed`."""

    def __init__(self) -> None:
        super().__init__()
        self.notified: list[str] = []
        self.text = NO_RIGHT
        self.fixed = False
        self.reply = lambda action: None if self.fixed or action.verb is not Verb.RELEASE else self.text

    def _keep_hold(self, hold: HoldDecision) -> None:
        self.notified += [hold.attention_reason] if hold.attention_reason else []
        super()._keep_hold(hold)

    def releases(self) -> list[timedelta]:
        """Between one try and the next."""
        times = [action.at for action in self.requested.values() if action.action.verb is Verb.RELEASE]
        return [after - before for before, after in pairwise(times)]


def refused_from(clock: str) -> RefusedReleaseNight:
    stage = RefusedReleaseNight()
    repaired(failed(stage), clock)
    return stage


@pytest.mark.parametrize("text", [NO_RIGHT, "not sent: no route to host"])
def test_a_refused_or_failed_release_is_notified_once_for_its_hold(text: str) -> None:
    stage = refused_from("04:10")
    stage.text = text
    stage.until("04:12")
    assert [text] == stage.notified
    stage.until("08:00")
    assert ([text], HoldState.HELD) == (stage.notified, stage.hold().state)


def test_a_release_is_requested_again_after_pauses_that_double_up_to_an_hour() -> None:
    stage = refused_from("04:10")
    stage.until("09:50")
    pauses = stage.releases()
    assert timedelta(minutes=5) <= pauses[0] < timedelta(minutes=7)
    assert all(after >= min(2 * before, timedelta(hours=1)) for before, after in pairwise(pauses[1:]))
    assert timedelta(hours=1) <= pauses[-1] < timedelta(minutes=62)


@pytest.mark.deep
def test_what_cannot_be_let_go_stays_so_though_a_plan_would_hold_its_job() -> None:
    """Each refusal was followed by "held on while a plan repairs what it reads", and by its run being awaited again."""
    stage = refused_from("04:10")

    def planned() -> None:
        stage.held = {key: replace(hold, plan_until=at("10:00", day=1)) for key, hold in stage.held.items()}

    stage.when("04:20", planned)
    stage.until("11:55")
    assert (HoldReason.RELEASE_FAILED, [NO_RIGHT]) == (stage.hold().reason, stage.notified), stage.hold()
    assert [] == [event for event in stage.events if "while a plan repairs" in event]


def test_it_is_let_go_and_started_once_the_right_is_there() -> None:
    stage = refused_from("04:10")
    stage.when("04:20", lambda: setattr(stage, "fixed", True))
    stage.until("06:00")
    assert (1, HoldState.RELEASED, [NO_RIGHT]) == (len(stage.source.starts), stage.hold().state, stage.notified)


def test_its_text_names_the_refusal_and_no_successful_upstream() -> None:
    stage = refused_from("04:10")
    stage.until("04:08")
    assert (RunState.HELD, f"held by Headway until {EXTRACT.name} is good (hold {stage.hold().key})") == reason(stage)
    seen = set()
    for clock in ("04:10", "04:11", "04:12", "05:00", "09:00"):
        stage.until(clock)
        seen.add(reason(stage)[1])
    stuck = f"held by Headway, {STUCK} (hold {stage.hold().key})"
    assert stuck == reason(stage)[1]
    assert [] == [text for text in seen if "until" in text]


def test_the_run_is_missed_for_its_hold_and_not_for_a_pause_by_others() -> None:
    stage = refused_from("04:10")
    stage.until("10:20")
    assert (RunState.MISSED, f"held by Headway, {STUCK} (hold {stage.hold().key})") == reason(stage)


def test_no_start_is_promised_of_what_cannot_be_let_go() -> None:
    stage = refused_from("04:10")
    tomorrow = at("04:00") + timedelta(days=1)

    def states() -> set[RunState]:
        estate = replace(stage.estate, holds=stage._facts(), runs=())
        return {
            run.state
            for run in expect_runs(estate, stage.now).runs
            if run.job_id == LOAD.id and run.period_at == tomorrow
        }

    stage.until("04:05")
    assert ({RunState.PLANNED}, "") == (states(), held_reason(stage))
    stage.until("04:30")
    text = f"held by Headway, {STUCK} (hold {stage.hold().key})"
    assert ({RunState.HELD}, text) == (states(), held_reason(stage))
    stage.fixed = True
    stage.until("06:00")
    assert ({RunState.PLANNED}, "") == (states(), held_reason(stage))


def held_reason(stage: Stage) -> str:
    held = replace(stage.estate, holds=stage._facts())
    start = held_start_of(held, LOAD.id, at("04:00"), stage.now)
    return "" if start is None else render(start.text, utc_minute)


def test_an_upstream_that_failed_again_is_awaited_and_notified_once() -> None:
    stage = refused_from("04:10")
    stage.when(
        "04:30", lambda: stage.run(EXTRACT, "03:10", RunState.FAILED, started_at=at("04:28"), ended_at=at("04:30"))
    )
    repaired(stage, "05:30")
    stage.until("05:20")
    assert (HoldState.HELD, f"until {EXTRACT.name} is good") == (stage.hold().state, zoned(stage.hold().text))
    stage.until("07:00")
    assert (HoldState.HELD, [NO_RIGHT]) == (stage.hold().state, stage.notified)
    assert zoned(stage.hold().text).endswith(NO_RIGHT)


def test_a_release_stopped_by_a_freeze_pages_nobody() -> None:
    stage = refused_from("04:10")
    stage.text = "not sent: alice froze it"
    stage.latency = timedelta(seconds=30)
    stage.until("04:10")
    stage.freeze(Modes(frozen=SwitchState("on", "alice")))
    stage.until("04:20")
    assert (HoldState.HELD, []) == (stage.hold().state, stage.notified)
    stage.freeze(Modes())
    stage.fixed = True
    stage.until("05:00")
    assert (1, []) == (len(stage.source.starts), stage.notified)
