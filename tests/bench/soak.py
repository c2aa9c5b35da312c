"""What a busy engine uses over hours: 50 jobs that report a run each second, by HTTP, to a real engine.

Anchor of the memory at the end: the memory after a tenth of the time; a plateau is a ratio near 1. Open files and
threads are counted at both times; of the write-ahead log it is the largest size, and of the store its bytes per run."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from connectors.sdk.conformance.world import closed_port
from console.store.queries import open_queries
from tests.bench.figures import Figure, emit, parser_of
from tests.lab.process import Daemon, clean_environment, wait_until

JOBS = 50
MINUTES, QUICK_MINUTES, SMOKE_MINUTES = 120.0, 0.25, 0.1
SYSTEM = """
[systems.own]
kind = "heartbeat"
listen = "127.0.0.1:{port}"
spool = "spool.db"
poll_every = "5s"
"""
JOB = """
[systems.own.jobs.job{number}]
token = {{ env = "TOKEN_{number}" }}
"""
UNLIMITED = (
    "from connectors.heartbeat import listener; listener.PINGS_PER_MINUTE = 10**6;"
    " from console.__main__ import main; raise SystemExit(main())"
)
"""`headway`, without the limit of reports per job: --per-second may exceed it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the engine's process and its store take at one time."""

    rss_mib: float
    files: int
    threads: int
    wal_mib: float
    store_bytes: int


def token(number: int) -> str:
    return f"soak-{number:04d}-0123456789abcdef"


def usage(pid: int, store: Path) -> Usage:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    log = store.with_name(f"{store.name}-wal")
    return Usage(
        int(fields["VmRSS"].split()[0]) / 1024,
        len(os.listdir(f"/proc/{pid}/fd")),
        int(fields["Threads"]),
        log.stat().st_size / 2**20 if log.exists() else 0.0,
        store.stat().st_size,
    )


def report_run(port: int, number: int, rid: int = 0) -> None:
    """One successful run of the job. Raises OSError where the listener does not take it."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        request = f"GET /ping/{token(number)}?rid={rid} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = connection.recv(4096)
    if b" 200 " not in answer:
        raise OSError(f"a report was refused: {answer[:80]!r}")


def stored_runs(store: Path) -> int:
    with open_queries(str(store)) as reads:
        [(stored,)] = reads.link.rows("SELECT count(*) FROM attempt")
    return int(stored)


def is_listening(port: int) -> bool:
    try:
        report_run(port, 0)
    except OSError:
        return False
    return True


def soaked(engine: Daemon, port: int, store: Path, seconds: float, per_second: float) -> Iterator[tuple[int, Usage]]:
    """Runs reported so far and the usage, every tenth of the time."""
    begun, sent, shown, largest = time.monotonic(), 0, 0, 0.0
    while shown < 10:
        passed = time.monotonic() - begun
        if passed >= (shown + 1) * seconds / 10:
            shown += 1
            now = usage(engine.pid, store)
            yield sent, Usage(now.rss_mib, now.files, now.threads, max(largest, now.wal_mib), now.store_bytes)
        elif sent < passed * per_second:
            report_run(port, sent % JOBS, sent)
            sent += 1
            if sent % 50 == 0:
                largest = max(largest, usage(engine.pid, store).wal_mib)
        else:
            time.sleep(0.01)


def measure(minutes: float, per_second: float) -> Iterator[Figure]:
    with TemporaryDirectory(prefix="headway-soak-") as made:
        folder, port = Path(made), closed_port()
        config, store = folder / "headway.toml", folder / "store.db"
        config.write_text(SYSTEM.format(port=port) + "".join(JOB.format(number=number) for number in range(JOBS)))
        argv = [sys.executable, "-c", UNLIMITED, "--config", str(config), "--store", str(store)]
        secrets = {f"TOKEN_{number}": token(number) for number in range(JOBS)}
        engine = Daemon(
            [*argv, "engine", "--with-parent"], folder / "engine.log", clean_environment(HOME=made, **secrets)
        )
        engine.start()
        try:
            engine.wait_ready(lambda: is_listening(port), "the listener")
            at_start = usage(engine.pid, store)
            course = []
            for sent, now in soaked(engine, port, store, minutes * 60, per_second):
                course.append((sent, now))
                print(f"soak {sent:>9} runs  {now.rss_mib:6.1f} MiB  wal {now.wal_mib:5.1f} MiB", file=sys.stderr)
            sent, late = course[-1]
            wait_until(lambda: stored_runs(store) >= sent, "the last run in the store")
        finally:
            engine.stop(10)
        early, stored = course[0][1], stored_runs(store)
        yield Figure("reported", sent, "runs", "stored", stored)
        yield Figure("rss_at_the_end", late.rss_mib, "MiB", "after a tenth of the time", early.rss_mib)
        yield Figure("open_files", late.files, "files", "after a tenth of the time", early.files)
        yield Figure("threads", late.threads, "threads", "after a tenth of the time", early.threads)
        yield Figure(
            "largest_wal", max(usage.wal_mib for _, usage in course), "MiB", "the store", store.stat().st_size / 2**20
        )
        yield Figure("store_per_run", (store.stat().st_size - at_start.store_bytes) / max(stored, 1), "bytes")


if __name__ == "__main__":
    parser = parser_of(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long; 120 if not given")
    parser.add_argument(
        "--per-second", type=float, default=float(JOBS), help="runs of all jobs together; 50 if not given"
    )
    given = parser.parse_args()
    minutes = (given.minutes, QUICK_MINUTES, SMOKE_MINUTES)[given.quick]
    emit("soak", measure(minutes, given.per_second), given.json)
