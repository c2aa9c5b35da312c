"""A frequent job after its release: its own clock and Headway never start it for the same moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, example, given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule, instant_key
from connectors.sdk.states import RunState
from console.control.holds.starts import BEGINS_WITHIN
from console.domain.decision import HoldDecision
from console.domain.dependency import DependencyMode
from console.domain.hold import HoldFacts, HoldState
from console.timing.schedule import instants
from tests.control.stage import Stage, hold_edge
from tests.factories import at, job, minutes
from tests.properties import examples
from tests.reasons import zoned

PLACED = at("03:00:30")


@dataclass
class Night:
    """Start interval of its clock, time of a person's release, delays of the engine's polls and sends."""

    every: int
    released: datetime
    latency: timedelta
    lateness: timedelta


class Frequent(Stage):
    """One job, held by a person from 03:00:30; what is sent begins at the next full minute, as with pg_cron."""

    def __init__(self, night: Night) -> None:
        schedule = Schedule("pg_cron", f"*/{night.every} * * * *", "UTC")
        load = job(2, "warehouse/load", schedule, target_id=2)
        super().__init__(hold_edge(DependencyMode.OBSERVE, down=load), load=load)
        self.night, self.latency, self.step = night, night.latency, timedelta(seconds=10)
        self.ours: list[tuple[datetime, datetime]] = []
        self.clock: list[datetime] = []
        self.source.mark = "headway-held"
        self.held = {
            "headway-held": HoldFacts(
                "headway-held", 2, None, None, "person", DependencyMode.HOLD, HoldState.HELD, "alice", "test",
                at("09:00"), None, "", placed_at=PLACED,
            )
        }  # fmt: skip

    def _world(self) -> None:
        if self.now == self.night.released:
            self.source.mark = None
            self._keep_hold(HoldDecision(replace(self.held["headway-held"], state=HoldState.WATCHING,
                                                 released_at=self.now, **self._missed()), HoldState.HELD))  # fmt: skip
        if not self.source.asleep and instants(self.load.schedule, self.now - self.step, self.now):
            self.clock.append(self.now)

    def _missed(self) -> dict[str, Any]:
        """The release that `_releasing` writes: the last period that was held."""
        stored_instants = instants(self.load.schedule, PLACED, self.now)
        return (
            {
                "due_at": stored_instants[-1],
                "period_key": instant_key(stored_instants[-1]),
                "business_date": at("00:00").date(),
            }
            if stored_instants
            else {}
        )

    def _polled(self) -> None:
        seen = self.now - self.night.lateness
        for number in (1, 2):
            self.target(number, last_ok_at=self.now, seen_until=seen)
        for sent, _ in self.source.starts[len(self.ours) :]:
            whole = sent.replace(second=0) + minutes(1)
            self.ours.append((sent, whole))
        for started in self.clock:
            if started <= seen:
                self.run(self.load, f"{started:%H:%M}", RunState.SUCCEEDED, started_at=started, ended_at=started)


NIGHTS = st.builds(
    Night,
    every=st.sampled_from([1, 2, 3, 5, 10, 15, 30]),
    released=st.integers(min_value=12, max_value=360).map(lambda tens: at("03:00") + timedelta(seconds=10 * tens)),
    latency=st.sampled_from([0, 10, 30]).map(lambda seconds: timedelta(seconds=seconds)),
    lateness=st.sampled_from([0, 30, 120]).map(lambda seconds: timedelta(seconds=seconds)),
)


@pytest.mark.deep
@examples(25, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@example(Night(30, at("03:38"), timedelta(0), timedelta(0)))
@example(Night(30, at("03:58:40"), timedelta(0), timedelta(0)))
@given(NIGHTS)
def test_nothing_of_its_own_clock_is_due_while_a_start_of_ours_begins(night: Night) -> None:
    stage = Frequent(night)
    stage.until(f"{night.released + minutes(12):%H:%M}")
    for sent, begins in stage.ours:
        near = instants(stage.load.schedule, night.released, sent + BEGINS_WITHIN)
        assert [] == near, (night, sent, begins, stage.events)
    hold = stage.hold()
    assert hold.state in (HoldState.RELEASED, HoldState.WATCHING), (night, hold)
    assert len(stage.ours) <= 1
    if not stage.ours and hold.due_at is not None:  # then its own clock has, or will have, started it
        is_reported = f"warehouse/load was released, {zoned(hold.text)}" in stage.events
        assert is_reported or zoned(hold.text) == "its run has started", (night, hold, stage.events)


def test_a_release_between_two_instants_of_a_frequent_job_leaves_the_start_to_its_clock() -> None:
    stage = Frequent(Night(2, at("03:05:00"), timedelta(0), timedelta(0)))
    stage.until("03:05")
    hold = stage.hold()
    assert ([f"warehouse/load was released, {zoned(hold.text)}"], at("03:06")) == (stage.events, hold.due_at)
    stage.until("03:12")
    assert ([], HoldState.RELEASED) == (stage.ours, stage.hold().state)
    [first, *_] = stage.clock
    assert at("03:06") == first
    runs = [run for run in stage.estate.runs if run.job_id == 2 and run.period_at is not None]
    states = {run.state for run in runs if PLACED < (run.period_at or PLACED) < at("03:10")}
    assert states <= {RunState.SKIPPED, RunState.SUCCEEDED}


def test_a_start_long_before_the_next_instant_of_its_clock_is_sent() -> None:
    stage = Frequent(Night(30, at("03:35:00"), timedelta(0), timedelta(0)))
    stage.until("03:45")
    assert 1 == len(stage.ours)
