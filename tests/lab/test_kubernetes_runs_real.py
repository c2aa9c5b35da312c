"""What only the real controllers of Kubernetes can show: runs that vanish, runs that are missed, retries, deadlines.
Pods fare as the tests write it: no kubelet is there."""

from __future__ import annotations

import itertools

import pytest

from connectors.kubernetes.connector import CONNECTOR
from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.states import RunEvidence, RunState, Verb
from tests.lab.kubernetes import MERGE, KubeCluster
from tests.lab.kubesupport import (
    CRON,
    DUE,
    JOBS,
    Connect,
    daily,
    jobs_of,
    latest_due,
    let_it_be_late,
    of,
    polled,
    started,
)
from tests.lab.process import wait_until


def test_the_period_of_a_run_is_the_instant_for_which_the_controller_made_it(
    kubernetes: KubeCluster, connect: Connect
) -> None:
    job = started(kubernetes, "nightly")
    (waiting,) = of(polled(connect()), "default/nightly")
    assert (waiting.state, waiting.reason, waiting.native_state) == (RunState.QUEUED, "resource", "Pending")
    assert waiting.period_at == latest_due()
    kubernetes.end(job)
    (run,) = of(polled(connect()), "default/nightly")
    assert (run.state, run.attempt_key) == (RunState.SUCCEEDED, waiting.attempt_key)


def test_a_run_deleted_between_two_polls_is_reported_with_its_end(kubernetes: KubeCluster, connect: Connect) -> None:
    cursor = polled(connect()).cursor
    job = started(kubernetes, "brief")
    kubernetes.end(job, 4)
    kubernetes.call("DELETE", f"{JOBS}/{job}", {"propagationPolicy": "Background"})
    (run,) = of(polled(connect(), cursor), "default/brief")
    assert (run.state, run.native_state) == (RunState.FAILED, "Failed: BackoffLimitExceeded")


def test_a_job_without_time_to_live_is_reported_with_its_end(kubernetes: KubeCluster, connect: Connect) -> None:
    cursor = polled(connect()).cursor
    job = kubernetes.job("fleeting", kubernetes.cronjob("fleeting"), DUE, ttlSecondsAfterFinished=0)["metadata"]["name"]
    kubernetes.play(job, 0)
    wait_until(lambda: not jobs_of(kubernetes, "fleeting"), "the end of its life")
    (run,) = of(polled(connect(), cursor), "default/fleeting")
    assert (run.state, run.native_state) == (RunState.SUCCEEDED, "Complete")


def test_job_that_is_deleted_while_it_runs_is_cancelled(kubernetes: KubeCluster, connect: Connect) -> None:
    job = kubernetes.job("cutoff", kubernetes.cronjob("cutoff"), DUE)["metadata"]["name"]
    kubernetes.play(job, None)
    first = polled(connect())
    (run,) = of(first, "default/cutoff")
    assert run.state is RunState.RUNNING
    kubernetes.call("DELETE", f"{JOBS}/{job}", {"propagationPolicy": "Background"})
    (ended,) = of(polled(connect(), first.cursor, [ref(run)]), "default/cutoff")
    assert (ended.state, ended.native_state, ended.evidence) == (RunState.CANCELLED, "deleted", RunEvidence.NATIVE)


def test_an_open_run_is_reported_at_every_poll_and_also_by_a_new_connector(
    kubernetes: KubeCluster, connect: Connect
) -> None:
    job = kubernetes.job("slow", kubernetes.cronjob("slow"), DUE)["metadata"]["name"]
    kubernetes.play(job, None)
    connector = connect()
    first = polled(connector)
    (run,) = of(first, "default/slow")
    again = polled(connector, first.cursor, [ref(run)])
    reloaded = polled(connect(), again.cursor, [ref(run)])
    assert [[run.state], [run.state]] == [[run.state for run in of(poll, "default/slow")] for poll in (again, reloaded)]
    kubernetes.end(job)


def test_a_cronjob_that_did_not_start_is_no_run_but_the_controllers_reason(
    kubernetes: KubeCluster, connect: Connect
) -> None:
    started(kubernetes, "busy")
    connector = connect()
    before = polled(connector)
    kubernetes.call("PATCH", f"{CRON}/busy", {"spec": {"schedule": "30 2 * * *"}}, MERGE)
    let_it_be_late(kubernetes, "busy")
    kubernetes.cronjob("late", schedule=daily(), startingDeadlineSeconds=30)
    let_it_be_late(kubernetes, "late")

    def reasons() -> str:
        return " ".join(polled(connector, before.cursor).warnings)

    wait_until(lambda: "default/busy: JobAlreadyActive" in reasons(), "the reason under Forbid", pause=0.5)
    late = of(polled(connect()), "default/late")  # of its last start, which the test made up, alone
    assert [run for run in late if run.period_at == latest_due()] == []
    proved = polled(connector, before.cursor).seen_until
    assert proved is not None
    assert proved > latest_due(), "without this the run that never came would not be called missed"
    assert len(of(polled(connect()), "default/busy")) == 1


