"""What changed since a job was last good: only what is known of both sides, the most significant first."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.control.incidents.changes import MOST, compare_runs
from console.domain.decision import RunComparison
from console.domain.history import LastGoodRun
from console.text.cleaning import clean_line
from tests.control.ledger import ended
from tests.factories import at, job, run
from tests.reasons import dated
from tests.rows import each_row

EXTRACT = job(1, "hosts/extract", "03:10")
FAILED = run(7, EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2))
GOOD = at("03:20", day=-1)


def shown_changes(**past: Any) -> tuple[str, ...]:
    known = {FAILED.id: LastGoodRun(**{"good_at": GOOD, **past})}
    return tuple(map(dated, compare_runs({EXTRACT.id: EXTRACT}, known, [(FAILED.id, EXTRACT.id)]).lines))


@each_row(
    "past, text",
    [
        ({}, "nothing that Headway saw had changed since its last success, 2026-11-19 03:20 UTC"),
        ({"good_at": None}, "no successful run of it was known: there was nothing to compare with"),
        (
            {"drift": ((at("01:00"), "definition", "command is now load.sh -v"),)},
            "definition changed, seen 2026-11-20 01:00 UTC: command is now load.sh -v",
        ),
        (
            {"accepted": ((at("01:00"), "ann", "10 3 * * *"),)},
            "schedule accepted by ann 2026-11-20 01:00 UTC: 10 3 * * *",
        ),
        ({"context": {"version": 12}, "good_context": {"version": 11}}, "version was 12, 11 before"),
        (
            {"booted_at": at("02:50"), "target": "hosts/db07"},
            "host hosts/db07 was restarted 2026-11-20 02:50 UTC",
        ),
        (
            {"context": {"conf": {"full": True}}, "good_context": {"conf": {"full": False}}},
            "conf.full was true, false before",
        ),
        ({"context": {"user": "etl"}}, "user was etl, not given before"),
        (
            {"context": {"why": "STEP_FAILURE", "retry": "2"}},
            "nothing that Headway saw had changed since its last success, 2026-11-19 03:20 UTC",
        ),
        ({"context": {"rows": 1200}, "good_context": {"rows": 40000}}, "rows: 1,200 instead of 40,000"),
        (
            {"durations": (2000.0,) * 5 + (700.0,) * 20},
            "its successful runs had taken longer of late: median 33m20s over the last 5, 11m40s before",
        ),
    ],
)
def test_a_change_is_shown_with_both_values(past: dict[str, Any], text: str) -> None:
    assert (text,) == shown_changes(**past)


@each_row(
    "past",
    [
        {"booted_at": at("02:50", day=-3), "target": "x"},
        {"context": {"pid": 1, "run_id": "a"}, "good_context": {"pid": 2, "run_id": "b"}},
        {"context": {"conf": {"day": "2026-11-20"}}, "good_context": {"conf": {"day": "2026-11-19"}}},
        {"context": {"rows": 41000}, "good_context": {"rows": 40000}},
        {"context": {}, "good_context": {"user": "root"}},
        {"durations": (770.0,) * 5 + (700.0,) * 20},
        {"durations": (2000.0,) * 5 + (700.0,) * 2},
        {"durations": (2000.0,) * 1 + (700.0,) * 20},
        {"durations": (2000.0,) * 40 + (700.0,) * 5},
    ],
)
def test_what_differs_from_run_to_run_is_no_change(past: dict[str, Any]) -> None:
    assert shown_changes(**past)[0].startswith("nothing that Headway saw")


def test_a_plain_number_that_differs_is_a_change() -> None:
    assert ("conf.batch was 500, 50 before",) == shown_changes(
        context={"conf": {"batch": 500}}, good_context={"conf": {"batch": 50}}
    )


def test_without_its_history_no_change_is_reported() -> None:
    jobs = {EXTRACT.id: EXTRACT}
    assert RunComparison() == compare_runs(jobs, {}, [(FAILED.id, EXTRACT.id)])
    assert RunComparison() == compare_runs(jobs, {}, [])


def shown_changes_of_three(*pasts: dict[str, Any]) -> tuple[str, ...]:
    """Of three jobs that blame the same, each with its past."""
    jobs = {number: job(number, f"hosts/j{number}", "03:10") for number in (1, 2, 3)}
    known = {number: LastGoodRun(**{"good_at": GOOD, **past}) for number, past in enumerate(pasts, 1)}
    return tuple(map(dated, compare_runs(jobs, known, [(number, number) for number in jobs]).lines))


def test_the_change_shared_by_most_failed_jobs_comes_first() -> None:
    restarted = {"booted_at": at("02:50"), "target": "hosts/db07"}
    assert (
        "host hosts/db07 was restarted 2026-11-20 02:50 UTC (3 of 3 jobs)",
        "hosts/j2: version was 12, 11 before",
    ) == shown_changes_of_three(
        restarted, {"context": {"version": 12}, "good_context": {"version": 11}, **restarted}, restarted
    )


def test_for_many_jobs_an_absent_or_unknown_change_is_stated() -> None:
    assert (
        "nothing that Headway saw had changed since their last success, 2026-11-19 03:20 UTC",
    ) == shown_changes_of_three({}, {"good_at": None}, {})
    nothing = "no successful run of any of them was known: there was nothing to compare with"
    assert (nothing,) == shown_changes_of_three({"good_at": None}, {"good_at": None})


VALUES = st.recursive(
    st.text(max_size=30) | st.integers() | st.none() | st.booleans(),
    lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6), st.dictionaries(st.text(max_size=8), VALUES))
def test_any_two_contexts_are_a_few_clean_lines(now: dict[str, Any], before: dict[str, Any]) -> None:
    lines = shown_changes(context=now, good_context=before)
    assert 1 <= len(lines) <= MOST
    assert all(line == clean_line(line) and len(line) <= 200 for line in lines)
