"""The lab proves itself: every part really does what the tests of the product take for granted."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import smtplib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.lab import aws
from tests.lab.cronhost import CronHost, Rotation
from tests.lab.estate import Estate
from tests.lab.hostfiles import SUDO_RULES
from tests.lab.postgres import PostgresServer
from tests.lab.process import HANGS_SECONDS, LabError, wait_until
from tests.lab.sinks import Behaviour, HttpSink, SmtpSink

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def minute_jobs(cron_hosts: dict[str, CronHost], postgres: PostgresServer) -> Iterator[dict[str, int]]:
    """One job that fails and one that works, every minute, on each host and in pg_cron; the ids of the latter."""
    for host in cron_hosts.values():
        host.write_crontab("etl", "* * * * * echo no file >&2; exit 3\n* * * * * exit 0\n")
    yield {
        "works": postgres.schedule("works", "* * * * *", "select 1"),
        "fails": postgres.schedule("fails", "* * * * *", "select 1/0"),
    }
    for host in cron_hosts.values():
        host.remove_crontab("etl")
    for name in ("works", "fails"):
        postgres.unschedule(name)


def login(host: CronHost, known_hosts: Path, user: str = "headway") -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(str(known_hosts))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(
        "127.0.0.1", port=host.port, username=user, key_filename=str(host.key), timeout=HANGS_SECONDS,
        banner_timeout=HANGS_SECONDS, auth_timeout=HANGS_SECONDS, allow_agent=False, look_for_keys=False,
    )  # fmt: skip
    return client


def printed(host: CronHost, shell_command: str) -> str:
    client = login(host, host.known_hosts)
    try:
        stdout = client.exec_command(shell_command, timeout=HANGS_SECONDS)[1]
        return stdout.read().decode()
    finally:
        client.close()


def test_a_login_with_the_known_host_key_lands_on_that_host_as_a_member_of_adm(db07: CronHost) -> None:
    assert "db07\nheadway adm\n" == printed(db07, "hostname; id -Gn")


def test_a_login_that_knows_only_another_hosts_key_is_refused(db07: CronHost, etl02: CronHost, tmp_path: Path) -> None:
    foreign = tmp_path / "known_hosts"
    key = etl02.known_hosts.read_text().split(maxsplit=1)[1]
    foreign.write_text(f"[127.0.0.1]:{db07.port} {key}")
    with pytest.raises(paramiko.BadHostKeyException):
        login(db07, foreign)


def test_sudo_rules_of_a_host_can_be_removed_and_restored(db07: CronHost) -> None:
    assert "etl\n" == printed(db07, "echo id -un | sudo -n -u etl /bin/sh -s")
    db07.allow()
    try:
        assert "" == printed(db07, "echo id -un | sudo -n -u etl /bin/sh -s")
    finally:
        db07.allow(*SUDO_RULES)


def test_debians_default_level_logs_the_start_and_no_end(db07: CronHost, minute_jobs: dict[str, int]) -> None:
    wait_until(lambda: db07.log_text().count("CMD (") >= 2, "two starts in the log")
    assert "(etl) CMD (echo no file >&2; exit 3)" in db07.log_text()
    assert " END (" not in db07.log_text()
    assert "failed with exit status" not in db07.log_text()


def test_level_15_logs_the_end_and_the_exit_status(etl02: CronHost, minute_jobs: dict[str, int]) -> None:
    wait_until(lambda: etl02.log_text().count(" END (") >= 2, "two ends in the log")
    assert "failed with exit status 3" in etl02.log_text()


def test_pg_cron_records_a_success_and_a_failure(postgres: PostgresServer, minute_jobs: dict[str, int]) -> None:
    def has_ended(name: str, status: str) -> bool:
        return any(result == status for result, _ in postgres.runs(minute_jobs[name]))

    wait_until(lambda: has_ended("works", "succeeded"), "the first success")
    wait_until(lambda: has_ended("fails", "failed"), "the first failure")
    assert "ERROR:  division by zero" == postgres.runs(minute_jobs["fails"])[0][1].strip()


def test_a_role_without_the_policies_sees_no_foreign_job(postgres: PostgresServer, minute_jobs: dict[str, int]) -> None:
    jobs = "SELECT jobname FROM cron.job WHERE jobname IN ('works', 'fails') ORDER BY jobname"
    assert [("fails",), ("works",)] == postgres.execute(jobs, role="headway_view")
    assert [] == postgres.execute("SELECT jobname FROM cron.job", role="headway_blind")


def test_a_store_database_is_fresh_and_empty(store_dsn: str, postgres: PostgresServer) -> None:
    name = store_dsn.rpartition("/")[2]
    rows = postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database=name)
    assert [(0,)] == rows


@pytest.mark.parametrize(
    "how, keeps_inode, packed",
    [("rename", False, False), ("gzip", None, True), ("copytruncate", True, False), ("inode-reuse", True, True)],
)
def test_a_rotation_moves_the_old_lines_away(
    etl02: CronHost, how: Rotation, keeps_inode: bool | None, packed: bool
) -> None:
    etl02.log_to_syslog(f"before {how}")
    inode = etl02.log_path.stat().st_ino
    etl02.rotate(how)
    etl02.log_to_syslog(f"after {how}")
    assert f"before {how}" not in etl02.log_text()
    assert packed == etl02.log_path.with_name("cron.log.1.gz").exists()
    assert packed != etl02.log_path.with_name("cron.log.1").exists()
    if keeps_inode is not None:
        assert keeps_inode == (inode == etl02.log_path.stat().st_ino)


def test_a_frozen_host_stays_silent_and_returns(etl02: CronHost) -> None:
    etl02.freeze()
    try:
        with pytest.raises((paramiko.SSHException, TimeoutError)):
            paramiko_banner(etl02)
    finally:
        etl02.thaw()
    assert "etl02\n" == printed(etl02, "hostname")


def paramiko_banner(host: CronHost) -> None:
    client = paramiko.SSHClient()
    client.load_host_keys(str(host.known_hosts))
    try:
        client.connect("127.0.0.1", port=host.port, username="headway", key_filename=str(host.key), banner_timeout=1)
    finally:
        client.close()


def test_a_host_without_sshd_refuses_and_comes_back(etl02: CronHost) -> None:
    etl02.stop_sshd()
    with pytest.raises(paramiko.ssh_exception.NoValidConnectionsError):
        login(etl02, etl02.known_hosts)
    etl02.start_sshd()
    assert "etl02\n" == printed(etl02, "hostname")


def test_a_login_outside_of_adm_may_not_read_the_log(lab: Estate) -> None:
    host = lab.host("dmz01", may_read_logs=False)
    host.log_to_syslog("a line")
    with pytest.raises(LabError, match="Permission denied"):
        host.run("headway", "cat /var/log/cron.log")


def test_step_functions_really_run_to_success_and_failure(moto: aws.MotoServer) -> None:
    machine = moto.create("parts-by-input", aws.by_input())
    good = moto.execute(machine, "good")
    bad = moto.execute(machine, "bad", {"do": "fail"})
    long = moto.execute(machine, "long", {"do": "wait", "seconds": 60})
    wait_until(lambda: moto.status(good) == "SUCCEEDED", "the success")
    wait_until(lambda: moto.status(bad) == "FAILED", "the failure")
    assert "RUNNING" == moto.status(long)


def send_mail(sink: SmtpSink) -> None:
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=HANGS_SECONDS) as client:
        client.sendmail("headway@example.org", ["ops@example.org"], "Subject: late\r\n\r\nextract_orders failed\r\n")


def test_a_mail_arrives_with_its_text(smtp: SmtpSink) -> None:
    send_mail(smtp)
    (mail,) = smtp.wait_for(1)
    assert ("late", "extract_orders failed", ("ops@example.org",)) == (mail.subject, mail.text.strip(), mail.recipients)


def test_a_mail_server_may_refuse_or_keep_the_mail_and_hang_up(smtp: SmtpSink) -> None:
    smtp.mode = "refuse"
    with pytest.raises(smtplib.SMTPDataError):
        send_mail(smtp)
    assert [] == smtp.mails
    smtp.mode = "drop"
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send_mail(smtp)
    assert 1 == len(smtp.mails)


def test_a_webhook_stores_the_post_whatever_it_answers(http_sink: HttpSink) -> None:
    http_sink.behaviour = Behaviour(status=500)
    request = urllib.request.Request(f"http://127.0.0.1:{http_sink.port}/hook", json.dumps({"title": "late"}).encode())
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=HANGS_SECONDS)
    refused.value.close()
    assert (500, {"title": "late"}) == (refused.value.code, http_sink.posts[0].data)


KILLED_LAB = """
import os, signal, sys
from tests.lab.estate import Estate
from tests.lab.hostfiles import SUDO_RULES
estate = Estate()
estate.db07.write_crontab("etl", "* * * * * exit 0\\n")
estate.postgres.execute("SELECT 1")
estate.moto
print(estate.folder, flush=True)
if sys.argv[1] == "killed":
    estate.airflow.wait_ready()
    os.kill(os.getpid(), signal.SIGKILL)
