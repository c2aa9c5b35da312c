"""Keys and reads on 1,000,000 jobs and 10,000,000 runs (--runs 50000000), on SQLite and PostgreSQL: what grows?

Anchor of each figure: the same on a tenth of the jobs and runs, taken in turn. `read_*` is one query of a screen,
without the console; `key_*` is from a key to the first changed screen, `key_*_cpu` the CPU time of the console until
then, which other load on the machine hardly changes. Aim: p95 of a key at most 25 ms. The stores are made once and stay
in the temporary folder."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from console.domain.filter import JobFilter
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from tests.bench.figures import Figure, Scale, emit, parser_of
from tests.bench.fullstore import full_store
from tests.bench.keys import p95
from tests.bench.postgres_store import postgres_copy
from tests.bench.start import SIZE, quiet_env
from tests.pty.terminal import Terminal

CONSOLE = "from console.tui.app.start import run_console; run_console({url!r}, screen={screen!r})"
SERVICES = 1_000
SHARE = 10
"""The estate beside has a tenth of the jobs and runs, and as many services and incidents."""
READS: dict[str, Callable[[Queries, int], Any]] = {
    "header": lambda reads, _: reads.estate.header(),
    "board": lambda reads, _: reads.service_days.timeline(),
    "jobs_page": lambda reads, _: reads.jobs.jobs_first_page(JobFilter()),
    "jobs_by_name": lambda reads, _: reads.jobs.jobs_first_page(JobFilter(), "name"),
    "jobs_by_age": lambda reads, _: reads.jobs.jobs_first_page(JobFilter(), "age"),
    "jobs_by_deadline": lambda reads, _: reads.jobs.jobs_first_page(JobFilter(), "deadline"),
    "jobs_failed": lambda reads, _: reads.jobs.jobs_first_page(JobFilter(states=("failed",))),
    "jobs_text": lambda reads, _: reads.jobs.jobs_first_page(JobFilter(terms=("77777",))),
    "jobs_rows": lambda reads, job: reads.jobs.jobs_by_ids(range(max(job - 60, 1), job)),
    "jobs_all": lambda reads, _: reads.jobs.job_ids(JobFilter()),
    "job": lambda reads, job: reads.jobs.job(job),
    "incidents": lambda reads, _: reads.incidents.list_incidents(),
    "incident": lambda reads, job: reads.incidents.incident(job % (SERVICES // 2) + 1),
    "runs_page": lambda reads, _: reads.run_table.runs_first_page(JobFilter()),
}
SCREENS = {
    "services": (("down", ["down"]), ("page", ["pagedown", "pageup"])),
    "jobs": (("down", ["down"]), ("page", ["pagedown"]), ("open", ["enter", "escape"])),
    "incidents": (("down", ["down"]), ("open", ["enter", "escape"])),
}


def reads_of(urls: dict[str, tuple[str, str]], jobs: int, count: int) -> Iterator[Figure]:
    for database, (url, smaller) in urls.items():
        with open_queries(url) as large, open_queries(smaller) as small:
            for name, read in READS.items():
                numbers = random.Random(7)
                times: tuple[list[float], list[float]] = ([], [])
                for _ in range(count):
                    job = numbers.randrange(1, jobs // SHARE)
                    for reads, place, spent in ((large, job * SHARE, times[0]), (small, job, times[1])):
                        started = time.perf_counter()
                        read(reads, place)
                        spent.append((time.perf_counter() - started) * 1e3)
                yield Figure(f"read_{name}_{database}", median(times[0]), "ms", "a tenth", median(times[1]))


def keys_of(urls: dict[str, tuple[str, str]], jobs: int, count: int, screens: int = len(SCREENS)) -> Iterator[Figure]:
    env = quiet_env(Path(tempfile.gettempdir()) / f"headway-bench-{os.getuid()}", True)
    for database, both in urls.items():
        for screen, groups in islice(SCREENS.items(), screens):
            with ExitStack() as stack:
                terminals = [stack.enter_context(Terminal(_console(url, screen), SIZE, env)) for url in both]
                for terminal, number in zip(terminals, (jobs, jobs // SHARE), strict=True):
                    terminal.wait_for(f"1 of {number:,}" if screen == "jobs" else screen.upper())
                    if screen == "services":
                        terminal.press("z")  # those without a problem are folded
                    terminal.settle(0.5, 5)
                for name, keys in groups:
                    times: list[list[float]] = [[], []]
                    spent: list[list[float]] = [[], []]
                    for number in range(count):
                        for place, terminal in enumerate(terminals):
                            answer, cpu = _answered(terminal, keys[number % len(keys)])
                            times[place].append(answer)
                            spent[place].append(cpu)
                    figure = f"key_{screen}_{name}_{database}"
                    yield Figure(figure, p95(times[0]), "ms, p95", "a tenth", p95(times[1]))
                    yield Figure(f"{figure}_cpu", p95(spent[0]), "CPU ms, p95", "a tenth", p95(spent[1]))
                    yield Figure(f"{figure}_cpu_median", median(spent[0]), "CPU ms", "a tenth", median(spent[1]))


def _answered(terminal: Terminal, key: str) -> tuple[float, float]:
    """Milliseconds to the answer (2,000 without one), and milliseconds of CPU of the console until then. The next key
    waits until the screen is at rest."""
    before = _cpu_ms(terminal)
    answer = terminal.answer_ms(key)
    spent = _cpu_ms(terminal) - before
    terminal.settle(0.1, 1.0)
    return (2000.0 if answer is None else answer), spent


def _cpu_ms(terminal: Terminal) -> float:
    """CPU time of all threads of the console."""
    return time.clock_gettime(~terminal.pid << 3 | 2) * 1e3  # CPUCLOCK_SCHED of another process


def _console(url: str, screen: str) -> list[str]:
    return [sys.executable, "-c", CONSOLE.format(url=url, screen=screen)]


def measure(quick: Scale, jobs: int = 0, runs: int = 0, keys: bool = False) -> Iterator[Figure]:
    jobs = jobs or quick.of(1_000_000, 20_000, 2_000)
    runs = runs or quick.of(10_000_000, 200_000, 20_000)
    large, small = full_store(SERVICES, jobs, runs), full_store(SERVICES, jobs // SHARE, runs // SHARE)
    yield Figure("jobs", jobs, "jobs", "a tenth", jobs // SHARE)
    yield Figure("runs", runs, "runs", "a tenth", runs // SHARE)
    yield Figure("size_sqlite", large.stat().st_size / 1e9, "GB", "a tenth", small.stat().st_size / 1e9)
    if keys:
        yield from keys_of({"sqlite": (str(large), str(small))}, jobs, 60)
        return
    with postgres_copy(large) as url, postgres_copy(small) as smaller:
        urls = {"sqlite": (str(large), str(small)), "postgres": (url, smaller)}
        yield from reads_of(urls, jobs, quick.of(20, 10, 2))
        answering = dict(list(urls.items())[: quick.of(2, 2, 1)])
        yield from keys_of(answering, jobs, quick.of(60, 20, 2), quick.of(3, 3, 1))


if __name__ == "__main__":
    parser = parser_of(__doc__ or "")
    parser.add_argument("--jobs", type=int, default=0, help="jobs of the larger estate")
    parser.add_argument("--runs", type=int, default=0, help="its runs")
    parser.add_argument("--keys", action="store_true", help="only the keys of the console, on SQLite, 60 times each")
    given = parser.parse_args()
    emit("large", measure(given.quick, given.jobs, given.runs, given.keys), given.json)
