"""Text compared without the parts that differ between runs: times, ids, pids, durations and numbers.

`log_difference` compares the log of a failed run with that of the last good one, line by line, by count. Only the ends
are compared, so that neither a huge nor a hostile log costs more than a bounded time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from console.text.cleaning import clean

PLACEHOLDER = "#"

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAYS = "mon|tue|wed|thu|fri|sat|sun"
_VARIES = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)?(?: ?(?:Z\b|UTC\b|[+-]\d{2}:?\d{2}\b))?"
    rf"|\b(?:(?:{_DAYS})[a-z]{{0,6}},? )?(?:{_MONTHS})[a-z]{{0,6}} {{1,2}}\d{{1,2}}"
    r"(?: \d{2}:\d{2}:\d{2})?(?: \d{4})?\b"
    r"|\b\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?\b"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b0x[0-9a-f]{1,32}\b"
    r"|\b(?=[a-f]{0,15}\d)[0-9a-f]{7,64}\b"
    r"|(?<![\w.])[+-]?\d{1,20}(?:[.,]\d{1,20}){0,4}(?=\b|[a-z%])",
    re.IGNORECASE,
)
_SPACE = re.compile(r"[ \t]{1,200}")


def normalize_line(line: str) -> str:
    """The line without times, dates, ids, pids, durations and numbers. Numbers within a name stay: `db07`."""
    return _SPACE.sub(" ", _VARIES.sub(PLACEHOLDER, line)).strip()


_ERROR_TERM = re.compile(r"error|exception|fail|fatal|cannot|could not|denied|refused|timed out|no such", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]{3}")
END_LINES = 20


def error_line(log: str) -> str:
    """The last line at the end of a log that reports an error, else the last with a word; empty without one."""
    lines = [line.strip() for line in log.splitlines() if _LETTERS.search(line)][-END_LINES:]
    return next((line for line in reversed(lines) if _ERROR_TERM.search(line)), lines[-1] if lines else "")


LINES = 3000
"""Compared lines, from the end of each log."""
LINE_LIMIT = 500
SHOWN = 60
_ERROR = re.compile(
    r"\b(?:error|exception|fatal|panic|traceback|failed|failure|denied|refused|timed out|not found|no such)\b"
    r"|\b\w{1,60}(?:Error|Exception)\b|\bORA-\d{5}\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LogDifference:
    """Cleaned lines, in the order of their logs."""

    new: tuple[str, ...]
    """Not in the last good log; at most SHOWN, the last of them."""
    missing: tuple[str, ...]
    """Only in the last good log; at most SHOWN, the first of them."""
    first_error: str
    """The first new line with an error, else the first line with one; empty without any."""
    new_count: int = 0
    missing_count: int = 0


def log_difference(ours: str, good: str) -> LogDifference:
    """Compares `ours` with `good`: raw text of two logs, or their ends."""
    mine, theirs = _lines(ours), _lines(good)
    new, missing = _only_in(mine, theirs), _only_in(theirs, mine)
    first = next((line for line in [*new, *mine] if _ERROR.search(line)), "")
    return LogDifference(tuple(new[-SHOWN:]), tuple(missing[:SHOWN]), first, len(new), len(missing))


def _lines(text: str) -> list[str]:
    lines = (clean(line.rstrip("\r"), LINE_LIMIT).rstrip() for line in text.split("\n")[-LINES:])
    return [line for line in lines if line.strip()]


def _only_in(lines: Sequence[str], others_lines: Sequence[str]) -> list[str]:
    """The lines of which the others have fewer; of equal lines the last ones are the surplus."""
    unmatched = Counter(map(normalize_line, others_lines))
    surplus = []
    for line in lines:
        key = normalize_line(line)
        if unmatched[key]:
            unmatched[key] -= 1
        else:
            surplus.append(line)
    return surplus
