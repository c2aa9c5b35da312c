"""The whole connector on a host made of folders: scripts, wrapper and reruns are real, only SSH and cron are not."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.cron.attempts import attempt_key
from connectors.cron.connector import CONNECTOR, CronConnector
from connectors.cron.log_files import LogPosition
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import (
    GARBLED,
    HOUR_OFF,
    JOB_DELETED,
    LONG_BYTES,
    LONG_LINE,
    NOT_A_NUMBER,
    NOT_UTF8,
    TRUNCATED,
    TWICE,
)
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import RunState
from connectors.sdk.transport.ssh import CompletedCommand
from tests.fakes.login import keys_in, login_folder, no_secret
from tests.fakes.spoiled import Spoil, an_hour_off, each_twice, half, on_line
from tests.fakes.ssh_local import ME, WRAPPER, LocalHost
from tests.fakes.unsent import CROWDS, ELSEWHERE_OVER_SSH, UNSENT_IN_A_LOG

CRONTAB = """\
SHELL=/usr/local/bin/headway-sh
# headway: good_job
10 3 * * * echo fine
# headway: bad_job
20 3 * * * echo orders.csv: No such file; exit 3
# headway: long_job
30 3 * * * sleep 600 & sleep 600; echo never
# headway: due_job
40 3 * * * echo due
"""
DUE = "40 3 * * * echo due"
"""Of a job that has no run: a second start of a minute is refused."""


END = rb"H2\tE\t[0-9.]+\t[0-9]+\t3"
START = b"orders.csv: No such file; exit 3$"
SPOILS: dict[str, Spoil] = {
    TRUNCATED: half,
    NOT_UTF8: on_line(START, lambda line: line[:-4] + b"\xff\xfe 3"),
    NOT_A_NUMBER: on_line(END, lambda line: line.replace(b"\t179", b"\tNaN")),
    GARBLED: on_line(END, lambda line: line[:4].ljust(len(line), b"?")),
    TWICE: each_twice(rb"H2\t|[^\n]*CRON\["),
    HOUR_OFF: an_hour_off,
}


@pytest.fixture(scope="class")
def host(request: pytest.FixtureRequest) -> Iterator[None]:
    with login_folder("cron") as folder:
        local = LocalHost(folder / "db07")
        local.crontab.write_text(CRONTAB)
        local.crontab.chmod(0o600)
        local.log.write_text("")
        request.cls.host, request.cls.folder = local, folder
        yield


@pytest.mark.usefixtures("host")
class TestCronConformance(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "recorded: lines of Debian cron, played on this machine"
    host: LocalHost
    folder: Path
    before: ClassVar[bytes | None] = None
    """The log, where it is spoiled."""
    _pids = itertools.count(500)

    elsewhere: ClassVar[Mapping[str, str]] = {**ELSEWHERE_OVER_SSH, "crowded": CROWDS}
    unplayed = UNSENT_IN_A_LOG

    def answering(self, how: str) -> Connector:
        self.make_success(), self.make_failure()
        if how == JOB_DELETED:
            self.host.log_line(next(self._pids), f"({ME}) CMD (/opt/etl/gone)")
            return self.connector()
        connector = self.connector()
        if how == LONG_LINE:
            type(self).before = self.host.log.read_bytes()
            self.host.log.write_bytes((self.before or b"") + b"x" * LONG_BYTES + b"\n")
        else:
            self.host.spoil = SPOILS[how]
        return connector

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = self.latest(self.make_failure())
        with Path(json.loads(run.native_ref)["output"]).open("wb") as file:
            file.truncate(size)
        return self.connector(), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """rsyslog writes late what waited in its queue."""
        now = time.time()
        self.host.log_line(next(self._pids), f"({ME}) CMD (echo fine)", now - 30)

        def put() -> str:
            pid, began = next(self._pids), int(now - 120)
            self.host.log_line(pid, f"({ME}) CMD (echo fine)", began)
            return attempt_key(began, pid)

        return self.connector(), put

    def with_a_right_revoked(self) -> Connector:
        """As `chmod 600` of the log, which root would ignore."""
        connector = self.connector()
        self.host.spoil = lambda answer: answer.replace(b"READ|ok|", b"READ|denied|")
        return connector

    def connector(self) -> Connector:
        self.host.spoil = bytes
        if self.before is not None:
            self.host.log.write_bytes(self.before)
            type(self).before = None
        return CronConnector(self.host.options(), "db07", no_secret, self.host)

    def connector_at(self, host: str, port: int) -> Connector:
        entry = {"name": "db07", "address": host, "port": port}
        return CronConnector(self.host.options(hosts=[entry], **keys_in(self.folder)), "db07", no_secret)

    def make_success(self) -> str:
        if not (self.host.spool / ME).exists() or "echo fine" not in (self.host.spool / ME / "runs").read_text():
            assert self.host.run_wrapped("echo fine") == 0
        return "db07:good_job"

    def make_failure(self) -> str:
        command = "echo orders.csv: No such file; exit 3"
        if not (self.host.spool / ME).exists() or command not in (self.host.spool / ME / "runs").read_text():
            assert self.host.run_wrapped(command) == 3
        return "db07:bad_job"

    def connector_with_an_unknown_state(self) -> Connector:
        pid = next(self._pids)
        self.host.log_line(pid, f"({ME}) CMD (echo fine)")
        self.host.log_line(pid + 1000, f"(CRON) error (grandchild #{pid} was eaten)")
        return self.connector()

    limits: ClassVar[Mapping[str, str]] = {"due": "no cron runs here; tests/lab shows it on a real one"}

    def a_startable_job(self) -> str:
        return "db07:due_job"

    def a_holdable_job(self) -> str:
        return self.a_startable_job()

    def a_running_run(self) -> RunRecord:
        """A run that we started ourselves: it is proved by pid and start, as the wrapper wrote them."""
        with self.opened() as connector:
            cursor = list(self.polls_until_end(connector, ""))[-1].cursor
            preview = self.allowed(connector, self.start_ask("db07:long_job"))
            key = new_key()
            connector.act(preview, key, self.timeout_seconds)
            return self.wait(
                "the long run", lambda: next(iter(self.started_under(connector, cursor, key).values()), None)
            )

    def pause_by_hand(self, job_id: str) -> None:
        self.host.crontab.write_text(self.host.crontab_text().replace(DUE, f"#{DUE}"))

    def resume_by_hand(self, job_id: str) -> None:
        self.host.crontab.write_text(self.host.crontab_text().replace(f"#{DUE}", DUE))

    def native_trace(self) -> object:
        return self.host.crontab_text(), sorted(str(path) for path in self.host.spool.rglob("*"))


def connect(host: LocalHost, **changes: Any) -> CronConnector:
    return CronConnector(host.options(**changes), "db07", no_secret, host)


@pytest.fixture
def local(tmp_path: Path) -> LocalHost:
    made = LocalHost(tmp_path / "db07")
    made.log.write_text("")
    return made


def test_steady_poll_is_one_trip(local: LocalHost) -> None:
    local.crontab.write_text(CRONTAB)
    connector = connect(local)
    first = connector.poll("", (), 20)
    before = local.calls
    second = connector.poll(first.cursor, (), 20)
    assert local.calls == before + 1
    assert first.inventory is not None
    old, new = (json.loads(poll.cursor) for poll in (first, second))
    log = LogPosition.from_json(old["log"])
    later = LogPosition.from_json(new["log"])
    assert log is not None
    assert later is not None
    assert log.since <= later.since, "the log is read up to then"
    assert (second.inventory, new) == (None, {**old, "log": replace(log, since=later.since).as_json()})


def test_changed_crontab_rides_on_the_next_poll(local: LocalHost) -> None:
    local.crontab.write_text(CRONTAB)
    connector = connect(local)
    first = connector.poll("", (), 20)
    local.crontab.write_text("# headway: other_job\n0 4 * * * /other\n")
    second = connector.poll(first.cursor, (), 20)
    assert second.inventory is not None
    assert [job.native_id for job in second.inventory.jobs] == ["db07:other_job"]
    assert second.inventory.jobs[0].schedule.zone == "Europe/Berlin"


def test_inventory_is_sent_once_for_a_cursor_whoever_polls(local: LocalHost) -> None:
    local.crontab.write_text(CRONTAB)
    first = connect(local).poll("", (), 20)
    second = connect(local).poll(first.cursor, (), 20)
    assert second.inventory is None


def test_log_line_belongs_to_the_nearest_due_line_of_that_command(local: LocalHost) -> None:
    local.crontab.write_text("# headway: night\n0 3 * * * /x\n# headway: noon\n0 12 * * * /x\n")
    for pid, at in ((1, 1763517661), (2, 1763550061)):  # 2025-11-19 03:01:01 and 12:01:01 in Berlin
        local.log_line(pid, f"({ME}) CMD (/x)", at)
    runs = connect(local).poll("", (), 20).runs
    assert [run.job for run in runs] == ["db07:night", "db07:noon"]
    assert {run.state for run in runs} == {RunState.UNKNOWN}


def test_a_password_in_a_command_is_in_no_cursor_and_no_reference(local: LocalHost) -> None:
    """Both are stored as they are; the command is stored masked, as the definition of its job."""
    local.crontab.write_text("# headway: dump\n* * * * * dump --password=hunter2 root\n")
    for event in ("CMD", "END"):
        local.log_line(701, f"({ME}) {event} (dump --password=hunter2 root)", at=time.time() - 60)
    connector = connect(local)
    poll = connector.poll("", (), 20)
    [run] = poll.runs
    assert "hunter2" not in poll.cursor + run.native_ref
    log = connector.log(RunRef(run.job, "", run.attempt_key, run.native_ref), None, 1000, 20).text
    assert f"({ME}) CMD (…)" in log
    assert f"({ME}) END (…)" in log


def test_another_log_in_the_config_is_read_from_then_on(local: LocalHost, tmp_path: Path) -> None:
    local.crontab.write_text("# headway: job\n* * * * * true\n")
    local.log_line(701, f"({ME}) CMD (true)", at=time.time() - 60)
    first = connect(local).poll("", (), 20)
    other = tmp_path / "other.log"
    local.log.rename(other)
    local.log = other
    local.log_line(702, f"({ME}) CMD (true)")
    poll = connect(local).poll(first.cursor, (), 20)
    assert ([702], str(other)) == ([run.context["pid"] for run in poll.runs], json.loads(poll.cursor)["log"][0])


def test_another_spool_in_the_config_leaves_the_log_the_log(local: LocalHost, tmp_path: Path) -> None:
    """Records of the old spool are not read as cron's log."""
    local.crontab.write_text("# headway: job\n* * * * * true\n")
    local.run_wrapped("true")
    first = connect(local).poll("", (), 20)
    local.log_line(702, f"({ME}) CMD (true)")
    poll = connect(local, spool=str(tmp_path / "spool2")).poll(first.cursor, (), 20)
    assert [702] == [run.context["pid"] for run in poll.runs]
    assert local.log == Path(json.loads(poll.cursor)["log"][0])
    assert [] == json.loads(poll.cursor)["rec"]


