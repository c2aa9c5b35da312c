"""Following a cluster: lists, watches, what is deleted, what vanished, what is notified of what was not started."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connectors.kubernetes import client
from connectors.kubernetes.connector import LEASE_REFUSED
from connectors.kubernetes.runs import TOO_MANY_PODS
from connectors.sdk.conformance.world import ref
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.states import RunEvidence, RunState
from connectors.sdk.transport import http
from tests.connectors.kubernetes.support import ORDERS, STOCK, cluster, latest_records, opened
from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_rows import stamp


def paths(fake: FakeKubernetes) -> list[str]:
    return [path.rpartition("/")[2] for _, path, _ in fake.requests]


def test_calm_poll_costs_two_requests_and_one_more_for_pods_of_what_is_open() -> None:
    fake = cluster()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    fake.requests.clear()
    latest_records(connector, cursor)
    assert paths(fake) == ["jobs", "events"]
    fake.outcome["load-orders"] = "hang"
    fake.job("", "load-orders")
    fake.tick()
    fake.requests.clear()
    latest_records(connector, cursor)
    assert paths(fake) == ["jobs", "events", "pods"]


def test_version_that_is_forgotten_is_a_gap_and_all_is_listed_again() -> None:
    fake = cluster()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    fake.job("", "stock-count")
    fake.tick()
    fake.compacted = fake.version
    poll = connector.poll(cursor, (), 10)
    assert [gap.reason.partition(":")[0] for gap in poll.gaps] == ["Kubernetes no longer has the changes since then"]
    assert [(run.job, run.state) for run in poll.runs] == [(STOCK, RunState.SUCCEEDED)]
    assert poll.seen_until is None, "what began while the list was read comes with the next poll"
    assert connector.poll(poll.cursor, (), 10).gaps == ()


def test_quiet_cluster_does_not_forget_where_we_stand() -> None:
    """Whatever else changes there: its history ends after five minutes, and our Jobs may rest for a night."""
    fake = cluster()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    versions = [fake.version]
    for _ in range(40):
        fake.tick(15)
        fake.version += 7
        versions.append(fake.version)
        fake.compacted = versions[max(0, len(versions) - 1 - 5 * 60 // 15)]
        poll = connector.poll(cursor, (), 10)
        assert poll.gaps == ()
        cursor = poll.cursor
    row = fake.job("", "stock-count")
    assert [run.attempt_key for run in connector.poll(cursor, (), 10).runs] == [row["metadata"]["uid"]]


def test_pods_beyond_the_limit_of_one_answer_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit codes would be missing without a word."""
    monkeypatch.setattr(client, "MAX_PODS", 1)
    fake = cluster()
    connector = opened(fake)
    fake.outcome |= {"load-orders": "Failed", "stock-count": "Failed"}
    _, cursor = latest_records(connector)
    for name, warns in (("load-orders", False), ("stock-count", True)):
        fake.job("", name)
        fake.tick()
        if warns:
            fake.job("", "load-orders")
            fake.tick()
        poll = connector.poll(cursor, (), 10)
        cursor = poll.cursor
        assert warns == (TOO_MANY_PODS in poll.warnings)


def test_a_job_that_changes_while_the_cursor_moves_is_reported() -> None:
    fake = cluster()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    seen = set()
    for number in range(30):
        fake.tick(15)
        fake.version += 7
        if number % 9 == 8:
            fake.job("", "stock-count", at=fake.now + timedelta(minutes=number))
        runs, cursor = latest_records(connector, cursor)
        seen |= {key for _, key in runs}
    assert seen == {row["metadata"]["uid"] for row in fake.jobs.values()}


def test_an_error_in_the_middle_of_a_watch_that_means_gone_is_the_same() -> None:
    fake = cluster()
    _, cursor = latest_records(opened(fake))

    def answer(request: httpx.Request) -> httpx.Response:
        if "watch" in request.url.params:
            line = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n'
            return httpx.Response(200, content=line, headers={"content-type": "application/json"})
        return fake.handle(request)

    assert opened(fake, httpx.MockTransport(answer)).poll(cursor, (), 10).gaps


