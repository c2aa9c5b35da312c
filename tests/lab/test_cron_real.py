"""cron as it really is, on hosts of their own: each level of its log, wrapper, rotation by rsyslog, missing rights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from connectors.cron.client import host_script
from connectors.cron.connector import CONNECTOR, CronConnector
from connectors.cron.crontab import FILE_IGNORED
from connectors.cron.options import CronOptions
from connectors.sdk.conformance import Cancels, Deadlines, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.records import Poll, RunRecord, RunRef
from connectors.sdk.states import ProofLevel, RunEvidence, RunState, Verb
from tests.fakes.login import no_secret
from tests.lab.cronhost import CronHost, Rotation
from tests.lab.estate import Estate
from tests.lab.process import wait_seconds, wait_until

T = TypeVar("T")

INSTALL_PAGE = Path(__file__).parents[2] / "docs" / "install.md"
ETL_JOBS = """\
# headway: good_job
* * * * * echo fine
# headway: bad_job
* * * * * echo orders.csv: No such file; exit 3
# headway: long_job
* * * * * sleep 600; echo never
# headway: held_job
* * * * * : held_job
# headway: nightly_job
10 3 * * * echo nightly
"""
SYSTEM_JOBS = """\
# headway: plain_good
* * * * * root true
# headway: plain_bad
* * * * * root exit 3
# headway: plain_killed
* * * * * root kill -9 $$
# headway: plain_long
* * * * * etl sleep 600
# headway: odd_text
* * * * * root  printf a\\%b "ümlaut\tx" >/dev/null; cat >/dev/null%in%put
"""
BROKEN = {
    "bad_minute": ("61 * * * * root touch /tmp/bad_minute\n", 0o644, "bad minute"),
    "bad_user": ("* * * * * nobody-here touch /tmp/bad_user\n", 0o644, "bad username"),
    "no_newline": ("* * * * * root touch /tmp/no_newline", 0o644, "missing newline before EOF"),
    "dots.sh": ("* * * * * root touch /tmp/dots\n", 0o644, "bad file name"),
    "group_w": ("* * * * * root touch /tmp/group_w\n", 0o664, "insecure mode"),
    "half": ("* * * * * root touch /tmp/half\n* * 32 * * root true\n", 0o644, "bad day-of-month"),
}
LEVELS: dict[str, dict[str, Any]] = {
    "lvl1": {}, "lvl5": {"cron_level": 5}, "lvl7": {"cron_level": 7}, "lvl15": {"cron_level": 15},
    "classic": {"cron_level": 15, "traditional_log": True, "zone": "Europe/Berlin"},
}  # fmt: skip


def options(host: CronHost, **changes: Any) -> CronOptions:
    entry = {"name": host.name, "address": "127.0.0.1", "port": host.port}
    values = {"hosts": [entry], "key": str(host.key), "known_hosts": str(host.known_hosts), **changes}
    return CronOptions.model_validate(values)


def connect(host: CronHost, **changes: Any) -> CronConnector:
    return CronConnector(options(host, **changes), host.name, no_secret)


def seen(host: CronHost, **changes: Any) -> dict[str, RunRecord]:
    """Job -> its first attempt in the current history."""
    connector = connect(host, **changes)
    runs: dict[str, RunRecord] = {}
    poll = connector.poll("", (), 30)
    while True:
        for run in poll.runs:
            runs.setdefault(run.job.partition(":")[2], run)
        if not poll.more:
            break
        poll = connector.poll(poll.cursor, (), 30)
    connector.close()
    return runs


def wait(what: str, query: Callable[[], T | None]) -> T:
    results: list[T] = []

    def ready() -> bool:
        answer = query()
        if answer is not None:
            results.append(answer)
        return answer is not None

    wait_until(ready, what, pause=0.3)
    return results[0]


def pass_a_minute(host: CronHost, witness: str) -> None:
    """Returns once cron has started a job that is due each minute, `witness` in its command, in the next minute."""
    minute = f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%dT%H:%M}"
    line = re.compile(rf"^{minute}.* CMD .*{witness}", re.MULTILINE)
    wait_until(lambda: line.search(host.log_text()), f"the minute {minute} of {host.name}")


@pytest.fixture(scope="module")
def hosts(lab: Estate) -> Iterator[dict[str, CronHost]]:
    """One host for each level; all jobs have run once and the short ones have ended."""
    made = {name: lab.host(name, **values) for name, values in LEVELS.items()}
    for host in made.values():
        host.run("root", "mkdir -p /var/spool/headway && chgrp adm /var/spool/headway && chmod 3773 /var/spool/headway")
        host.write_crontab("etl", ("SHELL=/usr/local/bin/headway-sh\n" if host.name == "lvl1" else "") + ETL_JOBS)
        host.write_cron_d("system", SYSTEM_JOBS)
    for name, (text, mode, _) in BROKEN.items():
        made["lvl15"].write_cron_d(name, text, mode)
    for host in made.values():
        wait_until(lambda host=host: host.log_text().count("CMD") >= 8, f"the jobs of {host.name}")  # type: ignore[misc]
    wait_seconds(3.5)  # what started this very moment is never judged
    yield made
    for name in made:
        lab.drop(name)


# -- the ladder -------------------------------------------------------------------------------------------------------
def test_default_log_proves_the_start_and_the_wrapper_the_rest(hosts: dict[str, CronHost]) -> None:
    runs = seen(hosts["lvl1"])
    details = {name: (run.state, run.evidence, run.exit_code) for name, run in runs.items()}
    assert details["plain_good"] == details["plain_bad"] == (RunState.UNKNOWN, RunEvidence.INFERRED, None)
    assert details["plain_long"] == details["long_job"] == (RunState.RUNNING, RunEvidence.NATIVE, None)
    assert details["good_job"] == (RunState.SUCCEEDED, RunEvidence.NATIVE, 0)
    assert details["bad_job"] == (RunState.FAILED, RunEvidence.NATIVE, 3)


def test_level_5_proves_failures(hosts: dict[str, CronHost]) -> None:
    runs = seen(hosts["lvl5"])
    assert runs["good_job"].state in (RunState.RUNNING, RunState.UNKNOWN)  # an error line has until the next poll
    assert (runs["plain_bad"].state, runs["plain_bad"].exit_code) == (RunState.FAILED, 3)
    assert (runs["plain_killed"].state, runs["plain_killed"].exit_code) == (RunState.FAILED, 137)


@pytest.mark.parametrize("name", ["lvl7", "lvl15", "classic"])
def test_levels_with_end_and_errors_prove_the_exit(hosts: dict[str, CronHost], name: str) -> None:
    runs = seen(hosts[name])
    details = {job: (run.state, run.exit_code) for job, run in runs.items()}
    assert details["plain_good"] == details["good_job"] == details["odd_text"] == (RunState.SUCCEEDED, 0)
    assert details["plain_bad"] == details["bad_job"] == (RunState.FAILED, 3)
    assert details["plain_killed"] == (RunState.FAILED, 137)
    assert details["plain_long"] == (RunState.RUNNING, None)


def test_classic_stamps_are_read_in_the_hosts_zone(hosts: dict[str, CronHost]) -> None:
    poll = connect(hosts["classic"]).poll("", (), 30)
    assert poll.clock is not None
    assert poll.clock.zone == "Europe/Berlin"
    started = min(run.started_at for run in poll.runs if run.started_at)
    assert 0 < (poll.clock.target - started).total_seconds() < 600


def test_job_says_how_much_its_source_proves(hosts: dict[str, CronHost]) -> None:
    proofs: dict[tuple[str, str], ProofLevel] = {}
    for name in ("lvl1", "lvl15"):
        jobs = connect(hosts[name]).inventory("", 30).jobs
        proofs |= {(name, job.title): job.proof for job in jobs}
    assert proofs["lvl1", "plain_good"] is ProofLevel.START
    assert proofs["lvl1", "good_job"] is ProofLevel.FULL
    assert proofs["lvl15", "plain_good"] is ProofLevel.EXIT


def test_wrapper_and_log_make_one_attempt_a_start(hosts: dict[str, CronHost]) -> None:
    host = hosts["lvl1"]
    runs = [run for run in connect(host).poll("", (), 30).runs if run.job == "lvl1:bad_job"]
    starts = host.log_text().count("exit 3)") - host.log_text().count("(root) CMD (exit 3)")
    assert len({run.attempt_key for run in runs}) == len(runs)
    assert abs(len(runs) - starts) <= 1  # a minute may have begun between the two polls


def test_wrapped_job_whose_processes_are_killed_is_lost(hosts: dict[str, CronHost]) -> None:
    host = hosts["lvl1"]
    connector = connect(host)
    cursor = connector.poll("", (), 30).cursor
    host.run("root", "pkill -9 -u etl -f headway-sh; pkill -9 -u etl -f 'sleep 600'; true")

    def lost() -> RunRecord | None:
        runs = connector.poll(cursor, (), 30).runs
        return next((run for run in runs if run.job == "lvl1:long_job" and run.state is RunState.LOST), None)

    assert wait("long_job is lost", lost).evidence is RunEvidence.INFERRED


def test_files_that_real_cron_ignores_are_those_that_we_say_it_ignores(hosts: dict[str, CronHost]) -> None:
    host = hosts["lvl15"]
    inventory = connect(host).inventory("", 30)
    paths = {Path(skip.where.partition(":")[0]): skip.reason.partition(":")[0] for skip in inventory.skipped}
    reasons = {path.name: term for path, term in paths.items()}
    assert {name: term for name, (_, _, term) in BROKEN.items()} == reasons
    assert host.run("root", "ls /tmp") == ""
    assert inventory.complete


def test_a_line_ignored_by_cron_is_a_warning_with_file_line_and_fix(hosts: dict[str, CronHost]) -> None:
    warnings = "\n".join(connect(hosts["lvl15"]).poll("", (), 30).warnings)
    assert f"/etc/cron.d/half:2: bad day-of-month: {FILE_IGNORED}. Fix" in warnings
    assert "will be ignored" in warnings


# -- the promise, on a real host --------------------------------------------------------------------------------------
@pytest.mark.usefixtures("world")
class TestCronConformanceOnARealHost(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds):
    kind = CONNECTOR
    against = "real: Debian cron 3.0 over OpenSSH"
    host: CronHost

    @pytest.fixture(scope="class")
    def world(self, hosts: dict[str, CronHost], request: pytest.FixtureRequest) -> None:
        request.cls.host = hosts["lvl15"]

    def connector(self) -> Connector:
        return connect(self.host)

    def connector_at(self, host: str, port: int) -> Connector:
        entry = {"name": self.host.name, "address": host, "port": port}
        return CronConnector(options(self.host, hosts=[entry]), self.host.name, no_secret)

    def make_success(self) -> str:
        return "lvl15:good_job"

    def make_failure(self) -> str:
        return "lvl15:bad_job"

    def connector_with_an_unknown_state(self) -> Connector:
        self.host.log_to_syslog("(root) CMD ([99991] exit 3)", tag="CRON[99990]")
        self.host.log_to_syslog("(CRON) error (grandchild #99991 was eaten)", tag="CRON[99990]")
        return self.connector()

    def a_startable_job(self) -> str:
        return "lvl15:nightly_job"

    def a_running_run(self) -> RunRecord:
        with self.opened() as connector:
            runs = self.runs_of(connector, "lvl15:long_job").values()
        return [run for run in runs if run.state is RunState.RUNNING][-1]

    def a_holdable_job(self) -> str:
        return "lvl15:held_job"

    def a_job_to_start_held(self) -> str:
        return self.a_startable_job()

    def pause_by_hand(self, job_id: str) -> None:
        self.edit("* * * * * : held_job", "#* * * * * : held_job")

    def resume_by_hand(self, job_id: str) -> None:
        self.edit("#* * * * * : held_job", "* * * * * : held_job")

    def edit(self, old: str, new: str) -> None:
        text = self.host.run("etl", "crontab -l")
        assert old in text
        self.host.write_crontab("etl", text.replace(old, new))

    def let_it_fall_due(self, job_id: str) -> None:
        pass_a_minute(self.host, "echo fine")

    def native_trace(self) -> object:
        return self.host.run("root", "crontab -u etl -l; find /var/spool/headway -path '*actions*'")


# -- rotation by the real rsyslog -------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["rename", "gzip", "copytruncate", "inode-reuse"])
def test_rotation_between_two_polls_loses_and_doubles_nothing(hosts: dict[str, CronHost], how: Rotation) -> None:
    host = hosts["lvl7"]
    connector = connect(host)
    cursor = connector.poll("", (), 30).cursor
    pids = [60000 + 10 * len(how) + n for n in range(3)]

    def start(pid: int) -> None:
        host.log_to_syslog(f"(root) CMD (exit 3) {how}", tag="filler")
        host.log_to_syslog("(root) CMD (exit 3)", tag=f"CRON[{pid}]")
        wait_until(lambda: f"CRON[{pid}]" in host.log_text(), f"line of {pid}")

    start(pids[0])
    host.rotate(how)
    host.run("root", "chgrp adm /var/log/cron.log.1*")  # as logrotate, whose copy keeps owner and mode
    start(pids[1])
    polls: list[Poll] = [connector.poll(cursor, (), 30)]
    start(pids[2])
    for _ in range(5):
        polls.append(connector.poll(polls[-1].cursor, (), 30))
        if not polls[-1].more:
            break
    keys = {run.attempt_key for poll in polls for run in poll.runs if int(run.attempt_key.partition(".")[2]) in pids}
    assert {int(key.partition(".")[2]) for key in keys} == set(pids)
    assert len(keys) == 3
    assert [poll.gaps for poll in polls] == [()] * len(polls)


# -- rights -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def poor(lab: Estate) -> Iterator[CronHost]:
    """A host on which the login user may nothing: no log, no crontabs, no rerun."""
    host = lab.host("poor", may_read_logs=False, cron_level=15)
    host.write_crontab("etl", "# headway: hidden_job\n10 3 * * * true\n")
    host.write_cron_d("seen", "# headway: seen_job\n10 3 * * * etl true\n")
    host.run("root", "logger -p cron.info -t cron started")
    host.allow()
    yield host
    lab.drop("poor")


def test_missing_rights_are_named_one_by_one_with_their_fix(poor: CronHost) -> None:
    rights = {right.name: right for right in connect(poor).probe(30).rights}
    assert rights["read crontabs"].held is False
    assert "/var/spool/cron/crontabs/etl" in rights["read crontabs"].why
    fix = f"headway connector grants cron | ssh -p {poor.port} root@127.0.0.1 sh"
    assert {fix} == {rights[name].fix for name in ("read crontabs", "read cron's log", "rerun as etl")}
    assert rights["read cron's log"].held is False


def test_denied_crontab_is_never_no_jobs(poor: CronHost) -> None:
    inventory = connect(poor).inventory("", 30)
    assert inventory.complete is False
    assert "/var/spool/cron/crontabs/etl" in {skip.where for skip in inventory.skipped}
    poll = connect(poor).poll("", (), 30)
    assert (poll.complete, poll.seen_until) == (False, None)
    assert "/var/log/cron.log: denied: usermod -a -G adm " in "\n".join(poll.warnings)


def test_named_users_bound_what_is_read(poor: CronHost) -> None:
    inventory = connect(poor, users=["headway"]).inventory("", 30)
    assert (inventory.complete, [job.title for job in inventory.jobs]) == (True, [])  # seen_job runs as etl


def test_rerun_without_the_right_names_the_sudoers_line_and_runs_nothing(poor: CronHost) -> None:
    connector = connect(poor)
    ask = ActionSpec(Verb.RERUN, RunRef("poor:seen_job", "x", "1.1", ""), RunState.FAILED)
    preview = connector.preview(ask, 30)
    assert "headway ALL=(etl) NOPASSWD: /bin/sh -s" in str(preview.refused)
    with pytest.raises(AccessRefused, match=r"headway ALL=\(etl\) NOPASSWD: /bin/sh -s"):
        connector.act(preview, new_key(), 30)
    assert poor.run("root", "find /var/spool/headway -name 'headway-*'; true") == ""


def test_exact_rules_without_wildcards_are_enough(poor: CronHost) -> None:
    poor.allow("(root) NOPASSWD: /usr/bin/cat /var/spool/cron/crontabs/etl", "(etl) NOPASSWD: /bin/sh -s")
    poor.run("root", "install -d -o root -g adm -m 3773 /var/spool/headway")
    try:
        connector = connect(poor, users=["etl"])
        assert {job.title for job in connector.inventory("", 30).jobs} == {"hidden_job", "seen_job"}
        preview = connector.preview(
            ActionSpec(Verb.RERUN, RunRef("poor:hidden_job", "x", "1.1", ""), RunState.FAILED), 30
        )
        assert preview.refused is None
        assert connector.act(preview, new_key(), 30).message == "started on poor as etl"
    finally:
        poor.allow()


def test_unknown_host_key_is_refused_with_its_fingerprint(poor: CronHost, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").touch()
    connector = connect(poor, known_hosts=str(tmp_path / "known_hosts"))
    with pytest.raises(AccessRefused, match=r"host key ssh-ed25519 SHA256:\S+ is not in"):
        connector.poll("", (), 10)


def test_the_script_of_grants_ends_what_is_missing(poor: CronHost) -> None:
    """Also the complaint about users without a crontab; run last, for it changes the host."""
    poor.run("root", "useradd --create-home nocrontab")
    assert "crontabs/nocrontab" in "".join(right.why for right in connect(poor).probe(30).rights)
    poor.run("root", "sh", stdin=host_script("", ()))
    poor.run("root", "cat /etc/sudoers.d/headway >>/etc/sudoers")  # which includes no folder here
    missing = {right.name: right.fix for right in connect(poor).probe(30).rights if right.held is False}
    assert {} == {name: fix for name, fix in missing.items() if "the power of root" not in fix}
    assert connect(poor).poll("", (), 30).complete


def test_the_page_of_uninstalling_removes_what_the_grants_made(poor: CronHost) -> None:
    """After the grants: the crontab is as it was before them."""
    page = INSTALL_PAGE.read_text(encoding="utf-8").partition("## Uninstall")[2]
    script = page.partition("```sh\n")[2].partition("```")[0].replace("USERS", "etl")
    poor.run("root", "sh", stdin=host_script("", ()))
    assert "SHELL=/usr/local/bin/headway-sh" in poor.run("root", "crontab -u etl -l")
    poor.run("root", "set -e\n" + script.replace("userdel --remove headway", ""))  # the login of other tests
    assert "# headway: hidden_job\n10 3 * * * true\n" == poor.run("root", "crontab -u etl -l")
    assert "" == poor.run("root", "ls -d /etc/sudoers.d/headway /usr/local/bin/headway* /var/spool/headway || true")


# -- reruns -----------------------------------------------------------------------------------------------------------
def rerun(host: CronHost, job: str, **changes: Any) -> RunRecord:
    key, connector = new_key(), connect(host, **changes)
    cursor = connector.poll("", (), 30).cursor
    preview = connector.preview(ActionSpec(Verb.RERUN, RunRef(job, "x", "1.1", ""), RunState.FAILED), 30)
    assert preview.refused is None
    connector.act(replace(preview, plan={**preview.plan, "overlap": True}), key, 30)

    def ended() -> RunRecord | None:
        runs = connector.poll(cursor, (), 30).runs
        return next((run for run in runs if run.action_key == key and not run.state.is_open), None)

    return wait(f"the rerun of {job}", ended)


def test_rerun_without_a_wrapper_on_the_crontab_has_status_and_output_all_the_same(hosts: dict[str, CronHost]) -> None:
    attempt = rerun(hosts["lvl15"], "lvl15:bad_job")
    assert (attempt.state, attempt.evidence, attempt.exit_code) == (RunState.FAILED, RunEvidence.NATIVE, 3)
    assert connect(hosts["lvl15"]).log(ref(attempt), None, 1000, 30).text == "orders.csv: No such file\n"


def test_rerun_runs_as_the_jobs_own_user_in_its_home(hosts: dict[str, CronHost]) -> None:
    host = hosts["lvl15"]
    host.write_cron_d("who", "FOO=bar\n# headway: who\n10 3 * * * etl echo $(id -un) $LOGNAME $PWD $FOO $PATH\n")
    attempt = rerun(host, "lvl15:who")
    assert connect(host).log(ref(attempt), None, 1000, 30).text == "etl etl /home/etl bar /usr/bin:/bin\n"


def test_act_answers_while_the_job_goes_on(hosts: dict[str, CronHost]) -> None:
    host = hosts["lvl15"]
    host.write_cron_d("slow", "# headway: slow\n10 3 * * * etl sleep 30\n")
    connector = connect(host)
    preview = connector.preview(ActionSpec(Verb.RERUN, RunRef("lvl15:slow", "x", "1.1", ""), RunState.FAILED), 30)
    connector.act(preview, new_key(), 30)
    overlap = wait("the overlap", lambda: connector.preview(
        ActionSpec(Verb.RERUN, RunRef("lvl15:slow", "x", "1.1", ""), RunState.FAILED), 30).overlap)  # fmt: skip
    assert overlap.startswith("it runs now as process ")
    with pytest.raises(NotSupported, match=r"started meanwhile|a rerun of it runs on lvl15"):  # by the first reader
        connector.act(preview, new_key(), 30)


@pytest.mark.parametrize("evil", ["$(touch /tmp/canary)", "`touch /tmp/canary`", "'; touch /tmp/canary; '", "-rf *"])
def test_hostile_names_make_no_canary(hosts: dict[str, CronHost], evil: str) -> None:
    host = hosts["lvl15"]
    quoted = evil.replace("'", "")
    host.write_cron_d("evil", f"FOO={evil}\n# headway: {evil}\n10 3 * * * etl : '{quoted}'\n")
    assert rerun(host, f"lvl15:{evil}").exit_code == 0
    assert host.run("root", "ls /tmp") == ""


# -- trouble ----------------------------------------------------------------------------------------------------------
def test_frozen_host_is_unreachable_at_the_deadline_and_polled_on_when_it_thaws(hosts: dict[str, CronHost]) -> None:
    host = hosts["lvl5"]
    connector = connect(host)
    cursor = connector.poll("", (), 30).cursor
    host.freeze()
    try:
        with pytest.raises(SystemUnreachable, match="within the deadline"):
            connector.poll(cursor, (), 1.5)
    finally:
        host.thaw()
    assert connector.poll(cursor, (), 30).complete


def test_restarted_sshd_costs_no_poll(hosts: dict[str, CronHost]) -> None:
    host = hosts["lvl5"]
    connector = connect(host)
    cursor = connector.poll("", (), 30).cursor
    host.stop_sshd()
    with pytest.raises(SystemUnreachable, match="Fix: check that sshd runs there"):
        connector.poll(cursor, (), 5)
    host.start_sshd()
    assert connector.poll(cursor, (), 30).complete


def test_a_removed_line_is_missing_from_the_next_inventory(hosts: dict[str, CronHost]) -> None:
    host = hosts["lvl5"]
    connector = connect(host)
    cursor = connector.poll("", (), 30).cursor
    host.write_crontab("etl", "# headway: good_job\n* * * * * echo fine\n")
    inventory = connector.poll(cursor, (), 30).inventory
    assert inventory is not None
    assert "lvl5:bad_job" not in {job.native_id for job in inventory.jobs}
    assert inventory.complete


def test_steady_poll_of_a_quiet_host_changes_nothing_in_its_log(hosts: dict[str, CronHost]) -> None:
    host = hosts["lvl7"]
    connector = connect(host)
    cursor = connector.poll("", (), 30).cursor
    before = host.log_text().count("headway")
    for _ in range(3):
        cursor = connector.poll(cursor, (), 30).cursor
    assert host.log_text().count("headway") == before
