"""The first poll of a new config by an engine of its own, which ends with us, and the service that history proposes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.cli.common import Stop, say, say_lines
from console.cli.detached import start_with_us
from console.cli.exits import Exit
from console.cli.first_poll import Stage, Watch
from console.cli.first_service import first_service
from console.paths import NoStore, store_url

END_SECONDS = 10.0


def read_back(path: Path, text: str, zone: str, asks: bool, seconds: float) -> int:
    """Polls until all history is read, then proposes; the exit code."""
    try:
        url = store_url(path)
    except NoStore as error:
        raise Stop(Exit.USAGE, str(error)) from None
    if os.path.exists(url):
        say(f"{url} is there already: its history and its mode, shadow or live, stay as they are")
    log = Path(url).parent / "engine.log"
    say_lines(["", "The first poll reads back what history each source still has:"])
    with _engine(url, path, log) as engine:
        found = Watch(url, engine, log, seconds).run()
    code = _told(found, log)
    if any(not one.error for one in found):
        first_service(url, path, text, zone, asks)
    return code


@contextmanager
def _engine(url: str, config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An engine for as long as this takes: nothing goes on behind the back of who has not said so."""
    engine = start_with_us(url, config, log, "--only-if-free")
    try:
        yield engine
    finally:
        engine.terminate()
        try:
            engine.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            engine.kill()
            engine.wait()


def _told(found: list[Stage], log: Path) -> int:
    """What came of the first poll; PROBLEM where something could not be read."""
    if not found:
        say(f"no target was polled; the engine's log says why: {log}")
        return Exit.PROBLEM
    late = [one.name for one in found if not one.is_over]
    if late:
        say(f"still at it: {', '.join(late)}; the engine goes on where it stopped, once it is started")
    for one in found:
        if one.error:
            say(f"{one.name}: {one.error}")
    jobs, runs = sum(one.jobs for one in found), sum({one.name.partition("/")[0]: one.runs for one in found}.values())
    say_lines([f"Known now: {jobs:,} jobs, {runs:,} runs."])
    return Exit.PROBLEM if late or any(one.error for one in found) else Exit.OK