def test_half_a_line_of_a_watch_is_no_change() -> None:
    fake = cluster()
    _, cursor = latest_records(opened(fake))

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"content-type": "application/json"}
        if "watch" in request.url.params:
            return httpx.Response(200, content=b'{"type":"ADDED","object":{"meta', headers=headers)
        return fake.handle(request)

    with pytest.raises(SystemUnreachable, match="is not JSON"):
        opened(fake, httpx.MockTransport(answer)).poll(cursor, (), 10)


def test_login_page_in_place_of_a_watch_is_refused() -> None:
    fake = cluster()
    _, cursor = latest_records(opened(fake))

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"})

    with pytest.raises(AccessRefused, match="a login or a proxy"):
        opened(fake, httpx.MockTransport(answer)).poll(cursor, (), 10)


def test_a_job_that_came_and_went_between_two_polls_is_reported_with_its_end() -> None:
    fake = cluster()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    fake.outcome["load-orders"] = "Failed"
    row = fake.job("", "load-orders")
    fake.tick()
    fake.delete(row)
    (run,) = connector.poll(cursor, (), 10).runs
    assert (run.job, run.state, run.native_state) == (ORDERS, RunState.FAILED, "Failed: BackoffLimitExceeded")


def test_a_list_that_expires_while_it_is_read_is_restarted() -> None:
    fake = cluster()
    for minute in range(1200):
        fake.job("", "stock-count", at=fake.now - timedelta(minutes=minute))
    fake.tick()
    connector = opened(fake)
    poll = connector.poll("", (), 10)
    assert poll.more

    def answer(request: httpx.Request) -> httpx.Response:
        if "continue" in request.url.params:
            return fake.refusal(410, "Expired", "the continue parameter is too old")
        return fake.handle(request)

    again = opened(fake, httpx.MockTransport(answer)).poll(poll.cursor, (), 10)
    expired = "the list of Jobs expired while it was read: the listing starts again"
    assert (again.more, again.warnings) == (True, (expired,))
    runs, _ = latest_records(connector, again.cursor)
    assert len(runs) == 1200


def test_a_vanished_run_is_reported_and_one_that_never_started_is_not() -> None:
    fake = cluster()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    fake.tick(60)
    row = fake.job("", "load-orders")
    name = row["metadata"]["name"]
    fake.event("load-orders", "SuccessfulCreate", f"Created job {name}")
    fake.tick()
    fake.event("load-orders", "SawCompletedJob", f"Saw completed job: {name}, status: Complete")
    fake.event("stock-count", "JobAlreadyActive", "Not starting job because prior execution is running")
    fake.delete(row)
    fake.compacted = fake.version
    poll = connector.poll(cursor, (), 10)
    (run,) = poll.runs
    assert (run.job, run.state, run.evidence) == (ORDERS, RunState.SUCCEEDED, RunEvidence.NATIVE)
    assert run.native_state == "SawCompletedJob: Complete"
    assert [warning.partition(" at ")[0] for warning in poll.warnings] == [f"{STOCK}: JobAlreadyActive"]


def test_vanished_run_without_an_event_is_unknown_and_never_green() -> None:
    fake = cluster()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    fake.tick(120)
    row = fake.job("", "load-orders")
    fake.tick()
    fake.delete(row)
    fake.compacted = fake.version
    (run,) = connector.poll(cursor, (), 10).runs
    assert (run.job, run.state, run.native_state) == (ORDERS, RunState.UNKNOWN, "lastScheduleTime")


def test_a_run_reported_before_its_deletion_is_not_reported_again_as_vanished() -> None:
    fake = cluster()
    fake.now = fake.now.replace(second=59)
    connector = opened(fake)
    row = fake.job("", "load-orders")
    name = row["metadata"]["name"]
    fake.event("load-orders", "SuccessfulCreate", f"Created job {name}")
    fake.tick(60)
    _, cursor = latest_records(connector)
    fake.delete(row)
    fake.compacted = fake.version
    assert connector.poll(cursor, (), 10).runs == ()