def test_the_inventory_says_whose_crontabs_the_settings_ask_for(local: LocalHost) -> None:
    """One that `users` leaves out is watched no more; its lines are not gone."""
    (local.folder / "etc/crontab").write_text(
        f"1 1 * * * nobody sweep\n2 2 * * * {ME} dump\n# headway: x\n* * * * * nobody x\n"
    )
    local.crontab.write_text("# headway: job\n10 3 * * * true\n")
    everybody = connect(local).inventory("", 20)
    assert (4, None) == (len(everybody.jobs), everybody.is_selected)
    inventory = connect(local, users=[ME]).inventory("", 20)
    assert {"db07:job", f"db07:{ME}-dump"} == {job.native_id for job in inventory.jobs}
    assert inventory.is_selected is not None
    selected = {job.native_id: inventory.is_selected(job.native_id, job.match_keys) for job in everybody.jobs}
    assert {"db07:job": True, f"db07:{ME}-dump": True, "db07:nobody-sweep": False, "db07:x": False} == selected


def test_a_probe_names_no_right_over_jobs_that_the_settings_leave_out(local: LocalHost) -> None:
    (local.folder / "etc/crontab").write_text("1 1 * * * nobody sweep\n")
    local.crontab.write_text("# headway: job\n10 3 * * * true\n")
    probe = connect(local, users=[ME]).probe(20)
    assert "nobody" not in " ".join([*(right.name for right in probe.rights), *probe.notes])
    assert "nobody" in " ".join(right.name for right in connect(local).probe(20).rights)


