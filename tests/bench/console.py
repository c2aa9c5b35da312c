"""The console on 100,000 jobs and 1,000,000 runs, as a real process in a pseudo-terminal, beside what others use.

Aims: start ≤ 1.6 × an empty Textual app; a step ≤ 20 ms, a page 25, End 40, a step beside a writer of 10,000 run
changes a second 25, Esc 150 (p95); a letter of the filter to its rows < 100 ms; memory < 100 MB; over a line of 1 MB/s
and 20 ms a key is answered within 100 ms (p95) and a held-down `j` stops within 200 ms after it is let go.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.bench import commits, keys, large, lineage, peers, start
from tests.bench.bigstore import big_store
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.bench.keys import p95
from tests.bench.start import JOBS, SIZE, quiet_env
from tests.pty.terminal import Terminal

SCREEN = "from console.tui.app.start import run_console; run_console({path!r}, screen={screen!r})"
FILTERS = ("77777", "31415", "~994", "-00000", "27182")
"""Each letter leaves other rows of the big store: what is waited for is another count."""
FIELDS = ("state:f", "system:a", "owner:team-3", "tier:2")
LINE, SLOW_LINE = 1_000_000, 64_000
"""Bytes a second."""
ROUND_TRIP_MS = 20.0
HELD_SECONDS = 2.0
KEYS_A_SECOND = 30
_COUNT = re.compile(r"JOBS(?:  row \S+ of (\S+)| (0))")


class SlowTerminal(Terminal):
    """Takes no more than so many bytes a second from the program."""

    rate = LINE

    def read(self, seconds: float) -> bool:
        before, began = len(self.received), time.perf_counter()
        result = super().read(seconds)
        due = (len(self.received) - before) / self.rate
        time.sleep(max(0.0, due - (time.perf_counter() - began)))
        return result

    def texts(self, ends: Sequence[int]) -> Iterator[str]:
        """The screen as it was after so many bytes each. The emulation is as slow as a line: it comes afterwards."""
        begin, unseen = len(self.received) - len(self._unseen), bytes(self._unseen)
        for end in ends:
            self._unseen[:] = unseen[: end - begin]
            begin, unseen = end, unseen[end - begin :]
            yield self.text


class VerySlowTerminal(SlowTerminal):
    rate = SLOW_LINE


@contextmanager
def opened(screen: str, kind: type[Terminal] = Terminal) -> Iterator[Terminal]:
    """The console on a screen of the big store, once it is quiet."""
    env = quiet_env(Path(tempfile.gettempdir()) / f"headway-bench-{os.getuid()}", True)
    code = SCREEN.format(path=str(big_store(JOBS, 10 * JOBS)), screen=screen)
    with kind([sys.executable, "-c", code], SIZE, env) as terminal:
        terminal.wait_for(start.ROW if screen == "services" else f"1 of {JOBS:,}")
        terminal.settle(0.3)
        yield terminal


def count_of(text: str) -> str:
    """How many rows the title says there are; "128…" while only the first page is there."""
    match = _COUNT.search(text)
    return (match[1] or match[2]) if match else ""


def filter_keys(terminal: Terminal, texts: Sequence[str], by_letter: bool) -> tuple[list[float], list[float]]:
    """Milliseconds from a key of the filter to the first rows that it leaves, and to their whole count. Of words not
    `by_letter` only the last key counts: the letters before it are no filter yet."""
    first, whole = [], []
    for text in texts:
        terminal.press("/")
        terminal.settle(0.2, 2)
        letters = text if by_letter else text[-1]
        for letter in text[: len(text) - len(letters)]:
            terminal.press(letter)
            terminal.settle(0.15, 2)
        terminal.wait_for(lambda text: "…" not in count_of(text))
        for number, letter in enumerate(letters):
            before = count_of(terminal.text)
            at = terminal.press(letter)
            if letter in "-~" and not number:
                terminal.settle(0.2, 2)
                continue
            terminal.wait_for(lambda text, before=before: count_of(text) not in ("", before))  # type: ignore[misc]
            first.append((terminal.read_at - at) * 1000)
            terminal.wait_for(lambda text: "…" not in count_of(text))
            whole.append((terminal.read_at - at) * 1000)
            terminal.settle(0.05, 1)
        terminal.press("enter", "escape")
        terminal.wait_for(lambda text: count_of(text) == f"{JOBS:,}")
        terminal.settle(0.1, 2)
    return first, whole


def sent_for(terminal: Terminal, key: str, count: int) -> float:
    """Bytes to the terminal for each press, the mean; nothing else changes on the screen meanwhile."""
    before = len(terminal.received)
    for _ in range(count):
        terminal.press(key)
        terminal.settle(0.05, 0.5)
    return (len(terminal.received) - before) / count


def idle_bytes(terminal: Terminal, seconds: float) -> float:
    """Bytes to the terminal in a minute in which nobody touches it and the store is at rest."""
    terminal.settle(0.3, 2)
    before, until = len(terminal.received), time.perf_counter() + seconds
    while (remaining := until - time.perf_counter()) > 0:
        terminal.read(remaining)
    return (len(terminal.received) - before) * 60 / seconds


def held_down(kind: type[SlowTerminal], seconds: float) -> float:
    """Milliseconds from letting `j` go to the last byte that moves the cursor, over a slow line. The terminal's own
    queue of keys counts: the last was written when it was let go."""
    with opened("jobs", kind) as terminal:
        assert isinstance(terminal, SlowTerminal)
        until, at = time.perf_counter() + seconds, 0.0
        while time.perf_counter() < until:
            at = terminal.press("j")
            due = at + 1 / KEYS_A_SECOND
            while (remaining := due - time.perf_counter()) > 0:
                terminal.read(remaining)
        reads = [(at, len(terminal.received))]
        while time.perf_counter() < at + 3:
            if terminal.read(0.1):
                reads.append((terminal.read_at, len(terminal.received)))
        row, stopped = "", at
        for (read_at, _), text in zip(reads, terminal.texts([end for _, end in reads]), strict=True):
            match = re.search(r"row (\S+) of", text)
            if match and match[1] != row:
                row, stopped = match[1], read_at
        return (stopped - at) * 1000


def over_the_line(count: int) -> list[float]:
    """Milliseconds from a key that scrolls to its row, over the line and back."""
    with opened("jobs", SlowTerminal) as terminal:
        for _ in range(SIZE[1]):
            terminal.press("down")
            terminal.settle(0.05, 0.5)
        return [time_ms + ROUND_TRIP_MS for time_ms in keys.timed(terminal, ["down"], count)]


def filters(quick: Scale) -> Iterator[Figure]:
    with opened("jobs") as terminal:
        first, whole = filter_keys(terminal, FILTERS[: quick.of(len(FILTERS), 3, 1)], by_letter=True)
        fields, _ = filter_keys(terminal, FIELDS[: quick.of(len(FIELDS), 3, 1)], by_letter=False)
    yield Figure("filter_key", p95(first), "ms to the first rows, p95 of letters")
    yield Figure("filter_key_median", median(first), "ms to the first rows")
    yield Figure("filter_whole", p95(whole), "ms to the whole count, p95 of letters")
    yield Figure("filter_field", p95(fields), "ms to the first rows, a field's last letter")


def memory(quick: Scale) -> Iterator[Figure]:
    with opened("jobs") as terminal:
        terminal.press("end")
        terminal.wait_for(f"{JOBS:,} of {JOBS:,}")
        terminal.press("7")
        terminal.wait_for(f"1 of {10 * JOBS:,}")
        terminal.press("end")
        terminal.wait_for(f"{10 * JOBS:,} of {10 * JOBS:,}")
        terminal.settle()
        yield Figure("console_rss", terminal.rss_mib, "MiB, after all jobs and a million runs")


def on_the_line(quick: Scale) -> Iterator[Figure]:
    with opened("jobs") as terminal:
        steps, pages = quick.of(20, 20, 2), quick.of(10, 10, 1)
        yield Figure("bytes_per_key", sent_for(terminal, "down", steps), "bytes a step")
        yield Figure("bytes_per_page", sent_for(terminal, "pagedown", pages), "bytes a page")
        yield Figure("bytes_per_scroll", sent_for(terminal, "down", steps), "bytes a step that scrolls")
    with opened("services") as terminal:
        yield Figure("bytes_idle_minute", idle_bytes(terminal, quick.of(60, 20, 2)), "bytes")


def held(quick: Scale) -> Iterator[Figure]:
    for name, kind, line in (("", SlowTerminal, "1 MB/s"), ("slow_", VerySlowTerminal, "64 kB/s")):
        seconds = HELD_SECONDS / quick.of(1, 1, 4)
        times = [held_down(kind, seconds) for _ in range(quick.of(7, 3, 1))]
        yield Figure(f"held_key_{name}stops", max(times), f"ms, {line}, the longest")
        yield Figure(f"held_key_{name}stops_median", median(times), f"ms, {line}")
    times = over_the_line(quick.of(100, 40, 2))
    yield Figure("key_over_line", p95(times), "ms, p95, 1 MB/s and 20 ms")
    yield Figure("key_over_line_median", median(times), "ms, 1 MB/s and 20 ms")


def starts(quick: Scale) -> Iterator[Figure]:
    return (figure for figure in start.measure(quick) if figure.name != "console_rss")


PARTS: dict[str, Callable[[Scale], Iterable[Figure]]] = {
    "start": starts, "keys": keys.measure, "lists": keys.lists, "filter": filters, "memory": memory,
    "bytes": on_the_line, "held": held, "lineage": lineage.lineage_5000,
    "commits": commits.measure, "peers": peers.measure, "large": large.measure,
}  # fmt: skip


SLOW = ("start", "peers")
"""Parts that the quick form leaves out."""
ELSEWHERE = (*SLOW, "keys", "lineage")
"""Parts that the smoke form leaves out: benchmarks of their own, and what takes long."""


def everything(quick: Scale, only: Sequence[str]) -> Iterator[Figure]:
    """All figures of the console, the peers' beside them, or those of some parts; quickly, neither starts nor peers;
    a million jobs only with --only large."""
    skipped = ("large", *((), SLOW, ELSEWHERE)[quick])
    for name in only or [name for name in PARTS if name not in skipped]:
        yield from PARTS[name](quick)


if __name__ == "__main__":
    given = arguments(__doc__ or "", tuple(PARTS))
    emit("console", everything(given.quick, given.only or ()), given.json)
