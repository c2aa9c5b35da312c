"""The tour of the real demo, by keys in a real terminal: its engine, its plan, its proof, and the time it takes.

`python -m tests.demo.test_tour` follows it at reading speed and prints the time it takes.
"""

from __future__ import annotations

import re
import sys
import time
from datetime import timedelta
from itertools import chain

from console.timing.durations import format_duration, parse_duration
from tests.demo import story
from tests.pty.terminal import KEYS, Terminal

HEADWAY = [sys.executable, "-m", "console"]
SIZES = ((80, 24), (120, 36))
WORDS_PER_MINUTE = 130
"""Of technical text on a screen."""
SECONDS_PER_KEY = 2.0


def opens_it(screen: str) -> bool:
    """The header shows an incident a moment before the table has the affected services."""
    return "TOUR 2/5" in screen and re.search(r"^\s*! (Supply plan|Daily revenue) ", screen, re.MULTILINE) is not None


STEPS = (
    ("shows only what needs attention", "!"),
    (opens_it, "enter"),
    ("AFFECTED SERVICES 2", "g"),
    ("TOUR 4/5", "escape"),
    ("shows a plan of reruns and holds", "r"),
    ("10 steps ", "enter"),
    ("type INC-0001 ↵ a reason, then ↵ starts it", "INC-0001", "enter"),
    (story.WANTS_REASON, "the disk was full", "enter"),
)


class Reader:
    """Reads each word of a screen that it has not read before, then types key by key; or does not read at all."""

    def __init__(self, terminal: Terminal, reads: bool) -> None:
        self._terminal, self._reads = terminal, reads
        self.words: set[str] = set()

    def read(self, screen: str) -> None:
        fresh = set(re.findall(r"\w[\w:./-]*", screen)) - self.words
        self.words |= fresh
        if self._reads:
            time.sleep(len(fresh) * 60 / WORDS_PER_MINUTE)

    def press(self, *keys: str) -> None:
        for key in chain.from_iterable([key] if key in KEYS else key for key in keys):
            if self._reads:
                time.sleep(SECONDS_PER_KEY)
            self._terminal.press(key)


def follow(size: tuple[int, int], reads: bool) -> tuple[timedelta, int]:
    """The time that the tour says it took, with every service saved, and the words that were read."""
    with Terminal([*HEADWAY, "demo"], size=size) as terminal:
        reader = Reader(terminal, reads)
        reader.read(terminal.wait_for("TOUR 1/5"))
        for see, *keys in STEPS:
            reader.read(terminal.wait_for(see))
            reader.press(*keys)
        reader.read(terminal.wait_for("Its scheduler confirms the rerun"))
        screen = terminal.wait_for("Done in")
        match = re.search(r"Done in (\S+)", screen)
        assert match is not None
        terminal.wait_for("0 at risk · 1 incident")
        terminal.wait_for("verified")
        terminal.press("ctrl+c")
        assert 0 == terminal.wait_for_end()
        return parse_duration(match[1]), len(reader.words)


def test_followed_by_keys_it_ends_with_everything_proved() -> None:
    """`tests/demo/test_play.py` plays it at the speed of a reader at each size, without a clock."""
    took, _ = follow(SIZES[0], reads=False)
    assert took > timedelta(0)


if __name__ == "__main__":
    for columns, lines in SIZES:
        took, words = follow((columns, lines), reads=True)
        print(f"{columns}x{lines}: done in {format_duration(took.total_seconds())}, {words} words read")