def test_a_user_of_the_settings_that_does_not_exist_is_named_with_the_one_that_is_meant(local: LocalHost) -> None:
    probe = connect(local, users=[f"{ME}x"]).probe(20)
    right = next(right for right in probe.rights if right.name == "read crontabs")
    assert (False, f"no user {ME}x", f"correct users = [...]; did you mean {ME}?") == (right.held, right.why, right.fix)


def test_a_start_of_a_user_that_the_settings_leave_out_is_no_problem(local: LocalHost) -> None:
    (local.folder / "etc/crontab").write_text("* * * * * nobody sweep\n")
    local.crontab.write_text("# headway: job\n* * * * * true\n")
    local.log_line(701, "(nobody) CMD (sweep)")
    local.log_line(702, f"({ME}) CMD (true)")
    local.log_line(703, f"({ME}) CMD (gone)")
    poll = connect(local, users=[ME]).poll("", (), 20)
    assert [702] == [run.context["pid"] for run in poll.runs]
    starts = [warning for warning in poll.warnings if "belongs to no crontab line" in warning]
    assert [f"a start belongs to no crontab line that can be read: {ME}: gone"] == starts


@pytest.mark.parametrize("users,count", [(["etl"], 0), (["etl", "root"], 1), ([], 1)])
def test_the_jobs_of_anacron_are_those_of_root(local: LocalHost, users: list[str], count: int) -> None:
    (local.folder / "etc/anacrontab").write_text("1 5 cron.daily true\n")
    local.crontab.unlink(missing_ok=True)
    local.crontab.parent.rmdir()
    inventory = connect(local, users=users).inventory("", 20)
    assert count == sum("anacron" in job.native_id for job in inventory.jobs)
    if inventory.is_selected is not None:
        assert inventory.is_selected("db07:anacron/cron.daily", ("/etc/anacrontab|cron.daily",)) is bool(count)


