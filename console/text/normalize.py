"""Text compared without the parts that differ between runs: times, ids, pids, durations and numbers.

`log_difference` compares the log of a failed run with that of the last good one, line by line, by count. Only the ends
are compared, so that neither a huge nor a hostile log costs more than a bounded time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

from console.text.cleaning import clean, cut

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


_LETTERS = re.compile(r"[^\W\d_]{3}")
END_LINES = 60
_MARKS = re.compile(
    r"(?<!\b0 )\b(?:error|fatal|panic|exception|critical|severe|failed|ORA-\d{5})\b(?![:=]? ?0\b)"
    r"|\b\w{1,60}(?:Error|Exception|Failure)\b",
    re.IGNORECASE,
)
_PROBLEMS = re.compile(
    r"\b(?:cannot|can't|could not|couldn't|unable to|failed to|denied|refused|rejected|not permitted|unauthorized"
    r"|forbidden|timed? ?out|timeout|no such|not found|not exist|unknown|undefined|undeclared|unresolved|missing"
    r"|required|invalid|illegal|unexpected|malformed|mismatch|violates?|duplicate|already exists"
    r"|out of (?:memory|range)|no space|too (?:many|large|long)|null|killed|deadlock|conflict|corrupt\w{0,3}|truncated"
    r"|overflow|unreachable|must be|(?:verification|authentication|validation|assertion) failed)\b",
    re.IGNORECASE,
)
_CONSEQUENCES = re.compile(
    r"\b(?:exit(?:ed|ing)? (?:with )?(?:code |status )?\d|(?:exit|return) (?:code|status)|non-?zero"
    r"|(?:step|task|job|run|stage)\b.{0,60}\bfailed|marking|retry(?:ing)?|aborting|rolled back|rollback|cleanup"
    r"|removed?|finished|shutting down|(?:further|more) (?:information|details)|(?:complete|full) log"
    r"|background on this error|see also|documentation|stack ?trace|traceback|during handling|direct cause"
    r"|following .{0,30}failed|info|debug|notice|warn(?:ing)?)\b|\w{1,60}Warning\b",
    re.IGNORECASE,
)
_FRAME = re.compile(r"\s*(?:at |in |File \"|\.{3} |\^|~)|https?://\S+$")


@lru_cache(maxsize=2_000)
def error_line(log: str) -> str:
    """The line at the end of a log that best names the error, the last of equals: one that is marked as an error and
    names a problem, before one that reports only a consequence, as an exit code. Empty without letters."""
    lines = [line for line in log.splitlines() if _LETTERS.search(line)][-END_LINES:]
    best, most = "", -inf
    for line in reversed(lines):
        if (points := _precision(line)) > most:
            best, most = line, points
        if most == MOST_POINTS:
            break
    return best.strip()


def is_consequence(line: str) -> bool:
    """True for a line that names no error, but a consequence of one: "Task exited with return code 1"."""
    line = line[:LINE_LIMIT]
    return bool(_CONSEQUENCES.search(line)) and not (_MARKS.search(line) or _PROBLEMS.search(line))


MOST_POINTS = 5


def _precision(line: str) -> int:
    """Points for a line that is marked as an error, and for one that names a problem; at most MOST_POINTS."""
    line = line[:LINE_LIMIT]
    marks, problems = bool(_MARKS.search(line)), bool(_PROBLEMS.search(line))
    return 2 * marks + 3 * problems - 4 * bool(_CONSEQUENCES.search(line)) - 3 * bool(_FRAME.match(line))


LINES = 3000
"""Compared lines, from the end of each log."""
LINE_LIMIT = 500
SHOWN = 60


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
    first = next((line for line in [*new, *mine] if _MARKS.search(line) or _PROBLEMS.search(line)), "")
    return LogDifference(tuple(new[-SHOWN:]), tuple(missing[:SHOWN]), first, len(new), len(missing))


def _lines(text: str) -> list[str]:
    lines = clean("\n".join(text.split("\n")[-LINES:])).split("\n")[-LINES:]
    return [cut(line, LINE_LIMIT).rstrip() for line in lines if line.strip()]


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
