"""From a key written to the first changed screen, in the table of 100,000 jobs with 1,000,000 runs, p95.

Beside each stands the same key in an empty Textual app that changes one line: what is above it is ours. `down_in_storm`
is `down` while another process commits 10,000 run changes a second to the store that is on the screen.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.bigstore import big_store, storm
from tests.bench.figures import Figure, arguments, emit
from tests.bench.start import JOBS, SIZE, quiet_env
from tests.pty.terminal import Terminal

STORM_A_SECOND = 10_000
CONSOLE = "from console.tui.start import run_console; run_console({path!r}, screen='jobs')"
EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    n = 0
    def compose(self):
        yield Static("key 0")
    def on_key(self):
        self.n += 1
        self.query_one(Static).update(f"key {self.n}")
Empty().run()
"""


def p95(times: Sequence[float]) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]


def timed(terminal: Terminal, keys: Sequence[str], count: int) -> list[float]:
    """Milliseconds of `count` answers, the keys in turn; a key without an answer counts as two seconds."""
    times = []
    for number in range(count):
        answer = terminal.answer_ms(keys[number % len(keys)])
        times.append(2000.0 if answer is None else answer)
        terminal.settle(0.03, 0.3)
    return times


def escapes(terminal: Terminal, open_with: str, count: int) -> list[float]:
    """Escape closes what `open_with` opened."""
    times = []
    for _ in range(count):
        terminal.press(open_with)
        terminal.settle(0.2, 2)
        times += timed(terminal, ["escape"], 1)
        terminal.settle(0.05, 1)
    return times


def measure(quick: bool) -> list[Figure]:
    """The figures, in the order of the issue."""
    count, few = (60, 15) if quick else (200, 50)
    path = big_store(JOBS, 10 * JOBS)
    env = quiet_env(Path(tempfile.gettempdir()) / f"headway-bench-{os.getuid()}", True)
    with Terminal([sys.executable, "-c", EMPTY], SIZE, env) as terminal:
        terminal.wait_for("key 0")
        terminal.settle()
        floor = {
            "down": p95(timed(terminal, ["down"], count)),
            "page": p95(timed(terminal, ["pagedown"], few)),
            "end": p95(timed(terminal, ["end"], few)),
            "esc": p95(timed(terminal, ["escape"], few)),
        }
    with Terminal([sys.executable, "-c", CONSOLE.format(path=str(path))], SIZE, env) as terminal:
        terminal.wait_for(f"1 of {JOBS:,}", 60)
        terminal.settle(0.3)
        down = p95(timed(terminal, ["down"], count))
        page = p95(timed(terminal, ["pagedown"], few))
        end = p95(timed(terminal, ["end", "home"], few))
        esc = p95(escapes(terminal, "i", few))
    figures = [("down", down), ("page", page), ("end", end), ("esc", esc)]
    anchor = "the same key in an empty Textual app"
    found = [Figure(name, value, "ms", anchor, floor[name]) for name, value in figures]
    return [*found, Figure("down_in_storm", in_storm(path, env, count), "ms", anchor, floor["down"])]


def in_storm(path: Path, env: dict[str, str], count: int) -> float:
    """p95 of `down` beside a writer, on a copy of the store. Raises RuntimeError when the writer was too slow."""
    with tempfile.TemporaryDirectory(prefix="headway-storm-") as folder:
        copy = Path(folder) / "store.db"
        shutil.copyfile(path, copy)
        seconds = count * 0.06 + 4
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            with Terminal([sys.executable, "-c", CONSOLE.format(path=str(copy))], SIZE, env) as terminal:
                terminal.wait_for(f"1 of {JOBS:,}", 60)
                written = pool.apply_async(storm, (copy, STORM_A_SECOND, seconds))
                terminal.settle(0.2, 2)
                answer = p95(timed(terminal, ["down"], count))
            done = written.get(seconds + 60)
        if done < 0.8 * STORM_A_SECOND * seconds:
            print(f"keys: the storm reached only {done / seconds:,.0f} changes a second", file=sys.stderr)
        return answer


if __name__ == "__main__":
    given = arguments(__doc__ or "")
    emit("keys", measure(given.quick), given.json)
