"""Approval of an action by other persons: the facts that they weigh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from console.domain.failure import RepairRecord
from console.timing.durations import format_duration


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """The facts that an approver weighs besides the preview: the same in pages, chats, console and commands."""

    until: datetime
    """Approved later, it is not sent."""
    incident_id: int | None = None
    act_by: datetime | None = None
    """A repair that is sent later saves no service of its incident; None if it affects none."""
    record: RepairRecord | None = None
    """The outcomes of this repair of the same failure in earlier incidents."""
    given: str = ""
    """The person who has approved it already, if it needs two."""
    needed: int = 1
    """How many persons approve it."""

    @property
    def record_text(self) -> str:
        """ "rerun worked 9 of 10 times, median 14m"; empty if none was sent."""
        return f"{self.record.outcome_text}{self.record.median_text}" if self.record is not None else ""

    def facts(self, clock: Callable[[datetime], str], now: datetime) -> list[tuple[str, str]]:
        """(label, text) of each."""
        rows = [("until", f"{clock(self.until)}, {_remaining(self.until, now)}; expires then")]
        if self.incident_id is not None:
            act_by = f"{clock(self.act_by)}, {_remaining(self.act_by, now)}" if self.act_by is not None else ""
            rows[:0] = [
                ("worked", self.record_text or "no repair of this failure is known"),
                ("act by", act_by or "no service waits for it"),
            ]
        if self.needed > 1:
            given = f"1 of {self.needed} by {self.given}" if self.given else f"0 of {self.needed}"
            rows.append(("approved", given))
        return rows


def _remaining(at: datetime, now: datetime) -> str:
    seconds = (at - now).total_seconds()
    return f"in {format_duration(seconds)}" if seconds >= 0 else f"{format_duration(-seconds)} ago"