def test_an_open_run_whose_job_was_deleted_is_lost_or_as_its_cronjobs_event_says() -> None:
    for message, state, evidence in (
        ("", RunState.LOST, RunEvidence.INFERRED),
        ("Failed", RunState.FAILED, RunEvidence.NATIVE),
    ):
        fake = cluster()
        fake.outcome["load-orders"] = "hang"
        row = fake.job("", "load-orders")
        fake.tick()
        runs, cursor = latest_records(opened(fake))
        (run,) = runs.values()
        fake.delete(row)
        if message:
            name = row["metadata"]["name"]
            fake.event("load-orders", "SawCompletedJob", f"Saw completed job: {name}, status: {message}")
        fake.changes.clear()  # the deletion is not reported
        (run_record,) = opened(fake).poll(cursor, [ref(run)], 10).runs
        assert (run_record.state, run_record.evidence, run_record.attempt_key) == (state, evidence, run.attempt_key)


def test_open_run_in_a_namespace_that_is_closed_to_us_ends_no_poll() -> None:
    fake = cluster()
    fake.outcome["load-orders"] = "hang"
    fake.job("", "load-orders")
    fake.tick()
    runs, cursor = latest_records(opened(fake))
    fake.forbidden = "GET .*/namespaces/etl/jobs/"
    poll = opened(fake).poll(cursor, [ref(run) for run in runs.values()], 10)
    assert (poll.complete, poll.runs, poll.seen_until) == (False, (), None)
    assert "can no longer be read" in poll.warnings[0]


def test_cronjobs_of_an_old_cluster_are_found_where_they_were() -> None:
    fake = cluster()
    fake.old = True
    assert {job.native_id for job in opened(fake).inventory("", 10).jobs} == {ORDERS, STOCK}
    assert any(path.startswith("/apis/batch/v1beta1/") for _, path, _ in fake.requests)


def test_standalone_jobs_are_watched_where_configured() -> None:
    fake = cluster()
    fake.job("load-x7k2p", generateName="load-")
    fake.job("migrate")
    fake.tick()
    assert latest_records(opened(fake))[0] == {}
    connector = opened(fake, lone_jobs=["etl/load*"])
    assert {job for job, _ in latest_records(connector)[0]} == {"etl/job/load"}
    inventory = connector.inventory("", 10)
    assert {job.native_id for job in inventory.jobs} == {ORDERS, STOCK, "etl/job/load"}
    assert inventory.is_selected is not None
    assert not inventory.is_selected("etl/job/load", ()), "one that is deleted is no drift"
    assert inventory.is_selected(ORDERS, ())


def test_patterns_choose_by_name_and_by_namespace() -> None:
    fake = cluster()
    fake.cronjob("load-orders", namespace="dev")
    fake.job("", "load-orders", namespace="dev")
    fake.job("", "load-orders")
    fake.tick()
    connector = opened(fake, jobs=["etl/*"])
    assert {job for job, _ in latest_records(connector)[0]} == {ORDERS}
    assert {job.native_id for job in connector.inventory("", 10).jobs} == {ORDERS, STOCK}


def test_each_namespace_is_a_target_that_is_polled_alone() -> None:
    fake = cluster()
    fake.cronjob("weekly", namespace="reports")
    connector = opened(fake, target="reports", namespaces=["etl", "reports"])
    assert [job.native_id for job in connector.inventory("", 10).jobs] == ["reports/weekly"]
    latest_records(connector)
    scoped = [path for _, path, _ in fake.requests if path.startswith(("/apis/batch/v1/", "/api/v1/"))]
    assert all("/namespaces/reports/" in path for path in scoped)


def test_without_pods_and_events_the_rest_is_read_and_the_gap_is_reported() -> None:
    fake = cluster()
    fake.outcome["load-orders"] = "Failed"
    fake.job("", "load-orders")
    fake.tick()
    fake.forbidden = "/pods|/events"
    connector = opened(fake)
    poll = connector.poll("", (), 10)
    assert [(run.state, run.exit_code) for run in poll.runs] == [(RunState.FAILED, None)]
    assert {warning.split()[0] for warning in poll.warnings} == {"pods", "events"}
    with pytest.raises(AccessRefused, match="list pods"):
        connector.log(ref(poll.runs[0]), None, 1000, 10)


def test_the_log_of_deleted_pods_is_reported_as_deleted() -> None:
    fake = cluster()
    fake.job("", "load-orders")
    fake.tick()
    connector = opened(fake)
    (run,) = latest_records(connector)[0].values()
    fake.pods.clear()
    with pytest.raises(NotSupported, match="its pods are deleted"):
        connector.log(ref(run), None, 1000, 10)


