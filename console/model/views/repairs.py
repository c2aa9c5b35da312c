"""What became of it before: earlier failures of an incident's root, what was done, and how long it took."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from console.model.frozen import dataclass

_VARIES = re.compile(r"\d+|'[^']*'|\"[^\"]*\"|/\S+")
"""What differs between two tellings of the same fault: numbers, quoted words, paths."""


@dataclass(frozen=True, slots=True)
class Repair:
    """An earlier run of the same job that failed."""

    run_id: int
    at: datetime
    said: str
    """What its first failure said; its exit where it said nothing."""
    how: str
    """"rerun", "mark ok", "its scheduler's own retry", "a fresh start" (outside of the
    schedule, for the same business date); empty where it was never repaired."""
    took_s: float | None
    """Seconds from that failure to green; None where it never became green."""
    by: str = ""
    """Who asked for it through Headway; empty: nobody did."""
    incident_id: int | None = None
    """The incident of which it was the root."""
    note: str = ""
    """What a person wrote there last."""
    is_alike: bool = False
    """It failed as this one did."""

    @property
    def done(self) -> str:
        """ "rerun by mara": how it became green, and by whom."""
        return f"{self.how} by {self.by}" if self.by else self.how


def is_same_fault(one: str, other: str) -> bool:
    """Whether two messages tell the same but for numbers, names and paths."""
    return bool(one) and _gist(one) == _gist(other)


def _gist(said: str) -> str:
    return " ".join(_VARIES.sub("", said.partition("\n")[0]).split()).rstrip(" :.,")


def ways(repairs: Sequence[Repair]) -> list[tuple[str, int, float | None]]:
    """Each way in which it became green: how, how often, the usual seconds to green; the most frequent first."""
    counts = Counter(one.how for one in repairs if one.how)
    return [
        (how, number, _median([one.took_s for one in repairs if one.how == how and one.took_s is not None]))
        for how, number in counts.most_common()
    ]


def _median(found: Sequence[float]) -> float | None:
    """The middle one, the mean of both where there are two; `statistics` costs the first paint too much."""
    ordered, half = sorted(found), len(found) // 2
    if not ordered:
        return None
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
