"""What every part of the lab needs: free ports, waiting with a limit, processes that end with the lab."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import fcntl
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.lab import guard
from tests.scratch import scratch

T = TypeVar("T")
GUARD_SCRIPT = Path(guard.__file__)
LOG_TAIL_LINES = 40
HANGS_SECONDS = 600.0
"""What takes longer than this hangs, on the slowest machine; pytest ends a test later (`make test`). A wait that is met
costs nothing, however long it may last: there is no shorter limit."""
LAST_SECONDS = 60.0
"""Of a test, for what follows its last wait: a wait gives up before pytest ends its test."""
_ends = [math.inf]
"""`time.monotonic` of the end of the last wait of this test."""
REST = 19.0
"""Times the CPU time of a condition that its waiter sleeps before it evaluates it again."""
LONGEST_REST_SECONDS = 2.0
"""The first evaluation may import the whole product."""
PORTS = range(20_000, 32_000)
"""Below those that Linux gives to connections (`ip_local_port_range`)."""
_DRAW = random.SystemRandom()
"""Of its own: a server that starts in the background must not draw from `random` amid a property of another test."""
MAX_RESERVED = 200
_reserved: deque[int] = deque()
"""Locked files of the ports that this process was given, the latest: bare, so that its end has nothing to warn of."""


class LabError(Exception):
    """A part of the lab did not start or did not do its task; the text holds the end of its log."""


class Guard:
    """The process that ends what we leave behind; started at first use, one per Python process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def watch(self, target: str) -> None:
        """Has `target` ended when this process is gone; lines as in `tests.lab.guard`."""
        with self._lock:
            if self._process is None:
                argv = [sys.executable, "-I", "-S", str(GUARD_SCRIPT)]
                self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, start_new_session=True)
                atexit.register(self.close)
            self._send(target)

    def forget(self, target: str) -> None:
        """Takes back a `watch`: the target was ended in good order."""
        with self._lock:
            self._send(f"forget {target}")

    def close(self) -> None:
        """Lets the guard end every target that is still watched, and waits for it."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                self._process.wait(timeout=HANGS_SECONDS)
                self._process = None

    def _send(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


GUARD = Guard()


def free_port() -> int:
    """A TCP port that is free now, and reserved until a server of ours has bound it: neither another
    session of tests, which reserves here too, nor a connection, for which the system takes a number above these,
    gets it."""
    folder = Path(tempfile.gettempdir()) / f"headway-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for _ in PORTS:
        port = _DRAW.choice(PORTS)
        lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with socket.socket() as probe:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                probe.bind(("", port))
        except OSError:
            os.close(lock)
            continue
        _reserved.append(lock)
        if len(_reserved) > MAX_RESERVED:
            os.close(_reserved.popleft())
        return port
    raise LabError(f"no port of {PORTS} is free")


def limit_waits(seconds: float) -> None:
    """Sets the time that is left from now to the waits of one test, all together; 0: no limit."""
    _ends[0] = time.monotonic() + seconds - LAST_SECONDS if seconds else math.inf


def time_left(longest: float = HANGS_SECONDS) -> float:
    """Seconds that a wait may last: `longest`, or less at the end of its test's time."""
    return min(longest, max(0.0, _ends[0] - time.monotonic()))


def wait_until(condition: Callable[[], T | None], what: str, *, pause: float = 0.05, grace: float = HANGS_SECONDS) -> T:
    """The value of `condition()`, as soon as it is true. LabError with `what` when that takes longer than
    `time_left`, or the `grace` after which its caller goes on by force.

    A condition that reads a store or plays a command costs tens of milliseconds: waiting takes at most a twentieth of a
    core, and what a condition asks works at most half of the time, else the tests that wait take it from what they wait
    for."""
    began, worked = time.monotonic(), time.thread_time()
    limit = time_left(grace)
    until = began + limit
    while not (value := condition()):
        now = time.monotonic()
        if now > until:
            raise LabError(f"waited {limit:.4g} s in vain: {what}")
        rest = max(now - began, REST * (time.thread_time() - worked))
        time.sleep(max(pause, min(rest, LONGEST_REST_SECONDS)))
        began, worked = time.monotonic(), time.thread_time()
    return value


def wait_for_clock(instant: datetime) -> None:
    """Returns after this instant: what a real scheduler does at a time of its own, or must not do, has been done."""
    wait_until(lambda: datetime.now(UTC) >= instant, f"{instant:%H:%M:%S}", pause=0.2)


