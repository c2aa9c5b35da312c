"""Jobs, pods and CronJobs as they become runs and jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contract import Evidence, RecordUnreadable, State
from connectors.kubernetes import inventory, names, parse, schedules
from connectors.kubernetes.pods import pods_of

Row = dict[str, Any]
AT = "2026-11-20T03:00:01Z"


def job(status: Row, spec: Row | None = None, **meta: Any) -> parse.Job:
    own = {"kind": "CronJob", "name": "nightly", "uid": "c", "controller": True}
    head = {"name": "nightly-29919300", "namespace": "etl", "uid": "u1", "creationTimestamp": AT}
    row = {"metadata": {**head, "ownerReferences": [own], **meta}, "spec": spec or {}}
    return parse.read({**row, "status": {"startTime": AT, **status}})


def condition(kind: str, reason: str = "", message: str = "") -> Row:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": AT}


def pod(status: Row, name: str = "p1", **meta: Any) -> Row:
    owner = {"kind": "Job", "name": "nightly-29919300", "uid": "u1"}
    head = {"name": name, "namespace": "etl", "ownerReferences": [owner], "creationTimestamp": AT, **meta}
    return {"metadata": head, "spec": {"containers": [{"name": "main"}, {"name": "sidecar"}]}, "status": status}


def run_with(job_: parse.Job, *rows: Row) -> Any:
    return parse.run(job_, pods_of(rows).get("u1", ()))


@pytest.mark.parametrize(
    "status, spec, state, native",
    [
        ({"conditions": [condition("Complete")]}, {}, State.SUCCEEDED, "Complete"),
        (
            {"conditions": [condition("Failed", "BackoffLimitExceeded")]},
            {},
            State.FAILED,
            "Failed: BackoffLimitExceeded",
        ),
        ({"conditions": [condition("Failed", "DeadlineExceeded")]}, {}, State.TIMED_OUT, "Failed: DeadlineExceeded"),
        ({"conditions": [condition("Failed", "PodFailurePolicy")]}, {}, State.FAILED, "Failed: PodFailurePolicy"),
        ({"conditions": [condition("Failed", "NewerThanUs")]}, {}, State.FAILED, "Failed: NewerThanUs"),
        ({"conditions": [condition("Suspended")]}, {"suspend": True}, State.HELD, "Suspended"),
        ({"conditions": [condition("FailureTarget")], "active": 1}, {}, State.RUNNING, "FailureTarget"),
        ({"conditions": [condition("SuccessCriteriaMet")]}, {}, State.RUNNING, "SuccessCriteriaMet"),
        ({"conditions": [{"type": "Failed", "status": "False"}], "active": 1}, {}, State.RUNNING, "Active"),
        ({"active": 1, "failed": 1}, {}, State.RUNNING, "Active"),
        ({"failed": 1}, {}, State.RETRYING, "BackOff"),
        ({}, {}, State.QUEUED, "no pod yet"),
        ({"conditions": [condition("Hibernated")]}, {}, State.UNKNOWN, "Hibernated"),
    ],
)
def test_what_a_jobs_status_is_here(status: Row, spec: Row, state: State, native: str) -> None:
    found = parse.run(job(status, spec))
    assert (found.state, found.native_state) == (state, native)
    assert found.state.is_open == (found.ended_at is None) or state is State.UNKNOWN


def test_complete_and_failed_at_once_is_a_conflict_and_red() -> None:
    found = parse.run(job({"conditions": [condition("Complete"), condition("Failed")]}))
    assert (found.state, found.evidence) == (State.FAILED, Evidence.CONFLICT)


def test_indexed_job_that_ran_all_indexes_and_lost_some_is_partial() -> None:
    """backoffLimitPerIndex (1.29): all ran, so the rest of the night may use what is there, if somebody says so."""
    status = {
        "conditions": [condition("Failed", "FailedIndexes", "Job has failed indexes")],
        "succeeded": 8,
        "failed": 4,
    }
    some = {**status, "completedIndexes": "0-7", "failedIndexes": "8,9"}
    found = parse.run(job(some, {"completions": 10, "completionMode": "Indexed"}))
    assert found.state is State.PARTIAL
    assert "8 of 10 completions, failed: 8,9" in found.message
    assert ("0-7", "8,9") == (found.context["completedIndexes"], found.context["failedIndexes"])
    none = parse.run(job({**status, "succeeded": 0}, {"completions": 10}))
    assert none.state is State.FAILED


def test_deadline_that_we_set_is_a_cancel() -> None:
    status = {"conditions": [condition("Failed", "DeadlineExceeded")]}
    found = parse.run(job(status, annotations={names.CANCELLED: "headway-0123456789"}))
    assert found.state is State.CANCELLED


def test_job_that_is_being_deleted_is_cancelling() -> None:
    assert parse.run(job({"active": 1}, deletionTimestamp=AT)).state is State.CANCELLING


def test_pods_that_wait_tell_for_what() -> None:
    pulling = pod({"phase": "Pending", "containerStatuses": [
        {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no image"}}}]})  # fmt: skip
    found = run_with(job({"active": 1}), pulling)
    assert (found.state, found.native_state, found.reason) == (State.QUEUED, "ImagePullBackOff", "resource")
    assert found.message == "no image"
    no_node = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    found = run_with(job({"active": 1}), pod({"phase": "Pending", "conditions": [no_node]}))
    assert (found.native_state, found.message) == ("Unschedulable", "0/3 nodes are available")
    assert found.started_at is None


def test_pod_that_crashes_again_and_again_is_retrying() -> None:
    last = {"terminated": {"exitCode": 1, "reason": "Error"}}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
    row = {"name": "main", "restartCount": 3, "state": state, "lastState": last}
    found = run_with(job({"active": 1}), pod({"phase": "Running", "containerStatuses": [row]}))
    assert (found.state, found.native_state) == (State.RETRYING, "CrashLoopBackOff")
    assert found.context["pods"] == [{"name": "p1", "why": "Error", "restarts": 3, "exit": 1}]


def test_exit_code_is_that_of_the_container_that_failed() -> None:
    over = [
        {"name": "sidecar", "state": {"terminated": {"exitCode": 0}}},
        {"name": "main", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
    ]
    failed = job({"conditions": [condition("Failed", "BackoffLimitExceeded", "limit reached")], "failed": 1})
    found = run_with(failed, pod({"phase": "Failed", "containerStatuses": over}))
    assert found.exit_code == 137
    assert found.message == "limit reached; pod p1 (OOMKilled 137)"


@pytest.mark.parametrize(
    "name, annotations, period",
    [
        ("nightly-29919060", {}, datetime(2026, 11, 20, 3, 0, tzinfo=UTC)),
        ("nightly-1795143600", {}, datetime(2026, 11, 20, 3, 0, tzinfo=UTC)),  # before 1.21
        ("nightly-x", {names.SCHEDULED: "2026-11-20T04:00:00+01:00"}, datetime(2026, 11, 20, 3, 0, tzinfo=UTC)),
        ("nightly-29919300", {names.MANUAL: "manual"}, None),
        ("nightly-manual-1", {}, None),
        ("other-29919300", {}, None),
    ],
)
def test_the_instant_for_which_a_job_was_made(name: str, annotations: Row, period: datetime | None) -> None:
    assert job({}, name=name, annotations=annotations).at == period


@pytest.mark.parametrize(
    "meta, wanted",
    [
        ({}, "etl/nightly"),
        ({"ownerReferences": []}, "etl/job/nightly-29919300"),
        ({"ownerReferences": [], "name": "load-x7k2p", "generateName": "load-"}, "etl/job/load"),
        ({"ownerReferences": [], "name": "load-of-mine", "generateName": "load-"}, "etl/job/load-of-mine"),
        ({"ownerReferences": [{"kind": "JobSet", "name": "train", "controller": True}]}, "etl/jobset/train"),
        ({"ownerReferences": [], "annotations": {names.SAME_JOB: "etl/job/load"}}, "etl/job/load"),
        ({"ownerReferences": [], "annotations": {names.SAME_JOB: "other/job/load"}}, "etl/job/nightly-29919300"),
    ],
)
def test_which_job_a_job_is_a_run_of(meta: Row, wanted: str) -> None:
    assert job({}, **meta).job == wanted


def test_job_of_the_same_name_made_anew_is_another_attempt() -> None:
    assert parse.run(job({}, uid="u1")).attempt_key != parse.run(job({}, uid="u2")).attempt_key


@pytest.mark.parametrize("meta", [{"uid": None}, {"name": ""}, {"namespace": 7}, {"creationTimestamp": "soon"}])
def test_row_that_cannot_be_read_says_what_is_wrong(meta: Row) -> None:
    with pytest.raises(RecordUnreadable, match=next(iter(meta))):
        parse.run(job({}, **meta))


def test_name_of_a_job_that_we_make_fits_into_a_label_and_keeps_the_key_whole() -> None:
    key = "headway-" + "k" * 40
    assert names.run_name("a-very-long-name-of-a-cronjob", key) == f"a-very-long-na-{key}"
    assert len(names.run_name("x" * 60, key)) == 63
    assert names.run_name("load-orders--x", key) == f"load-orders--x-{key}"
    assert names.run_name("load-order.---y", key).startswith("load-order-headway")


@pytest.mark.parametrize(
    "spec, expression, zone",
    [
        ({"schedule": "0 3 * * *"}, "0 3 * * *", "Europe/Paris"),
        ({"schedule": "0 3 * * *", "timeZone": "Asia/Tokyo"}, "0 3 * * *", "Asia/Tokyo"),
        ({"schedule": "CRON_TZ=UTC 0 3 ? * *"}, "0 3 * * *", "UTC"),
        ({"schedule": "@hourly"}, "@hourly", "Europe/Paris"),
        ({"schedule": "*/5 */2 */2 * */3"}, "*/5 */2 1-31/2 * 0-6/3", "Europe/Paris"),
        ({"schedule": "0 0 */1 * 5"}, "0 0 */1 * 5", "Europe/Paris"),
        ({"schedule": "0 0 1,*/10 * ?"}, "0 0 1,1-31/10 * *", "Europe/Paris"),
    ],
)
def test_schedule_and_its_zone(spec: Row, expression: str, zone: str) -> None:
    found = schedules.schedule_of(spec, "Europe/Paris")
    assert (found.dialect, found.expression, found.zone) == ("kubernetes", expression, zone)


def test_interval_has_no_clock_and_says_so() -> None:
    found = schedules.schedule_of({"schedule": "@every 1h30m"}, "UTC")
    assert (found.dialect, found.words) == ("none", "@every 1h30m: an interval from its last start")


def test_cronjob_is_the_same_job_whatever_its_clock_and_pause() -> None:
    template = {"spec": {"template": {"spec": {"containers": [{"image": "acme/load:2", "args": ["-x"]}]}}}}
    spec = {
        "schedule": "0 3 * * *",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 600,
        "jobTemplate": template,
    }
    row = {"metadata": {"name": "load", "namespace": "etl", "uid": "c"}, "spec": spec}
    one = inventory.record(row, "UTC")
    assert one.definition == "acme/load:2 -x; overlap: Forbid, starts up to 600 s late"
    other = inventory.record({**row, "spec": {**spec, "schedule": "0 4 * * *", "suspend": True}}, "UTC")
    assert (one.definition_hash, other.paused) == (other.definition_hash, True)
    template["spec"]["template"]["spec"]["containers"][0]["image"] = "acme/load:3"
    assert inventory.record(row, "UTC").definition_hash != one.definition_hash