def test_held_cronjob_does_not_start_and_after_its_release_kubernetes_starts_the_latest_itself(
    kubernetes: KubeCluster,
    connect: Connect,
) -> None:
    kubernetes.cronjob("held", schedule=daily())
    connector, key = connect(), new_key()
    connector.act(connector.preview(hold_ask("default/held"), 30), key, 30)
    let_it_be_late(kubernetes, "held")
    canary = started(kubernetes, "canary")  # the controller has worked since, and would have started it
    assert (jobs_of(kubernetes, "held"), bool(canary)) == ([], True)
    preview = connector.preview(release_ask("default/held", key), 30)
    assert any("starts the latest run" in note for note in preview.notes)
    connector.act(preview, new_key(), 30)
    wait_until(lambda: jobs_of(kubernetes, "held"), "the start after the release")


def test_job_made_by_hand_while_it_is_held_is_not_the_start_that_fell_due(
    kubernetes: KubeCluster, connect: Connect
) -> None:
    """Why the kind does not say that it starts what is held: Kubernetes would start it once more."""
    kubernetes.cronjob("twice", schedule=daily(), concurrencyPolicy="Allow")
    connector, key, start = connect(), new_key(), new_key()
    connector.act(connector.preview(hold_ask("default/twice"), 30), key, 30)
    let_it_be_late(kubernetes, "twice")
    due = instant_key(latest_due())
    ask = ActionSpec(Verb.START, RunRef("default/twice", due, "", ""), RunState.HELD, {"period_at": due})
    preview = connector.preview(ask, 30)
    assert any("Kubernetes makes up for it" in note for note in preview.notes)
    connector.act(preview, start, 30)
    connector.act(connector.preview(release_ask("default/twice", key), 30), new_key(), 30)
    wait_until(lambda: len(jobs_of(kubernetes, "twice")) == 2, "the start that Kubernetes makes up for")
    assert {run.period_at for run in of(polled(connector), "default/twice")} == {latest_due()}
    assert not CONNECTOR.starts_held


def test_a_run_that_vanished_unseen_is_reported_by_events_or_lost(kubernetes: KubeCluster, connect: Connect) -> None:
    """While nobody watched: one was made and ended, one was open and is gone, one had ended and is deleted."""
    open_job = kubernetes.job("lost", kubernetes.cronjob("lost"), DUE)["metadata"]["name"]
    old_job = kubernetes.job("old", kubernetes.cronjob("old"), DUE)["metadata"]["name"]
    kubernetes.play(open_job, None)
    kubernetes.end(old_job)
    wait_until(lambda: kubernetes.status(open_job).get("active"), "a running Job")
    connector = connect()
    first = polled(connector)
    (run,) = of(first, "default/lost")
    ghost = started(kubernetes, "ghost")
    kubernetes.end(ghost, 5)
    wait_until(lambda: kubernetes.has_end_event(ghost), "the event of its end")
    for name in (open_job, old_job, ghost):
        kubernetes.call("DELETE", f"{JOBS}/{name}", {"propagationPolicy": "Background"})
    kubernetes.forget_changes()
    wait_until(lambda: polled(connect(), first.cursor).gaps, "a resourceVersion that is too old", pause=0.5)
    poll = polled(connector, first.cursor, [ref(run)])
    (gap,) = poll.gaps
    assert "no longer has the changes since then" in gap.reason
    (vanished,), (run_record,) = of(poll, "default/ghost"), of(poll, "default/lost")
    assert (vanished.state, vanished.evidence) == (RunState.FAILED, RunEvidence.NATIVE)
    assert (vanished.native_state, vanished.period_at) == ("SawCompletedJob: Failed", latest_due())
    assert (run_record.state, run_record.evidence, run_record.attempt_key) == (
        RunState.LOST,
        RunEvidence.INFERRED,
        run.attempt_key,
    )
    assert of(poll, "default/old") == [], "it was told with its end before, and is not told otherwise"


