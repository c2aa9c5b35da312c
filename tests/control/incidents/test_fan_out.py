"""One tick of a schedule starts a run for each of several partitions: what one of them does is no news of another."""

from __future__ import annotations

from dataclasses import replace

from connectors.sdk.states import PeriodKind, RunState
from console.domain.estate import RunFacts
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, job, minutes, run, service
from tests.messages import written
from tests.rows import each_row

LOAD = job(1, "lake/region", expected=minutes(5), notify=("oncall",))
KINDS = {"eu": PeriodKind.NAME, "us": PeriodKind.NAME, "": PeriodKind.ALL}


def of_region(number: int, name: str, clock: str, state: RunState) -> RunFacts:
    """It ends a minute after its start at `clock`."""
    own = {"period_key": f"run-{number}", "period_at": None, "period_kind": KINDS[name], "own_period": name}
    return replace(run(number, LOAD, clock, state, **own), ended_at=at(clock) + minutes(1))


def report(ledger: Ledger, *runs: RunFacts) -> None:
    ledger.estate = replace(ledger.estate, runs=(*ledger.estate.runs, *runs))


def test_a_partition_that_fails_again_has_not_failed_after_the_success_of_another() -> None:
    """Its mail had "Failed again after a success", and it had failed for 6 instead of 18 minutes."""
    ledger = Ledger(estate(LOAD, runs=[of_region(1, "eu", "03:00", RunState.FAILED)]))
    ledger.evaluate("03:05")
    [opened] = ledger.incident().notices
    assert written(opened).title.startswith("lake/region eu failed")
    assert "Period         eu" in written(opened).body
    since = ledger.incident().failed_since
    report(ledger, of_region(2, "us", "03:10", RunState.SUCCEEDED), of_region(3, "eu", "03:20", RunState.FAILED))
    ledger.evaluate("03:25")
    assert (since, ()) == (ledger.incident().failed_since, ledger.incident().fingerprint.notified.errors)
    assert not any("after a success" in written(notice).body for notice in ledger.incident().notices)
    assert since < at("03:10")


BY_CLOCK = job(1, "lake/part", expected=minutes(1), notify=("oncall",), accepted_at=at("03:01"),
               schedule=replace(daily("03:00"), expression="*/10 * * * *"))  # fmt: skip


@each_row(
    "names, missed",
    [
        (("2026-11-20-03:10", ""), "2026-11-20-03:20"),
        (("eu", "us"), ""),
        (("2026-W47", ""), ""),
    ],
)
def test_no_later_start_is_promised_to_close_a_missed_start_of_a_partition(names: tuple[str, str], missed: str) -> None:
    """ "starts next 03:30 and closes it: nothing to restart", and the start at 03:30, of the next partition, did not.
    `missed`: its name, as far as it is known."""
    ledger = Ledger(estate(BY_CLOCK, services=[service("daily", "06:30", BY_CLOCK)]))
    own = {"period_kind": PeriodKind.NAME, **ended("03:10", 1)}
    ledger.run(BY_CLOCK, "03:10", RunState.SUCCEEDED, own_period=names[0], **own)
    if names[1]:
        ledger.run_at(BY_CLOCK, at("03:10:07"), RunState.SUCCEEDED, own_period=names[1], period_at=None, **own)
    ledger.evaluate("03:26")
    lost = ledger.state(BY_CLOCK, "03:20")
    assert (RunState.MISSED, missed) == (lost.state, lost.own_period)
    incident = ledger.incident()
    assert not any(member.role == "closing" for member in incident.members)
    assert not any("closes it" in written(notice).title for notice in incident.notices)
    ledger.run(BY_CLOCK, "03:30", RunState.SUCCEEDED, own_period="2026-11-20-03:30", **own | ended("03:30", 1))
    ledger.evaluate("03:33")
    assert 1 == len(ledger.estate.incidents), "the next start has not closed it"
