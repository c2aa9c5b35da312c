"""The records of one poll, and the ended runs that the previous poll reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from connectors.sdk import fields
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.records import HistoryGap, Poll, RunRecord, RunRef, SkippedRecord, TargetClock
from connectors.sdk.states import RunState
from connectors.sdk.transport.call_limits import Deadline

Cursor = TypeVar("Cursor")


@dataclass(slots=True)
class PollResult:
    """Records by job and attempt, and what could not be read."""

    records: dict[tuple[str, str], RunRecord] = field(default_factory=dict)
    former: set[tuple[str, str]] = field(default_factory=set)
    """Keys that attempts of these records had before."""
    skipped: list[SkippedRecord] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)
    gaps: list[HistoryGap] = field(default_factory=list)
    complete: bool = True
    stopped: str | None = ""
    """As of `Poll`."""

    def add(self, record: RunRecord) -> None:
        if record.formerly:
            self.records.pop((record.job, record.formerly), None)
            self.former.add((record.job, record.formerly))
        self.records[record.job, record.attempt_key] = record

    def has_record_of(self, known: RunRef) -> bool:
        """Whether a record is about this very attempt, under its key of now or its former one."""
        return (known.job, known.attempt_key) in self.records or (known.job, known.attempt_key) in self.former

    def add_all(self, records: Iterable[RunRecord]) -> None:
        """Adds the records, with a warning for each state that is unknown."""
        for record in records:
            self.add(record)
            if record.state is RunState.UNKNOWN:
                self.warn(f"state {record.native_state!r} of a run is not known to Headway")

    def without_record(self, open_runs: Iterable[RunRef], deadline: Deadline, reserved: float) -> Iterator[RunRef]:
        """Open runs that no list showed; incomplete once only the reserved share of the call's time is left."""
        for open_run in open_runs:
            if (open_run.job, open_run.attempt_key) in self.records:
                continue
            if deadline.is_below(reserved):
                return self.mark_incomplete("not all open runs were read in time: the next poll reads the rest")
            yield open_run

    def cursor_or_first(self, cursor: str, first: Cursor) -> Cursor:
        """The cursor (a dataclass as `first`) in JSON; `first` for "" and, with a warning, for any other text."""
        position, warnings = fields.cursor_or_first(first, cursor)
        self.warnings |= dict.fromkeys(warnings)
        return position

    def keep_periods(self, open_runs: Iterable[RunRef]) -> None:
        """Gives the attempts of an open run its period: the store knows the run by its first attempt, which may not be
        the one that they name."""
        periods = {(ref.job, ref.attempt_key): ref.period_key for ref in open_runs}
        for (job, attempt), period in [*periods.items()]:
            if (record := self.records.get((job, attempt))) is not None and record.again_of:
                periods.setdefault((job, record.again_of), period)
        for run in sorted(self.records.values(), key=_age):
            period = periods.get((run.job, run.again_of), "") if run.again_of else ""
            if period and run.period_key is None and run.action_key is None:
                periods.setdefault((run.job, run.attempt_key), period)
                self.add(replace(run, period_key=period, period_kind=run.denotes))

    def mark_incomplete(self, reason: str) -> None:
        self.complete = False
        self.warn(reason)

    def skip(self, where: str, error: RecordUnreadable, row: Any) -> None:
        self.skipped.append(fields.skipped(where, error, row))

    def warn(self, text: str) -> None:
        self.warnings[text] = None

    def poll(
        self,
        cursor: str,
        *,
        more: bool,
        clock: TargetClock | None,
        seen_until: datetime | None,
        gaps: Iterable[HistoryGap] = (),
    ) -> Poll:
        """All of it as a poll, `cursor` the next one, runs oldest first."""
        return Poll(
            runs=tuple(sorted(self.records.values(), key=_age)),
            cursor=cursor,
            more=more,
            complete=self.complete,
            clock=clock,
            skipped=tuple(self.skipped),
            gaps=(*self.gaps, *gaps),
            seen_until=seen_until,
            warnings=tuple(self.warnings),
            stopped=self.stopped,
        )


class ReportedRuns:
    """The records of the previous poll, which are not reported again."""

    def __init__(self) -> None:
        self._prints: dict[tuple[str, str], int] = {}
        self._with = ""

    def filtered(self, poll: Poll, cursor: str) -> Poll:
        """The poll after `cursor`, its runs as by `new`."""
        return replace(poll, runs=self.new(poll.runs, cursor, poll.cursor))

    def new(self, records: Sequence[RunRecord], cursor: str, following: str) -> tuple[RunRecord, ...]:
        """Without ended attempts that the previous poll reported in the same way. Everything is reported where that
        poll's cursor did not come back, since its records may not be stored; with a cursor that did not move this is
        unknown."""
        reported = self._prints if cursor and cursor == self._with else {}
        prints = {(record.job, record.attempt_key): hash(repr(record)) for record in records}
        is_known = following != cursor
        self._prints = {key: item for key, item in prints.items() if is_known or reported.get(key) == item}
        self._with = following
        known = {key for key, item in prints.items() if reported.get(key) == item}
        return tuple(run for run in records if run.state.is_open or (run.job, run.attempt_key) not in known)


_OLDEST, _NEWEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def _age(run: RunRecord) -> tuple[datetime, str, str]:
    without_times = _NEWEST if run.state.is_open else _OLDEST
    at = run.started_at or run.queued_at or run.period_at or run.ended_at or without_times
    return at, run.job, run.attempt_key.zfill(20)  # numbers in their order
