"""A cron host of our own: real cron, rsyslog and sshd in namespaces, with its own users, files, log and keys.

Its file tree lies in `CronHost.fs` and is readable and writable from outside; inside, each part is bound over the
machine's. Needs root. Stopping it is one SIGKILL to the namespace's process 1, which ends everything in it.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from tests.lab import guard
from tests.lab.hostfiles import HostFiles
from tests.lab.needs import FAKETIME_LIBRARY, NAMESPACES, command
from tests.lab.process import HANGS_SECONDS, Daemon, LabError, accepts, clean_environment, free_port, tail, wait_until

INSIDE_SCRIPT = Path(__file__).with_name("cronhost.sh")
Rotation = Literal["rename", "gzip", "copytruncate", "inode-reuse"]


@dataclass(frozen=True)
class Clock:
    """A clock for cron and its log under libfaketime: `start` is local time in the host's zone, `rate` x real time."""

    start: str
    rate: int = 240

    def environment(self) -> dict[str, str]:
        """What cronhost.sh reads; jobs and sshd keep real time."""
        return {"LAB_FAKETIME": f"@{self.start} x{self.rate}", "LAB_FAKETIME_LIBRARY": str(FAKETIME_LIBRARY)}


@dataclass
class CronHost:
    """One host: `start()` it, reach it at 127.0.0.1:`port` as `headway`, drop it with `stop()`."""

    folder: Path
    name: str
    cron_level: int | None = None
    """cron's -L; None is what Debian ships: a log line for each start and no other."""
    zone: str = "Etc/UTC"
    clock: Clock | None = None
    may_read_logs: bool = True
    """Whether the login user is in group adm; without it the log is refused."""
    traditional_log: bool = False
    """Log stamps as Debian 11 and RHEL write them (no year, no zone) instead of RFC 3339."""
    busybox: bool = False
    """Whether crond of busybox runs, as on Alpine, instead of Debian's cron: users' crontabs only, owned by root."""
    user_key: Path | None = None
    """The login key, shared by the hosts of an estate; made where it is missing."""
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.files = HostFiles(self.folder, self.name, self.zone, self.port, self.user_key)
        self.fs = self.files.fs
        self._daemon: Daemon | None = None
        self._init: int | None = None
        self._begun = -1

    # -- life -------------------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Builds the host's files where they are missing: crontabs can then be put in place before its first start."""
        self.files.build(self.may_read_logs, self.traditional_log, faked=self.clock is not None)

    def start(self) -> None:
        """Boots the host; returns when sshd answers and cron waits for its first full minute."""
        self.prepare()
        self._daemon = Daemon(self._argv(), self.folder / "outside.log", self._environment())
        self._daemon.start()
        self._daemon.wait_ready(self._is_up, f"host {self.name} on port {self.port}")

    def stop(self) -> None:
        """Ends the host and all its processes. Its files stay, so that `start()` boots it again."""
        if self._daemon is not None:
            with contextlib.suppress(LabError):
                self.thaw()
            self._daemon.stop(number=signal.SIGKILL)  # unshare ignores SIGTERM; with --kill-child the inside dies too
            wait_until(lambda: self._begun != guard.begun(self._init or 0), f"the end of host {self.name}")
        self._daemon = self._init = None

    def _argv(self) -> list[str]:
        level = [] if self.cron_level is None else ["-L", str(self.cron_level)]
        bash = [command("bash"), str(INSIDE_SCRIPT), str(self.fs), self.name, *level]
        return [command("unshare"), *NAMESPACES, *bash]

    def _environment(self) -> dict[str, str]:
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        if self.busybox:
            environment["LAB_BUSYBOX"] = command("busybox")
        return environment if self.clock is None else {**environment, **self.clock.environment()}

    def _is_up(self) -> bool:
        return (self.fs / "run/crond.pid").exists() and accepts(self.port)

    @property
    def init(self) -> int:
        """Process id, outside, of the namespace's process 1. LabError where the host is not running."""
        if self._init is not None and guard.is_other_process(self._init, self._begun):
            raise LabError(f"host {self.name} has ended by itself")
        if self._init is None:
            if self._daemon is None:
                raise LabError(f"host {self.name} is not running")
            parent = self._daemon.pid
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            self._init = int(children[0])
            self._begun = guard.begun(self._init)
        return self._init

    # -- reaching it ------------------------------------------------------------------------------------------------
    @cached_property
    def known_hosts(self) -> Path:
        """A known_hosts file with this host's key, under its name and under 127.0.0.1 with its port."""
        return self.files.known_hosts

    @property
    def key(self) -> Path:
        """The private key that root, etl and headway accept."""
        return self.files.user_key

    def run(self, user: str, shell_command: str, stdin: str = "", limit_seconds: float = HANGS_SECONDS) -> str:
        """What `shell_command` printed, run inside as `user` (root, etl, headway). LabError when it did not exit 0."""
        identity = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        home = "/root" if user == "root" else f"/home/{user}"
        path = "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin"
        environment = ["env", "-i", f"HOME={home}", f"USER={user}", f"LOGNAME={user}", path]
        entered = [command("nsenter"), "-t", str(self.init), "-m", "-u", "-p", "-r", "-w"]
        argv = [*entered, *identity, *environment, "sh", "-c", shell_command]
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=limit_seconds, cwd="/", env=clean_environment()
        )
        if done.returncode != 0:
            raise LabError(f"{self.name}: {shell_command!r} as {user} exited {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    # -- jobs -------------------------------------------------------------------------------------------------------
    def write_crontab(self, user: str, text: str) -> None:
        """Installs a user's crontab through crontab(1), which checks it; cron reads it at the next full minute."""
        with self._noticed(self.fs / "var/spool/cron/crontabs", user):
            self.run("root", f"crontab -u {shlex.quote(user)} -", stdin=text)

    def write_crontab_unchecked(self, user: str, text: str) -> None:
        """Puts a crontab in place as a broken tool would; cron reads it at the next full minute."""
        with self._noticed(self.fs / "var/spool/cron/crontabs", user):
            self.files.put_crontab(user, text, "root" if self.busybox else user)

    def remove_crontab(self, user: str) -> None:
        """Removes a user's whole crontab; cron forgets its jobs at the next full minute."""
        with self._noticed(self.fs / "var/spool/cron/crontabs", user):
            self.run("root", f"crontab -u {shlex.quote(user)} -r")

    def write_cron_d(self, name: str, text: str, mode: int = 0o644) -> None:
        """Writes /etc/cron.d/`name` (fields: five of time, user, command) and has cron look at the folder again."""
        with self._noticed(self.fs / "etc/cron.d", name):
            self.files.put(f"etc/cron.d/{name}", text, mode)

    def remove_cron_d(self, name: str) -> None:
        """Removes /etc/cron.d/`name`; cron forgets its jobs at the next full minute."""
        with self._noticed(self.fs / "etc/cron.d", name):
            (self.fs / "etc/cron.d" / name).unlink()

    @staticmethod
    @contextlib.contextmanager
    def _noticed(folder: Path, name: str) -> Iterator[None]:
        """Makes a change visible to cron, which compares whole seconds: a change in the second of its look is lost."""
        paths = (folder / name, folder)
        before = [int(path.stat().st_mtime) if path.exists() else 0 for path in paths]
        yield
        for path, old in zip(paths, before, strict=True):
            if path.exists() and int(path.stat().st_mtime) <= old:
                os.utime(path, (old + 1, old + 1))

    def install_wrapper(self, script: Path) -> None:
        """Copies the shell wrapper to /usr/local/bin/headway-sh, for `SHELL=` at the top of a crontab."""
        self.files.put("usr/local/bin/headway-sh", script.read_text(), 0o755)

    def allow(self, *rules: str) -> None:
        """Replaces the login user's sudo rules by these (`(etl) NOPASSWD: /usr/bin/true`); without rules: nothing."""
        self.files.put_sudo_rules(rules)

    # -- the log ----------------------------------------------------------------------------------------------------
    @property
    def log_path(self) -> Path:
        """cron's log as seen from outside; inside it is /var/log/cron.log."""
        return self.fs / "var/log/cron.log"

    def log_text(self) -> str:
        """cron's log of now; empty before the first line."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_to_syslog(self, text: str, tag: str = "CRON") -> None:
        """Sends one line to this host's syslog as cron would and waits until it lies in the log."""
        before = self.log_text().count(text)
        self.run("root", f"logger -p cron.info -t {shlex.quote(tag)} -- {shlex.quote(text)}")
        wait_until(lambda: self.log_text().count(text) > before, f"{text!r} in the log of {self.name}")

    def rotate(self, how: Rotation) -> None:
        """Rotates cron's log as logrotate can: `.1` holds the old lines (`.1.gz` for gzip and inode-reuse), what was
        there is `.2` and so on.

        inode-reuse is gzip where the new log gets the very inode that gzip freed, made certain here.
        """
        rotated = {int(path.name.split(".")[2]): path for path in self.log_path.parent.glob("cron.log.[0-9]*")}
        for number, path in sorted(rotated.items(), reverse=True):
            path.rename(path.with_name(path.name.replace(f".{number}", f".{number + 1}")))
        old = self.log_path.with_name("cron.log.1")
        if how == "copytruncate":
            shutil.copy2(self.log_path, old)
            keep_owner(self.log_path, old)
            os.truncate(self.log_path, 0)
            return
        inode = self.log_path.stat().st_ino
        self.log_path.rename(old)
        self.run("root", "kill -HUP $(cat /run/rsyslogd.pid)")
        wait_until(lambda: not self._is_open_in_rsyslog(inode), "rsyslogd to close the old log")
        path = self.log_path.with_name("kept")
        if how == "inode-reuse":
            os.link(old, path)  # else whoever makes the next file on this disk may get the inode
        if how != "rename":
            compress(old)
        if how == "inode-reuse":
            os.truncate(path, 0)
            path.rename(self.log_path)

    def _is_open_in_rsyslog(self, inode: int) -> bool:
        pid = self.pid_of("rsyslogd")
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if descriptor.stat().st_ino == inode and "/log/cron.log" in os.readlink(descriptor):
                    return True
        return False

    # -- trouble ----------------------------------------------------------------------------------------------------
    def freeze(self) -> None:
        """Stops every process of the host (SIGSTOP): connections are accepted by the kernel and nobody answers."""
        for pid in self.processes():
            guard.send(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resumes a frozen host."""
        for pid in self.processes():
            guard.send(pid, signal.SIGCONT)

    def stop_sshd(self) -> None:
        """Ends sshd with its open sessions: the host refuses connections, cron goes on."""
        for pid in self.processes():
            if process_name(pid).startswith("sshd"):
                guard.send(pid, signal.SIGKILL)
        wait_until(lambda: not accepts(self.port), f"sshd of {self.name} to be gone")

    def start_sshd(self) -> None:
        """Brings sshd back after `stop_sshd()`."""
        self.run("root", "/usr/sbin/sshd")
        wait_until(lambda: accepts(self.port), f"sshd of {self.name} on port {self.port}")

    def processes(self) -> Iterator[int]:
        """Process ids, as seen outside, of everything that runs in this host; process 1 first."""
        own = os.readlink(f"/proc/{self.init}/ns/pid")
        for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/pid") == own:
                    yield pid

    def pid_of(self, daemon: str) -> int:
        """Process id, as seen outside, of `cron`, `rsyslogd` or `sshd`: the oldest of that name. LabError if none."""
        for pid in self.processes():
            if process_name(pid) == daemon:
                return pid
        raise LabError(f"no {daemon} runs on {self.name}\n{tail(self.folder / 'outside.log')}")


def compress(path: Path) -> None:
    """Replaces `path` by `path`.gz, freeing its inode, as gzip(1) does."""
    with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    shutil.copymode(path, f"{path}.gz")
    keep_owner(path, Path(f"{path}.gz"))
    path.unlink()


def keep_owner(old: Path, new: Path) -> None:
    """Gives a copy the owner and group of its original, as logrotate and gzip do."""
    stat = old.stat()
    os.chown(new, stat.st_uid, stat.st_gid)


def process_name(pid: int) -> str:
    """The kernel's short name of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
