"""The first hour by the README alone: its commands are played as they stand, on a cron host and a pg_cron that know
nothing of Headway; only passwords and addresses are the lab's. At their end each of two real failures is a mail."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.cronhost import CronHost
from tests.lab.headway import COMMAND, Headway
from tests.lab.hostfiles import LOGIN_USER, SSHD_CONFIG
from tests.lab.postgres import PostgresServer
from tests.lab.process import HANGS_SECONDS, clean_environment, private_folder, remove_folder
from tests.lab.sinks import SmtpSink

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_COMMANDS = 8
PASSWORD = "chosen-by-a-stranger"
SSH = """\
Host db07
  HostName 127.0.0.1
  Port {port}
  IdentityFile {key}
  UserKnownHostsFile {home}/.ssh/known_hosts
  StrictHostKeyChecking accept-new
"""


def block(language: str, holding: str) -> str:
    """The fenced block of the README in that language that holds a word."""
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return next(text for text in blocks if holding in text)


@pytest.fixture
def strange_host() -> Iterator[CronHost]:
    """Debian's cron with one job of etl; root may sign in, and there is no user, key, rule or wrapper of Headway."""
    folder = private_folder("readme")
    host = CronHost(folder / "db07", "db07")
    host.prepare()
    files = host.files
    for name in ("passwd", "shadow", "group"):
        path = host.fs / "etc" / name
        lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{LOGIN_USER}:")]
        files.put(f"etc/{name}", "\n".join(re.sub(rf":{LOGIN_USER}$", ":", line) for line in lines) + "\n")
    (host.fs / "etc/ssh/authorized_keys" / LOGIN_USER).unlink()
    shutil.rmtree(host.fs / "home" / LOGIN_USER)
    shutil.rmtree(host.fs / "var/spool/headway")
    keys = "AuthorizedKeysFile /etc/ssh/authorized_keys/%u"
    files.put("etc/ssh/sshd_config", SSHD_CONFIG.format(port=host.port).replace(keys, f"{keys} .ssh/authorized_keys"))
    files.put("etc/sudoers", "root ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n", 0o440)
    host.start()
    try:
        files.put("home/etl/extract_orders", "#!/bin/sh\ntest ! -e /home/etl/broken\n", 0o755)
        host.write_crontab("etl", "* * * * * /home/etl/extract_orders\n")
        yield host
    finally:
        host.stop()
        remove_folder(folder)


@dataclass
class Newcomer:
    """Somebody at a shell in the folder of the project, with a home of his own."""

    home: Path
    environment: dict[str, str]
    addresses: dict[str, str]

    def play(self, commands: str) -> None:
        """Types the lines of a block, one after the other; each must exit 0."""
        for readme, lab in self.addresses.items():
            commands = commands.replace(readme, lab)
        with (self.home / "typed.log").open("wb") as log:
            shell = subprocess.Popen(
                ["bash", "-ec", f"set -o pipefail\n{commands}"], cwd=ROOT, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            code = shell.wait(HANGS_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            code = shell.wait()
        assert 0 == code, (self.home / "typed.log").read_text(errors="replace")


@pytest.fixture
def newcomer(strange_host: CronHost, postgres: PostgresServer, smtp: SmtpSink, tmp_path: Path) -> Iterator[Newcomer]:
    ssh, programs = tmp_path / ".ssh", tmp_path / "bin"
    ssh.mkdir(mode=0o700)
    programs.mkdir()
    (ssh / "config").write_text(SSH.format(port=strange_host.port, key=strange_host.key, home=tmp_path))
    # OpenSSH takes its folder from the password database, not from HOME
    shim(programs / "ssh", f'exec {shutil.which("ssh")} -F "$HOME/.ssh/config" "$@"')
    superuser = f"-h 127.0.0.1 -p {postgres.port} -U lab ops"
    shim(programs / "psql", f'[ "$*" = "-h dwh -U postgres ops" ] && exec {shutil.which("psql")} -q {superuser}')
    path = f"{programs}:{COMMAND.parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = clean_environment(HOME=str(tmp_path), PATH=path)
    mail = re.search(r"ONCALL_MAIL='([^']+)'", README)
    assert mail is not None
    dsn = f"headway:{PASSWORD}@127.0.0.1:{postgres.port}/ops"
    addresses = {"headway:PASSWORD@dwh/ops": dsn, mail[1]: smtp.url()}
    person = Newcomer(tmp_path, environment, addresses)
    try:
        yield person
    finally:
        subprocess.run([str(COMMAND), "engine", "stop"], env=environment, cwd=tmp_path, capture_output=True)
        if postgres.execute("SELECT 1 FROM pg_roles WHERE rolname = 'headway'"):
            postgres.execute("DROP OWNED BY headway")
            postgres.execute("DROP ROLE headway")


def shim(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


def test_the_commands_of_the_readme_lead_to_a_true_mail_of_each_real_failure(
    newcomer: Newcomer, strange_host: CronHost, postgres: PostgresServer, smtp: SmtpSink
) -> None:
    began = time.monotonic()
    first, then = block("bash", "headway init"), block("bash", "headway check")
    commands = [line for line in first.splitlines() if line.strip()]
    assert len(commands) <= MOST_COMMANDS
    newcomer.play(first)
    assert ["Test of the first route: nothing is wrong"] == [mail.subject for mail in smtp.mails]
    assert PASSWORD not in (newcomer.home / "typed.log").read_text() + (newcomer.home / "headway.log").read_text()
    strange_host.run("etl", "touch /home/etl/broken")
    postgres.schedule("refresh_revenue", "* * * * *", "SELECT 1 / 0")
    try:
        smtp.wait_for(3)
        took = time.monotonic() - began
        texts = [mail.subject + mail.text for mail in smtp.mails[1:]]
        assert any("extract_orders" in text and "exit 1" in text for text in texts), texts
        assert any("refresh_revenue" in text and "division by zero" in text for text in texts), texts
        print(f"{len(commands)} commands, {took:.0f} s to the mails of both failures")
        newcomer.environment |= declared(newcomer)  # the same shell
        add_what_no_scheduler_knows(newcomer)
        newcomer.play("\n".join(line for line in then.splitlines() if re.match(r"headway \S*[a-z]", line)))
    finally:
        postgres.unschedule("refresh_revenue")


def add_what_no_scheduler_knows(unknown_user: Newcomer) -> None:
    """The README's TOML behind what init wrote; `check` knows its jobs by then."""
    path = unknown_user.home / ".config/headway/headway.toml"
    with path.open("a") as file:
        file.write(block("toml", "[services.daily-revenue]"))
    headway = Headway(path)
    headway.environment = unknown_user.environment
    check = headway.run("check")
    assert (0, True) == (check.exit_status, "2 systems, 1 service, no problems" in check.stderr), check


def declared(unknown_user: Newcomer) -> dict[str, str]:
    """The variables that the README exports, as the lab has them."""
    text = block("bash", "headway init")
    for readme, lab in unknown_user.addresses.items():
        text = text.replace(readme, lab)
    return dict(re.findall(r"([A-Z_]+)='([^']+)'", text))
