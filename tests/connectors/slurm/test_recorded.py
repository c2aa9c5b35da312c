"""The whole kind on a host whose Slurm commands are fakes, which print as Slurm 22.05.8 printed them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import (
    GARBLED,
    HOUR_OFF,
    JOB_DELETED,
    LONG_BYTES,
    LONG_LINE,
    NOT_A_NUMBER,
    NOT_UTF8,
    SHUFFLED,
    TRUNCATED,
    TWICE,
)
from connectors.sdk.conformance.world import ref
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from connectors.slurm.connector import CONNECTOR, SlurmConnector
from tests.fakes.login import keys_in, login_folder, no_secret
from tests.fakes.slurm import Crowd, SlurmHost
from tests.fakes.spoiled import an_hour_off, half
from tests.fakes.unsent import ELSEWHERE_OVER_SSH, UNSENT_OVER_SSH

ROW = re.compile(rb"^\+\x1f[^\n]*\x1f\w{6}bad\x1f[^\n]*$", re.MULTILINE)
SUBMIT = re.compile(rb"(\x1f\w{6}2\x1f\w{6})(\d{10})")


def on_row(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Spoils the row of `bad` in accounting."""
    return lambda data: ROW.sub(lambda row: change(row[0]), data)


ROWS = re.compile(rb"(?:[^\n]*\x1f[^\n]*\x1f[^\n]*\n)+")
"""What one tool of Slurm answered."""

SPOILS: dict[str, Callable[[bytes], bytes]] = {
    TRUNCATED: half,
    NOT_UTF8: on_row(lambda row: row.replace(b"sbatch", b"sbatch \xff\xfe")),
    NOT_A_NUMBER: on_row(lambda row: SUBMIT.sub(rb"\1NaN", row, count=1)),
    GARBLED: on_row(lambda row: row[:30]),
    TWICE: lambda data: re.sub(rb"^([^\n]*\x1f[^\n]*\x1f[^\n]*)$", rb"\1\n\1", data, flags=re.MULTILINE),
    SHUFFLED: lambda data: ROWS.sub(lambda result: b"".join(reversed(result[0].splitlines(keepends=True))), data),
    HOUR_OFF: an_hour_off,
    LONG_LINE: on_row(lambda row: row + b"x" * LONG_BYTES),
}


@pytest.fixture(scope="class")
def host(request: pytest.FixtureRequest) -> Iterator[None]:
    with login_folder("slurm") as folder:
        request.cls.host, request.cls.folder = SlurmHost(folder / "hpc"), folder
        request.cls.later = request.cls.host.submit("later", "wait", comment="of the night")
        yield