@pytest.mark.parametrize("users, count", [(["etl"], 0), (["root"], 1), ([], 1)])
def test_a_fault_of_anacron_is_that_of_root(local: LocalHost, users: list[str], count: int) -> None:
    (local.folder / "etc/anacrontab").write_text("gibberish\n")
    skipped = connect(local, users=users).inventory("", 20).skipped
    assert count == sum("anacrontab" in record.where for record in skipped)


class WithChild(LocalHost):
    """A host whose cron has a job that began a while ago."""

    age_seconds = 60.0

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        done = super().run(stdin, argv, timeout_seconds, once)
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        ticks = b"%d" % int((uptime - self.age_seconds) * 100)
        child = rb"\1child 900 29 %s\njob 901 900 %s\n" % (ticks, ticks)
        return CompletedCommand(re.sub(rb"(\npids [0-9 ]*\n)", child, done.stdout), done.stderr, done.exit_status)


def test_a_log_without_starts_by_cron_proves_nothing_missed_until_it_has_one(tmp_path: Path) -> None:
    """rsyslog has stopped and its file stays: no job is reported as missed."""
    host = WithChild(tmp_path / "db07")
    host.log_line(700, f"({ME}) CMD (true)", at=time.time() - 300)
    silent = connect(host).poll("", (), 20)
    assert silent.seen_until is None
    assert 1 == sum("has no line of it" in warning for warning in silent.warnings), silent.warnings
    host.age_seconds = 0.0  # it has ended, and nothing else has begun: the log is as silent as before
    still = connect(host).poll(silent.cursor, (), 20)
    assert still.seen_until is None
    host.log_line(902, f"({ME}) CMD (true)")
    again = connect(host).poll(still.cursor, (), 20)
    assert again.seen_until is not None
    assert not any("has no line of it" in warning for warning in again.warnings)


