"""From a key written to the first changed screen, in the tables of 100,000 jobs and of 1,000,000 runs.

Anchor: the same key in an empty Textual app that changes one line; the rest is ours. `down_in_storm` is `down` while
another process commits 10,000 run changes a second to the store that is on the screen."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

from tests.bench.bigstore import big_store, storm
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.bench.fullstore import full_store
from tests.bench.start import JOBS, SIZE, quiet_env
from tests.pty.terminal import Terminal

STORM_A_SECOND = 10_000
SERVICES = 5_000
CONSOLE = "from console.tui.app.start import run_console; run_console({path!r}, screen='jobs')"
ANCHOR = "the same key in an empty Textual app"
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


def jobs_screen(path: Path) -> list[str]:
    return [sys.executable, "-c", CONSOLE.format(path=str(path))]


def p95(times: Sequence[float]) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]


def timed(terminal: Terminal, keys: Sequence[str], count: int) -> list[float]:
    """Milliseconds of `count` answers, the keys in turn; a key without an answer counts as two seconds."""
    return [_answered(terminal, keys[number % len(keys)]) for number in range(count)]


def _answered(terminal: Terminal, key: str) -> float:
    answer = terminal.answer_ms(key)
    terminal.settle(0.03, 0.3)
    return 2000.0 if answer is None else answer


def beside(ours: Terminal, bare: Terminal, name: str, keys: Sequence[str], count: int) -> Iterator[Figure]:
    """Each key in both apps in turn, so that other load on the machine affects both alike: p95 and the median."""
    pairs = [
        (_answered(bare, key), _answered(ours, key)) for key in (keys[number % len(keys)] for number in range(count))
    ]
    floor, results = [value for value, _ in pairs], [value for _, value in pairs]
    yield Figure(name, p95(results), "ms, p95", ANCHOR, p95(floor))
    yield Figure(f"{name}_median", median(results), "ms", ANCHOR, median(floor))


def escapes(ours: Terminal, bare: Terminal, open_with: str, count: int) -> Figure:
    """Escape closes what `open_with` opened."""
    times, floor = [], []
    for _ in range(count):
        ours.press(open_with)
        ours.settle(0.2, 2)
        floor += timed(bare, ["escape"], 1)
        times += timed(ours, ["escape"], 1)
    return Figure("esc", p95(times), "ms, p95", ANCHOR, p95(floor))


def measure(quick: Scale) -> Iterator[Figure]:
    """The figures, in the order of the issue: the table of jobs, then that of runs, then both under a storm."""
    count, few = quick.of(200, 60, 10), quick.of(50, 15, 2)
    path = big_store(JOBS, 10 * JOBS)
    env = quiet_env(Path(tempfile.gettempdir()) / f"headway-bench-{os.getuid()}", True)
    with Terminal([sys.executable, "-c", EMPTY], SIZE, env) as bare, Terminal(jobs_screen(path), SIZE, env) as ours:
        bare.wait_for("key 0")
        ours.wait_for(f"1 of {JOBS:,}")
        ours.settle(0.3)
        for table, rows in (("", JOBS), ("runs_", 10 * JOBS)):
            if table:
                ours.press("7")
                ours.wait_for(f"1 of {rows:,}")
                ours.settle(0.3)
            yield from beside(ours, bare, f"{table}down", ["down"], count)
            yield from beside(ours, bare, f"{table}page", ["pagedown"], few)
            yield from beside(ours, bare, f"{table}end", ["end", "home"], few)
        yield escapes(ours, bare, "i", few)
    yield from in_storm(path, env, count, count * 0.12 + quick.of(10, 10, 1))


def lists(quick: Scale) -> Iterator[Figure]:
    """The tables that are read whole, of 5,000 services, of their incidents and of what was requested. Of Services all
    are shown: what is well is not folded."""
    services, count = quick.of(SERVICES, SERVICES, 500), quick.of(50, 10, 2)
    path = full_store(services)
    env = quiet_env(Path(tempfile.gettempdir()) / f"headway-bench-{os.getuid()}", True)
    with Terminal([sys.executable, "-c", EMPTY], SIZE, env) as bare:
        bare.wait_for("key 0")
        yield from _lists(path, services, bare, env, count)


def _lists(path: Path, services: int, bare: Terminal, env: dict[str, str], count: int) -> Iterator[Figure]:
    for screen, row in (("services", f"SERVICES {services}"), ("incidents", "INCIDENTS"), ("actions", "ACTIONS")):
        code = f"from console.tui.app.start import run_console; run_console({str(path)!r}, screen={screen!r})"
        with Terminal([sys.executable, "-c", code], SIZE, env) as ours:
            ours.wait_for(row)
            ours.settle(0.5)
            if screen == "services":
                ours.press("z")
                ours.settle(0.5)
            for name, keys in (("down", ["down"]), ("page", ["pagedown", "pageup"]), ("end", ["end", "home"])):
                yield from beside(ours, bare, f"{screen}_{name}", keys, count)


def in_storm(path: Path, env: dict[str, str], count: int, seconds: float) -> Iterator[Figure]:
    """`down` beside a writer of so many seconds, on a copy of the store; and how old what the screen shows is
    meanwhile: from the commit of a row's new name to that name on the screen."""
    with tempfile.TemporaryDirectory(prefix="headway-storm-") as folder:
        copy = Path(folder) / "store.db"
        shutil.copyfile(path, copy)
        with (
            multiprocessing.get_context("spawn").Pool(1) as pool,
            Terminal([sys.executable, "-c", EMPTY], SIZE) as bare,
        ):
            bare.wait_for("key 0")
            with Terminal(jobs_screen(copy), SIZE, env) as ours:
                ours.wait_for(f"1 of {JOBS:,}")
                written = pool.apply_async(storm, (copy, STORM_A_SECOND, seconds))
                ours.settle(0.2, 2)
                yield from beside(ours, bare, "down_in_storm", ["down"], count)
                lags = [_lag(ours, copy, number) for number in range(count // 10)]
            done = written.get(seconds + 60)
        yield Figure("lag_in_storm", p95(lags), "ms from a commit to the screen, p95")
        yield Figure("storm", done / seconds, "run changes a second beside it")


def _lag(terminal: Terminal, path: Path, number: int) -> float:
    jobs = re.findall(r"host\d\d:job_\d{6}|lag-\d+", terminal.text)
    assert jobs, f"no job is in view:\n{terminal.text}"
    shown = jobs[len(jobs) // 2]  # a key that is answered late may still scroll the first one away
    name = f"lag-{number:04d}"
    with closing(sqlite3.connect(path, timeout=30)) as db, db:
        cursor = db.execute("UPDATE job SET name = ? WHERE name LIKE '%' || ?", (name, shown))
        assert cursor.rowcount == 1, shown
    at = time.perf_counter()
    terminal.wait_for(name)
    return (terminal.read_at - at) * 1000


if __name__ == "__main__":
    given = arguments(__doc__ or "")
    emit("keys", measure(given.quick), given.json)
