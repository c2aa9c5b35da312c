"""When a delivery is tried again, and when it is given up: full jitter, so that a receiver that comes back is not met
by all that waited for it at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from console.durations import duration_words

BASE = timedelta(seconds=5)
CAP = timedelta(minutes=15)
LEAST = timedelta(milliseconds=250)
"""Full jitter may give no pause at all; a receiver has this much peace."""
REFUSALS = 3
"""A receiver that refuses the same message for good as often as this is believed."""


@dataclass(frozen=True, slots=True)
class Next:
    """Tried again after `wait`; or given up (None), for the reason in `why`."""

    wait: timedelta | None
    why: str = ""


def after_failure(tries: int, refusals: int, age: timedelta, give_up_after: timedelta, chance: float) -> Next:
    """What becomes of a delivery that was not accepted.

    `tries`, this one included; `refusals`: how often in a row it was refused for good, this time included; `age`: since
    it was made or asked for again; `chance`: evenly drawn from [0, 1). The pause is even over 0 … min(cap, base · 2^n).
    """
    if refusals >= REFUSALS:
        return Next(None, f"refused for good {refusals} times")
    if age >= give_up_after:
        return Next(None, f"not accepted within {duration_words(give_up_after.total_seconds())}")
    longest = min(CAP, BASE * 2.0 ** min(tries - 1, 30))
    wait = max(LEAST, longest * chance)
    return Next(min(wait, max(give_up_after - age, LEAST)))