def test_pod_that_failed_is_no_failed_job_while_it_tries_again(kubernetes: KubeCluster, connect: Connect) -> None:
    job = kubernetes.job("stubborn", kubernetes.cronjob("stubborn"), DUE, backoffLimit=3)["metadata"]["name"]
    (pod,) = kubernetes.play(job, 7)
    wait_until(lambda: kubernetes.status(job).get("failed") == 1, "the failed pod in the Job")
    (run,) = of(polled(connect()), "default/stubborn")
    assert run.state in (RunState.RETRYING, RunState.QUEUED)
    assert run.context["failed"] == 1
    assert {"name": pod, "why": "Error", "exit": 7} in run.context["pods"]
    kubernetes.end(job)
    (run,) = of(polled(connect()), "default/stubborn")
    assert run.state is RunState.SUCCEEDED


def test_failed_job_of_several_completions_says_how_many_there_are(kubernetes: KubeCluster, connect: Connect) -> None:
    row = kubernetes.cronjob("parts")
    job = kubernetes.job("parts", row, DUE, completions=3, parallelism=3)["metadata"]["name"]
    kubernetes.play(job, 0)
    wait_until(lambda: kubernetes.status(job).get("succeeded") == 1, "the first completion")
    kubernetes.end(job, 9)
    (run,) = of(polled(connect()), "default/parts")
    assert (run.state, run.exit_code) == (RunState.FAILED, 9)
    assert "1 of 3 completions" in run.message


def test_job_over_its_own_deadline_is_timed_out(kubernetes: KubeCluster, connect: Connect) -> None:
    job = kubernetes.job("dead", kubernetes.cronjob("dead"), DUE, activeDeadlineSeconds=1)["metadata"]["name"]
    checks = itertools.count()

    def is_over_after_a_change() -> bool:
        """Where 1.20 writes the start of a Job twice, it checks the deadline once, by the first start and so too early,
        and again only when the Job or a pod changes."""
        kubernetes.call("PATCH", f"{JOBS}/{job}", {"metadata": {"annotations": {"check": str(next(checks))}}}, MERGE)
        return kubernetes.is_over(job)

    wait_until(is_over_after_a_change, "its deadline", pause=0.5)
    (run,) = of(polled(connect()), "default/dead")
    assert (run.state, run.native_state) == (RunState.TIMED_OUT, "Failed: DeadlineExceeded")


def test_cancelling_a_recreated_job_of_the_same_name_is_refused(kubernetes: KubeCluster, connect: Connect) -> None:
    job = kubernetes.job("twin")["metadata"]
    connector = connect(lone_jobs=["*"])
    (run,) = of(polled(connector), "default/job/twin")
    preview = connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 30)
    kubernetes.call("DELETE", f"{JOBS}/twin", {"propagationPolicy": "Background"})
    wait_until(lambda: "HTTP" in kubernetes.call("GET", f"{JOBS}/twin"), "its end")
    assert kubernetes.job("twin")["metadata"]["uid"] != job["uid"]
    with pytest.raises(NotSupported, match="is deleted; nothing was sent"):
        connector.act(preview, new_key(), 30)
    stale = {"metadata": {"uid": job["uid"]}, "spec": {"activeDeadlineSeconds": 0}}
    assert kubernetes.call("PATCH", f"{JOBS}/twin", stale, MERGE)["HTTP"] in (409, 422)  # the uid is a condition


def test_job_by_itself_is_rerun_as_a_copy_while_it_is_there(kubernetes: KubeCluster, connect: Connect) -> None:
    made = kubernetes.job("migrate")["metadata"]["name"]
    kubernetes.end(made, 2)
    connector, key = connect(lone_jobs=["*"]), new_key()
    assert "default/job/migrate" in {job.native_id for job in connector.inventory("", 30).jobs}
    (run,) = of(polled(connector), "default/job/migrate")
    connector.act(connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 30), key, 30)
    copy = f"migrate-{key}"
    kubernetes.end(copy)
    again = next(run for run in of(polled(connector), "default/job/migrate") if run.action_key == key)
    assert (again.state, again.again_of) == (RunState.SUCCEEDED, run.attempt_key)
    for name in (made, copy):
        kubernetes.call("DELETE", f"{JOBS}/{name}", {"propagationPolicy": "Background"})
    wait_until(lambda: "HTTP" in kubernetes.call("GET", f"{JOBS}/{made}"), "its end")
    refused = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 30).refused
    assert "nothing is left to make a Job from" in str(refused)
