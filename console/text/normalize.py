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
_TIMES = (
    r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)?(?: ?(?:Z\b|UTC\b|[+-]\d{2}:?\d{2}\b))?"
    rf"|\b(?:(?:{_DAYS})[a-z]{{0,6}},? )?(?:{_MONTHS})[a-z]{{0,6}} {{1,2}}\d{{1,2}}"
    r"(?: \d{2}:\d{2}:\d{2})?(?: \d{4})?\b"
    r"|\b\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?\b"
)
_IDS = (
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b0x[0-9a-f]{1,32}\b"
    r"|(?<![^\W_])(?:(?=[a-f]{0,15}\d)[0-9a-f]{7,64}"
    r"|(?-i:(?=[a-f]{0,5}\d)[0-9a-f]{5,6}|(?=[a-z]{0,9}\d{1,9}[a-z]{1,9}\d)[0-9a-z]{5,16}))"
    r"(?:(?-i:-[bcdfghjklmnpqrstvwxz2456789]{5}))?(?![^\W_])"
    r"|(?<!\d)(?:\d{4}_\d{2}_\d{2}|\d{8}T\d{4,6})(?!\d)"
)
"""Ids, with the vowelless second part of a pod's. Letters and digits in turn make one: `x2k9p`, but not `db07`."""
_VARIES = re.compile(
    rf"{_TIMES}|{_IDS}|(?<![\w.])[+-]?\d{{1,20}}(?:[.,]\d{{1,20}}){{0,4}}(?=\b|[a-z%])",
    re.IGNORECASE,
)
_SPACE = re.compile(r"[ \t]{1,200}")


def normalize_line(line: str) -> str:
    """The line without times, dates, ids, pids, durations and numbers. Numbers within a name stay: `db07`."""
    return _SPACE.sub(" ", _VARIES.sub(PLACEHOLDER, line)).strip()


_CODE = r"(?-i:[A-Z]{1,8}-?\d{3,6}[A-Z]?)"
_HEAD_CODE = rf"(?:^|(?<=[#:\])] )|(?<=\b(?:error|Error|ERROR) )){_CODE}(?![\w./-])|(?<![\w./-]){_CODE}(?=:)"
"""The code of an error by its position: first in a message, as `ORA-01555: `."""
_NAMED_CODE = rf"{_HEAD_CODE}|(?<=[(\[]){_CODE}(?=[)\]])"
"""The same, or in brackets."""
_VARIABLE_PARTS = re.compile(
    r"(\b(?<![#\]] )(?:(?:exit|code|status|errno|signal|http(?:/[\d.]{1,3})?|\w{0,40}(?:state|code))(?:[ :=#(]{0,3}|\[)"
    r"|\w{0,40}(?:error|exception)(?:[ =#(]{1,3}(?:code )?|:\s?(?!\d+ (?-i:[a-z]))|\[))"
    r"(?-i:0x[0-9A-Fa-f]{1,16}|-?(?=[A-Z-]{0,8}\d)[0-9A-Z-]{1,10})\b"
    rf"|{_NAMED_CODE}|(?P<quote>['\"])[a-z_.]{{1,64}}(?P=quote))"
    rf"|{PLACEHOLDER}|{_IDS}|\d+|'[^']*'|\"[^\"]*\"|/\S+",
    re.IGNORECASE,
)
"""Ids, numbers, values and paths; codes of errors and quoted names without a digit, the group, are kept."""
_LOG_PREFIX = re.compile(rf"{PLACEHOLDER} (?:[\w.-]{{1,64}} )?[\w./-]{{1,64}}\[\d{{1,10}}\]: ")
"""Of syslog: time, host, program and process."""
_CODED = re.compile(_HEAD_CODE)
_CONSTANT_LIMIT = 200
_TIME = re.compile(_TIMES, re.IGNORECASE)