def test_log_goes_on_from_where_it_was_also_within_one_instant_and_one_line() -> None:
    fake = cluster()
    fake.outcome["load-orders"] = "hang"
    row = fake.job("", "load-orders")
    fake.tick()
    pod = f"{row['metadata']['name']}-x1"
    fake.logs[pod] = b"2026-11-20T07:00:00.1Z first\n"
    connector = opened(fake)
    (run,) = latest_records(connector)[0].values()
    start = connector.log(ref(run), None, 1000, 10).next
    fake.logs[pod] += b"2026-11-20T07:00:00.1Z " + b"y" * 50 + b"\n" + b"2026-11-20T07:00:00.2Z third\n"
    read = ""
    for _ in range(20):
        assert start is not None
        chunk = connector.log(ref(run), start, 16, 10)
        assert len(chunk.text) <= 16
        read, start = read + chunk.text, chunk.next
        if not chunk.more:
            break
    assert read == "y" * 50 + "\nthird\n"


def test_an_answer_that_is_too_large_is_requested_in_smaller_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = cluster()
    for number in range(30):
        row = fake.job("", "stock-count", at=fake.now - timedelta(minutes=number))
        row["metadata"]["annotations"] = {"note": "x" * 4000}
    fake.tick()
    monkeypatch.setattr(http, "LIMIT_BYTES", 120_000)
    assert len(latest_records(opened(fake))[0]) == 30
    limits = [parameters.get("limit") for _, path, parameters in fake.requests if path.endswith("/jobs")]
    assert limits == ["250", "20", "20"]


def test_more_changes_than_one_answer_holds_are_a_gap_and_all_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = cluster()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    row = fake.job("", "stock-count")
    row["metadata"]["annotations"] = {"note": "x" * 20_000}
    for _ in range(4):
        fake.delete(row)
        fake.changes[-1][2]["metadata"]["annotations"] = {"note": "x" * 20_000}
        fake.jobs["etl", row["metadata"]["name"]] = row
    monkeypatch.setattr(http, "LIMIT_BYTES", 60_000)
    poll = connector.poll(cursor, (), 10)
    assert [gap.reason.partition(":")[0] for gap in poll.gaps] == ["more changed than one answer holds"]
    assert [run.job for run in poll.runs] == [STOCK]


def test_clock_of_a_watch_is_read_when_it_began() -> None:
    """It lasts a second: the time at its end would make each cluster's clock late."""
    fake = cluster()
    connector = opened(fake)
    _, cursor = latest_records(connector)
    fake.now = datetime.now(UTC)
    began = list[datetime]()

    def answer(request: httpx.Request) -> httpx.Response:
        if "watch" in request.url.params:
            began.append(datetime.now(UTC))
        return fake.handle(request)

    clock = opened(fake, httpx.MockTransport(answer)).poll(cursor, (), 10).clock
    assert clock is not None
    assert clock.ours <= began[0]


def test_a_controller_manager_that_renews_no_lease_starts_nothing() -> None:
    fake = cluster()
    fake.renewed = fake.now - timedelta(seconds=20)
    assert "" == opened(fake).poll("", (), 10).stopped
    fake.renewed = fake.now - timedelta(minutes=5)
    stopped = opened(fake).poll("", (), 10).stopped
    assert f"kube-controller-manager has not renewed its lease since {stamp(fake.renewed)}: no CronJob starts" in (
        stopped or ""
    )
    assert [stopped] == [right.problem for right in opened(fake).probe(10).rights if not right.held]


def test_no_lease_no_right_to_it_and_one_older_than_a_start_prove_nothing() -> None:
    fake = cluster()
    assert None is opened(fake).poll("", (), 10).stopped
    fake.renewed = fake.now - timedelta(days=90)
    fake.job("", "load-orders")  # its managers elect no leader any more
    assert None is opened(fake).poll("", (), 10).stopped
    fake.forbidden = "/leases/"
    probe = opened(fake).probe(10)
    assert all(right.held for right in probe.rights)
    assert LEASE_REFUSED in probe.notes
