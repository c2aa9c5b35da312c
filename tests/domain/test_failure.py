"""What is remembered of a failure: how often it was seen, and which repair worked how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import comb

from hypothesis import example, given
from hypothesis import strategies as st

from console.domain.failure import AT_SOURCE, LATER_RUN, FailureSignature, PastFailure, RepairTry, memory_of
from console.domain.probability import wilson_interval
from console.domain.reason import GreenAgain, LaterRunGood, NoLongerWatched, Reason, ResultAsserted
from tests.rows import each_row

SIGNATURE = FailureSignature("run", "cron", "failed", "No space left on device", "extract")
NIGHT = datetime(2026, 11, 20, 3, tzinfo=UTC)


def past(number: int, reason: Reason | None, *tries: RepairTry) -> PastFailure:
    failed = NIGHT + timedelta(days=number)
    closed = failed + timedelta(hours=1) if reason is not None else None
    return PastFailure(number, "hosts/extract", failed, closed, reason, None, "", tries)


def repair(number: int, state: str, method: str = "rerun", by: str = "mara", minutes: int = 10) -> RepairTry:
    sent = NIGHT + timedelta(days=number, minutes=5)
    ended = sent + timedelta(minutes=minutes) if state in ("verified", "failed") else None
    return RepairTry(method, state, by, sent, ended, "person")


@example((6, 6))
@given(st.integers(0, 400).flatmap(lambda tries: st.tuples(st.integers(0, tries), st.just(tries))))
def test_the_bounds_hold_the_share_and_come_closer_with_more_tries(counts: tuple[int, int]) -> None:
    successes, tries = counts
    low, high = wilson_interval(successes, tries)
    share = successes / tries if tries else 0.5
    assert 0 <= low <= share <= high <= 1
    mirrored = wilson_interval(tries - successes, tries)
    assert abs(low - (1 - mirrored[1])) < 1e-9
    if tries:
        more_low, more_high = wilson_interval(4 * successes, 4 * tries)
        assert more_high - more_low < high - low
        assert wilson_interval(successes + 1, tries + 1)[0] > low - 1e-12


def test_the_interval_covers_the_true_share_in_about_95_percent_of_samples() -> None:
    for share in (0.2, 0.5, 0.8):
        covered = sum(
            comb(40, good) * share**good * (1 - share) ** (40 - good)
            for good in range(41)
            if wilson_interval(good, 40)[0] <= share <= wilson_interval(good, 40)[1]
        )
        assert 0.92 < covered < 0.98


def test_every_repair_has_its_own_record_and_the_surest_is_first() -> None:
    known = memory_of(
        SIGNATURE,
        [
            past(5, None, repair(5, "sent", by="noor")),
            past(4, GreenAgain(), repair(4, "verified", "start", "noor", 30)),
            past(3, GreenAgain(), repair(3, "failed"), repair(3, "verified", by="kim", minutes=20)),
            past(2, GreenAgain(), repair(2, "verified", minutes=10)),
            past(1, GreenAgain(), repair(1, "verified", minutes=30)),
        ],
    )
    assert (5, NIGHT + timedelta(days=5)) == (known.seen, known.last_seen)
    rerun, start = known.repairs
    assert ("rerun 3 of 4", 1200.0, "kim") == (rerun.count_text, rerun.median_s, rerun.last_by)
    assert ("start 1 of 1", 1800.0, "noor") == (start.count_text, start.median_s, start.last_by)
    assert "seen 5 times, rerun 3 of 4, median 20m" == known.text
    assert "30 % to 95 %, median 20m, last by kim" == rerun.rate_text
    assert ["open", "start by noor", "rerun by kim"] == [incident.outcome for incident in known.incidents[:3]]


def test_a_repair_without_headway_is_counted_among_all_closed_incidents() -> None:
    known = memory_of(
        SIGNATURE,
        [
            past(4, None),
            past(3, NoLongerWatched()),
            past(2, LaterRunGood(), repair(2, "failed")),
            past(1, GreenAgain()),
        ],
    )
    records = {record.method: (record.successes, record.tries, record.median_s) for record in known.repairs}
    assert {AT_SOURCE: (1, 3, 3600.0), LATER_RUN: (1, 3, 3600.0), "rerun": (0, 1, None)} == records
    assert ["open", "not repaired", LATER_RUN, AT_SOURCE] == [incident.outcome for incident in known.incidents]


def test_a_failure_without_incidents_was_not_seen_before() -> None:
    assert "in no earlier incident" == memory_of(SIGNATURE, []).text
    assert 8 == len(SIGNATURE.id)
    assert SIGNATURE == FailureSignature.from_json(SIGNATURE.to_json())


@each_row("stored", ["", "null", "{}", "[]", "no JSON", '["run", "cron", "failed", "x"]', "[1, 2, 3, 4, 5]"])
def test_a_stored_signature_of_another_form_is_unknown(stored: str) -> None:
    assert FailureSignature.from_json(stored) is None


def test_what_headway_repaired_without_a_known_try_or_may_have_is_not_called_repaired_at_its_source() -> None:
    known = memory_of(
        SIGNATURE,
        [
            past(3, ResultAsserted("marked OK by anna"), repair(3, "failed")),
            past(2, GreenAgain("rerun by anna")),
            past(1, GreenAgain(), repair(1, "sent")),
        ],
    )
    assert {"rerun": 0} == {record.method: record.successes for record in known.repairs}
