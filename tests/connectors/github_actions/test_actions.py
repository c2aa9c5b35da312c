"""What is done to a repository, and how it is found again although GitHub takes no key of ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.github_actions.connector import GitHubActionsConnector
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Preview
from connectors.sdk.errors import AccessRefused, ActionRefused, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.github_actions.support import ORDERS, REPORT, STOCK, job, latest_records, opened, repository
from tests.fakes.github import FakeGitHub

UNTIL = "2026-11-22T06:30:00Z"


def failed(file: str = ORDERS) -> tuple[FakeGitHub, GitHubActionsConnector, RunRecord]:
    fake = repository()
    fake.outcome[file] = "failure"
    run = fake.start(file, "workflow_dispatch")
    fake.tick()
    connector = opened(fake)
    return fake, connector, latest_records(connector)[0][file, f"{run['id']}.1"]


def start(connector: GitHubActionsConnector, file: str, **parameters: Any) -> Preview:
    return connector.preview(ActionSpec(Verb.START, RunRef(job(file), "", "", ""), RunState.PLANNED, parameters), 10)


def hold(connector: GitHubActionsConnector, file: str = STOCK) -> Preview:
    ask = ActionSpec(Verb.HOLD, RunRef(job(file), "", "", ""), RunState.PLANNED, {"by": "alice", "until": UNTIL})
    return connector.preview(ask, 10)


@pytest.mark.parametrize("scope, call", [("failed", "rerun-failed-jobs"), ("all", "rerun")])
def test_a_rerun_is_the_next_attempt_and_is_found_by_who_started_it(scope: str, call: str) -> None:
    fake, connector, run = failed()
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state, {"scope": scope}), 10)
    assert (f"POST /actions/runs/{fake.runs[0]['id']}/{call}",) == preview.native_calls
    assert isinstance(connector.look_up(preview, new_key(), 10), ActionAbsent)
    fake.lose_answer_of = "POST .*rerun"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, new_key(), 10)
    assert isinstance(connector.look_up(preview, new_key(), 10), ActionFound)
    with pytest.raises(ActionRefused):
        connector.act(preview, new_key(), 10)
    assert 2 == len(fake.runs[0]["attempts"])


def test_an_attempt_started_by_somebody_else_is_not_mistaken_for_ours() -> None:
    fake, connector, run = failed()
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    fake.try_again(fake.runs[0], "octocat")
    answer = connector.look_up(preview, new_key(), 10)
    assert isinstance(answer, ActionUnknown)
    assert "started by octocat" in answer.why


def test_a_job_runs_again_alone_and_one_of_a_matrix_does_not() -> None:
    fake, connector, run = failed()
    task = latest_records(opened(fake))[0][f"{ORDERS}.load", run.attempt_key]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(task), task.state), 10)
    connector.act(preview, new_key(), 10)
    assert [True, False] == [job["status"] == "completed" for job in fake.runs[0]["attempts"][-1]["jobs"]]
    fake, connector, run = failed(REPORT)
    for item in fake.runs[0]["attempts"][-1]["jobs"]:
        item["conclusion"] = "failure"
    task = latest_records(opened(fake))[0][f"{REPORT}.build", run.attempt_key]
    refused = connector.preview(ActionSpec(Verb.RERUN, ref(task), task.state), 10).refused
    assert refused is not None
    assert "2 jobs of build would have to run again" in refused


def test_a_run_of_more_than_thirty_days_is_not_run_again() -> None:
    fake, connector, run = failed()
    fake.runs[0]["created"] -= timedelta(days=31)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    assert "GitHub runs again for 30 days" in str(preview.refused)


def test_what_runs_is_not_run_again_and_a_job_is_not_cancelled_alone() -> None:
    fake = repository()
    fake.outcome[STOCK] = "hang"
    run = fake.start(STOCK)
    fake.tick()
    connector = opened(fake)
    runs = latest_records(connector)[0]
    whole, task = runs[STOCK, f"{run['id']}.1"], runs[f"{STOCK}.load", f"{run['id']}.1"]
    assert "cancel it first" in str(connector.preview(ActionSpec(Verb.RERUN, ref(whole), whole.state), 10).refused)
    assert "cancels whole runs" in str(connector.preview(ActionSpec(Verb.CANCEL, ref(task), task.state), 10).refused)


def test_a_start_carries_its_key_and_period_and_a_lost_answer_is_found_by_the_title() -> None:
    fake, connector, _ = failed()
    key = new_key()
    preview = start(connector, STOCK, period_at="2026-11-20T03:00:00Z")
    assert '"headway_period": "2026-11-20T03:00:00Z"' in preview.native_calls[0]
    fake.lose_answer_of = "dispatches"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 10)
    assert isinstance(connector.look_up(preview, key, 10), ActionFound)
    connector.act(preview, key, 10)
    fake.tick()
    assert [key] == [run.action_key for run in latest_records(connector)[0].values() if run.action_key]


def test_a_start_that_cannot_carry_its_key_says_so_and_its_lost_answer_is_never_called_absent() -> None:
    fake = repository()
    fake.files[STOCK] = "on: workflow_dispatch\njobs: { work: {} }\n"
    connector, key = opened(fake), new_key()
    preview = start(connector, STOCK)
    assert "a lost answer cannot be looked up" in preview.notes[-1]
    assert isinstance(connector.look_up(preview, key, 10), ActionAbsent)
    fake.lose_answer_of = "dispatches"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 10)
    answer = connector.look_up(preview, key, 10)
    assert isinstance(answer, ActionUnknown)
    assert "1 runs were dispatched by headway since" in answer.why


def test_an_older_enterprise_server_gets_the_start_without_what_it_does_not_know() -> None:
    fake = repository()

    def older(request: httpx.Request) -> httpx.Response:
        if b"return_run_details" in request.content:
            return httpx.Response(422, json={"message": '"return_run_details" is not a permitted key.'})
        return fake.handle(request)

    connector = opened(fake, httpx.MockTransport(older))
    receipt = connector.act(start(connector, STOCK), new_key(), 10)
    assert (job(STOCK), 1) == (receipt.native_ref, len(fake.runs))


def test_inputs_come_from_the_settings_and_what_is_missing_or_unknown_is_named() -> None:
    fake = repository()
    text = "on: { workflow_dispatch: { inputs: { mode: { required: true }, also: {} } } }\njobs: { work: {} }\n"
    fake.files[STOCK] = text
    assert "it needs the inputs mode" in str(start(opened(fake), STOCK).refused)
    wrong = opened(fake, inputs={STOCK: {"mode": "full", "speed": "2"}})
    assert "it has no inputs speed" in str(start(wrong, STOCK).refused)
    right = start(opened(fake, inputs={STOCK: {"mode": "full"}}), STOCK)
    assert '"inputs": {"mode": "full"}' in right.native_calls[0]


def test_a_workflow_without_dispatch_is_not_started() -> None:
    fake = repository()
    assert "has no workflow_dispatch trigger" in str(start(opened(fake), REPORT).refused)
    fake.state[STOCK] = "disabled_inactivity"
    assert "disabled_inactivity" in str(start(opened(fake), STOCK).refused)
    assert "has no workflow" in str(start(opened(fake), f"{STOCK}.load").refused)


def test_a_hold_that_github_refuses_leaves_no_mark() -> None:
    fake = repository()
    connector = opened(fake)
    preview = hold(connector)
    fake.forbidden = "PUT"
    with pytest.raises(AccessRefused):
        connector.act(preview, new_key(), 10)
    assert {} == fake.variables


@pytest.mark.parametrize("also, remaining", [("nothing", 0), ("DELETE", 1)])
def test_a_hold_that_a_limit_stops_half_way_takes_its_mark_back_or_says_that_it_is_left(
    also: str, remaining: int
) -> None:
    fake = repository()

    def limited(request: httpx.Request) -> httpx.Response:
        if request.method in ("PUT", also):
            return httpx.Response(429, json={"message": "secondary rate limit"}, headers={"retry-after": "60"})
        return fake.handle(request)

    connector = opened(fake, httpx.MockTransport(limited))
    with pytest.raises(OutcomeUnknown if remaining else SystemUnreachable):
        connector.act(hold(connector), new_key(), 10)
    assert remaining == len(fake.variables)


def test_a_hold_whose_answer_was_lost_is_found_by_its_variable() -> None:
    fake = repository()
    connector, key = opened(fake), new_key()
    preview = hold(connector)
    fake.lose_answer_of = "POST /actions/variables"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 10)
    assert isinstance(connector.look_up(preview, key, 10), ActionAbsent)
    assert [True] == [hold.bare for hold in connector.holds(10)]
    connector.act(preview, key, 10)
    assert isinstance(connector.look_up(preview, key, 10), ActionFound)
    assert ("disabled_manually", [False]) == (fake.state[STOCK], [hold.bare for hold in connector.holds(10)])


def test_a_token_that_may_only_read_is_named_by_the_probe_and_refused_by_github() -> None:
    fake, connector, run = failed()
    fake.forbidden = "POST|PUT|DELETE"
    rights = connector.probe(10).rights
    assert [True] * 4 == [right.held for right in rights if right.needed_for == "view"]
    assert [False] * 3 == [right.held for right in rights if right.needed_for == "act"]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    with pytest.raises(AccessRefused, match="not accessible"):
        connector.act(preview, new_key(), 10)


def test_a_probe_changes_nothing_where_ids_begin_at_1(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = repository()
    monkeypatch.setattr(fake, "id_of", lambda file: 1 + list(fake.files).index(file))
    fake.state[ORDERS] = "disabled_manually"
    rights = opened(fake).probe(10).rights
    assert ([True] * 7, "disabled_manually") == ([right.held for right in rights], fake.state[ORDERS])


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=6)])
def test_a_start_is_found_although_a_hundred_others_followed_it(later: timedelta) -> None:
    fake = repository()
    connector, key = opened(fake), new_key()
    preview = start(connector, ORDERS)
    sent = Preview(preview.verb, "", "", plan={**preview.plan, SENT_AT: instant_key(fake.now - timedelta(minutes=9))})
    fake.now -= timedelta(minutes=8)
    connector.act(preview, key, 10)
    fake.now += later
    for _ in range(100):
        fake.start(ORDERS)
    answer = connector.look_up(sent, key, 10)
    assert isinstance(answer, ActionFound if later else ActionUnknown), answer


def test_a_log_is_read_without_the_token_and_only_over_https() -> None:
    fake, connector, run = failed()
    chunk = connector.log(ref(run), None, 4096, 10)
    assert "Load it: Process completed with exit code 1." in chunk.text

    def elsewhere(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/logs"):
            return httpx.Response(302, headers={"location": "http://169.254.169.254/latest"})
        return fake.handle(request)

    with pytest.raises(AccessRefused, match="only https is followed"):
        opened(fake, httpx.MockTransport(elsewhere)).log(ref(run), None, 4096, 10)


def test_a_log_that_github_deleted_is_empty_and_one_of_several_jobs_is_read_through() -> None:
    fake, connector, run = failed(REPORT)
    for number, item in enumerate(fake.runs[0]["attempts"][-1]["jobs"]):
        item["conclusion"] = "failure"
        fake.logs[item["id"]] = b"%d" % number * 10
    whole = connector.log(ref(run), None, 100, 10)
    assert ("0" * 10 + "1" * 10, False) == (whole.text, whole.cut)
    assert ("0" * 5 + "1" * 10, True) == ((tail := connector.log(ref(run), None, 15, 10)).text, tail.cut)
    fake.logs.clear()
    assert "" == connector.log(ref(run), None, 100, 10).text


def test_a_release_whose_mark_cannot_be_removed_is_not_called_refused() -> None:
    """The workflow is enabled by then."""
    fake = repository()
    connector, key = opened(fake), new_key()
    connector.act(hold(connector), key, 10)
    ask = ActionSpec(Verb.RELEASE, RunRef(job(STOCK), "", "", ""), RunState.HELD, {"hold": key})
    preview = connector.preview(ask, 10)
    fake.forbidden = "DELETE"
    with pytest.raises(OutcomeUnknown, match="it was enabled, then: "):
        connector.act(preview, new_key(), 10)
    assert "active" == fake.state.get(STOCK, "active")


def test_a_list_of_runs_that_cannot_be_read_proves_no_absence() -> None:
    fake = repository()
    preview = start(opened(fake), STOCK)

    def garbled(request: httpx.Request) -> httpx.Response:
        is_list = request.url.path.endswith("/runs")
        return httpx.Response(200, json={"total_count": 0}) if is_list else fake.handle(request)

    with pytest.raises(SystemUnreachable, match="has no list 'workflow_runs'"):
        opened(fake, httpx.MockTransport(garbled)).look_up(preview, new_key(), 10)


def test_a_run_that_still_runs_does_not_prove_that_its_cancel_never_arrived() -> None:
    """GitHub shows it as in progress until its jobs have ended, which takes up to five minutes."""
    fake = repository()
    fake.outcome[ORDERS] = "hang"
    run = fake.start(ORDERS, "workflow_dispatch")
    fake.tick()
    connector = opened(fake)
    record = latest_records(connector)[0][ORDERS, f"{run['id']}.1"]
    preview = connector.preview(ActionSpec(Verb.CANCEL, ref(record), record.state), 10)
    assert isinstance(connector.look_up(preview, new_key(), 10), ActionUnknown)
