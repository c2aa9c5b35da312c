"""The script of `headway connector grants cron` is the one fix of what it grants; none of that is missing after it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.cron.client import host_script
from connectors.sdk.contract import Probe
from connectors.sdk.transport.ssh import CompletedCommand, SshAddress
from tests.connectors.cron.support import PlainLogin, connect

SUDO = """\
grep -qxF -e "$*" "{folder}/rules" || {{ echo "sudo: a password is required" >&2; exit 1; }}
case $* in
*/ls*) ls "{folder}/owned by root" ;;
*/cat*) cat "{folder}/owned by root/${{*##*/}}" ;;
*) exec /bin/sh -s ;;
esac
"""
COMMAND = "headway connector grants cron | ssh root@db07 sh"


class SudoHost(PlainLogin):
    """Headway's login reads crontabs by sudo alone. Of its people etl has one, ann has none; so has postgres."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.address = SshAddress("db07", "db07", 22, "headway", Path("/nowhere"))
        (folder / "etc/crontab").write_text("1 1 * * * root sweep\n")
        (folder / "owned by root").mkdir()
        for user in ("etl", "postgres", "tmp.x1"):
            (folder / "owned by root" / user).write_text(f"# headway: {user}_job\n5 5 * * * /opt/load\n")
        self.crontab.parent.chmod(0o300)
        answers = "-un) echo headway ;; -u) echo 1000 ;; -Gn) echo headway adm ;; '-u -- etl') echo 1001 ;;"
        self.shim("id", f'case $* in {answers} *) exec {shutil.which("id")} "$@" ;; esac')
        people = 'printf "root\\netl\\nann\\n"'
        self.shim("awk", f'case $* in *passwd) {people} ;; *) exec {shutil.which("awk")} "$@" ;; esac')
        self.shim("sudo", SUDO.format(folder=folder))
        self.log.write_text("")
        (folder / "rules").write_text("")

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        """Its cron runs, whatever this machine's does."""
        done = super().run(stdin, argv, timeout_seconds, once)
        return replace(done, stdout=re.sub(rb"(?m)^crond .*$", b"crond 77 all", done.stdout))

    def grant(self, *users: str) -> None:
        """Sudo's rules as the script writes them; without `users` of everybody with a crontab."""
        text = host_script("", users).partition("RULES=$(mktemp)\n")[2].partition("visudo")[0]
        names = " ".join(users or ("etl", "postgres"))
        values = f"LOGIN=headway VIEW= RULES='{self.folder}/sudoers' CRONTABS='{self.crontab.parent}' USERS='{names}'\n"
        subprocess.run(["sh", "-euc", values + text], check=True)
        rules = re.findall(r"headway ALL=\((\S+)\) NOPASSWD: (.+)", (self.folder / "sudoers").read_text())
        calls = [f"-n {line}" if user == "root" else f"-n -H -u {user} {line}" for user, line in rules]
        (self.folder / "rules").write_text("".join(f"{call}\n" for call in calls))

    def people(self) -> str:
        """The crontabs that are denied."""
        return " ".join(right.why for right in self.probe().rights if right.name == "read crontabs")

    def probe(self, **changes: object) -> Probe:
        return connect(self, **changes).probe(20)


@pytest.fixture
def host(tmp_path: Path) -> SudoHost:
    return SudoHost(tmp_path / "host")


def test_after_the_script_no_crontab_is_missing_and_those_of_system_users_are_read(host: SudoHost) -> None:
    assert "crontabs/ann" in host.people()
    host.grant()
    assert "" == host.people()
    inventory = connect(host).inventory("", 20)
    assert (True, {"etl_job", "postgres_job"}) == (
        inventory.complete,
        {job.title for job in inventory.jobs if job.title.endswith("_job")},
    )


def test_a_crontab_that_is_made_after_the_script_ran_is_missing_with_the_script_as_its_fix(host: SudoHost) -> None:
    host.grant()
    (host.folder / "owned by root/ann").write_text("6 6 * * * /opt/new\n")
    [right] = [right for right in host.probe().rights if right.name == "read crontabs"]
    assert (False, COMMAND) == (right.held, right.fix)
    assert ("crontabs/ann" in right.why, "crontabs/etl" in right.why) == (True, False)


def test_the_script_is_the_one_fix_of_all_that_it_grants(host: SudoHost) -> None:
    """Root's lines stay: it lets nobody act as root, and wraps no line of /etc."""
    host.grant()
    rules = (host.folder / "rules").read_text().splitlines()
    (host.folder / "rules").write_text("".join(f"{rule}\n" for rule in rules if "cat" in rule or "ls" in rule))
    host.log.chmod(0)
    probe = host.probe()
    missing = {right.name: right.fix for right in probe.rights if right.held is False}
    assert {"rerun as etl", "hold lines of etl"} <= {name for name, fix in missing.items() if fix == COMMAND}
    of_root = {name for name, fix in missing.items() if "the power of root" in fix}
    assert {"rerun as root", "hold lines of /etc/crontab and /etc/cron.d"} == of_root
    [unseen] = [note for note in probe.notes if "cannot be seen" in note]
    assert "failures of the jobs of root cannot be seen" in unseen
    host.log.chmod(0o600)
    host.grant()
    [unseen] = [note for note in host.probe().notes if "cannot be seen" in note]
    assert "failures of the jobs of etl, postgres, root cannot be seen" in unseen


@pytest.mark.parametrize("changes", [{"sudo": False}, {"users": ["etl"]}])
def test_the_script_is_offered_with_the_users_of_the_settings_and_never_without_sudo(
    host: SudoHost, changes: dict[str, object]
) -> None:
    fixes = {right.fix for right in host.probe(**changes).rights if right.held is False}
    named = COMMAND.replace("cron |", "cron --user etl |")
    assert (changes != {"sudo": False}) == (named in fixes)
    assert COMMAND not in fixes
