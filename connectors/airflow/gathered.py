"""What one poll has found so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connectors.airflow import fields
from connectors.contract import RecordUnreadable, RunRecord, Skipped


@dataclass(slots=True)
class Gathered:
    """Records by job and attempt, and what could not be read."""

    records: dict[tuple[str, str], RunRecord] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)
    complete: bool = True

    def add(self, record: RunRecord) -> None:
        self.records[record.job, record.attempt_key] = record

    def skip(self, where: str, error: RecordUnreadable, row: Any) -> None:
        self.skipped.append(fields.skipped(where, error, row))

    def warn(self, words: str) -> None:
        self.warnings[words] = None
