"""The far side of an SSH session without SSH: the same script, run by the local `sh` on a private tree of files."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectors.cron.options import CronOptions
from connectors.transport.ssh import Completed, SshAddress

WRAPPER = Path(__file__).parents[2] / "connectors/cron/headway-sh"
ME = getpass.getuser()


class LocalHost:
    """A host made of folders: crontabs, log, spool of wrapper and marks. Scripts run as the current user."""

    def __init__(self, folder: Path, name: str = "db07") -> None:
        self.folder = folder
        self.log = folder / "log/cron.log"
        self.spool = folder / "spool"
        self.shims = folder / "bin"
        self.crontab = folder / f"crontabs/{ME}"
        for path in (self.log.parent, self.spool, self.shims, self.crontab.parent, folder / "etc/cron.d"):
            path.mkdir(parents=True)
        (folder / "etc/timezone").write_text("Europe/Berlin\n")
        (folder / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
        self.shim("crontab", f'cat "{self.crontab}"')
        self.address = SshAddress(name, "local", 22, ME, Path("/nowhere"))
        self.calls = 0

    def options(self, **changes: Any) -> CronOptions:
        """Options that point at this host's folders."""
        values = {"hosts": [self.address.name], "user": ME, "key": "/nowhere", "logs": [str(self.log)]}
        return CronOptions(**{**values, "spool": str(self.spool), **changes})

    def shim(self, name: str, text: str) -> None:
        """A command of the host, found before the machine's."""
        path = self.shims / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> Completed:
        """As SshSession.run, by a local process."""
        self.calls += 1
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, timeout=timeout_seconds, check=False, env=self.environment()
        )
        return Completed(b"Welcome!\n" + done.stdout, done.stderr, done.returncode)

    def close(self) -> None:
        """Nothing is kept open."""

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.shims}:{os.environ['PATH']}", "HOME": str(self.folder),
            "HEADWAY_CRONTABS": str(self.crontab.parent), "HEADWAY_ETC": str(self.folder / "etc"),
        }  # fmt: skip

    def run_wrapped(self, command: str, **environment: str) -> int:
        """Runs a command as cron would under the wrapper; its exit status."""
        extra = {"HEADWAY_SPOOL": str(self.spool), **environment}
        argv = ["/bin/sh", str(WRAPPER), "-c", command]
        done = subprocess.run(argv, env=self.environment() | extra, capture_output=True, check=False, timeout=30)
        return done.returncode

    def log_line(self, pid: int, words: str, at: float | None = None) -> None:
        """Adds a line of cron's child `pid` to the log, as rsyslog on Debian 12 writes it."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at or time.time()))
        with self.log.open("a") as file:
            file.write(f"{stamp}.000000+00:00 db07 CRON[{pid}]: {words}\n")
