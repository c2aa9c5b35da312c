"""What a failed run's log says that the last good one did not, and what it does not say any more.

Lines are compared without times, ids and numbers, as many as there are of each: two logs of the same work differ in
every line otherwise. Only the ends are compared: neither a huge log nor a hostile one costs more than a bounded time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from console.clean import clean
from console.control.normalise import normalised

LINES = 3000
"""Of the end of each log."""
LINE_LIMIT = 500
SHOWN = 60
"""Lines of each kind that are told; all are counted."""
_ERROR = re.compile(
    r"\b(?:error|exception|fatal|panic|traceback|failed|failure|denied|refused|timed out|not found|no such)\b"
    r"|\b\w{1,60}(?:Error|Exception)\b|\bORA-\d{5}\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LogDifference:
    """Lines as they stand in their logs, cleaned, in their order."""

    new: tuple[str, ...]
    """Not in the last good one; at most SHOWN, the last of them."""
    missing: tuple[str, ...]
    """In the last good one alone; at most SHOWN, the first of them."""
    first_error: str
    """The first new line that speaks of an error, else the first line that does; empty where none does."""
    new_count: int = 0
    missing_count: int = 0


def difference(ours: str, good: str) -> LogDifference:
    """`ours` against `good`: raw text of two logs, or their ends."""
    mine, theirs = _lines(ours), _lines(good)
    new, missing = _only_in(mine, theirs), _only_in(theirs, mine)
    first = next((line for line in [*new, *mine] if _ERROR.search(line)), "")
    return LogDifference(tuple(new[-SHOWN:]), tuple(missing[:SHOWN]), first, len(new), len(missing))


def _lines(text: str) -> list[str]:
    """The last lines that say something, cleaned."""
    found = (clean(line.rstrip("\r"), LINE_LIMIT).rstrip() for line in text.split("\n")[-LINES:])
    return [line for line in found if line.strip()]


def _only_in(these: Sequence[str], those: Sequence[str]) -> list[str]:
    """The lines of which the others have fewer, the surplus being the last ones."""
    left = Counter(map(normalised, those))
    found = []
    for line in these:
        key = normalised(line)
        if left[key]:
            left[key] -= 1
        else:
            found.append(line)
    return found
