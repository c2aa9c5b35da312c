"""What one poll has found so far, and what the one before told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable, RunRecord, RunRef, Skipped


@dataclass(slots=True)
class Gathered:
    """Records by job and attempt, and what could not be read."""

    records: dict[tuple[str, str], RunRecord] = field(default_factory=dict)
    former: set[tuple[str, str]] = field(default_factory=set)
    """Keys that attempts of these records had before."""
    skipped: list[Skipped] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)
    complete: bool = True

    def add(self, record: RunRecord) -> None:
        if record.formerly:
            self.records.pop((record.job, record.formerly), None)
            self.former.add((record.job, record.formerly))
        self.records[record.job, record.attempt_key] = record

    def tells(self, known: RunRef) -> bool:
        """Whether a record is about this very attempt, under its key of now or its former one."""
        return (known.job, known.attempt_key) in self.records or (known.job, known.attempt_key) in self.former

    def skip(self, where: str, error: RecordUnreadable, row: Any) -> None:
        self.skipped.append(fields.skipped(where, error, row))

    def warn(self, words: str) -> None:
        self.warnings[words] = None


class Told:
    """Remembers what the poll before told, which spares telling it again."""

    def __init__(self) -> None:
        self._prints: dict[tuple[str, str], int] = {}
        self._with = ""

    def new(self, records: Iterable[RunRecord], cursor: str, following: str) -> tuple[RunRecord, ...]:
        """Oldest first, without ended attempts that the poll before told word for word. Only where that poll's cursor
        came back, so that what was never stored is told again: of a cursor that did not move nobody knows whether what
        was told with it was stored."""
        records = tuple(records)
        told = self._prints if cursor and cursor == self._with else {}
        prints = {(one.job, one.attempt_key): hash(repr(one)) for one in records}
        is_known = following != cursor
        self._prints = {key: one for key, one in prints.items() if is_known or told.get(key) == one}
        self._with = following
        new = [
            one
            for one in records
            if one.state.is_open or told.get((one.job, one.attempt_key)) != prints[one.job, one.attempt_key]
        ]
        return tuple(sorted(new, key=_age))


def _age(one: RunRecord) -> tuple[datetime, str, str]:
    at = one.started_at or one.queued_at or one.period_at or datetime(1970, 1, 1, tzinfo=UTC)
    return at, one.job, one.attempt_key
