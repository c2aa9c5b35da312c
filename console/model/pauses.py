"""A system that is not polled for a while because a person said so. What it runs meanwhile nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from console.model.frozen import dataclass

POLLING = "polling"
"""Of a system: the switch "polling NAME", on whose value polling begins again by itself; empty: it goes on."""
PAUSED_FOR = timedelta(hours=2)
LONGEST = timedelta(days=7)


BACKOFF_CAP_SECONDS = 300.0


def pause_seconds(every_s: float, failures: int) -> float:
    """From one poll to the next, after so many that failed in a row: twice as long with each of the first four."""
    return min(every_s * 2.0 ** min(failures, 4), max(BACKOFF_CAP_SECONDS, every_s))


@dataclass(frozen=True, slots=True)
class Pause:
    """Who stopped the polls of a system, since when, until when and why."""

    system: str
    by: str
    why: str
    at: datetime | None
    until: datetime

    def lasts(self, now: datetime) -> bool:
        return now < self.until

    @property
    def words(self) -> str:
        """ "polling paused by mara until 2026-11-20 06:26Z: db07 gets a new disk"."""
        return self.told(f"{self.until:%Y-%m-%d %H:%M}Z")

    def told(self, until: str) -> str:
        """`words` with the end of it as somebody's wall clock shows it."""
        why = f": {self.why}" if self.why else ""
        return f"polling paused by {self.by or 'somebody'} until {until}{why}"


def switch_of(system: str) -> str:
    """The name of the switch."""
    return f"{POLLING} {system}"


def pause_of(system: str, value: str | None, by: str, why: str, at: datetime | None) -> Pause | None:
    """From the switch's row; None where it is polled, or the row says nothing that can be read."""
    try:
        until = datetime.fromisoformat(value or "")
    except ValueError:
        return None
    return Pause(system, by, why, at, until if until.tzinfo else until.replace(tzinfo=UTC))


def length_fault(length: timedelta) -> str:
    """Why polls cannot be paused for so long; empty where they can."""
    if timedelta(0) < length <= LONGEST:
        return ""
    return "more than nothing and at most 7d: what is not to be watched for longer is taken out of the config"
