"""Durations and times of day as people write them: "15s", "14m", "1h30m", "2d"; "03:58"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import time, timedelta

TICK = timedelta(microseconds=1)
"""The smallest difference between two instants."""
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_PART = r"(\d+(?:\.\d+)?)([dhms])"


def parse_duration(text: str) -> timedelta:
    """The duration in `text`. Raises ValueError with the forms that are understood."""
    if text.strip().startswith("-"):
        raise ValueError(f'"{text}" is a time below 0; write 15s, 14m, 1h30m or 2d')
    parts = re.findall(_PART, text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ValueError(f'"{text}" is not a duration; write 15s, 14m, 1h30m or 2d')
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError(f'"{text}" is longer than any clock runs; write 15s, 14m, 1h30m or 2d') from None


def format_duration(length: float | timedelta) -> str:
    """A length of time, in seconds if it is a number, with two units at most: "3h12m", "45s", "2d4h"."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    rest = round(abs(seconds))
    sign = "-" if seconds < 0 and rest else ""
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        if number or (parts and number):
            parts.append(f"{number}{unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return sign + ("".join(parts) or "0s")


def rank_text(seconds: float, good: Sequence[float]) -> str:
    """How a run's duration, in whole seconds, compares with those of successful runs, at least one: "longer than 92 %
    of 59 successful runs", "shorter than all 57 successful runs"."""
    seconds, good = round(seconds), [round(duration) for duration in good]
    many = f"{len(good)} successful run{'s' * (len(good) != 1)}"
    every = f"all {many}" if len(good) > 1 else "the one successful run"
    if {*good} == {seconds}:
        return f"as long as {every}"
    if seconds < min(good) or seconds > max(good):
        return f"{'shorter' if seconds < min(good) else 'longer'} than {every}"
    below = sum(duration < seconds for duration in good) / len(good)
    return f"longer than {round(100 * below)} % of {many}" if below else f"no longer than any of {many}"


def time_of_day(text: str) -> time:
    """A naive time of day: "03:58", "3:58". Raises ValueError, also for one with a zone: 03:58Z is another instant."""
    parsed = time.fromisoformat(text.rjust(len("03:58"), "0") if ":" in text else text)
    if parsed.tzinfo is not None:
        raise ValueError(f'"{text[:40]}" has a zone of its own')
    return parsed


def rough_duration(length: timedelta) -> str:
    """ "8 min", "3 h 20 min", "2 d 4 h": for people, in full minutes; "under 1 min"."""
    minutes = round(abs(length).total_seconds() // 60)
    if minutes < 1:
        return "under 1 min"
    hours, rest = divmod(minutes, 60)
    days, hours_of_day = divmod(hours, 24)
    parts = [(days, "d"), (hours_of_day, "h")] if days else [(hours, "h"), (rest, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
