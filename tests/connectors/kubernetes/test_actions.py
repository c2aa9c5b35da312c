"""What is done to a cluster: answers that are lost, what changed in between, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Connector, Preview
from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.kubernetes.support import ORDERS, cluster, latest_records, opened
from tests.fakes.kubernetes import FakeKubernetes


@pytest.fixture
def fake() -> FakeKubernetes:
    made = cluster()
    made.outcome["load-orders"] = "Failed"
    made.job("", "load-orders")
    made.tick()
    return made


def the_run(connector: Connector, job: str = ORDERS) -> RunRecord:
    return next(run for run in latest_records(connector)[0].values() if run.job == job)


def rerun(connector: Connector, job: str = ORDERS) -> Preview:
    run = the_run(connector, job)
    return connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10)


def hang(fake: FakeKubernetes) -> RunRecord:
    fake.outcome["stock-count"] = "hang"
    fake.job("", "stock-count")
    fake.tick()
    return the_run(opened(fake), "etl/stock-count")


def sent_ago(preview: Preview, **ago: int) -> Preview:
    sent = instant_key(datetime.now(UTC) - timedelta(**ago))
    return Preview(preview.verb, preview.summary, preview.scope, plan={**preview.plan, SENT_AT: sent})


def cancel_ask(fake: FakeKubernetes) -> ActionSpec:
    run = hang(fake)
    return ActionSpec(Verb.CANCEL, ref(run), run.state)


@pytest.mark.parametrize(
    "ask, call",
    [
        (lambda fake: ActionSpec(Verb.RERUN, ref(the_run(opened(fake))), RunState.FAILED), "POST .*/jobs$"),
        (cancel_ask, "PATCH .*/jobs/"),
        (lambda fake: hold_ask(ORDERS), "PATCH .*/cronjobs/"),
    ],
)
def test_a_lost_answer_is_looked_up_and_found(
    fake: FakeKubernetes, ask: Callable[[FakeKubernetes], ActionSpec], call: str
) -> None:
    connector, key = opened(fake), new_key()
    preview = connector.preview(ask(fake), 10)
    fake.lose_answer_of = call
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 10)
    assert isinstance(opened(fake).look_up(preview, key, 10), ActionFound)
    changes = [method for method, path, _ in fake.requests if method in ("POST", "PATCH")]
    assert len(changes) == 1, "nothing is sent twice"


def test_same_key_again_makes_no_second_job(fake: FakeKubernetes) -> None:
    connector, key = opened(fake), new_key()
    preview = rerun(connector)
    first = connector.act(preview, key, 10)
    again = connector.act(preview, key, 10)
    assert (first.native_ref, again.message) == (again.native_ref, "was made under this key before")
    assert sum(name.endswith(key) for _, name in fake.jobs) == 1


def test_job_that_ended_and_was_deleted_is_found_by_events(fake: FakeKubernetes) -> None:
    connector, key = opened(fake), new_key()
    preview = rerun(connector)
    connector.act(preview, key, 10)
    name = f"load-orders-{key}"
    fake.event(name, "SuccessfulCreate", "Created pod: x", kind="Job")
    fake.delete(fake.jobs["etl", name])
    assert isinstance(connector.look_up(preview, key, 10), ActionFound)


def test_absence_is_proved_only_where_and_while_events_would_show_it(fake: FakeKubernetes) -> None:
    """Else a Job that was made, ended and deleted by its TTL would be called absent, and made again."""
    connector, key = opened(fake), new_key()
    preview = rerun(connector)
    assert isinstance(connector.look_up(preview, key, 10), ActionAbsent)
    assert isinstance(connector.look_up(sent_ago(preview, minutes=30), key, 10), ActionAbsent)
    assert isinstance(connector.look_up(sent_ago(preview, minutes=70), key, 10), ActionUnknown)
    fake.forbidden = "/events"
    assert isinstance(opened(fake).look_up(preview, key, 10), ActionUnknown)


def test_a_cronjob_recreated_since_the_preview_is_not_used(fake: FakeKubernetes) -> None:
    connector = opened(fake)
    preview = rerun(connector)
    fake.cronjob("load-orders")
    with pytest.raises(NotSupported, match="was deleted or replaced; nothing was sent"):
        connector.act(preview, new_key(), 10)


def test_a_missing_right_refuses_the_action_with_the_sources_message(fake: FakeKubernetes) -> None:
    connector = opened(fake)
    preview = rerun(connector)
    fake.forbidden = "POST .*/jobs$"
    with pytest.raises(AccessRefused, match="User cannot do that"):
        connector.act(preview, new_key(), 10)


def test_rerun_names_other_jobs_that_are_active(fake: FakeKubernetes) -> None:
    row = fake.job("", "load-orders", at=fake.now - timedelta(minutes=1))
    fake.cronjobs["etl", "load-orders"]["status"]["active"] = [row["metadata"]]
    assert rerun(opened(fake)).overlap == f"Jobs of it are active: {row['metadata']['name']}"


def test_a_cronjob_changed_by_its_controller_meanwhile_is_read_again(fake: FakeKubernetes) -> None:
    connector, key = opened(fake), new_key()
    changed: list[bool] = []
    preview = connector.preview(hold_ask(ORDERS), 10)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH" and not changed:
            changed.append(True)
            fake.version += 1
            fake.cronjobs["etl", "load-orders"]["metadata"]["resourceVersion"] = str(fake.version)
        return fake.handle(request)

    opened(fake, httpx.MockTransport(answer)).act(preview, key, 10)
    assert [hold.mark.id for hold in connector.holds(10)] == [key]


def test_hold_of_a_job_without_a_clock_is_refused(fake: FakeKubernetes) -> None:
    preview = opened(fake).preview(hold_ask("etl/job/migrate"), 10)
    assert "no clock of Kubernetes starts it" in str(preview.refused)


def test_a_release_warns_that_kubernetes_catches_up_the_latest_start(fake: FakeKubernetes) -> None:
    connector, key = opened(fake), new_key()
    connector.act(connector.preview(hold_ask(ORDERS), 10), key, 10)
    notes = connector.preview(release_ask(ORDERS, key), 10).notes
    assert any("starts the latest run that fell due meanwhile" in note for note in notes)


def test_suspended_job_is_not_cancelled(fake: FakeKubernetes) -> None:
    run = hang(fake)
    next(row for row in fake.jobs.values() if row["metadata"]["uid"] == run.attempt_key)["spec"]["suspend"] = True
    refused = opened(fake).preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 10).refused
    assert "is suspended" in str(refused)


def lone(fake: FakeKubernetes, **meta: Any) -> tuple[Connector, RunRecord]:
    row = fake.job("migrate", **meta)
    row["spec"] |= {"selector": {"matchLabels": {"controller-uid": "x"}}, "activeDeadlineSeconds": 600}
    row["spec"]["template"]["metadata"] = {"labels": {"controller-uid": "x", "job-name": "migrate", "app": "etl"}}
    fake.outcome["migrate"] = "Failed"
    fake.tick()
    connector = opened(fake, lone_jobs=["*"])
    return connector, next(
        run for run in latest_records(connector)[0].values() if run.attempt_key == row["metadata"]["uid"]
    )


def copy_of(fake: FakeKubernetes, connector: Connector, run: RunRecord) -> dict[str, Any]:
    key = new_key()
    connector.act(connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10), key, 10)
    return fake.jobs["etl", f"migrate-{key}"]


def test_copy_of_a_job_is_its_own_and_belongs_to_the_same_job(fake: FakeKubernetes) -> None:
    connector, run = lone(fake, annotations={"batch.kubernetes.io/job-tracking": "", "note": "kept"})
    copy = copy_of(fake, connector, run)
    assert "selector" not in copy["spec"]
    assert copy["spec"]["template"]["metadata"]["labels"] == {"app": "etl"}
    assert copy["spec"]["activeDeadlineSeconds"] == 600
    notes = copy["metadata"]["annotations"]
    assert (notes["note"], notes["headway/job"], notes["headway/again-of"]) == (
        "kept",
        "etl/job/migrate",
        run.attempt_key,
    )
    assert "batch.kubernetes.io/job-tracking" not in notes
    again = next(run for run in latest_records(connector)[0].values() if run.attempt_key == copy["metadata"]["uid"])
    assert (again.job, again.again_of, again.period_key) == ("etl/job/migrate", run.attempt_key, None)


def test_copy_of_a_job_that_we_ended_does_not_end_at_once(fake: FakeKubernetes) -> None:
    connector, run = lone(fake, annotations={"headway/cancelled": new_key()})
    assert "activeDeadlineSeconds" not in copy_of(fake, connector, run)["spec"]


def test_job_that_something_else_owns_is_not_copied(fake: FakeKubernetes) -> None:
    owner = {"kind": "JobSet", "name": "train", "uid": "t", "controller": True}
    connector, run = lone(fake, ownerReferences=[owner])
    refused = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 10).refused
    assert refused == "the Job belongs to JobSet train: that has to start it"


def test_start_of_a_job_that_has_no_template_any_more_is_refused(fake: FakeKubernetes) -> None:
    ask = ActionSpec(Verb.START, RunRef("etl/gone", "2026-11-20T03:00:00Z", "", ""), RunState.PLANNED)
    assert opened(fake).preview(ask, 10).refused == "etl has no CronJob gone: nothing is left to make a Job from"


def test_events_that_cannot_be_read_prove_no_absence(fake: FakeKubernetes) -> None:
    connector = opened(fake)
    preview = rerun(connector)

    def garbled(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={}) if request.url.path.endswith("/events") else fake.handle(request)

    with pytest.raises(SystemUnreachable, match="has no list 'items'"):
        opened(fake, httpx.MockTransport(garbled)).look_up(preview, new_key(), 10)
