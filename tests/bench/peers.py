"""Terminal programs that others use for the same, each on as many rows as it takes: how long until its first rows, and
from a key to the changed screen.

Each is installed once into a folder of its own, outside of the project; what does not install or start is left out by
name. Those that read a file or a database have 100,000 jobs; those that ask a scheduler have 10,000.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.figures import Figure, Scale
from tests.bench.keys import p95, timed
from tests.bench.start import SIZE
from tests.pty.terminal import Terminal

ROWS = 100_000
CRON_JOBS = 10_000
INSTALL_SECONDS = 300
PACKAGES = {"visidata": "visidata==3.4", "fzf": "iterfzf==1.9.0.67.0", "harlequin": "harlequin==2.17.0",
            "cronstable": "cronstable==1.2.72", "flowrs": "flowrs==0.16.2"}  # fmt: skip
"""fzf is a program of its own, taken where Debian's is not installed from a package that brings it along; flowrs is one
too."""


class Peer(NamedTuple):
    """`begin` brings it from its start to the rows in which keys are timed."""

    argv: Sequence[str]
    ready: str
    begin: Callable[[Terminal], None]
    rows: int
    down: str = "down"


def folder() -> Path:
    """The folder of peers and their files."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headway-bench"
    path = cache if os.access(cache.parent, os.W_OK) else Path(tempfile.gettempdir()) / f"headway-peers-{os.getuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def installed(name: str) -> Path | None:
    """The environment that has the peer; None where it does not install here."""
    place = folder() / name
    done = place / "installed"
    if done.exists():
        return place
    try:
        subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True, timeout=120)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input", PACKAGES[name]]
        subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError):
        return None
    done.touch()
    return place


def measure(quick: Scale) -> Iterator[Figure]:
    """start_PEER and key_PEER of all that install; of what is left out, a figure that says why."""
    for name, opened in OPENED.items():
        place = installed(name)
        if place is None:
            yield _left_out(name, f"{PACKAGES[name]} does not install here")
            continue
        try:
            with opened(place) as peer:
                yield from _figures(name, peer, quick.of(60, 20, 2))
        except (AssertionError, OSError) as error:
            yield _left_out(name, f"it did not show its rows: {str(error)[:200]}")


def _left_out(name: str, why: str) -> Figure:
    return Figure(f"left_out_{name}", 1, f"peer, because {why}")


def _figures(name: str, peer: Peer, count: int) -> list[Figure]:
    env = {"HOME": str(folder()), "XDG_CONFIG_HOME": str(folder()), "COLUMNS": str(SIZE[0]), "LINES": str(SIZE[1])}
    with Terminal(peer.argv, SIZE, env):
        pass  # its byte code and files are there from now on
    starts = []
    for _ in range(3):
        with Terminal(peer.argv, SIZE, env) as terminal:
            terminal.wait_for(peer.ready)
            starts.append((terminal.read_at - terminal.started_at) * 1000)
    with Terminal(peer.argv, SIZE, env) as terminal:
        terminal.wait_for(peer.ready)
        peer.begin(terminal)
        terminal.settle(0.5, 5)
        key = p95(timed(terminal, [peer.down], count))
    return [Figure(f"start_{name}", min(starts), "ms"), Figure(f"key_{name}", key, f"ms, {peer.rows:,} rows, p95")]


def _names() -> Iterator[str]:
    return (f"host{number % 50:02d}:job_{number:06d}" for number in range(ROWS))


@contextmanager
def _visidata(place: Path) -> Iterator[Peer]:
    path = folder() / "jobs.csv"
    path.write_text("\n".join(["name,state", *(f"{name},succeeded" for name in _names())]), "utf-8")
    yield Peer([str(place / "bin" / "vd"), str(path)], "job_000000", lambda terminal: terminal.settle(1, 20), ROWS, "j")


@contextmanager
def _fzf(place: Path) -> Iterator[Peer]:
    path = folder() / "jobs.txt"
    path.write_text("\n".join(_names()), "utf-8")
    fzf = shutil.which("fzf") or next(place.glob("lib/python*/site-packages/iterfzf/fzf"))
    argv = ["sh", "-c", f"'{fzf}' --layout=reverse < '{path}'"]
    yield Peer(argv, "job_000000", lambda terminal: terminal.settle(0.5, 10), ROWS)


@contextmanager
def _harlequin(place: Path) -> Iterator[Peer]:
    path = folder() / "jobs.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT)")
        db.executemany("INSERT INTO job (name) VALUES (?)", ((name,) for name in _names()))
    argv = [str(place / "bin" / "harlequin"), "-a", "sqlite", "--limit", str(ROWS), str(path)]

    def begin(terminal: Terminal) -> None:
        terminal.settle(0.5, 10)
        terminal.press(*"select * from job")
        terminal.settle(0.5, 5)
        terminal.press("\n")  # Ctrl-J runs the query
        terminal.wait_for("job_000001")
        terminal.press("\x1b[15~")  # F5: into the results

    yield Peer(argv, "Query Editor", begin, ROWS)


@contextmanager
def _cronstable(place: Path) -> Iterator[Peer]:
    port = _free_port()
    path = folder() / "cronstable.yaml"
    jobs = (
        f"  - name: job_{number:05d}\n    command: 'true'\n    schedule: '10 3 1 1 *'\n" for number in range(CRON_JOBS)
    )
    path.write_text(f"web:\n  listen:\n    - http://127.0.0.1:{port}\njobs:\n{''.join(jobs)}", "utf-8")
    program = str(place / "bin" / "cronstable")
    with _server([program, "-c", str(path)], port):
        argv = [program, "tui", "--no-boot", "--url", f"http://127.0.0.1:{port}"]
        yield Peer(argv, "job_00000", lambda terminal: terminal.settle(0.5, 10), CRON_JOBS)


@contextmanager
def _flowrs(place: Path) -> Iterator[Peer]:
    """It reads an Airflow's list of DAGs, 50 at a time."""
    port = _free_port()
    config = folder() / "flowrs" / "config.toml"
    config.parent.mkdir(exist_ok=True)
    server = f'name = "bench"\nendpoint = "http://127.0.0.1:{port}"\nversion = "V3"\n'
    user = '[servers.auth.Basic]\nusername = "a"\npassword = "b"\n'
    config.write_text(f'active_server = "bench"\nmanaged_services = []\n[[servers]]\n{server}{user}', "utf-8")
    serve = f"from tests.bench.peer_airflow import serve; serve({port}, {CRON_JOBS})"
    with _server([sys.executable, "-c", serve], port):
        yield Peer([str(place / "bin" / "flowrs")], "job_00000", lambda terminal: terminal.settle(0.2, 3), CRON_JOBS)


@contextmanager
def _server(argv: Sequence[str], port: int) -> Iterator[None]:
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port, 60)
        yield
    finally:
        server.terminate()
        server.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, seconds: float) -> None:
    """Raises OSError when nobody answers in that time."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


OPENED = {"visidata": _visidata, "fzf": _fzf, "harlequin": _harlequin, "cronstable": _cronstable,
          "flowrs": _flowrs}  # fmt: skip