def constant_part(text: str) -> str:
    """The first line without times, ids, numbers, values and paths, but with the codes of its errors."""
    line = _LOG_PREFIX.sub("", _TIME.sub(PLACEHOLDER, text.partition("\n")[0]), count=1)
    line = _VARIABLE_PARTS.sub(lambda match: match[1] or "", line)
    return " ".join(line.split()).rstrip(" :.,")[:_CONSTANT_LIMIT]


_DIGITS = re.compile(r"\d")
_LETTERS = re.compile(r"[^\W\d_]{3}")
END_LINES = 60
_MARKS = re.compile(
    r"(?<!\b\d )\b(?:error|fatal|panic|exception|critical|severe|failed|failure)\b(?!=\d|[:=]? ?0\b)"
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
    r"|see also|documentation|stack ?trace|traceback|during handling|direct cause"
    r"|following .{0,30}failed|info|debug|notice|warn(?:ing)?"
    r"|(?<![:.,\d-])\d{1,3} (?:error|failure|failed)|(?<![.\w])(?:errors|failures)(?![.\w]))\b|\w{1,60}Warning\b",
    re.IGNORECASE,
)
_FRAME = re.compile(r"\s*(?:[\w-]{1,40}: ?)?(?:at |in |File \"|\.{3} |\^|~)|https?://\S+$")
_ASIDE = re.compile(r"\s*(?:\((?:[^()]|\([^()]{0,200}\)){1,400}\)|\[[^][]{1,400}\])\s*$")
"""A line in brackets."""


@lru_cache(maxsize=2_000)
def error_line(log: str) -> str:
    """The line at the end of a log that best names the error: one that is marked as an error and names a problem,
    before one that reports only a consequence, as an exit code. Of equals the last, but of lines in a row with one
    label (`ERROR:`) the first. Empty without letters."""
    lines = [line[:LINE_LIMIT] for line in log.splitlines() if _LETTERS.search(line)][-END_LINES:]
    best, most = -1, -inf
    for number in reversed(range(len(lines))):
        precision = _precision(lines[number])
        if precision > most and (points := precision - _detail_points(lines, number, precision)) > most:
            best, most = number, points
        if most == MOST_POINTS:
            break
    while best > 0 and _label(lines[best - 1]) == _label(lines[best]) and _precision(lines[best - 1]) >= most:
        best -= 1
    return lines[best].strip() if lines else ""


def _detail_points(lines: Sequence[str], number: int, points: int) -> float:
    """Points that an indented line loses as a part of what is above it: of a frame, or of what it does not name."""
    if not number or not (indent := _indent(lines[number])):
        return 0
    above = lines[number - 1]
    return 3 if indent >= _indent(above) and _FRAME.match(above) else 0.5 * (points < MARK_POINTS)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _label(line: str) -> str:
    """ "ERROR:", "ORA-:": the first word after the time, without digits."""
    parts = _TIME.sub("", line).split(maxsplit=1)
    return _DIGITS.sub("", parts[0]) if parts else ""


def is_consequence(line: str) -> bool:
    """True for a line that names no error, but a consequence of one: "Task exited with return code 1"."""
    line = line[:LINE_LIMIT]
    return bool(_CONSEQUENCES.search(line)) and not (_is_marked(line) or _PROBLEMS.search(line))


def _is_marked(line: str) -> bool:
    return bool(_MARKS.search(line) or _CODED.search(line))


MARK_POINTS = 2
MOST_POINTS = 5


def _precision(line: str) -> int:
    """Points for a line that is marked as an error, and for one that names a problem; at most MOST_POINTS."""
    points = MARK_POINTS * _is_marked(line) + 3 * bool(_PROBLEMS.search(line))
    points -= 4 * bool(_CONSEQUENCES.search(line) and not _CODED.search(line))
    return points - 3 * bool(_FRAME.match(line) or _ASIDE.match(line)) - 2 * line.rstrip().endswith(":")


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
    first = next((line for line in [*new, *mine] if _is_marked(line) or _PROBLEMS.search(line)), "")
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
