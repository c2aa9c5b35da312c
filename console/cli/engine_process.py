"""Start an engine as a process of its own: detached for an embedded store, or tied to this command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from console.cli.reader import no_engine_text
from console.text.cleaning import clean_line

MAX_MESSAGE_CHARS = 300
ENGINE_STOP_SECONDS = 10.0
STARTUP_FAULT_SECONDS = 2.0
"""A fault of config or store ends a new engine within this."""


class StartedEngine(NamedTuple):
    """An engine that was started, with the message about it; or the message why none was."""

    words: str
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    ended_at_once: str = ""

    def on_leaving(self) -> str:
        """The message when the console closes; whether the engine still runs is checked again."""
        if self.process is None or self.process.poll() is None:
            return self.words
        return (
            f"THE ENGINE HAS STOPPED (process {self.process.pid}, log {self.log}): nothing is watched and no"
            " alert is sent. Fix: headway engine"
        )

    def why_ended(self) -> str:
        """The last log line of an engine that has ended; else empty."""
        if self.process is None or self.log is None or not self.process.poll():
            return self.ended_at_once
        return f"the engine exited ({self.process.returncode}): {_last_log_line(self.log)}"


def start_engine_if_needed(url: str, config: Path) -> StartedEngine:
    """Starts an engine on a SQLite store without a running one."""
    from console.store.errors import StoreError, StoreTooNew
    from console.store.queries import open_queries

    try:
        with open_queries(url) as reads:
            engine = reads.estate.header().engine
    except StoreTooNew as error:
        return StartedEngine(f"engine not started: {error}")
    except StoreError:  # missing or older: the engine creates or migrates it
        engine = None
    if engine is not None and (engine.alive or engine.stuck):
        return StartedEngine(f"engine not started: {engine.stuck}" if engine.stuck else "")
    log = Path(url.removeprefix("sqlite:///")).expanduser().parent / "engine.log"
    process = start_detached_engine(url, config, log, "--only-if-free")  # two consoles may open at once
    try:
        code = process.wait(STARTUP_FAULT_SECONDS)
    except subprocess.TimeoutExpired:
        message = f"engine started (process {process.pid}, log {log}); stop it with headway engine stop"
        return StartedEngine(message, process, log)
    fault = f"the engine exited at once ({code}): {_last_log_line(log)}" if code else ""
    return StartedEngine(fault, ended_at_once=fault)


def unwatched_text(url: str) -> str:
    """That no engine works on a store; empty if one does, or if it cannot be read."""
    from console.store.errors import StoreError
    from console.store.queries import open_queries

    try:
        with open_queries(url) as reads:
            engine = reads.estate.engine()
    except StoreError:
        return ""
    note = ": nothing is watched and no alert is sent. Fix: headway engine"
    return "" if engine.alive else no_engine_text(engine, note)


def _last_log_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return clean_line(lines[-1], MAX_MESSAGE_CHARS) if lines else f"see {log}"


def start_tied_engine(url: str, config: Path, log: Path, *more: str) -> subprocess.Popen[bytes]:
    """Starts an engine that ends with this process, however that ends, also during start-up."""
    return start_detached_engine(url, config, log, f"--with-parent={os.getpid()}", *more)


def start_detached_engine(url: str, config: Path, log: Path, *more: str) -> subprocess.Popen[bytes]:
    """An engine process in a session of its own; its structured log goes to `log`."""
    command = [sys.executable, "-m", "console", "--config", str(config), "--store", url]
    command += ["engine", "--log-file", str(log), *more]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, start_new_session=True
        )
    finally:
        os.close(descriptor)


@contextmanager
def running_engine(url: str, config: Path, log: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """An engine tied to this process, stopped at the end."""
    engine = start_tied_engine(url, config, log, *more)
    try:
        yield engine
    finally:
        engine.terminate()
        try:
            engine.wait(ENGINE_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            engine.kill()
            engine.wait()


def limit_array_threads() -> None:
    """Sets one thread for array computations, which is faster for the small arrays of forecasts. To be called before
    numpy is imported; a value in the environment is kept."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