def wait_seconds(seconds: float) -> None:
    """Returns after this time: what must not happen would have happened meanwhile."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, f"{seconds:g} s")


async def async_wait_until(condition: Callable[[], object], what: str, *, pause: float = 0.01) -> None:
    """`wait_until` in an event loop, whose other tasks go on meanwhile."""
    limit = time_left()
    until = time.monotonic() + limit
    while not condition():
        if time.monotonic() > until:
            raise LabError(f"waited {limit:.4g} s in vain: {what}")
        await asyncio.sleep(pause)


def ask(method: str, url: str, **options: Any) -> httpx.Response:
    """The answer of one of the lab's own servers by plain HTTP: httpx itself makes a TLS context for each request, for
    25 ms of CPU."""
    return httpx.request(method, url, **{"timeout": HANGS_SECONDS, "trust_env": False, "verify": False, **options})


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on that port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), HANGS_SECONDS).close()
    except OSError:
        return False
    return True


def tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a text file; a sentence where there is none."""
    if not path.exists():
        return f"({path.name} was never written)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def private_folder(name: str) -> Path:
    """A fresh folder that every user may enter (postgres and etl must, so not below TMPDIR), removed with the lab."""
    folder = Path(tempfile.mkdtemp(prefix=f"headway-{name}-", dir=scratch()))
    folder.chmod(0o755)
    GUARD.watch(f"folder {folder}")
    return folder


def remove_folder(folder: Path) -> None:
    """Removes a folder that `private_folder` made."""
    shutil.rmtree(folder, ignore_errors=True)
    GUARD.forget(f"folder {folder}")


class Daemon:
    """One server process in a session of its own, its output in a file, ended with all its children."""

    def __init__(
        self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, last_signal: int = signal.SIGKILL
    ) -> None:
        self.argv = list(argv)
        self.log = log
        self.env = env
        self.last_signal = last_signal
        """What the guard sends if we die first: SIGKILL to the whole session, any other to the process alone."""
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0

    @property
    def pid(self) -> int:
        """Process id, also the id of its session. LabError before `start()`."""
        if self._process is None:
            raise LabError(f"{self.argv[0]} was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process; being ready is for the caller to wait for, with `wait_ready`."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=self.env,
                start_new_session=True, cwd="/",
            )  # fmt: skip
        self._begun = guard.begun(self._process.pid)
        GUARD.watch(self._target())

    def _target(self) -> str:
        if self.last_signal == signal.SIGKILL:
            return self._session()
        return f"signal {int(self.last_signal)} {self.pid} {self._begun}"

    def _session(self) -> str:
        return f"session {self.pid} {self._begun}"

    def wait_ready(self, condition: Callable[[], object], what: str) -> None:
        """Waits for `condition`; LabError with the end of the log when the process ends first, or hangs."""
        try:
            wait_until(lambda: not self.is_running or condition(), what)
        except LabError as error:
            raise LabError(f"{error}\n{tail(self.log)}") from error
        if not self.is_running:
            raise LabError(f"{self.argv[0]} ended before it was ready ({what}):\n{tail(self.log)}")

    def stop(self, grace: float = 5.0, number: int = signal.SIGTERM) -> None:
        """Sends the process SIGTERM, then kills the rest of its session. Safe to call twice."""
        if self._process is None:
            return
        session, target = self._process.pid, self._target()
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._process.send_signal(self.last_signal)
        guard.end(self._session())
        self._process.wait(HANGS_SECONDS)
        self._process = None
        wait_until(lambda: not list(guard.session_members(session)), f"the end of session {session}")
        GUARD.forget(target)


class Forked:
    """A server process that another one of ours forked and waits for, leader of its own session; ended with it."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self._begun = guard.begun(pid)
        self._session = f"session {pid} {self._begun}"
        GUARD.watch(self._session)

    @property
    def is_running(self) -> bool:
        return self._begun != 0 and guard.begun(self.pid) == self._begun

    def stop(self, grace: float = 5.0) -> None:
        """Sends the process SIGTERM, then kills the rest of its session. Safe to call twice."""
        if self.is_running:
            guard.send(self.pid, signal.SIGTERM)
        with contextlib.suppress(LabError):
            wait_until(lambda: not self.is_running, f"the end of process {self.pid}", grace=grace)
        guard.end(self._session)
        wait_until(lambda: not list(guard.session_members(self.pid)), f"the end of session {self.pid}")
        GUARD.forget(self._session)


def clean_environment(**extra: str) -> dict[str, str]:
    """A small environment for a lab process: what this shell set for Python, proxies and clouds stays out."""
    stored = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME") if name in os.environ}
    return {**stored, "LC_ALL": "C.UTF-8", "TZ": "UTC", "NO_PROXY": "127.0.0.1,localhost", **extra}
