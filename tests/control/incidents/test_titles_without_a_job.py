"""What an incident says of itself and of others where its cause is not one failed job."""

from __future__ import annotations

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, service, target
from tests.messages import written
from tests.reasons import title_of, zoned

REFUSED = 'FATAL: password authentication failed for user "etl"'


def test_a_merged_incident_of_a_shared_credential_is_named_by_it() -> None:
    """The timeline and the mail said "INC-0002 () has the same cause"."""
    first = job(1, "hosts/db07:first", "03:00", expected=minutes(5))
    others = [job(number, f"hosts/db07:j{number}", "03:10", expected=minutes(1)) for number in (2, 3, 4)]
    ledger = Ledger(estate(first, *others, targets=[target(1)]))
    failed = RunState.FAILED
    ledger.run(first, "03:00", failed, message="boom", started_at=at("03:00"), ended_at=at("03:01"))
    ledger.evaluate("03:02")
    for other in others:
        ledger.run(other, "03:10", failed, message=REFUSED, started_at=at("03:10"), ended_at=at("03:11"))
    ledger.evaluate("03:12")
    ledger.run(first, "03:00", failed, message=REFUSED, started_at=at("03:13"), ended_at=at("03:14"))
    ledger.evaluate("03:15")
    merging = ledger.incident()
    assert [2] == list(merging.merges)
    assert "user etl" in merging.merges[2]
    assert "INC-0002 ()" not in zoned(merging.event)


def test_the_reason_of_a_repaired_failure_is_not_that_of_the_late_day_that_follows() -> None:
    """The incident, and the mail of its end, had both "no space left on device" and "nothing failed"."""
    extract = job(1, "hosts/extract", "03:10", expected=minutes(20))
    load = job(2, "warehouse/load", Schedule("none"), target_id=2, expected=minutes(20))
    plan = service("supply-plan", "06:30", load)
    ledger = Ledger(estate(extract, load, feeds=feeds(extract, load), services=[plan]))
    span = {"started_at": at("03:10"), "attempt": 1}
    ledger.run(extract, "03:10", RunState.FAILED, ended_at=at("03:30"), message="no space left on device", **span)
    ledger.evaluate("03:31")
    ledger.run(extract, "03:10", RunState.SUCCEEDED, ended_at=at("06:40"), message="", **span)
    ledger.evaluate("06:41")
    ledger.evaluate("06:56")
    late = ledger.incident()
    assert title_of(late).startswith("Supply plan was not delivered by 06:30 UTC, and nothing failed")
    assert "no space left" not in late.reason
    ledger.run(load, "07:30", RunState.SUCCEEDED, started_at=at("07:30"), ended_at=at("07:40"))
    ledger.evaluate("07:41")
    assert not [written(notice).body for notice in ledger.incident().notices if "no space left" in written(notice).body]
