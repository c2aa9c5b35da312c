"""A cursor over a log whose rows have rising numbers: how far it was read, and which lower rows may still appear. Pure.

Writers take a number first and their row becomes visible moments later, in no order: a number missing among fresh rows
is queried again, for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from connectors.sdk.fields import as_json
from connectors.sdk.records import HistoryGap, Poll, TargetClock

MAX_AGAIN = 1000
MAY_COME_SECONDS = 60.0
"""A number without a row after that time was never used, or rolled back."""
MAX_MISSING = 200
"""Missing numbers before one row that are queried again, the newest."""


@dataclass(frozen=True, slots=True)
class SequenceCursor:
    """`after`: all rows up to this number were read. `again`: numbers to read again; for a missing one, when it was
    first missed; for a row without a start, when it was first read. `last`: the last start of each job, for kinds that
    need it. `is_live`: the history was read to its end. Instants in seconds since 1970."""

    after: int = 0
    again: Mapping[int, float | None] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)
    is_live: bool = False

    def text(self) -> str:
        """As JSON, with the newest of `again`; the engine passes open runs anyway."""
        again = dict(sorted(self.again.items())[-MAX_AGAIN:])
        return as_json(replace(self, again=again))

    def rows_are_gone(self, newest: int | None) -> bool:
        """Whether the log ends before the position: rows were deleted. False for an empty log."""
        return newest is not None and newest < self.after

    def restarted(self, log: str, newest: int | None, clock: TargetClock) -> Poll:
        """The poll after rows of `log` ("cron.job_run_details ends at runid") were deleted: it reads from the start."""
        reason = f"{log} {newest}, and we had read up to {self.after}: rows are gone"
        gap = HistoryGap(None, clock.target, reason)
        return Poll((), SequenceCursor(last=self.last).text(), more=True, clock=clock, gaps=(gap,))

    def still_missing(
        self,
        read: Iterable[tuple[int, datetime | None]],
        existing: Collection[int],
        now: datetime,
        may_come_seconds: float = MAY_COME_SECONDS,
    ) -> dict[int, float | None]:
        """Missing numbers whose rows may still appear: earlier ones, and new gaps. `read`: number and start of each new
        row, in order; `existing`: the numbers of `again` that have a row now."""
        seconds, before = now.timestamp(), self.after
        missing: dict[int, float | None] = {
            number: since
            for number, since in self.again.items()
            if since is not None and number not in existing and seconds - since < may_come_seconds
        }
        for number, started in read:
            if started is None or seconds - started.timestamp() < may_come_seconds:
                missing |= dict.fromkeys(range(max(before + 1, number - MAX_MISSING), number), seconds)
            before = number
        return missing
