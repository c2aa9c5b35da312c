"""A real Slurm 22.05 (munge, slurmdbd, slurmctld, slurmd) over a real sshd, as a plain user and as an operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, Connector, Preview
from connectors.sdk.errors import AccessRefused
from connectors.sdk.records import Poll, RunRecord
from connectors.sdk.states import RunEvidence, RunState, Verb
from connectors.slurm.connector import CONNECTOR, SlurmConnector
from connectors.slurm.options import SlurmOptions
from tests.fakes.login import no_secret
from tests.lab.estate import Estate
from tests.lab.mariadb import MariaDb
from tests.lab.process import private_folder, remove_folder, wait_until
from tests.lab.slurm import SlurmCluster

SUDO = ("(etl) NOPASSWD: /usr/bin/sbatch, /usr/bin/cat, /usr/bin/test",)
PARTLY = '[ "$SLURM_ARRAY_TASK_ID" != 2 ] || exit 4'
JOB = "hpc:etl/"
JOBS: dict[str, tuple[str, ...]] = {
    "good": ("echo well",),
    "bad": ("echo line one; echo it breaks here; exit 3",),
    "parts": (PARTLY, "--array=1-4"),
    "upper": ("exit 1",),
    "again": ("true",),
    "two": ("echo to out; echo to err >&2; exit 2", "-o", "/home/etl/two.out", "-e", "/home/etl/two.err"),
}
NIGHT: dict[str, str] = {}
"""What every test finds: job ids by name; each has ended, and accounting has it."""


@pytest.fixture(scope="module")
def cluster(lab: Estate) -> Iterator[SlurmCluster]:
    folder = private_folder("slurm")
    database = MariaDb(folder / "db")
    database.start()
    made = SlurmCluster(folder / "hpc", database, user_key=lab.db07.key)
    try:
        made.start()
        made.host.allow(*SUDO)
        made.make_operator(True)
        NIGHT.update({name: made.submit(name, script, *options) for name, (script, *options) in JOBS.items()})
        for job in NIGHT.values():
            accounted(made, job)
        yield made
    finally:
        made.stop()
        database.stop()
        remove_folder(folder)


def connect(cluster: SlurmCluster, **changes: Any) -> SlurmConnector:
    entry = {"name": "hpc", "address": "127.0.0.1", "port": cluster.host.port}
    keys = {"key": str(cluster.host.key), "known_hosts": str(cluster.host.known_hosts)}
    return SlurmConnector(
        SlurmOptions.model_validate({"hosts": [entry], "history_hours": 20, **keys, **changes}), "hpc", no_secret
    )


def polled(connector: Connector, cursor: str = "") -> Poll:
    """The last page, with the runs of all."""
    runs: dict[tuple[str, str], RunRecord] = {}
    while True:
        poll = connector.poll(cursor, (), 30)
        runs |= {(run.job, run.attempt_key): run for run in poll.runs}
        if not poll.more:
            return Poll(**{**{name: getattr(poll, name) for name in poll.__slots__}, "runs": tuple(runs.values())})
        cursor = poll.cursor


def runs_of(connector: Connector, job: str) -> list[RunRecord]:
    """The attempts of one job id, in their order."""
    runs = [run for run in polled(connector).runs if run.period_key == job]
    return sorted(runs, key=lambda run: run.attempt_key)


def accounted(cluster: SlurmCluster, job: str) -> None:
    """Until slurmdbd has the end of every part."""
    open_ones = {"PENDING", "RUNNING", "COMPLETING"}

    def reported() -> bool:
        rows = cluster.host.run("root", "sacct -a -X -n -P -S now-1hour -E now+120 -o JobID,State").split("\n")
        results = [row.split("|")[1] for row in rows if row.partition("|")[0].split("_")[0] == job]
        return bool(results) and not open_ones & set(results)

    wait_until(reported, f"accounting of job {job}", pause=0.2)


def ended(cluster: SlurmCluster, name: str, script: str, state: str, *options: str) -> str:
    job = cluster.submit(name, script, *options)
    cluster.wait(job, state)
    accounted(cluster, job)
    return job


@pytest.mark.usefixtures("world")
class TestSlurm(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "real: Slurm 22.05.8"
    cluster: SlurmCluster
    made: ClassVar[dict[str, str]] = {}
    limits: ClassVar[Mapping[str, str]] = {
        "unknown_word": "this Slurm has no word that is not in the table; the fake has one",
        "due": "a run is told when it is submitted, before it starts; that a held one does not start is tested below",
    }

    @pytest.fixture(scope="class")
    def world(self, request: pytest.FixtureRequest, cluster: SlurmCluster) -> None:
        request.cls.cluster, request.cls.made = cluster, {}

    def connector(self) -> Connector:
        if self.made.pop("revoked", ""):
            self.cluster.make_operator(True)
        return connect(self.cluster)

    def connector_at(self, host: str, port: int) -> Connector:
        keys = {"key": str(self.cluster.host.key), "known_hosts": str(self.cluster.host.known_hosts)}
        entry = {"name": "hpc", "address": host, "port": port}
        return SlurmConnector(SlurmOptions.model_validate({"hosts": [entry], **keys}), "hpc", no_secret)

    def make_success(self) -> str:
        return f"{JOB}good"

    def make_failure(self) -> str:
        self.cluster.wait(NIGHT["bad"], "FAILED")
        accounted(self.cluster, NIGHT["bad"])
        return f"{JOB}bad"

    def a_running_run(self) -> RunRecord:
        job = self.cluster.submit("long", "sleep 600")
        self.cluster.wait(job, "RUNNING")
        with self.opened() as connector:
            return next(run for run in polled(connector).runs if run.period_key == job)

    def a_holdable_job(self) -> str:
        if "later" not in self.made:
            self.made["later"] = self.cluster.submit("later", "true", "-b", "now+1hour", "--comment=by the night shift")
        return f"{JOB}later"

    def pause_by_hand(self, job_id: str) -> None:
        self.cluster.host.run("root", f"scontrol hold {self.made['later']}")

    def resume_by_hand(self, job_id: str) -> None:
        self.cluster.host.run("root", f"scontrol release {self.made['later']}")

    def with_a_right_revoked(self) -> Connector:
        connector = self.connector()
        self.cluster.make_operator(False)
        self.made["revoked"] = "yes"
        return connector

    def native_trace(self) -> object:
        run = self.cluster.host.run("root", "squeue -h -a -t all -n good,bad,later -o '%i|%T|%Q|%k|%V'")
        rows = [line.split("|") for line in run.replace("(null)", "").splitlines()]
        return sorted([*row[:2], row[2] == "0", *row[3:]] for row in rows)


def test_an_array_is_one_run_with_parts_and_its_failed_tasks_alone_are_requeued(cluster: SlurmCluster) -> None:
    job, connector, key = NIGHT["parts"], connect(cluster), new_key()
    [run] = runs_of(connector, job)
    assert (RunState.PARTIAL, "COMPLETED 3, FAILED 1") == (run.state, run.native_state)
    assert f"1 of 4 tasks did not end well: {job}_2; exit code 4" == run.message
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 30)
    assert ((f"{job}_2",), None) == (preview.affected, preview.refused)
    connector.act(preview, key, 30)
    wait_until(lambda: len(runs_of(connector, job)) == 2, "a second attempt", pause=0.5)
    wait_until(lambda: not runs_of(connector, job)[1].state.is_open, "its end", pause=0.5)
    first, second = runs_of(connector, job)
    assert (RunState.PARTIAL, None, RunState.PARTIAL, key) == (
        first.state,
        first.action_key,
        second.state,
        second.action_key,
    )
    assert "COMPLETED 3, FAILED 1" == second.native_state
    connector.close()


def test_a_job_that_waits_for_the_impossible_is_blocked_and_reported(cluster: SlurmCluster) -> None:
    bad = NIGHT["upper"]
    lower = cluster.submit("lower", "true", f"--dependency=afterok:{bad}")
    after = ended(cluster, "after", "true", "COMPLETED", f"--dependency=afterany:{bad}")
    connector = connect(cluster)
    wait_until(lambda: "Never" in runs_of(connector, lower)[0].native_state, "DependencyNeverSatisfied", pause=0.5)
    poll = polled(connector)
    [run] = [run for run in poll.runs if run.period_key == lower]
    assert RunState.BLOCKED is run.state
    assert "will never run" in run.message
    assert [{"job": f"{JOB}upper", "period_key": bad}] == run.context["inputs"]
    assert any("will never run" in warning for warning in poll.warnings)
    assert [RunState.SUCCEEDED] == [run.state for run in runs_of(connector, after)]
    jobs = {job.native_id: job for job in connector.inventory("", 30).jobs}
    assert (f"{JOB}upper",) == jobs[f"{JOB}after"].upstreams
    cluster.host.run("root", f"scancel {lower}")
    connector.close()


def test_a_held_submission_does_not_start_until_it_is_released(cluster: SlurmCluster) -> None:
    job = cluster.submit("due", "true", "-b", "now+1hour", "--comment=of the night")
    connector, key = connect(cluster), new_key()
    connector.act(connector.preview(hold_ask(f"{JOB}due"), 30), key, 30)
    cluster.host.run("root", f"scontrol update JobId={job} StartTime=now")
    probe = cluster.submit("beside", "true")
    cluster.wait(probe, "COMPLETED")  # the scheduler has looked meanwhile
    assert ["PENDING", RunState.HELD] == [cluster.state(job), runs_of(connector, job)[0].state]
    connector.act(connector.preview(release_ask(f"{JOB}due", key), 30), new_key(), 30)
    cluster.wait(job, "COMPLETED")
    assert "of the night" == cluster.host.run("root", f"squeue -h -t all -j {job} -o %k").strip()
    connector.close()


def test_the_waiting_tasks_of_an_array_are_held_while_one_runs_on(cluster: SlurmCluster) -> None:
    job = cluster.submit("waves", "sleep 600", "--array=1-6%1", "--comment=of the night")
    wait_until(lambda: "RUNNING" in cluster.state(job), "its first task", pause=0.2)
    connector, key = connect(cluster), new_key()
    connector.act(connector.preview(hold_ask(f"{JOB}waves"), 30), key, 30)
    [hold] = [hold for hold in connector.holds(30) if hold.job == f"{JOB}waves"]
    assert (key, False) == (hold.mark.id, hold.bare)
    assert [RunState.RUNNING] == [run.state for run in runs_of(connector, job)]
    connector.act(connector.preview(release_ask(f"{JOB}waves", key), 30), new_key(), 30)
    waits = cluster.host.run("root", f"squeue -h -t PENDING -j {job} -o '%i|%k'").strip()
    assert f"{job}_[2-6%1]|of the night" == waits
    assert not [hold for hold in connector.holds(30) if hold.job == f"{JOB}waves"]
    connector.act(
        connector.preview(ActionSpec(Verb.CANCEL, ref(runs_of(connector, job)[0]), RunState.RUNNING), 30), new_key(), 30
    )
    cluster.wait(job, "CANCELLED")
    accounted(cluster, job)
    assert [RunState.CANCELLED] == [run.state for run in runs_of(connector, job)]
    connector.close()


def test_a_plain_user_sees_all_and_is_refused_by_slurm_itself(cluster: SlurmCluster) -> None:
    job = cluster.submit("theirs", "sleep 600")
    cluster.wait(job, "RUNNING")
    cluster.make_operator(False)
    try:
        connector = connect(cluster)
        [run] = runs_of(connector, job)
        preview = connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 30)
        assert preview.refused is not None
        assert "adminlevel=Operator" in preview.refused
        with pytest.raises(AccessRefused, match="denied"):
            connector.act(replace(preview, refused=None), new_key(), 30)
        assert "RUNNING" == cluster.state(job)
        rights = {right.name: right.held for right in connector.probe(30).rights}
        assert False is rights["requeue, cancel, hold and release the jobs of others"]
        connector.close()
    finally:
        cluster.make_operator(True)
        cluster.host.run("root", f"scancel {job}")


def test_a_plain_user_learns_how_many_jobs_of_a_qos_run_at_once(cluster: SlurmCluster) -> None:
    cluster.host.run("root", "sacctmgr -i add qos nightly set GrpJobs=2")
    cluster.host.run("root", "sacctmgr -i modify user etl set qos+=nightly")
    accounted(cluster, cluster.submit("pooled", "true", "--qos=nightly"))
    cluster.make_operator(False)
    opened = connect(cluster)
    try:
        pools = {job.title: (job.pool, job.slots) for job in opened.inventory("", 60).jobs}
    finally:
        opened.close()
        cluster.make_operator(True)
    assert ("qos nightly", 2) == pools["pooled"]
    assert {("", None)} == {pool for name, pool in pools.items() if name != "pooled"}


def test_a_coordinator_of_the_account_may_act_without_being_an_operator(cluster: SlurmCluster) -> None:
    job = cluster.submit("ours", "sleep 600")
    cluster.wait(job, "RUNNING")
    cluster.make_operator(False)
    cluster.coordinate(True)
    try:
        connector = connect(cluster)
        [run] = runs_of(connector, job)
        preview = connector.preview(ActionSpec(Verb.CANCEL, ref(run), run.state), 30)
        assert preview.refused is None
        connector.act(preview, new_key(), 30)
        cluster.wait(job, "CANCELLED")
        rights = {right.name: right.held for right in connector.probe(30).rights}
        assert rights["requeue, cancel, hold and release others' jobs (coordinator of ops)"]
        connector.close()
    finally:
        cluster.coordinate(False)
        cluster.make_operator(True)


def test_without_its_sudo_rule_a_start_is_refused_and_sudo_refuses_it_too(cluster: SlurmCluster) -> None:
    cluster.host.allow()
    try:
        connector = connect(cluster)
        preview = start_of(connector, "again")
        assert preview.refused is not None
        assert "NOPASSWD: /usr/bin/sbatch" in preview.refused
        with pytest.raises(AccessRefused, match="password"):
            connector.act(replace(preview, refused=None), new_key(), 30)
        connector.close()
    finally:
        cluster.host.allow(*SUDO)


def start_of(connector: Connector, name: str) -> Preview:
    run = next(run for run in polled(connector).runs if run.job == f"{JOB}{name}")
    return connector.preview(ActionSpec(Verb.START, ref(run), RunState.PLANNED), 30)


def test_output_and_errors_in_two_files_are_one_log_and_no_foreign_file_is_read(
    cluster: SlurmCluster,
) -> None:
    secret = cluster.host.fs / "home/headway/secret"
    secret.write_text("of the login alone")
    secret.chmod(0o644)
    other = cluster.submit("spy", "true", "-o", "/home/headway/secret")
    cluster.wait(other, "FAILED")
    connector = connect(cluster)
    [run] = runs_of(connector, NIGHT["two"])
    assert "to out\n\n--- /home/etl/two.err\nto err\n" == connector.log(ref(run), None, 1000, 30).text
    [spy] = runs_of(connector, other)
    with pytest.raises(Exception, match="no file of etl"):
        connector.log(ref(spy), None, 1000, 30)
    connector.close()


def test_a_node_that_fails_is_a_failure_and_what_slurm_requeues_by_itself_a_further_attempt(
    cluster: SlurmCluster,
) -> None:
    job = cluster.submit("on-a-node", "[ -e seen ] || { touch seen; sleep 600; }")
    once = cluster.submit("once", "sleep 600", "--no-requeue")
    for name in (job, once):
        cluster.wait(name, "RUNNING")
    wait_until((cluster.host.fs / "home/etl/seen").exists, "its first try")
    cluster.host.run("root", "scontrol update NodeName=hpc State=DOWN Reason=lab")
    cluster.wait(once, "NODE_FAIL")
    cluster.resume()
    cluster.wait(job, "COMPLETED")
    accounted(cluster, job)
    connector = connect(cluster)
    first, second = runs_of(connector, job)
    assert (False, RunState.SUCCEEDED) == (first.state in (RunState.SUCCEEDED, RunState.RUNNING), second.state)
    [run] = runs_of(connector, once)
    assert (RunState.FAILED, "NODE_FAIL") == (run.state, run.native_state)
    assert "a node of it failed" in run.message
    connector.close()


def test_without_accounting_the_queue_is_reported_and_nothing_is_lost_when_it_is_back(cluster: SlurmCluster) -> None:
    connector = connect(cluster)
    cursor = polled(connector).cursor
    cluster.stop_dbd()
    try:
        job = cluster.submit("unseen", PARTLY, "--array=1-3")
        plain = cluster.submit("plain", "exit 5")
        cluster.wait(plain, "FAILED")
        wait_until(lambda: set(cluster.state(job).split()) == {"COMPLETED", "FAILED"}, "the array's end", pause=0.2)
        poll = connector.poll(cursor, (), 30)
        runs = {run.job.removeprefix(JOB): run for run in poll.runs}
        assert (False, None) == (poll.complete, poll.seen_until)
        assert any("accounting does not answer" in warning for warning in poll.warnings)
        assert (RunState.FAILED, RunState.UNKNOWN, RunEvidence.INFERRED) == (
            runs["plain"].state,
            runs["unseen"].state,
            runs["unseen"].evidence,
        )
    finally:
        cluster.start_dbd()
    accounted(cluster, job)
    accounted(cluster, plain)
    last = connector.poll(poll.cursor, (), 30)
    runs = {run.job.removeprefix(JOB): run for run in last.runs}
    assert (RunState.FAILED, RunState.PARTIAL, True) == (runs["plain"].state, runs["unseen"].state, last.complete)
    connector.close()


def test_without_slurmctld_history_is_reported_and_the_queue_is_unknown(cluster: SlurmCluster) -> None:
    connector = connect(cluster)
    cluster.host.run("root", "kill $(cat /run/slurmctld.pid)")
    wait_until(lambda: "DOWN" in cluster.host.run("root", "scontrol ping || true"), "slurmctld to be gone", pause=0.2)
    try:
        poll = polled(connector)
        assert (False, None, True) == (poll.complete, poll.seen_until, bool(poll.runs))
        assert "slurmctld does not answer" in (poll.stopped or "")
    finally:
        cluster.start_ctld()
    assert polled(connector).complete
    connector.close()


def test_a_start_once_sent_is_found_in_accounting_by_the_line_that_submitted_it(cluster: SlurmCluster) -> None:
    connector, key = connect(cluster), new_key()
    preview = start_of(connector, "again")
    connector.act(preview, key, 30)
    lookup = connector.look_up(preview, key, 30)
    assert isinstance(lookup, ActionFound)
    cluster.wait(lookup.native_ref, "COMPLETED")
    accounted(cluster, lookup.native_ref)
    line = cluster.host.run("root", f"sacct -X -n -P -o SubmitLine -j {lookup.native_ref}")
    assert key in line
    assert datetime.now(UTC) - timedelta(days=1) < (
        runs_of(connector, lookup.native_ref)[0].queued_at or datetime.now(UTC)
    )
    connector.close()


def test_a_name_and_a_comment_of_several_lines_are_of_one_row(cluster: SlurmCluster) -> None:
    job = ended(cluster, "two\nlines", "exit 3", "FAILED", "--comment", "one\n\ntwo")
    connector = connect(cluster)
    poll = polled(connector)
    assert [(f"{JOB}two lines", RunState.FAILED)] == [
        (run.job, run.state) for run in poll.runs if run.period_key == job
    ]
    assert () == poll.skipped
    assert f"{JOB}two lines" in {item.native_id for item in connector.inventory("", 30).jobs}
