"""Delivery retries: when a failed delivery is tried again, and when it is abandoned.

Exponential backoff with full jitter, so that a receiver that comes back is not met by every pending delivery at
once. The first one that it accepts makes the others due (`store.outbox.record_sent`), which are sent one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from console.store.outbox import GIVE_UP_AFTER, LEAST_REPEAT, REFUSALS
from console.timing.durations import format_duration

MAX_DOUBLINGS = 15
BASE = timedelta(seconds=5)
CAP = timedelta(minutes=15)
MIN_DELAY = timedelta(milliseconds=250)
"""Lower bound of the delay, as full jitter may draw zero."""


def longest_wait(base: timedelta, failures: int, cap: timedelta, factor: float = 2.0) -> timedelta:
    """The exponential wait after so many failures in a row beyond the first."""
    return min(cap, base * factor ** min(failures, MAX_DOUBLINGS))


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Retry after `wait`, or abandon (None) for the reason in `why`."""

    wait: timedelta | None
    why: str = ""


def after_failure(
    tries: int,
    refusals: int,
    age: timedelta,
    chance: float,
    *,
    maybe_arrived: bool = False,
    until_act_by: timedelta = timedelta(0),
) -> RetryDecision:
    """Whether and when a failed delivery is retried.

    `tries`: attempts including this one; `refusals`: permanent refusals in a row including this one; `age`: since it
    was created or requeued; `chance`: uniform in [0, 1). The delay is uniform in 0 … min(cap, base · 2^n); where the
    message may have arrived, in the upper half of min(cap, 2 · LEAST_REPEAT · 4^n): each retry may be a duplicate.
    Before an act-by it is at most half of the time that is left until then.
    """
    if refusals >= REFUSALS:
        return RetryDecision(None, f"refused permanently {refusals} times")
    if age >= GIVE_UP_AFTER:
        return RetryDecision(None, f"not accepted within {format_duration(GIVE_UP_AFTER)}")
    base, factor = (2 * LEAST_REPEAT, 4.0) if maybe_arrived else (BASE, 2.0)
    longest = longest_wait(base, tries - 1, CAP, factor)
    if until_act_by > timedelta(0):
        longest = min(longest, max(base, until_act_by / 2))
    wait = max(MIN_DELAY, longest * ((1 + chance) / 2 if maybe_arrived else chance))
    return RetryDecision(min(wait, max(GIVE_UP_AFTER - age, MIN_DELAY)))