@pytest.mark.usefixtures("host")
class TestSlurmConformance(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "recorded: Slurm 22.05.8"
    host: SlurmHost
    folder: Path
    later: str
    elsewhere = ELSEWHERE_OVER_SSH
    unplayed = UNSENT_OVER_SSH
    limits: ClassVar[Mapping[str, str]] = {
        "due": "the fake schedules nothing; on the real cluster a held submission does not start",
        "schedule": "its jobs begin at a time that was asked for; scrontab is read in a test of its own",
    }

    def connector(self) -> Connector:
        self.host.spoil = bytes
        self.host.set(level="Operator")
        return SlurmConnector(self.host.options(), "hpc", no_secret, self.host)

    def connector_at(self, host: str, port: int) -> Connector:
        entry = {"name": "hpc", "address": host, "port": port}
        return SlurmConnector(self.host.options(hosts=[entry], **keys_in(self.folder)), "hpc", no_secret)

    def make_success(self) -> str:
        return "hpc:etl/good"

    def make_failure(self) -> str:
        log = self.folder / "slurm-2.out"
        log.write_text("line one\nit breaks here\n")
        self.host.change("2", dir=str(self.folder), user=log.owner())
        return f"hpc:{log.owner()}/bad"

    def connector_with_an_unknown_state(self) -> Connector:
        self.host.change(self.host.submit("odd", "true"), state="EATEN_BY_A_DOG")
        return self.connector()

    def a_running_run(self) -> RunRecord:
        job = self.host.submit("long", "hang")
        with self.opened() as connector:
            return next(run for run in connector.poll("", (), 20).runs if run.period_key == job)

    def a_holdable_job(self) -> str:
        return "hpc:etl/later"

    def pause_by_hand(self, job_id: str) -> None:
        self.host.change(self.later, priority="0", reason="JobHeldUser")

    def resume_by_hand(self, job_id: str) -> None:
        self.host.change(self.later, priority="4294901759", reason="BeginTime")

    def native_trace(self) -> object:
        return json.loads(self.host.world.file.read_text())["rows"]

    # replies that nobody should send

    def answering(self, how: str) -> Connector:
        self.make_failure()
        if how == JOB_DELETED:
            self.host.change(self.host.submit("gone", "true"), forgotten=True)
            return self.connector()
        connector = self.connector()
        self.host.spoil = SPOILS[how]
        return connector

    def crowded(self, runs: int) -> Connector:
        return SlurmConnector(self.host.options(), "hpc", no_secret, Crowd(runs))

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        log = self.folder / "long.out"
        with log.open("wb") as file:
            file.truncate(size)
        self.host.submit("talks", "exit 1", user=log.owner(), out=str(log))
        with self.opened() as connector:
            run = next(run for run in connector.poll("", (), 20).runs if run.job.endswith("/talks"))
        return self.connector(), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        def put() -> str:
            number = self.host.submit("late", "exit 1", at=int(time.time()) - 90)
            return next(run.attempt_key for run in self.connector().poll("", (), 20).runs if run.period_key == number)

        return self.connector(), put

    def with_a_right_revoked(self) -> Connector:
        connector = self.connector()
        self.host.set(level="None")
        return connector


@pytest.fixture
def hpc(tmp_path: Path) -> SlurmHost:
    return SlurmHost(tmp_path / "hpc")


def connect(host: SlurmHost, **changes: Any) -> SlurmConnector:
    return SlurmConnector(host.options(**changes), "hpc", no_secret, host)


def by_name(host: SlurmHost, **changes: Any) -> dict[str, RunRecord]:
    """The last attempt of each job, by its name."""
    return {run.job.rpartition("/")[2]: run for run in connect(host, **changes).poll("", (), 20).runs}


def test_a_poll_is_one_round_trip_and_a_quiet_one_reports_nothing(hpc: SlurmHost) -> None:
    connector = connect(hpc)
    first = connector.poll("", (), 20)
    assert (1, 3) == (hpc.calls, len(first.runs))
    again = connector.poll(first.cursor, (), 20)
    assert ((), 2) == (again.runs, hpc.calls)
    assert again.seen_until is not None


@pytest.mark.parametrize(
    "term, state",
    [
        ("OUT_OF_MEMORY", RunState.FAILED),
        ("TIMEOUT", RunState.TIMED_OUT),
        ("PREEMPTED", RunState.CANCELLED),
        ("CANCELLED by 1000", RunState.CANCELLED),
        ("DEADLINE", RunState.TIMED_OUT),
        ("BOOT_FAIL", RunState.FAILED),
        ("REVOKED", RunState.SKIPPED),
    ],
)
def test_ends_that_no_lab_produces_are_mapped_by_the_table(hpc: SlurmHost, term: str, state: RunState) -> None:
    hpc.change("2", state=term)
    assert state is by_name(hpc)["bad"].state


@pytest.mark.parametrize(
    "reason, state, why",
    [
        ("Dependency", RunState.WAITING, "upstream"),
        ("DependencyNeverSatisfied", RunState.BLOCKED, ""),
        ("JobHeldUser", RunState.HELD, ""),
        ("BeginTime", RunState.PLANNED, "time"),
        ("Resources", RunState.QUEUED, "resource"),
        ("AssocGrpCpuLimit", RunState.QUEUED, "slot"),
        ("QOSMaxJobsPerUserLimit", RunState.QUEUED, "slot"),
        ("ReqNodeNotAvail, UnavailableNodes:n1", RunState.QUEUED, "resource"),
        ("SomethingNew", RunState.QUEUED, ""),
    ],
)
def test_the_reason_a_submission_waits_is_reported(hpc: SlurmHost, reason: str, state: RunState, why: str) -> None:
    hpc.change(hpc.submit("later", "wait"), reason=reason)
    run = by_name(hpc)["later"]
    assert (state, why, None) == (run.state, run.reason, run.ended_at)


def test_a_name_and_a_comment_cannot_pass_for_a_row(hpc: SlurmHost) -> None:
    forged = "x\n1\x1fCOMPLETED\x1f0:0"
    hpc.submit("evil", "exit 1", comment=forged)
    hpc.submit("evil\nJobState=COMPLETED", "exit 1")
    names = {run.job.rpartition("/")[2]: run.state for run in connect(hpc).poll("", (), 20).runs}
    assert {"good", "bad", "parts", "evil", "evil JobState=COMPLETED"} == set(names)
    assert {RunState.FAILED} == {names["evil"], names["evil JobState=COMPLETED"]}


def test_lines_within_a_field_are_of_its_row(hpc: SlurmHost) -> None:
    ended = hpc.submit("night\nload", "exit 0", comment="one\n\ntwo\n", line="sbatch -J 'night\nload'\n x.sh\n")
    waits = hpc.submit("\nlater\n", "wait", comment="one\ntwo")
    connector = connect(hpc)
    poll = connector.poll("", (), 20)
    reported = {run.period_key: (run.job, run.state) for run in poll.runs}
    assert ((), ("hpc:etl/night load", RunState.SUCCEEDED)) == (poll.skipped, reported[ended])
    assert reported[waits][1].is_open
    assert {job for job, _ in reported.values()} <= {job.native_id for job in connector.inventory("", 20).jobs}


def test_a_script_of_many_lines_in_its_own_command_line_is_one_row(hpc: SlurmHost) -> None:
    hpc.submit("wrapped", "exit 1", line="sbatch --wrap 'one\ntwo\nthree'")
    poll = connect(hpc).poll("", (), 20)
    assert ("wrapped", ()) == (poll.runs[-1].job.rpartition("/")[2], poll.skipped)


def test_a_job_that_accounting_thinks_running_and_slurmctld_does_not_know_is_unknown(hpc: SlurmHost) -> None:
    hpc.change(hpc.submit("lost", "hang"), forgotten=True)
    run = by_name(hpc)["lost"]
    assert RunState.UNKNOWN is run.state
    assert "slurmctld does not know it" in run.message


def test_a_controller_that_does_not_answer_starts_nothing_while_accounting_is_read_on(hpc: SlurmHost) -> None:
    assert "" == connect(hpc).poll("", (), 20).stopped
    hpc.set(controller="down")
    poll = connect(hpc).poll("", (), 20)
    assert "Unable to contact slurm controller" in (poll.stopped or "")
    assert "see that slurmctld runs" in (poll.stopped or "")
    assert (True, None) == (bool(poll.runs), poll.seen_until)


def test_disabled_accounting_is_reported_and_forgotten_runs_are_a_gap(hpc: SlurmHost) -> None:
    hpc.set(accounts="none")
    connector = connect(hpc)
    poll = connector.poll("", (), 20)
    reported = {run.job.rpartition("/")[2]: run.state for run in poll.runs}
    assert ({"good": RunState.SUCCEEDED, "bad": RunState.FAILED, "parts": RunState.UNKNOWN}, True) == (
        reported,
        poll.complete,
    )
    assert any("accounting is off" in warning for warning in poll.warnings)
    late = json.dumps({**json.loads(poll.cursor), "queue_seen": int(time.time()) - 4000})
    [gap] = connector.poll(late, (), 20).gaps
    assert "slurmctld forgot" in gap.reason
    assert False is {right.name: right.held for right in connector.probe(20).rights}["read accounting"]


@pytest.mark.parametrize("accounts", ["none", "slurmdbd"])
def test_an_open_run_that_is_unknown_everywhere_is_lost(hpc: SlurmHost, accounts: str) -> None:
    hpc.set(accounts=accounts)
    number, connector = hpc.submit("long", "hang"), connect(hpc)
    first = connector.poll("", (), 20)
    [run] = [item for item in first.runs if item.job.endswith("/long")]

    def again() -> list[RunRecord]:
        return [item for item in connector.poll(first.cursor, [ref(run)], 20).runs if item.job == run.job]

    assert [RunState.RUNNING] == [item.state for item in again()]
    world = hpc.world
    world.rows = [row for row in world.rows if row["id"] != number]
    world.save()
    hpc.set(private="jobs")
    assert [] == again(), "it may be hidden from us"
    hpc.set(private="none")
    [lost] = again()
    assert (run.attempt_key, RunState.LOST, "inferred") == (lost.attempt_key, lost.state, lost.evidence)


def test_of_scrontab_the_expression_is_the_schedule(hpc: SlurmHost) -> None:
    """Debian builds no scrontab, so that no lab makes one: the line is as src/api/job_info.c writes it."""
    hpc.change(hpc.submit("hourly", "wait"), crontab="0 * * * *")
    job = next(item for item in connect(hpc).inventory("", 20).jobs if item.title == "hourly")
    assert ("debian-cron", "0 * * * *") == (job.schedule.dialect, job.schedule.expression)
    assert job.schedule.next_at is not None


def test_only_selected_jobs_are_watched(hpc: SlurmHost) -> None:
    hpc.submit("good", "true", user="bob")
    assert {"hpc:etl/good"} == {
        job.native_id for job in connect(hpc, users=["etl"], jobs=["g*"]).inventory("", 20).jobs
    }


def test_edges_are_those_of_the_newest_submission_and_runs_name_what_they_waited_for(hpc: SlurmHost) -> None:
    hpc.submit("lower", "true", line="sbatch --parsable --dependency=afterok:1:2,afterany:3_* -J lower run.sh")
    job = next(item for item in connect(hpc).inventory("", 20).jobs if item.title == "lower")
    assert ("hpc:etl/bad", "hpc:etl/good", "hpc:etl/parts") == job.upstreams
    inputs = by_name(hpc)["lower"].context["inputs"]
    assert [("hpc:etl/good", "1"), ("hpc:etl/bad", "2"), ("hpc:etl/parts", "3")] == [
        (item["job"], item["period_key"]) for item in inputs
    ]
