"""Following a repository: attempts, jobs, history past GitHub's 1,000 results, and what a poll costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.records import Poll, RunRef
from connectors.sdk.states import RunState
from tests.connectors.github_actions.support import ORDERS, REPORT, STOCK, job, latest_records, opened, repository
from tests.fakes.github import FakeGitHub
from tests.rows import each_row


def failed(event: str = "workflow_dispatch") -> tuple[FakeGitHub, int]:
    fake = repository()
    fake.outcome[ORDERS] = "failure"
    run = fake.start(ORDERS, event)
    fake.tick()
    return fake, run["id"]


def test_a_repeated_run_reports_both_attempts_and_only_the_jobs_that_ran_again() -> None:
    fake, run = failed("schedule")
    cursor = latest_records(opened(fake))[1]
    fake.outcome[ORDERS] = "success"
    fake.try_again(fake.runs[0], "octocat", ["Load it"])
    fake.tick()
    runs = latest_records(opened(fake), cursor)[0]
    first, second = runs[ORDERS, f"{run}.1"], runs[ORDERS, f"{run}.2"]
    assert (RunState.FAILED, RunState.SUCCEEDED) == (first.state, second.state)
    assert (None, "", f"{run}.1") == (first.period_key, first.again_of, second.again_of)
    assert "jobs not green: Load it (failure in Run make)" == first.message
    assert RunState.FAILED is runs[f"{ORDERS}.load", f"{run}.1"].state
    assert RunState.SUCCEEDED is runs[f"{ORDERS}.load", f"{run}.2"].state


def test_a_green_run_with_a_job_that_may_fail_is_partial_and_its_matrix_is_one_task() -> None:
    fake = repository()
    fake.outcome[REPORT] = "soft"
    run = fake.start(REPORT, "workflow_run")
    fake.tick()
    runs = latest_records(opened(fake))[0]
    whole, task = runs[REPORT, f"{run['id']}.1"], runs[f"{REPORT}.build", f"{run['id']}.1"]
    assert (RunState.PARTIAL, "success") == (whole.state, whole.native_state)
    assert (RunState.FAILED, "2 jobs: 1 success, 1 failure; failed in Run make") == (task.state, task.message)


def test_the_end_of_a_run_is_that_of_its_last_job_and_not_of_a_later_change() -> None:
    fake, run = failed()
    fake.runs[0]["attempts"][0]["updated"] += timedelta(days=2)
    record = latest_records(opened(fake))[0][ORDERS, f"{run}.1"]
    assert fake.runs[0]["attempts"][0]["jobs"][-1]["ended"] == record.ended_at


def test_runs_of_pushes_and_pull_requests_are_excluded_unless_selected() -> None:
    fake = repository()
    run = fake.start(STOCK, "pull_request")
    fake.tick()
    assert {} == latest_records(opened(fake))[0]
    assert (STOCK, f"{run['id']}.1") in latest_records(opened(fake, events=["pull_*"]))[0]


def test_history_beyond_the_thousand_results_of_a_search_is_read_whole_and_oldest_first() -> None:
    fake = repository()
    fake.crowd = 2500
    cursor, more, keys = "", True, list[str]()
    connector = opened(fake)
    while more:
        poll = connector.poll(cursor, (), 10)
        cursor, more = poll.cursor, poll.more
        keys += [run.attempt_key for run in poll.runs]
    assert 2500 == len(set(keys))
    seen = list(dict.fromkeys(keys))
    assert seen == sorted(seen, key=float), "not oldest first"


def test_a_run_of_another_branch_is_named_by_it() -> None:
    fake, _ = failed()
    fake.start(STOCK)["branch"] = "feature/x"
    fake.tick()
    runs = latest_records(opened(fake))[0]
    assert {"": {ORDERS, f"{ORDERS}.extract", f"{ORDERS}.load"}, "feature/x": {STOCK}} == {
        name: {file for (file, _), run in runs.items() if run.period_name == name} for name in ("", "feature/x")
    }


def test_a_calm_poll_is_answered_304_and_costs_nothing_of_the_hour() -> None:
    fake, _ = failed()
    connector = opened(fake)
    cursor = latest_records(connector)[1]
    connector.poll(cursor, (), 10)
    fake.requests.clear()
    remaining = fake.remaining
    assert () == connector.poll(cursor, (), 10).runs
    assert (["GET /actions/runs"] * 2, remaining) == (fake.requests, fake.remaining)


def test_an_old_run_that_was_run_again_unseen_is_found_among_the_older_pages() -> None:
    fake, run = failed()
    for _ in range(150):
        fake.start(STOCK)
    fake.tick(2 * 3600)
    connector = opened(fake)
    cursor = latest_records(connector)[1]
    fake.outcome[ORDERS] = "success"
    fake.try_again(fake.runs[0], "octocat")
    fake.tick()
    assert (ORDERS, f"{run}.2") in latest_records(connector, cursor)[0]


def test_an_open_job_is_followed_to_its_end_although_its_run_succeeded() -> None:
    fake = repository()
    fake.outcome[STOCK] = "hang"
    run = fake.start(STOCK)
    fake.tick()
    connector = opened(fake)
    first, cursor = latest_records(connector)
    task = first[f"{STOCK}.load", f"{run['id']}.1"]
    assert RunState.RUNNING is task.state
    fake.outcome[STOCK] = "success"
    fake.tick()
    poll = connector.poll(cursor, (ref(task),), 10)
    assert RunState.SUCCEEDED in [run.state for run in poll.runs if run.job == task.job]


def test_a_run_that_was_deleted_is_lost() -> None:
    fake, run = failed()
    fake.runs.clear()
    known = RunRef(job(ORDERS), str(run), f"{run}.1", f'{{"run": {run}, "attempt": 1}}', datetime.now(UTC))
    (run_record,) = opened(fake).poll(latest_records(opened(fake))[1], (known,), 10).runs
    assert (RunState.LOST, "deleted") == (run_record.state, run_record.native_state)


@each_row(
    "status, headers, message, seconds",
    [
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "90"}, "API rate limit exceeded", 90),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "90"}, "API rate limit exceeded", 90),
        (403, {"retry-after": "45"}, "You have exceeded a secondary rate limit", 45),
        (403, {}, "You have exceeded a secondary rate limit", 60),
        (429, {}, "too many", None),
    ],
)
def test_both_limits_say_when_to_come_back(
    status: int, headers: dict[str, str], message: str, seconds: float | None
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    if "x-ratelimit-reset" in headers:
        headers = {**headers, "x-ratelimit-reset": f"{(now + timedelta(seconds=90)).timestamp():.0f}"}
    date = {"date": f"{now:%a, %d %b %Y %H:%M:%S} GMT"}

    def limited(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"message": message}, headers={**headers, **date})

    with pytest.raises(SystemUnreachable, match="a limit of requests is reached") as raised:
        opened(repository(), httpx.MockTransport(limited)).poll("", (), 10)
    assert seconds == raised.value.retry_after_seconds


def test_the_last_requests_of_the_hour_are_left_to_people() -> None:
    fake, _ = failed()
    connector = opened(fake)
    cursor = latest_records(connector)[1]
    fake.remaining = 301
    fake.start(STOCK)

    def polls() -> None:
        for _ in range(3):
            connector.poll(cursor, (), 10)

    with pytest.raises(SystemUnreachable, match="of which 300 are for people and actions"):
        polls()
    assert connector.probe(10).reachable


def test_a_list_that_ignores_its_window_is_not_accepted_as_history() -> None:
    fake, _ = failed()
    fake.runs[0]["created"] -= timedelta(days=93)

    def deaf(request: httpx.Request) -> httpx.Response:
        return fake.handle(httpx.Request("GET", request.url.copy_remove_param("created"), headers=request.headers))

    connector = opened(fake, httpx.MockTransport(deaf))
    with pytest.raises(SystemUnreachable, match="it ignores `created`"):
        connector.poll("", (), 10)


def many_failures(count: int) -> tuple[FakeGitHub, set[str]]:
    """So many runs that failed since the last poll, and the attempts whose tasks must be reported."""
    fake = repository()
    fake.outcome[ORDERS] = "failure"
    made = {f"{fake.start(ORDERS)['id']}.1" for _ in range(count)}
    fake.tick()
    return fake, made


def tasks_in(polls: list[Poll]) -> set[str]:
    return {run.attempt_key for poll in polls for run in poll.runs if run.job == f"{job(ORDERS)}.load"}


def polled(connector: Connector, cursor: str, most: int) -> list[Poll]:
    polls = []
    for _ in range(most):
        polls.append(connector.poll(cursor, (), 10))
        cursor = polls[-1].cursor
    return polls


@pytest.mark.parametrize("walks", [True, False], ids=["history", "newest"])
def test_what_a_poll_has_no_request_for_is_read_by_the_next_ones(
    monkeypatch: pytest.MonkeyPatch, *, walks: bool
) -> None:
    monkeypatch.setattr("connectors.github_actions.runs.MAX_JOB_REQUESTS", 7)
    cursor = "" if walks else latest_records(opened(repository()))[1]
    fake, made = many_failures(20)
    polls = polled(opened(fake), cursor, 12)
    assert any("attempts and jobs of" in warning for warning in polls[0].warnings)
    assert made == tasks_in(polls)
    assert () == polls[-1].warnings, "all was read"


def test_what_is_still_to_be_read_survives_another_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.github_actions.runs.MAX_JOB_REQUESTS", 7)
    fake, made = many_failures(20)
    polls, cursor = [], ""
    for _ in range(12):
        polls += polled(opened(fake), cursor, 1)
        cursor = polls[-1].cursor
    assert made == tasks_in(polls)


def test_an_open_task_whose_run_could_not_be_read_yet_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = repository()
    fake.outcome[ORDERS] = "hang"
    run = fake.start(ORDERS)
    fake.tick()
    connector = opened(fake)
    known, cursor = latest_records(connector)
    task = next(run for (name, _), run in known.items() if name == f"{ORDERS}.extract")
    monkeypatch.setattr("connectors.github_actions.runs.MAX_JOB_REQUESTS", 0)
    poll = opened(fake).poll(cursor, (ref(task),), 10)
    assert RunState.LOST not in [run.state for run in poll.runs], f"{run['id']} runs"


def test_all_jobs_of_a_large_matrix_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = repository()
    fake.tasks[ORDERS] = ("extract", *(f"Load it ({number})" for number in range(730)))
    fake.outcome[ORDERS] = "failure"
    fake.start(ORDERS)
    fake.tick()
    runs = latest_records(opened(fake))[0]
    run = next(run for (name, _), run in runs.items() if name == ORDERS)
    assert RunState.FAILED is run.state
    paths = [path for path in fake.requests if "/jobs" in path]
    assert 8 <= len(paths), "731 jobs are eight pages"
