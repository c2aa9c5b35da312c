"""The first poll, watched: each target from asked to read back, as a bar at a terminal, as lines elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from console.charset import takes_utf8
from console.clean import clean_line
from console.cli.common import say
from console.cli.table import terminal_width
from console.model.views import TargetView

LOOK_SECONDS = 0.25
BAR = 12
STEPS = ("asked", "answered", "reading history back", "read")
"""What a target goes through, as far as the store tells it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One target and how far it is."""

    name: str
    step: int
    jobs: int
    runs: int
    error: str = ""

    @property
    def is_over(self) -> bool:
        return bool(self.error) or self.step == len(STEPS) - 1

    @property
    def words(self) -> str:
        if self.error:
            return f"cannot be read: {self.error}"
        counted = f"{self.jobs:,} jobs, {self.runs:,} runs" if self.step else ""
        return ", ".join(filter(None, (STEPS[self.step], counted)))


class Look:
    """Every target as the store knows it, each time it is called; nothing before there is one. Runs are counted as they
    come: what was counted is not read again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runs: Counter[str] = Counter()
        self._counted = 0

    def __call__(self) -> list[Stage]:
        from console.store.errors import StoreError
        from console.store.reads import open_reads

        try:
            with open_reads(self._url) as reads:
                found = reads.systems()
                self._counted, more = reads.runs_read_after(self._counted)
        except StoreError:
            return []
        self._runs.update(more)
        return [_stage(one, self._runs[one.system]) for one in found]


def _stage(one: TargetView, runs: int) -> Stage:
    """Rights are looked at when all pages of the first poll are stored: with them it is read."""
    step = 0 if one.last_ok is None else 3 if one.rights or one.version else 2 if runs else 1
    error = clean_line(one.error) if one.failing_since is not None else ""
    return Stage(f"{one.system}/{one.name}", step, one.jobs, runs, error)


@dataclass
class Watch:
    """Tells how far all targets are, to a terminal by bars that are painted over, else by a line for each step."""

    url: str
    engine: subprocess.Popen[bytes]
    log: Path
    seconds: float
    _told: dict[str, int] = field(default_factory=dict)
    _lines: int = 0

    def run(self) -> list[Stage]:
        """The stages at the end: all over, or as far as they came when the time was up or the engine ended."""
        until, look = time.monotonic() + self.seconds, Look(self.url)
        while True:
            found = look()
            self._tell(found)
            done = bool(found) and all(one.is_over for one in found)
            if done or time.monotonic() > until:
                return found
            if self.engine.poll() is not None:
                say(f"the engine ended at once; its log is {self.log}")
                return found
            time.sleep(LOOK_SECONDS)

    def _tell(self, found: list[Stage]) -> None:
        if sys.stderr.isatty():
            self._paint(found)
            return
        for one in found:
            step = len(STEPS) if one.error else one.step
            if self._told.get(one.name, -1) < step:
                self._told[one.name] = step
                say(f"  {one.name}: {one.words}")

    def _paint(self, found: list[Stage]) -> None:
        width = (terminal_width(sys.stderr) or 80) - 1
        names = max((len(one.name) for one in found), default=0)
        lines = [_line(one, min(names, 30), width) for one in found]
        up = f"\x1b[{self._lines}A" if self._lines else ""
        sys.stderr.write(up + "".join(f"\r\x1b[K{line}\n" for line in lines))
        sys.stderr.flush()
        self._lines = len(lines)


def _line(one: Stage, names: int, width: int) -> str:
    filled = 0 if one.error else round(BAR * one.step / (len(STEPS) - 1))
    full, empty = ("█", "░") if _is_utf8() else ("#", ".")
    line = f"  {clean_line(one.name, names):<{names}}  {full * filled}{empty * (BAR - filled)}  {one.words}"
    return line if len(line) <= width else line[: width - 1] + ("…" if _is_utf8() else ">")


def _is_utf8() -> bool:
    return takes_utf8(sys.stderr.encoding, os.environ)
