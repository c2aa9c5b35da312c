"""From starting `headway` until rows of the first screen are read, with 100,000 jobs in the store.

Anchor: an empty Textual app, started in turn with it in the same way; the rest is ours. Medians; on a busy machine
those of the processor time are more reliable. Each start has an empty home and so no settings. Aim: ratio ≤ 1.6,
memory ≤ 100 MB."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.bigstore import big_store
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.pty.terminal import Terminal

SIZE = (120, 36)
JOBS = int(os.environ.get("BENCH_JOBS", "100000"))
"""Of the big store, which has ten times as many runs."""
ROW = "Service 12"
"""Stands in a row of the big store's first screen."""
EMPTY = f"""
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("{ROW}")
Empty().run()
"""


@dataclass(frozen=True, slots=True)
class Start:
    """One start: to the first rows, and the memory once it was quiet."""

    wall_ms: float
    cpu_ms: float
    rss_mib: float


def start(argv: Sequence[str], env: Mapping[str, str], settle: bool) -> Start:
    with TemporaryDirectory(prefix="headway-start-") as home, Terminal(argv, SIZE, {**env, "HOME": home}) as terminal:
        terminal.wait_for(ROW)
        wall, cpu = (terminal.read_at - terminal.started_at) * 1000, terminal.cpu_ms
        if settle:
            terminal.press("3")
            terminal.wait_for(f"1 of {JOBS:,}")
            terminal.press("end")
            terminal.wait_for(f"{JOBS:,} of {JOBS:,}")
            terminal.settle()
        return Start(wall, cpu, terminal.rss_mib)


def quiet_env(folder: Path, compiled: bool) -> dict[str, str]:
    """An environment without the person's settings; byte code in a folder of our own, or never."""
    env = {"HOME": str(folder), "PYTHONPYCACHEPREFIX": str(folder / ("pyc" if compiled else "no-pyc"))}
    return env | {"PYTHONDONTWRITEBYTECODE": "" if compiled else "1"}


def measure(quick: Scale) -> list[Figure]:
    """The figures, in the order of the issue."""
    console = [sys.executable, "-m", "console", "--store", str(big_store(JOBS, 10 * JOBS))]
    empty = [sys.executable, "-c", EMPTY]
    folder = Path(tempfile.gettempdir()) / f"headway-bench-{os.getuid()}"
    with_code, without = quiet_env(folder, True), quiet_env(folder, False)
    for argv in (console, empty):
        start(argv, with_code, settle=False)  # writes the byte code
    ours, bare = [], []
    for _ in range(quick.of(21, 11, 1)):
        bare.append(start(empty, with_code, settle=False))
        ours.append(start(console, with_code, settle=False))
    cold = [(start(console, without, False), start(empty, without, False)) for _ in range(quick.of(4, 2, 1))]
    settled = start(console, with_code, settle=True)
    anchor = "an empty Textual app"
    return [
        Figure("first_paint", middle(ours, "wall_ms"), "ms", anchor, middle(bare, "wall_ms")),
        Figure("first_paint_cpu", middle(ours, "cpu_ms"), "ms", anchor, middle(bare, "cpu_ms")),
        Figure("first_paint_without_bytecode", middle([start for start, _ in cold], "wall_ms"), "ms",
               anchor, middle([start for _, start in cold], "wall_ms")),
        Figure("console_rss", settled.rss_mib, "MiB", anchor, bare[-1].rss_mib),
    ]  # fmt: skip


def middle(starts: Sequence[Start], what: str) -> float:
    return float(median(getattr(start, what) for start in starts))


if __name__ == "__main__":
    given = arguments(__doc__ or "")
    emit("start", measure(given.quick), given.json)
