"""An engine of its own for an embedded store: detached, so that a lost SSH line does not end the alerts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def start_if_needed(url: str, config: Path) -> str:
    """Starts an engine on a SQLite store that nobody works on; what was done, in words, empty for nothing."""
    from console.store.errors import StoreError, StoreTooNew
    from console.store.reads import open_reads

    try:
        with open_reads(url) as reads:
            engine = reads.header().engine
    except StoreTooNew as error:
        return f"no engine was started: {error}"
    except StoreError:  # not there yet, or older: the engine makes or migrates it
        engine = None
    if engine is not None and engine.alive:
        return ""
    log = Path(url).parent / "engine.log"
    process = start_engine(url, config, log, "--only-if-free")  # two consoles may open at once
    return f"an engine was started (process {process.pid}, log {log}) and goes on; headway engine stop ends it"


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
