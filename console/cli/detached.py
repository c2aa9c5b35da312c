"""An engine of its own for an embedded store: detached, so that a lost SSH line does not end the alerts."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from console.clean import clean_line
from console.cli.common import stamp

WORDS_LIMIT = 300
AT_ONCE_SECONDS = 2.0
"""A fault of config or store ends a new engine within this."""


@dataclass(frozen=True, slots=True)
class Started:
    """What was done about an engine, in words; empty for nothing."""

    words: str
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    ended_at_once: str = ""

    def on_leaving(self) -> str:
        """The words as they hold when the console is left: an engine that has ended since does not go on."""
        if self.process is None or self.process.poll() is None:
            return self.words
        return (
            f"THE ENGINE HAS ENDED (process {self.process.pid}, log {self.log}): nothing is watched from here and no"
            " alert leaves; headway engine starts one"
        )

    def why_ended(self) -> str:
        """What the engine that was started said last; empty while it works, or where none was."""
        if self.process is None or self.log is None or not self.process.poll():
            return self.ended_at_once
        return f"the engine that was started ended ({self.process.returncode}): {_last_words(self.log)}"


def start_if_needed(url: str, config: Path) -> Started:
    """Starts an engine on a SQLite store that nobody works on."""
    from console.store.errors import StoreError, StoreTooNew
    from console.store.reads import open_reads

    try:
        with open_reads(url) as reads:
            engine = reads.header().engine
    except StoreTooNew as error:
        return Started(f"no engine was started: {error}")
    except StoreError:  # not there yet, or older: the engine makes or migrates it
        engine = None
    if engine is not None and (engine.alive or engine.stuck):
        return Started(f"no engine was started: {engine.stuck}" if engine.stuck else "")
    log = Path(url.removeprefix("sqlite:///")).expanduser().parent / "engine.log"
    process = start_engine(url, config, log, "--only-if-free")  # two consoles may open at once
    try:
        code = process.wait(AT_ONCE_SECONDS)
    except subprocess.TimeoutExpired:
        words = f"an engine was started (process {process.pid}, log {log}) and goes on; headway engine stop ends it"
        return Started(words, process, log)
    words = f"the engine that was started ended at once ({code}): {_last_words(log)}" if code else ""
    return Started(words, ended_at_once=words)


def unwatched_words(url: str) -> str:
    """That no engine works on a store, for whoever leaves it; empty where one does, or nobody can tell."""
    from console.store.errors import StoreError
    from console.store.reads import open_reads

    try:
        with open_reads(url) as reads:
            engine = reads.engine()
    except StoreError:
        return ""
    if engine.alive:
        return ""
    since = f" since {stamp(engine.heartbeat)}" if engine.heartbeat is not None else ""
    if engine.stuck:
        return f"NOTHING IS WATCHED{since}: {engine.stuck}"
    return f"NO ENGINE works on this store{since}: nothing is watched and no alert leaves; headway engine starts one"


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return clean_line(lines[-1], WORDS_LIMIT) if lines else f"see {log}"


def start_with_us(url: str, config: Path, log: Path, *more: str) -> subprocess.Popen[bytes]:
    """The same, and it ends with this process, however that ends: also while the engine is still being started."""
    return start_engine(url, config, log, f"--with-parent={os.getpid()}", *more)


def start_engine(url: str, config: Path, log: Path, *more: str) -> subprocess.Popen[bytes]:
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
