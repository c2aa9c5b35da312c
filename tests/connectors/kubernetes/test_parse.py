"""Jobs, pods and CronJobs as they become runs and jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.kubernetes import inventory, parse
from connectors.kubernetes.parse import pods_by_job
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.states import RunEvidence, RunState
from console.timing.dialects import StartQueue
from console.timing.schedule import schedule_fault, start_queue
from tests.rows import each_row

Row = dict[str, Any]
AT = "2026-11-20T03:00:01Z"


def job(status: Row, spec: Row | None = None, **meta: Any) -> parse.KubernetesJob:
    own = {"kind": "CronJob", "name": "nightly", "uid": "c", "controller": True}
    head = {"name": "nightly-29919300", "namespace": "etl", "uid": "u1", "creationTimestamp": AT}
    row = {"metadata": {**head, "ownerReferences": [own], **meta}, "spec": spec or {}}
    return parse.parse_job({**row, "status": {"startTime": AT, **status}})


def condition(kind: str, reason: str = "", message: str = "") -> Row:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": AT}


def pod(status: Row, name: str = "p1", **meta: Any) -> Row:
    owner = {"kind": "Job", "name": "nightly-29919300", "uid": "u1"}
    head = {"name": name, "namespace": "etl", "ownerReferences": [owner], "creationTimestamp": AT, **meta}
    return {"metadata": head, "spec": {"containers": [{"name": "main"}, {"name": "sidecar"}]}, "status": status}


def run_with(job_: parse.KubernetesJob, *rows: Row) -> Any:
    return parse.run_record(job_, pods_by_job(rows).get("u1", ()))


@each_row(
    "status, spec, state, native",
    [
        ({"conditions": [condition("Complete")]}, {}, RunState.SUCCEEDED, "Complete"),
        (
            {"conditions": [condition("Failed", "BackoffLimitExceeded")]},
            {},
            RunState.FAILED,
            "Failed: BackoffLimitExceeded",
        ),
        ({"conditions": [condition("Failed", "DeadlineExceeded")]}, {}, RunState.TIMED_OUT, "Failed: DeadlineExceeded"),
        ({"conditions": [condition("Failed", "PodFailurePolicy")]}, {}, RunState.FAILED, "Failed: PodFailurePolicy"),
        ({"conditions": [condition("Failed", "NewerThanUs")]}, {}, RunState.FAILED, "Failed: NewerThanUs"),
        ({"conditions": [condition("Suspended")]}, {"suspend": True}, RunState.HELD, "Suspended"),
        ({"conditions": [condition("FailureTarget")], "active": 1}, {}, RunState.RUNNING, "FailureTarget"),
        ({"conditions": [condition("SuccessCriteriaMet")]}, {}, RunState.RUNNING, "SuccessCriteriaMet"),
        ({"conditions": [{"type": "Failed", "status": "False"}], "active": 1}, {}, RunState.RUNNING, "Active"),
        ({"active": 1, "failed": 1}, {}, RunState.RUNNING, "Active"),
        ({"failed": 1}, {}, RunState.RETRYING, "BackOff"),
        ({}, {}, RunState.QUEUED, "no pod yet"),
        ({"conditions": [condition("Hibernated")]}, {}, RunState.UNKNOWN, "Hibernated"),
    ],
)
def test_what_a_jobs_status_is_here(status: Row, spec: Row, state: RunState, native: str) -> None:
    run = parse.run_record(job(status, spec))
    assert (run.state, run.native_state) == (state, native)
    assert run.state.is_open == (run.ended_at is None) or state is RunState.UNKNOWN


def test_complete_and_failed_at_once_is_a_conflict_and_red() -> None:
    run = parse.run_record(job({"conditions": [condition("Complete"), condition("Failed")]}))
    assert (run.state, run.evidence) == (RunState.FAILED, RunEvidence.CONFLICT)


def test_indexed_job_that_ran_all_indexes_and_lost_some_is_partial() -> None:
    """backoffLimitPerIndex (1.29): all ran, so the rest of the night may use what is there, if somebody says so."""
    status = {
        "conditions": [condition("Failed", "FailedIndexes", "Job has failed indexes")],
        "succeeded": 8,
        "failed": 4,
    }
    some = {**status, "completedIndexes": "0-7", "failedIndexes": "8,9"}
    run = parse.run_record(job(some, {"completions": 10, "completionMode": "Indexed"}))
    assert run.state is RunState.PARTIAL
    assert "8 of 10 completions, failed: 8,9" in run.message
    assert ("0-7", "8,9") == (run.context["completedIndexes"], run.context["failedIndexes"])
    none = parse.run_record(job({**status, "succeeded": 0}, {"completions": 10}))
    assert none.state is RunState.FAILED


def test_deadline_that_we_set_is_a_cancel() -> None:
    status = {"conditions": [condition("Failed", "DeadlineExceeded")]}
    run = parse.run_record(job(status, annotations={parse.CANCELLED_ANNOTATION: "headway-0123456789"}))
    assert run.state is RunState.CANCELLED


def test_job_that_is_being_deleted_is_cancelling() -> None:
    assert parse.run_record(job({"active": 1}, deletionTimestamp=AT)).state is RunState.CANCELLING


def test_waiting_pods_report_their_reason() -> None:
    pulling = pod({"phase": "Pending", "containerStatuses": [
        {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no image"}}}]})  # fmt: skip
    result = run_with(job({"active": 1}), pulling)
    assert (result.state, result.native_state, result.reason) == (RunState.QUEUED, "ImagePullBackOff", "resource")
    assert result.message == "no image"
    no_node = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    result = run_with(job({"active": 1}), pod({"phase": "Pending", "conditions": [no_node]}))
    assert (result.native_state, result.message) == ("Unschedulable", "0/3 nodes are available")
    assert result.started_at is None


def test_pod_that_crashes_again_and_again_is_retrying() -> None:
    last = {"terminated": {"exitCode": 1, "reason": "Error"}}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
    row = {"name": "main", "restartCount": 3, "state": state, "lastState": last}
    result = run_with(job({"active": 1}), pod({"phase": "Running", "containerStatuses": [row]}))
    assert (result.state, result.native_state) == (RunState.RETRYING, "CrashLoopBackOff")
    assert result.context["pods"] == [{"name": "p1", "why": "Error", "restarts": 3, "exit": 1}]


def test_exit_code_is_that_of_the_container_that_failed() -> None:
    over = [
        {"name": "sidecar", "state": {"terminated": {"exitCode": 0}}},
        {"name": "main", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
    ]
    failed = job({"conditions": [condition("Failed", "BackoffLimitExceeded", "limit reached")], "failed": 1})
    result = run_with(failed, pod({"phase": "Failed", "containerStatuses": over}))
    assert result.exit_code == 137
    assert result.message == "limit reached; pod p1 (OOMKilled 137)"


@each_row(
    "name, annotations, period",
    [
        ("nightly-29919060", {}, datetime(2026, 11, 20, 3, 0, tzinfo=UTC)),
        ("nightly-1795143600", {}, datetime(2026, 11, 20, 3, 0, tzinfo=UTC)),  # before 1.21
        (
            "nightly-x",
            {parse.SCHEDULED_ANNOTATION: "2026-11-20T04:00:00+01:00"},
            datetime(2026, 11, 20, 3, 0, tzinfo=UTC),
        ),
        ("nightly-29919300", {parse.MANUAL_ANNOTATION: "manual"}, None),
        ("nightly-manual-1", {}, None),
        ("other-29919300", {}, None),
    ],
)
def test_the_instant_for_which_a_job_was_made(name: str, annotations: Row, period: datetime | None) -> None:
    assert job({}, name=name, annotations=annotations).at == period


@each_row(
    "meta, expected",
    [
        ({}, "etl/nightly"),
        ({"ownerReferences": []}, "etl/job/nightly-29919300"),
        ({"ownerReferences": [], "name": "load-x7k2p", "generateName": "load-"}, "etl/job/load"),
        ({"ownerReferences": [], "name": "load-of-mine", "generateName": "load-"}, "etl/job/load-of-mine"),
        ({"ownerReferences": [{"kind": "JobSet", "name": "train", "controller": True}]}, "etl/jobset/train"),
        ({"ownerReferences": [], "annotations": {parse.JOB_ANNOTATION: "etl/job/load"}}, "etl/job/load"),
        ({"ownerReferences": [], "annotations": {parse.JOB_ANNOTATION: "other/job/load"}}, "etl/job/nightly-29919300"),
    ],
)
def test_which_job_a_job_is_a_run_of(meta: Row, expected: str) -> None:
    assert job({}, **meta).job == expected


def test_a_recreated_job_of_the_same_name_is_another_attempt() -> None:
    assert parse.run_record(job({}, uid="u1")).attempt_key != parse.run_record(job({}, uid="u2")).attempt_key


@each_row("meta", [{"uid": None}, {"name": ""}, {"namespace": 7}, {"creationTimestamp": "soon"}])
def test_row_that_cannot_be_read_says_what_is_wrong(meta: Row) -> None:
    with pytest.raises(RecordUnreadable, match=next(iter(meta))):
        parse.run_record(job({}, **meta))


def test_the_name_of_a_job_we_create_fits_into_a_label_with_the_whole_key() -> None:
    key = "headway-" + "k" * 40
    assert parse.new_job_name("a-very-long-name-of-a-cronjob", key) == f"a-very-long-na-{key}"
    assert len(parse.new_job_name("x" * 60, key)) == 63
    assert parse.new_job_name("load-orders--x", key) == f"load-orders--x-{key}"
    assert parse.new_job_name("load-order.---y", key).startswith("load-order-headway")


@each_row(
    "spec, expression, zone",
    [
        ({"schedule": "0 3 * * *"}, "0 3 * * *", "UTC"),
        ({"schedule": "0 3 * * *", "timeZone": "Asia/Tokyo"}, "0 3 * * *", "Asia/Tokyo"),
        ({"schedule": "CRON_TZ=UTC 0 3 ? * *"}, "0 3 * * *", "UTC"),
        ({"schedule": "@hourly"}, "@hourly", "UTC"),
        ({"schedule": "*/5 */2 */2 * */3"}, "*/5 */2 1-31/2 * 0-6/3", "UTC"),
        ({"schedule": "0 0 */1 * 5"}, "0 0 */1 * 5", "UTC"),
        ({"schedule": "0 0 1,*/10 * ?"}, "0 0 1,1-31/10 * *", "UTC"),
    ],
)
def test_schedule_and_its_zone(spec: Row, expression: str, zone: str) -> None:
    schedule = parse.parse_schedule(spec)
    assert (schedule.dialect, schedule.expression, schedule.zone) == ("kubernetes", expression, zone)


@pytest.mark.parametrize(
    "policy, queue", [(None, StartQueue.NONE), ("Replace", StartQueue.NONE), ("Forbid", StartQueue.ONE)]
)
def test_a_start_during_a_job_waits_where_its_policy_forbids_two(policy: str | None, queue: StartQueue) -> None:
    schedule = parse.parse_schedule({"schedule": "0 3 * * *", "concurrencyPolicy": policy})
    assert (queue, None) == (start_queue(schedule), schedule_fault(schedule))


def test_interval_has_no_clock_and_says_so() -> None:
    schedule = parse.parse_schedule({"schedule": "@every 1h30m"})
    assert (schedule.dialect, schedule.text) == ("none", "@every 1h30m: an interval from its last start")


def test_cronjob_is_the_same_job_whatever_its_clock_and_pause() -> None:
    template = {"spec": {"template": {"spec": {"containers": [{"image": "acme/load:2", "args": ["-x"]}]}}}}
    spec = {
        "schedule": "0 3 * * *",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 600,
        "jobTemplate": template,
    }
    row = {"metadata": {"name": "load", "namespace": "etl", "uid": "c"}, "spec": spec}
    record = inventory.cronjob_record(row)
    assert record.definition == "acme/load:2 -x; overlap: Forbid, starts up to 600 s late"
    other = inventory.cronjob_record({**row, "spec": {**spec, "schedule": "0 4 * * *", "suspend": True}})
    assert (record.definition_hash, other.paused) == (other.definition_hash, True)
    template["spec"]["template"]["spec"]["containers"][0]["image"] = "acme/load:3"
    assert inventory.cronjob_record(row).definition_hash != record.definition_hash


def ended(name: str, code: int, at: str = "", **rest: str) -> dict[str, Any]:
    when = {"finishedAt": at} if at else {}
    return {"name": name, "state": {"terminated": {"exitCode": code, "reason": "Error", **when, **rest}}}


def read_pod(*statuses: dict[str, Any], sidecars: Sequence[str] = (), main: str = "") -> parse.KubernetesPod:
    """A pod whose first containers are `sidecars`, native ones."""
    row = {
        "metadata": {
            "name": "nightly-1-x1",
            "ownerReferences": [{"kind": "Job", "uid": "u1"}],
            "annotations": {"kubectl.kubernetes.io/default-container": main} if main else {},
        },
        "spec": {
            "initContainers": [{"name": name, "restartPolicy": "Always"} for name in sidecars],
            "containers": [{"name": status["name"]} for status in statuses if status["name"] not in sidecars],
        },
        "status": {
            "initContainerStatuses": [status for status in statuses if status["name"] in sidecars],
            "containerStatuses": [status for status in statuses if status["name"] not in sidecars],
        },
    }
    [pod] = pods_by_job([row])["u1"]
    return pod


def test_a_native_sidecar_is_not_the_job() -> None:
    failed = read_pod(ended("proxy", 143), ended("main", 1, message="bad row 7"), sidecars=["proxy"])
    assert ("main", 1, "bad row 7") == (failed.container, failed.exit_code, failed.message)
    good = read_pod({"name": "proxy", "state": {"running": {}}}, ended("main", 0), sidecars=["proxy"])
    assert ("main", 0) == (good.container, good.exit_code)


def test_the_default_container_counts_and_of_several_red_ones_the_first_to_end() -> None:
    assert "main" == read_pod({"name": "proxy", "state": {"running": {}}}, ended("main", 0), main="main").container
    first, second = ended("proxy", 137, "2026-11-27T03:00:09Z"), ended("main", 1, "2026-11-27T03:00:02Z")
    pod = read_pod(first, second)
    assert ("main", 1) == (pod.container, pod.exit_code)
    shipper = ended("shipper", 2, "2026-11-27T03:00:01Z")
    pod = read_pod(shipper, second, main="main")
    assert ("main", 1) == (pod.container, pod.exit_code)
    pod = read_pod(shipper, ended("main", 0, "2026-11-27T03:00:02Z"), main="main")
    assert ("shipper", 2) == (pod.container, pod.exit_code)


def test_a_container_that_was_stopped_is_not_the_cause() -> None:
    at = "2026-11-27T03:00:05Z"
    pod = read_pod(ended("aux", 143, at), ended("main", 137, at, reason="OOMKilled"))
    assert ("main", 137, "OOMKilled") == (pod.container, pod.exit_code, pod.why)
    pod = read_pod(ended("main", 143, at), ended("db", 1, "2026-11-27T03:00:01Z"), main="main")
    assert ("db", 1) == (pod.container, pod.exit_code)
