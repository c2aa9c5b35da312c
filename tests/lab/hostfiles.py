"""The files of one cron host: its own /etc with users and groups, /var, homes, keys; the machine's stay untouched."""

from __future__ import annotations

import grp
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tests.lab.needs import command

LOGIN_USER = "headway"
JOB_USER = "etl"
USER_IDS = {LOGIN_USER: 7100, JOB_USER: 7101}
PARTS = ("etc", "home", "root", "run", "usr/local/bin", "usr/local/sbin", "var/log", "var/tmp", "var/lib", "var/cache",
         "var/spool/cron/crontabs", "var/mail", "dev", "tmp")  # fmt: skip

# What the poller may do out of the box: read the crontabs of others, and run jobs of etl. Names, no wildcard: in sudo
# arguments a `*` matches blanks and slashes too.
SUDO_RULES = (
    "(root) NOPASSWD: /usr/bin/cat /var/spool/cron/crontabs/etl, /usr/bin/cat /var/spool/cron/crontabs/root",
    "(etl) NOPASSWD: /bin/sh -s",
)

SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys/%u
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin prohibit-password
MaxStartups 200:30:400
MaxSessions 50
LogLevel VERBOSE
PidFile /run/sshd.pid
Subsystem sftp internal-sftp
"""
# A fake clock needs UseSysTimeStamp off, else the log carries the kernel's real time (measured).
RSYSLOG_CONFIG = """\
module(load="imuxsock" SysSock.Name="/dev/log" SysSock.UseSysTimeStamp="{kernel_time}")
$ActionFileDefaultTemplate {template}
$FileOwner root
$FileGroup adm
$FileCreateMode 0640
$Umask 0022
cron.*                 -/var/log/cron.log
*.*;auth,authpriv.none -/var/log/syslog
auth,authpriv.*        -/var/log/auth.log
"""
SYSTEM_CRONTAB = """\
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin
"""


class HostFiles:
    """The tree `fs` of one host and the keys beside it."""

    def __init__(self, folder: Path, name: str, zone: str, port: int, user_key: Path | None = None) -> None:
        self.folder = folder
        self.fs = folder / "fs"
        self.user_key = user_key or folder / "user_key"
        self.name = name
        self.zone = zone
        self.port = port

    def build(self, may_read_logs: bool, traditional_log: bool, faked: bool) -> None:
        """Makes the whole tree; a tree that is there (second start of the host) stays as it is."""
        if self.fs.exists():
            return
        for part in PARTS:
            (self.fs / part).mkdir(parents=True)
        self._copy_etc()
        self._make_users(may_read_logs)
        self._make_modes()
        self._make_ssh()
        template = "RSYSLOG_TraditionalFileFormat" if traditional_log else "RSYSLOG_FileFormat"
        self.put("etc/rsyslog.conf", RSYSLOG_CONFIG.format(kernel_time="off" if faked else "on", template=template))
        self.put("etc/crontab", SYSTEM_CRONTAB)
        self.put_sudo_rules(SUDO_RULES)
        self._make_zone()

    def put(self, relative: str, text: str, mode: int = 0o644) -> None:
        """Writes one file of the host, owned by root, in one step (a new inode renamed into place)."""
        path = self.fs / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text)
        fresh.chmod(mode)
        fresh.rename(path)

    def put_crontab(self, user: str, text: str, owner: str = "") -> None:
        """Puts a user's crontab in place without any check, with the owner and mode that cron insists on: the user for
        Debian's cron, root for busybox's."""
        folder = self.fs / "var/spool/cron/crontabs"
        path = folder / user
        path.write_text(text)
        path.chmod(0o600)
        shutil.chown(path, USER_IDS.get(owner or user, 0), "crontab")
        folder.touch()

    def put_sudo_rules(self, rules: Sequence[str]) -> None:
        """Replaces the sudo rules of the login user; each is what follows `headway ALL=`."""
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        lines = [f"Defaults secure_path={path}", "root ALL=(ALL) ALL"]
        lines += [f"{LOGIN_USER} ALL={rule}" for rule in rules]
        self.put("etc/sudoers", "\n".join(lines) + "\n", 0o440)

    @property
    def known_hosts_line(self) -> str:
        """This host's key by name, by name with port, and by address with port; with its newline."""
        key = " ".join((self.fs / "etc/ssh/host_key.pub").read_text().split()[:2])
        return f"{self.name},[{self.name}]:{self.port},[127.0.0.1]:{self.port} {key}\n"

    @cached_property
    def known_hosts(self) -> Path:
        """A known_hosts file for this host alone."""
        path = self.folder / "known_hosts"
        path.write_text(self.known_hosts_line)
        return path

    def _copy_etc(self) -> None:
        subprocess.run([command("cp"), "-a", "/etc/.", str(self.fs / "etc")], check=True)
        etc = self.fs / "etc"
        for pattern in ("*shadow*", "ssh/ssh_host_*", "sudoers.d/*", "cron.*/*", "cron.*/.placeholder", "anacrontab"):
            for path in list(etc.glob(pattern)):
                path.unlink()
        self.put("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        self.put("etc/hostname", f"{self.name}\n")

    def _make_users(self, may_read_logs: bool) -> None:
        system = [entry for entry in pwd.getpwall() if entry.pw_uid < 1000 or entry.pw_name == "nobody"]
        people = [f"{user}:x:{number}:{number}::/home/{user}:/bin/sh" for user, number in USER_IDS.items()]
        machine = [f"{e.pw_name}:x:{e.pw_uid}:{e.pw_gid}::{e.pw_dir}:{e.pw_shell}" for e in system]
        self.put("etc/passwd", "\n".join([*machine, *people]) + "\n")
        names = [entry.pw_name for entry in system] + list(USER_IDS)
        self.put("etc/shadow", "".join(f"{name}:*:20000:0:99999:7:::\n" for name in names), 0o600)
        members = {"adm": LOGIN_USER} if may_read_logs else {}
        groups = [f"{group.gr_name}:x:{group.gr_gid}:{members.get(group.gr_name, '')}" for group in grp.getgrall()]
        own = [f"{user}:x:{number}:" for user, number in USER_IDS.items()]
        self.put("etc/group", "\n".join([*groups, *own]) + "\n")

    def _make_modes(self) -> None:
        crontabs = self.fs / "var/spool/cron/crontabs"
        shutil.chown(crontabs, "root", "crontab")
        crontabs.chmod(0o1730)
        for shared in ("tmp", "var/tmp"):
            (self.fs / shared).chmod(0o1777)
        (self.fs / "root").chmod(0o700)
        for link, goal in (("var/run", "/run"), ("var/lock", "/run/lock")):
            (self.fs / link).symlink_to(goal)
        self._make_spool()
        for user, number in USER_IDS.items():
            home = self.fs / "home" / user
            home.mkdir(mode=0o755)
            shutil.chown(home, number, number)

    def _make_spool(self) -> None:
        spool = self.fs / "var/spool/headway"
        spool.mkdir()
        shutil.chown(spool, "root", "adm")
        spool.chmod(
            0o3773
        )  # as `headway connector cron wrapper` says: jobs write their own records, group adm reads them

    def _make_ssh(self) -> None:
        for key in (self.fs / "etc/ssh/host_key", self.user_key):
            if not key.exists():
                make_key(key)
        allowed = self.user_key.with_suffix(".pub").read_text()
        for user in ("root", *USER_IDS):
            self.put(f"etc/ssh/authorized_keys/{user}", allowed)
        self.put("etc/ssh/sshd_config", SSHD_CONFIG.format(port=self.port))

    def _make_zone(self) -> None:
        local = self.fs / "etc/localtime"
        local.unlink(missing_ok=True)
        local.symlink_to(f"/usr/share/zoneinfo/{self.zone}")
        self.put("etc/timezone", f"{self.zone}\n")


def make_key(path: Path) -> None:
    """Makes an ed25519 key without a passphrase at `path`, its public half beside it."""
    argv = [command("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