@pytest.mark.parametrize(
    "line",
    ["cron[27]: (*system*) RELOAD (/etc/crontab)", "crontab[31]: (root) REPLACE (root)",
     "cron[27]: (CRON) INFO (Running @reboot jobs)"],
)  # fmt: skip
def test_any_line_of_cron_shows_that_its_log_is_written_again(tmp_path: Path, line: str) -> None:
    host = WithChild(tmp_path / "db07")
    host.log_line(700, f"({ME}) CMD (true)", at=time.time() - 300)
    silent = connect(host).poll("", (), 20)
    assert silent.seen_until is None
    with host.log.open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}.000000+00:00 db07 {line}\n")
    again = connect(host).poll(silent.cursor, (), 20)
    assert again.seen_until is not None
    assert not any("has no line of it" in warning for warning in again.warnings)


def test_log_with_a_line_of_what_cron_started_proves_what_is_missed(tmp_path: Path) -> None:
    host = WithChild(tmp_path / "db07")
    host.log_line(901, f"({ME}) CMD (true)", at=time.time() - 60)
    assert connect(host).poll("", (), 20).seen_until is not None


def test_a_denied_log_is_reported_and_the_poll_proves_no_absence(local: LocalHost) -> None:
    local.crontab.write_text(CRONTAB)
    connector = connect(local, logs=[str(local.folder / "none/cron.log")])
    poll = connector.poll("", (), 20)
    assert poll.seen_until is None


@pytest.mark.parametrize(
    "groups, fix",
    [(b"headway", f"usermod -a -G adm {ME}"), (b"headway adm", "chgrp adm {log} && chmod g+r {log}")],
)
def test_a_log_that_becomes_unreadable_after_the_start_is_a_warning_with_its_fix(
    local: LocalHost, monkeypatch: pytest.MonkeyPatch, groups: bytes, fix: str
) -> None:
    """As `chmod 600`, which root ignores: the script's own read check fails. A member of adm gets no advice
    to become one."""
    local.crontab.write_text(CRONTAB)
    local.log_line(17, f"({ME}) CMD (/x)")
    first = connect(local).poll("", (), 20)
    can_read, run = b'[ ! -r "$p" ]', local.run
    closed = ((can_read, b"true"), (b"id -Gn; return", b"echo " + groups + b"; return"))

    def run_closed(stdin: bytes, *rest: Any, **more: Any) -> CompletedCommand:
        for part, changed in closed:
            assert part in stdin
            stdin = stdin.replace(part, changed)
        return run(stdin, *rest, **more)

    monkeypatch.setattr(local, "run", run_closed)
    second = connect(local).poll(first.cursor, (), 20)
    text = f"{local.log}: denied: {fix.format(log=local.log)}"
    assert (False, True) == (text in first.warnings, text in second.warnings)
    assert (first.complete, second.complete, second.seen_until) == (True, False, None)


def test_a_broken_line_is_reported_with_place_value_and_fix_and_its_jobs_are_not_expected(local: LocalHost) -> None:
    local.crontab.write_text("# headway: fine\n0 3 * * * /x\n61 3 * * * /y\n")
    inventory = connect(local).inventory("", 20)
    (skipped,) = inventory.skipped
    assert (inventory.jobs, skipped.where) == ((), f"{local.crontab}:3")
    assert skipped.reason == 'bad minute: cron ignores this whole file. Fix "61 3 * * * /y" or comment it out.'


def test_run_is_recognised_by_the_next_connector_after_a_restart(local: LocalHost) -> None:
    local.crontab.write_text(CRONTAB)
    first = connect(local).poll("", (), 20)
    local.run_wrapped("echo fine")
    second = connect(local).poll(first.cursor, (), 20)
    assert [(run.job, run.state, run.exit_code) for run in second.runs] == [("db07:good_job", RunState.SUCCEEDED, 0)]
    third = connect(local).poll(second.cursor, (), 20)
    assert third.runs == ()


def test_text_before_our_first_mark_is_not_ours(local: LocalHost) -> None:
    local.crontab.write_text(CRONTAB)
    assert connect(local).inventory("", 20).complete  # LocalHost greets with "Welcome!"


def test_wrapper_is_the_one_that_is_installed() -> None:
    from connectors.cron.client import script, wrapper_instructions

    assert script("headway-sh") == WRAPPER.read_text()
    assert "install -d -o root -g adm -m 3773 /var/spool/headway" in wrapper_instructions()
