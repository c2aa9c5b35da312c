"""Runs that the engine hands back: what their reference holds, and what is told where Airflow no longer has them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from connectors import fields
from connectors.airflow.parse import Period
from connectors.contract import Evidence, RecordUnreadable, RunRecord, RunRef, State
from connectors.gone import no_longer_listed


@dataclass(frozen=True, slots=True)
class Reference:
    """What `RunRecord.native_ref` holds."""

    dag: str
    run: str
    task: str = ""
    try_number: int = 0
    map_index: int = -1


def reference(known: RunRef) -> Reference | None:
    """Read back from a run that the engine hands us; None where it is not one of ours (a MISSED run has none)."""
    try:
        row = fields.table(json.loads(known.native_ref))
        return Reference(
            fields.text(row, "dag"),
            fields.text(row, "run"),
            fields.words(row, "task"),
            fields.number(row, "try", 0),
            fields.number(row, "map", -1),
        )
    except (ValueError, RecursionError, RecordUnreadable):
        return None


def gone(known: RunRef) -> RunRecord:
    """Airflow refuses to delete what runs; so a started run that is gone ended unseen, or its history was purged."""
    words = "Airflow no longer has this run: it was deleted or purged, and its end was not seen"
    return no_longer_listed(known, "deleted", words)


def superseded(known: RunRef, period: Period) -> RunRecord:
    """An open attempt that a clear replaced before anybody saw its end."""
    return RunRecord(
        job=known.job,
        attempt_key=known.attempt_key,
        state=State.UNKNOWN,
        native_state="cleared",
        evidence=Evidence.INFERRED,
        period_key=period.key,
        period_at=period.at,
        interval_start=period.interval_start,
        started_at=known.started_at,
        message="cleared before its end was seen; Airflow keeps no run-level history of it",
        native_ref=known.native_ref,
    )
