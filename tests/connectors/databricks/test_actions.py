"""Actions on a workspace and how each is found again; sign-in; cached credentials by user."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.databricks.connector import DatabricksConnector
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Preview
from connectors.sdk.errors import AccessRefused, ActionRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import RunState, Verb
from tests.connectors.databricks.support import ORDERS, STOCK, latest_records, opened, workspace
from tests.fakes.databricks import FakeDatabricks

UNTIL = "2026-11-22T06:30:00Z"


def failed() -> tuple[FakeDatabricks, DatabricksConnector, RunRecord]:
    fake = workspace()
    fake.outcome[int(ORDERS)] = "FAILED"
    run = fake.start(int(ORDERS))
    fake.tick()
    connector = opened(fake)
    return fake, connector, latest_records(connector)[0][ORDERS, str(run["run_id"])]


def start(connector: DatabricksConnector, job: str, **parameters: Any) -> Preview:
    return connector.preview(ActionSpec(Verb.START, RunRef(job, "", "", ""), RunState.PLANNED, parameters), 10)


def hold(connector: DatabricksConnector, job: str = STOCK) -> Preview:
    ask = ActionSpec(Verb.HOLD, RunRef(job, "", "", ""), RunState.PLANNED, {"by": "alice", "until": UNTIL})
    return connector.preview(ask, 10)


@pytest.mark.parametrize(
    "scope, body",
    [
        ("failed", {"rerun_all_failed_tasks": True}),
        ("downstream", {"rerun_all_failed_tasks": True, "rerun_dependent_tasks": True}),
        ("all", {"rerun_tasks": ["extract", "load"]}),
    ],
)
def test_a_repair_is_sent_once_and_is_the_one_that_follows(scope: str, body: dict[str, Any]) -> None:
    fake, connector, run = failed()
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state, {"scope": scope}), 10)
    assert isinstance(connector.look_up(preview, new_key(), 10), ActionAbsent)
    fake.lose_answer_of = "repair"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, new_key(), 10)
    assert {"run_id": fake.runs[0]["run_id"], **body} == fake.requests[-1][2]
    assert isinstance(connector.look_up(preview, new_key(), 10), ActionFound)
    with pytest.raises(ActionRefused):
        connector.act(preview, new_key(), 10)


def test_a_second_repair_names_the_first_and_one_from_before_it_is_refused() -> None:
    fake, connector, run = failed()
    old = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    first = fake.repair(fake.runs[0], ["load"])
    fake.tick()
    again = latest_records(connector)[0][ORDERS, f"{run.attempt_key}.{first}"]
    assert "a later repair of the run is there" in str(
        connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10).refused
    )
    with pytest.raises(NotSupported):
        connector.act(old, new_key(), 10)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(again), again.state), 10)
    connector.act(preview, new_key(), 10)
    assert first == fake.requests[-1][2]["latest_repair_id"]


def test_a_repair_of_another_time_is_not_mistaken_for_ours() -> None:
    fake, connector, run = failed()
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    fake.repair(fake.runs[0], ["load"])
    long_ago = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    sent = Preview(preview.verb, preview.summary, preview.scope, plan={**preview.plan, SENT_AT: long_ago})
    answer = connector.look_up(sent, new_key(), 10)
    assert isinstance(answer, ActionUnknown)
    assert "another person may have started it" in answer.why


def test_a_task_is_repaired_with_what_depends_on_it() -> None:
    fake, connector, _ = failed()
    task = next(run for (job, _), run in latest_records(opened(fake))[0].items() if job == f"{ORDERS}.load")
    connector.act(connector.preview(ActionSpec(Verb.RERUN, ref(task), task.state), 10), new_key(), 10)
    body = fake.requests[-1][2]
    assert (["load"], True) == (body["rerun_tasks"], body["rerun_dependent_tasks"])


def test_a_start_is_one_run_however_often_it_is_sent_and_is_found_by_its_parameter() -> None:
    fake, connector, _ = failed()
    key = new_key()
    preview = start(connector, STOCK, period_at="2026-11-20T03:00:00Z")
    fake.lose_answer_of = "run-now"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 10)
    body = fake.requests[-1][2]
    assert (key, "2026-11-20T03:00:00Z") == (body["idempotency_token"], body["job_parameters"]["headway_period"])
    assert isinstance(connector.look_up(preview, key, 10), ActionFound)
    connector.act(preview, key, 10)
    fake.tick()
    assert [key] == [run.action_key for run in latest_records(connector)[0].values() if run.action_key]
    assert len(key) <= 64


def test_a_start_that_may_lie_behind_the_last_page_is_not_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, connector, _ = failed()
    monkeypatch.setattr("connectors.databricks.actions.MAX_PAGES", 1)
    preview = start(connector, STOCK)
    assert isinstance(connector.look_up(preview, new_key(), 10), ActionAbsent)
    for _ in range(30):
        fake.start(int(STOCK))
    assert isinstance(connector.look_up(preview, new_key(), 10), ActionUnknown)


def test_a_start_that_cannot_show_its_key_says_so_and_is_never_called_absent() -> None:
    fake = workspace()
    fake.jobs[int(STOCK)]["parameters"] = []
    connector, key = opened(fake), new_key()
    preview = start(connector, STOCK)
    assert "its run does not show our key" in preview.notes[1]
    assert isinstance(connector.look_up(preview, key, 10), ActionAbsent)
    fake.lose_answer_of = "run-now"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 10)
    assert isinstance(connector.look_up(preview, key, 10), ActionUnknown)


def test_a_hold_preserves_other_tags_and_settings_and_leaves_no_trace() -> None:
    fake = workspace()
    before = dict(fake.jobs[int(STOCK)])
    connector, key = opened(fake), new_key()
    connector.act(hold(connector), key, 10)
    held = fake.jobs[int(STOCK)]
    assert ("etl", "PAUSED") == (held["tags"]["team"], held["schedule"]["pause_status"])
    assert f"headway-hold id={key} by=alice until={UNTIL}" == held["tags"]["headway_hold"]
    ask = ActionSpec(Verb.RELEASE, RunRef(STOCK, "", "", ""), RunState.HELD, {"hold": key})
    connector.act(connector.preview(ask, 10), new_key(), 10)
    assert before == fake.jobs[int(STOCK)]


def test_a_job_without_a_clock_is_not_held_and_a_refused_tag_holds_nothing() -> None:
    fake = workspace()
    del fake.jobs[int(ORDERS)]["schedule"]
    connector = opened(fake)
    assert "no schedule and no trigger" in str(hold(connector, ORDERS).refused)

    def picky(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/update"):
            return httpx.Response(
                400, json={"error_code": "INVALID_PARAMETER_VALUE", "message": "Tag value is invalid"}
            )
        return fake.handle(request)

    refusing = opened(fake, httpx.MockTransport(picky))
    with pytest.raises(NotSupported, match="Tag value is invalid"):
        refusing.act(hold(refusing), new_key(), 10)
    assert "UNPAUSED" == fake.jobs[int(STOCK)]["schedule"]["pause_status"]


def test_a_service_principal_signs_in_once_and_again_when_its_token_is_refused() -> None:
    fake = workspace()
    connector = opened(fake, client_id="robot", client_secret={"env": "SECRET"})
    connector.inventory("", 10)
    connector.poll("", (), 10)
    assert 1 == fake.signed_in
    fake.signed_in = 7  # as if the one that is held had been revoked
    connector.poll("", (), 10)
    assert 8 == fake.signed_in


def test_a_wrong_secret_is_refused_by_its_own_name() -> None:
    connector = opened(workspace(), client_id="stranger", client_secret={"env": "SECRET"})
    with pytest.raises(AccessRefused, match="/oidc/v1/token"):
        connector.poll("", (), 10)


def test_a_busy_workspace_says_when_to_come_back() -> None:
    def busy(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, json={"error_code": "REQUEST_LIMIT_EXCEEDED"}, headers={"retry-after": "12"})

    with pytest.raises(SystemUnreachable) as raised:
        opened(workspace(), httpx.MockTransport(busy)).poll("", (), 10)
    assert 12 == raised.value.retry_after_seconds


def test_an_account_that_may_act_nowhere_is_named_by_the_probe_and_refused_by_databricks() -> None:
    fake, connector, run = failed()
    fake.forbidden = "repair|cancel|run-now|update"
    rights = connector.probe(10).rights
    assert [False, False] == [right.held for right in rights if right.needed_for == "act"]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)
    with pytest.raises(AccessRefused, match="does not have the permission"):
        connector.act(preview, new_key(), 10)


def test_a_log_is_that_of_the_tasks_that_failed() -> None:
    _, connector, run = failed()
    chunk = connector.log(ref(run), None, 4096, 10)
    assert "== load (spark_jar com.acme.Load): RUN_EXECUTION_ERROR" in chunk.text
    assert "ValueError: bad row 7" in chunk.text
    assert "extract" not in chunk.text


def test_a_calm_poll_costs_three_requests_and_an_old_repair_is_found_in_turns() -> None:
    fake, connector, run = failed()
    for _ in range(60):
        fake.start(int(STOCK))
    fake.tick(3 * 3600)
    cursor = latest_records(connector)[1]
    fake.requests.clear()
    cursor = connector.poll(cursor, (), 10).cursor
    assert ["/api/2.2/jobs/runs/list"] * 3 == [path for path, _, _ in fake.requests]
    fake.outcome.clear()
    repair = fake.repair(fake.runs[0], ["load"])
    fake.tick()
    keys = set[str]()
    for _ in range(6):
        poll = connector.poll(cursor, (), 10)
        cursor, keys = poll.cursor, keys | {run.attempt_key for run in poll.runs}
    assert f"{run.attempt_key}.{repair}" in keys


def test_history_is_read_whole_and_oldest_first() -> None:
    fake = workspace()
    fake.crowd = 2000
    cursor, more, keys = "", True, list[str]()
    connector = opened(fake)
    while more:
        poll = connector.poll(cursor, (), 10)
        cursor, more = poll.cursor, poll.more
        keys += [run.attempt_key for run in poll.runs]
    seen = list(dict.fromkeys(keys))
    assert 2000 == len(seen)
    assert seen == sorted(seen, key=int), "not oldest first"


@pytest.mark.deep
def test_a_second_with_more_runs_than_can_be_listed_is_reported() -> None:
    fake = workspace()
    for _ in range(600):
        fake.start(int(STOCK))
    fake.tick()
    with pytest.raises(SystemUnreachable, match="its list does not end"):
        latest_records(opened(fake))
