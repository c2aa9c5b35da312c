"""A host with fake systemd tools on its PATH: our scripts are real, systemd and SSH are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from connectors.sdk.transport.ssh import CompletedCommand, SshAddress
from connectors.systemd.options import SystemdOptions
from tests.fakes import systemd_tools
from tests.fakes.answering import shim
from tests.fakes.systemd_tools import World

TOOLS = Path(systemd_tools.__file__)


def timer(name: str, calendar: str, **changes: Any) -> dict[str, Any]:
    setting = [f"{{ OnCalendar={calendar} ; next_elapse=Sat 2026-11-21 03:10:00 UTC }}"] if calendar else []
    return {
        "Id": f"{name}.timer", "Unit": f"{name}.service", "Description": f"{name} each night",
        "TimersCalendar": setting, "TimersMonotonic": [], "UnitFileState": "enabled", "ActiveState": "active",
        "FragmentPath": f"/etc/systemd/system/{name}.timer", "_next": 1795230600000000, **changes,
    }  # fmt: skip


def service(name: str, ends: str, **changes: Any) -> dict[str, Any]:
    command = f"/opt/etl/{name}"
    return {
        "Id": f"{name}.service", "Description": name, "LoadState": "loaded", "ActiveState": "inactive",
        "SubState": "dead", "Result": "success", "InvocationID": "", "ExecMainCode": "0", "ExecMainStatus": "0",
        "ExecMainStartTimestamp": "", "ExecMainExitTimestamp": "", "User": "etl",
        "ExecStart": [f"{{ path={command} ; argv[]={command} --night ; ignore_errors=no ; start_time=[n/a] }}"],
        "FragmentPath": f"/etc/systemd/system/{name}.service", "_ends": ends, **changes,
    }  # fmt: skip


class SystemdHost:
    """Timers `backup` (ends well), `broken` (exits with 3) and `long` (hangs), and what a test adds."""

    def __init__(self, folder: Path, name: str = "db07") -> None:
        self.folder = folder
        self.shims = folder / "bin"
        self.shims.mkdir(parents=True)
        for tool in ("systemctl", "journalctl", "systemd-cat"):
            path = self.shims / tool
            itself = f'#!/bin/sh\nexec {sys.executable} -I -S {TOOLS} {tool} {folder} "$@"\n'
            path.write_text(
                itself if tool == "systemd-cat" else shim(systemd_tools.__name__, tool, folder)
            )  # it is fed
            path.chmod(0o755)
        units: dict[str, dict[str, Any]] = {}
        for unit, calendar, ends in (
            ("backup", "*-*-* 03:10:00", "well"),
            ("broken", "Mon..Fri 04:00", "exit 3"),
            ("long", "", "hangs"),
        ):
            units[f"{unit}.timer"], units[f"{unit}.service"] = timer(unit, calendar), service(unit, ends)
        units["long.timer"]["TimersMonotonic"] = ["{ OnUnitActiveUSec=1h ; next_elapse=2h }"]
        (folder / "units.json").write_text(json.dumps(units))
        (folder / "journal.jsonl").write_text("")
        self.address = SshAddress(name, "local", 22, "headway", Path("/nowhere"))
        self.calls = 0
        self.spoil: Callable[[bytes], bytes] = bytes
        """What becomes of the answers on their way."""

    @property
    def world(self) -> World:
        """As it is now; what is changed in it is saved by its own `save`."""
        return World(self.folder)

    def ran(self, unit: str, ago: float = 60.0, took: float = 2.0) -> str:
        return self.world.run(f"{unit}.service", time.time() - ago, took)

    def options(self, **changes: Any) -> SystemdOptions:
        return SystemdOptions(**{"hosts": [self.address.name], "key": "/nowhere", **changes})

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        """As SshSession.run, by a local process."""
        self.calls += 1
        environment = {"PATH": f"{self.shims}:{os.environ['PATH']}", "HOME": str(self.folder)}
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, timeout=timeout_seconds, check=False, env=environment
        )
        return CompletedCommand(b"Welcome!\n" + self.spoil(done.stdout), done.stderr, done.returncode)

    def close(self) -> None:
        """There is no connection to close."""
