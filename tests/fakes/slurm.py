"""A host with fake Slurm commands on its PATH: our scripts are real, Slurm and SSH are not."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from connectors.sdk.transport.ssh import CompletedCommand, SshAddress
from connectors.slurm.options import SlurmOptions
from tests.fakes import slurm_tools
from tests.fakes.answering import shim
from tests.fakes.slurm_tools import TOOLS, World

FILE = Path(slurm_tools.__file__)
SUDO = '#!/bin/sh\n[ "$2" != -l ] || exit 0\nshift 4\nexec "$@"\n'
"""`sudo -n -H -u USER COMMAND…` as ourselves; `sudo -n -l …` says yes."""


class SlurmHost:
    """A cluster whose jobs `good` and `bad` (exits with 3) and array `parts` (its task 2 exits with 4) have ended."""

    def __init__(self, folder: Path, name: str = "hpc") -> None:
        self.folder = folder
        self.shims = folder / "bin"
        self.shims.mkdir(parents=True)
        for tool in TOOLS:
            itself = f'#!/bin/sh\nexec {sys.executable} -I -S {FILE} {tool} {folder} "$@"\n'
            self.put(tool, itself if tool == "sbatch" else shim(slurm_tools.__name__, tool, folder))  # that one is fed
        self.put("sudo", SUDO)
        self.put("id", "#!/bin/sh\ncase $1 in -un) echo headway ;; *) echo 1000 ;; esac\n")
        self.address = SshAddress(name, "local", 22, "headway", Path("/nowhere"))
        self.spoil: Callable[[bytes], bytes] = bytes
        self.calls = 0
        world = self.world
        hour = int(time.time()) - 3600
        world.submit("good", "#!/bin/sh\necho well", at=hour)
        world.submit("bad", "#!/bin/sh\nexit 3", at=hour + 60)
        world.submit("parts", "#!/bin/sh\n# task 2\nexit 4", at=hour + 120, tasks=("1", "2", "3"))
        world.save()

    def put(self, tool: str, text: str) -> None:
        (self.shims / tool).write_text(text)
        (self.shims / tool).chmod(0o755)

    @property
    def world(self) -> World:
        """As it is now; what is changed in it is saved by its own `save`."""
        return World(self.folder)

    def submit(self, name: str, script: str, **more: Any) -> str:
        world = self.world
        number = world.submit(name, f"#!/bin/sh\n{script}", **more)
        world.save()
        return number

    def change(self, job: str, **values: Any) -> None:
        """Of every try of a job."""
        world = self.world
        for row in world.rows:
            if job in (row["id"], row["part"]):
                row.update(values)
        world.save()

    def set(self, **values: str) -> None:
        """level: "Operator" or "None"; accounts: "slurmdbd", "none" or "down"; controller: "down"; enforced: "limits";
        limits: rows of "QOS|of all|of each user"; of_partition: the QOS of the only partition."""
        world = self.world
        world.settings.update(values)
        world.save()

    def options(self, **changes: Any) -> SlurmOptions:
        plain = {"hosts": [self.address.name], "key": "/nowhere", "history_hours": 12}
        return SlurmOptions.model_validate({**plain, **changes})

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


class Crowd:
    """A cluster with that many ended jobs: answers a look as our script would, without running it."""

    def __init__(self, runs: int) -> None:
        self.address = SshAddress("hpc", "local", 22, "headway", Path("/nowhere"))
        self.runs = runs
        self.end = int(time.time()) - 3600

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        text = stdin.decode()
        nonce = re.findall(r"^N=(\w+) ", text, re.MULTILINE)[0]
        part = re.findall(r"^history (.*)$", text, re.MULTILINE)[-1]
        skip, limit = map(int, shlex.split(part)[2:4])
        head = (
            f"Welcome!\n\n\x1e{nonce} HOST|{time.time():.3f}|+0000|100.0|b\n\n\x1e{nonce} CONFIG\nMinJobAge = 300 sec\n"
        )
        body = self.rows(skip, min(self.runs, skip + limit), f"\x1f{nonce[:6]}")
        tail = f"\n\x1e{nonce} REND\n\n\x1e{nonce} QUEUE\n\n\x1e{nonce} QEND|0\n\n\x1e{nonce} END\n"
        return CompletedCommand((f"{head}\n\x1e{nonce} ROWS\n" + body + tail).encode(), b"", 0)

    def rows(self, first: int, last: int, between: str) -> str:
        lines = [between.join(self.row(number)) for number in range(first, last)]
        return "\n".join([*lines, *([f"={between}0"] if last == self.runs else [])])

    def row(self, number: int) -> list[str]:
        at, job = str(self.end - self.runs + number), str(number + 1)
        state, code = ("FAILED", "3:0") if number % 50 == 0 else ("COMPLETED", "0:0")
        plain = [
            "None",
            "etl",
            "ops",
            "main",
            "",
            "/home/etl",
            f"load_{number % 200}",
            f"sbatch -J load_{number % 200} run.sh",
        ]
        return ["+", job, at, "0", state, code, "1", at, at, job, *plain]

    def close(self) -> None:
        """There is no connection to close."""
