"""GitHub's words for a run, and rows that are not as they should be."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.github_actions import parse
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.states import PeriodKind, RunEvidence, RunState
from tests.corpus import HOSTILE
from tests.rows import each_row

ROW: dict[str, Any] = {
    "id": 7,
    "run_attempt": 1,
    "path": ".github/workflows/load.yml@refs/heads/main",
    "event": "push",
    "created_at": "2026-11-20T03:10:00Z",
    "run_started_at": "2026-11-20T03:11:00Z",
    "updated_at": "2026-11-20T03:12:00Z",
    "html_url": "https://github.com/acme/etl/actions/runs/7",
}


@each_row(
    "status, conclusion, state, native, reason",
    [
        ("queued", None, RunState.QUEUED, "queued", "slot"),
        ("pending", None, RunState.WAITING, "pending", "slot"),
        ("waiting", None, RunState.WAITING, "waiting", "approval"),
        ("in_progress", None, RunState.RUNNING, "in_progress", ""),
        ("completed", "success", RunState.SUCCEEDED, "success", ""),
        ("completed", "startup_failure", RunState.FAILED, "startup_failure", ""),
        ("completed", "timed_out", RunState.TIMED_OUT, "timed_out", ""),
        ("completed", "neutral", RunState.SKIPPED, "neutral", ""),
        ("completed", "stale", RunState.LOST, "stale", ""),
        ("completed", "action_required", RunState.WAITING, "action_required", "approval"),
        ("completed", None, RunState.UNKNOWN, "(no conclusion)", ""),
        ("completed", "glorious", RunState.UNKNOWN, "glorious", ""),
        (None, None, RunState.UNKNOWN, "(no status)", ""),
    ],
)
def test_each_native_state_is_mapped(
    status: str | None, conclusion: str | None, state: RunState, native: str, reason: str
) -> None:
    run = parse.run_record({**ROW, "status": status, "conclusion": conclusion}, "acme/etl")
    assert (state, native, reason) == (run.state, run.native_state, run.reason)
    assert (run.ended_at is None) == (state.is_open or state is RunState.UNKNOWN)
    assert (run.evidence is RunEvidence.NATIVE) == (state not in (RunState.UNKNOWN, RunState.LOST))


def test_a_failed_job_of_a_matrix_counts_whatever_an_unknown_word_of_another_means() -> None:
    whole = parse.run_record({**ROW, "status": "completed", "conclusion": "failure"}, "acme/etl")
    jobs = [
        parse.parse_job({"id": number, "name": "load", "status": "completed", "conclusion": conclusion})
        for number, conclusion in ((8, "glorious"), (9, "failure"))
    ]
    assert RunState.FAILED is parse.task_record(whole, "load", jobs).state


def test_a_run_that_changed_before_it_began_ends_no_sooner_than_it_began() -> None:
    row = {**ROW, "status": "completed", "conclusion": "success", "updated_at": "2026-11-20T03:00:00Z"}
    run = parse.run_record(row, "acme/etl")
    assert run.started_at == run.ended_at


def test_our_key_counts_in_the_first_attempt_of_a_dispatched_run_alone() -> None:
    titled = {**ROW, "status": "queued", "display_title": "load headway-0123456789abcdef"}
    keys = [
        parse.run_record({**titled, "event": event, "run_attempt": attempt}, "acme/etl").action_key
        for event, attempt in (("workflow_dispatch", 1), ("workflow_dispatch", 2), ("push", 1))
    ]
    assert ["headway-0123456789abcdef", None, None] == keys


@each_row(
    "event, branch, name",
    [
        ("schedule", "main", ""),
        ("workflow_dispatch", "main", ""),
        ("workflow_dispatch", "feature/x", "feature/x"),
        ("push", "v1.2", "v1.2"),
        ("schedule", "before-the-rename", ""),
        ("workflow_dispatch", None, ""),
    ],
)
def test_a_run_of_another_branch_than_the_default_one_is_named_by_it(event: str, branch: str | None, name: str) -> None:
    whole = parse.run_record({**ROW, "event": event, "head_branch": branch, "status": "queued"}, "acme/etl", "main")
    jobs = [parse.parse_job({"id": 8, "name": "load", "status": "queued"})]
    assert [name, name] == [run.period_name for run in (whole, parse.task_record(whole, "load", jobs))]
    assert (PeriodKind.NAME if name else PeriodKind.RUN) is whole.denotes


@each_row(
    "head, name",
    [
        ({"full_name": "acme/etl"}, ""),
        ({"full_name": "mallory/etl"}, "mallory:main"),
        (None, ":main"),
    ],
)
def test_a_run_of_a_fork_is_never_one_of_the_default_branch(head: dict[str, str] | None, name: str) -> None:
    """GitHub has no head repository any more of a fork that was deleted."""
    row = {**ROW, "head_branch": "main", "repository": {"full_name": "acme/etl"}, "head_repository": head}
    assert name == parse.run_record({**row, "status": "queued"}, "acme/etl", "main").period_name


def test_any_text_is_a_record_or_unreadable() -> None:
    names = ("path", "event", "status", "conclusion", "display_title", "html_url", "head_branch")
    for odd in HOSTILE:
        row = {**ROW, **dict.fromkeys(names, odd), "triggering_actor": {"login": odd}}
        job = {"id": 8, "name": odd, "status": odd, "conclusion": odd}
        try:
            run = parse.run_record(row, "acme/etl")
            parsed = parse.parse_job({**job, "steps": [{"name": odd, "conclusion": "failure"}]})
        except RecordUnreadable:
            continue
        task = parse.task_record(parse.record_with_jobs(run, [parsed]), "load", [parsed])
        assert {RunState.UNKNOWN} == {run.state, task.state}, ascii(odd)
        assert "" == run.native_url or odd.startswith("https://")


@each_row("spoiled", [{"id": "7"}, {"id": 0}, {"path": None}, {"created_at": 3}, {"run_attempt": "x"}])
def test_a_row_of_the_wrong_shape_is_unreadable(spoiled: dict[str, Any]) -> None:
    with pytest.raises(RecordUnreadable):
        parse.run_record({**ROW, "status": "queued", **spoiled}, "acme/etl")
