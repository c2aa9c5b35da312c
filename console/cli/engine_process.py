"""Start an engine as a process of its own: detached for an embedded store, or tied to this command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console.cli.reader import no_engine_text
from console.domain.header import lease_holder_text
from console.text.cleaning import clean_line

if TYPE_CHECKING:
    from console.domain.header import EngineView

MAX_MESSAGE_CHARS = 300
NOT_MONITORED = ": nothing is monitored and no alert is sent. Fix: headway engine"
ENGINE_STOP_SECONDS = 10.0
STARTUP_FAULT_SECONDS = 2.0
"""A fault of config or store ends a new engine within this."""


class StartedEngine(NamedTuple):
    """An engine that was started, with the message about it; or the message why none was."""

    message: str
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    ended_at_once: str = ""

    def on_leaving(self, url: str) -> str:
        """The message when the console closes: the state of this engine, and whether another works on the store."""
        if self.process is None:
            return self.message or no_engine_warning(url)
        if self.process.poll() is None:
            return self.message
        other_engine = running_engine_text(url)
        if other_engine and not self.process.returncode:  # it was not needed, or was stopped by a person
            return ""
        stopped = f"the engine that this console had started has stopped (process {self.process.pid}, log {self.log})"
        return f"{stopped}; {other_engine} works now" if other_engine else f"{stopped}{NOT_MONITORED}"

    def why_ended(self) -> str:
        """The last log line of an engine that has failed; else empty."""
        if self.process is None or self.log is None or not self.process.poll():
            return self.ended_at_once
        return f"the engine exited ({self.process.returncode}): {_last_log_line(self.log)}"


def start_engine_if_needed(url: str, config: Path) -> StartedEngine:
    """Starts an engine on a SQLite store without a running one."""
    from console.store.errors import StoreError, StoreMissing, StoreOutdated
    from console.store.queries import open_queries

    try:
        with open_queries(url) as reads:
            engine = reads.estate.header().engine
    except (StoreMissing, StoreOutdated):  # the engine creates or migrates it
        engine = None
    except StoreError as error:
        return StartedEngine(f"engine not started: {error}")
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


def no_engine_warning(url: str) -> str:
    """That no engine works on a store; empty if one does, or if it cannot be read."""
    engine = _engine_of(url)
    return "" if engine is None or engine.alive else no_engine_text(engine, NOT_MONITORED)


def running_engine_text(url: str) -> str:
    """ "the engine on db-ops, process 4711"; empty without one, or if the store cannot be read."""
    engine = _engine_of(url)
    return f"the engine on {lease_holder_text(engine.holder)}," if engine is not None and engine.alive else ""


def _engine_of(url: str) -> EngineView | None:
    from console.store.errors import StoreError
    from console.store.queries import open_queries

    try:
        with open_queries(url) as reads:
            return reads.estate.engine()
    except StoreError:
        return None


def _last_log_line(log: Path) -> str:
    """The last line of a log for people: event and error of a structured line."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    if not lines:
        return f"see {log}"
    try:
        entry = json.loads(lines[-1])
        text = ": ".join(str(entry[name]) for name in ("event", "error") if entry.get(name))
    except (ValueError, AttributeError):
        text = ""
    return clean_line(text or lines[-1], MAX_MESSAGE_CHARS)


def start_tied_engine(url: str, config: Path, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """Starts an engine that ends with this process, however that ends, also during start-up."""
    return start_detached_engine(url, config, log, f"--with-parent={os.getpid()}", *options)


def start_detached_engine(url: str, config: Path, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """An engine process in a session of its own; its structured log goes to `log`."""
    command = [sys.executable, "-m", "console", "--config", str(config), "--store", url]
    command += ["engine", "--log-file", str(log), *options]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, start_new_session=True
        )
    finally:
        os.close(descriptor)


@contextmanager
def running_engine(url: str, config: Path, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """An engine tied to this process, stopped at the end."""
    engine = start_tied_engine(url, config, log, *options)
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
