"""One steady round over persistent connections through the whole cron connector, beside bare paramiko and OpenSSH.

Real cron, rsyslog and sshd in a namespace (needs root, like the lab). Client CPU is this process alone, so sshd and the
script on the host are not in it; they cost the same for all three variants."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko

from connectors.cron.client import CronClient
from connectors.cron.connector import CronConnector
from connectors.cron.options import CronOptions
from connectors.cron.runs import CronCursor
from connectors.sdk.transport.hosts import ThisMachine
from connectors.sdk.transport.ssh import CompletedCommand, SshAddress
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.fakes.login import no_secret
from tests.lab.cronhost import CronHost
from tests.lab.process import private_folder, remove_folder

TARGETS = 200
QUICK_TARGETS = 100
THREADS = 8
CRONTAB = "".join(f"# headway: job_{n}\n{n} 3 * * * /opt/etl/job_{n}.sh --full\n" for n in range(20))


class Recording:
    """A session that only records the commands it is given."""

    def __init__(self, address: SshAddress | ThisMachine) -> None:
        self.address = address
        self.stdin = b""

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        self.stdin = stdin
        raise TimeoutError

    def close(self) -> None:
        """There is no connection to close."""


class Round:
    """The same look at one host, `count` times, each over a connection of its own."""

    def __init__(self, host: CronHost, count: int) -> None:
        self.host = host
        self.count = count
        entry = {"name": "db07", "address": "127.0.0.1", "port": host.port}
        self.options = CronOptions.model_validate(
            {"hosts": [entry], "user": "root", "key": str(host.key), "known_hosts": str(host.known_hosts)}
        )
        self.connectors = [CronConnector(self.options, "db07", no_secret) for _ in range(count)]
        self.cursors = [""] * count
        self.clients: list[paramiko.SSHClient] = []
        self.script = b""

    def open(self) -> None:
        """Connects all and brings each to its steady state."""
        for _ in range(2):
            self.polls()
        self.script = self._script()
        self.clients = self._each(lambda _: self._bare_client())

    def polls(self) -> None:
        def poll(number: int) -> None:
            self.cursors[number] = self.connectors[number].poll(self.cursors[number], (), 60).cursor

        self._each(poll)

    def bare(self) -> None:
        """The same script over persistent connections of bare paramiko; its answer is read and dropped."""

        def run(number: int) -> None:
            stdin, stdout, _ = self.clients[number].exec_command("sh -s")
            stdin.write(self.script)
            stdin.channel.shutdown_write()
            assert b"END" in stdout.read()

        self._each(run)

    def openssh(self, count: int) -> None:
        """The same script by one OpenSSH client process each."""
        argv = ["ssh", "-F", "none", "-p", str(self.host.port), "-i", str(self.host.key), "-o", "BatchMode=yes",
                "-o", f"UserKnownHostsFile={self.host.known_hosts}", "-o", "StrictHostKeyChecking=yes",
                "-o", "LogLevel=ERROR", "root@127.0.0.1", "sh", "-s"]  # fmt: skip

        def run(_: int) -> None:
            done = subprocess.run(argv, input=self.script, capture_output=True, check=True, timeout=60)
            assert b"END" in done.stdout

        self._each(run, count)

    def close(self) -> None:
        for connector in self.connectors:
            connector.close()
        for client in self.clients:
            client.close()

    def _each(self, work: Callable[[int], Any], count: int | None = None) -> list[Any]:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(work, range(count or self.count)))

    def _script(self) -> bytes:
        """What the connector sends in a steady poll."""
        recording = Recording(self.connectors[0].address)
        memory = CronCursor.from_json(self.cursors[0])
        assert memory is not None
        crontabs = self.connectors[0].crontabs
        with suppress(TimeoutError):
            CronClient(self.options, recording).snapshot(
                crontabs.checksum if crontabs else "-", (), memory.log, memory.records.values()
            )
        return recording.stdin

    def _bare_client(self) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        client.load_host_keys(str(self.host.known_hosts))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(
            "127.0.0.1", self.host.port, "root", key_filename=str(self.host.key), allow_agent=False, look_for_keys=False
        )
        return client


def measured(work: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Client CPU seconds and wall seconds of the best of `rounds`."""
    cpu, wall = [], []
    for _ in range(rounds):
        cpu_before, wall_before = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - cpu_before)
        wall.append(time.perf_counter() - wall_before)
    return min(cpu), min(wall)


def figures(quick: Scale) -> list[Figure]:
    folder = private_folder("bench-ssh")
    host = CronHost(Path(folder) / "db07", "db07", cron_level=15)
    count = quick.of(TARGETS, QUICK_TARGETS, 10)
    rounds = quick.of(5, 2, 1)
    try:
        host.start()
        host.write_crontab("etl", CRONTAB)
        work = Round(host, count)
        work.open()
        bare_cpu, _ = measured(work.bare, rounds)
        cpu, wall = measured(work.polls, rounds)
        some = count // 2 if quick else count
        _, ssh_wall = measured(lambda: work.openssh(some), 1)
        work.close()
    finally:
        host.stop()
        remove_folder(folder)
    return [
        Figure("steady_round", cpu, "client CPU s", "bare paramiko, same script", bare_cpu),
        Figure("steady_round_speed", count / wall, "polls/s", "OpenSSH processes, same script", some / ssh_wall),
        Figure("steady_round_wall", wall, f"s for {count} kept connections"),
    ]


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    emit("ssh", figures(options.quick), options.json)