estate.stop()
"""


def machine_files() -> dict[str, str]:
    """A digest of each file of the machine that a host's twin of it could leak into."""
    folders = (Path("/etc/cron.d"), Path("/var/spool/cron"), Path("/etc/sudoers.d"), Path("/etc/ssh"))
    names = ("passwd", "group", "shadow", "sudoers", "crontab", "hosts", "hostname")
    files = [Path("/etc") / name for name in names]
    files += [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    digests = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()}
    return {**digests, "mounts": Path("/proc/self/mounts").read_text(), "hostname": os.uname().nodename}


def mentions(folder: str) -> list[str]:
    """Command lines of the processes that name this folder."""
    lines = [line for line in subprocess.check_output(["ps", "-eo", "args"], text=True).splitlines() if folder in line]
    return [line for line in lines if "<defunct>" not in line]


@pytest.mark.quiet  # no other lab mounts anything meanwhile
@pytest.mark.parametrize("how, exit_status", [("killed", -signal.SIGKILL), ("stopped", 0)])
def test_a_lab_that_ends_leaves_neither_process_nor_file_nor_change(how: str, exit_status: int) -> None:
    before = machine_files()
    argv = [sys.executable, "-c", KILLED_LAB, how]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_SECONDS)
    assert exit_status == done.returncode, done.stderr
    folder = done.stdout.strip()
    wait_until(lambda: not Path(folder).exists(), "the guard to remove the folder")
    wait_until(lambda: not mentions(folder), "the guard to end every process")
    assert before == machine_files()
