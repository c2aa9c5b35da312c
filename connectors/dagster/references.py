"""Runs that the engine hands back: what their reference holds, and what is told where Dagster no longer has them."""

from __future__ import annotations

import json

from connectors import fields
from connectors.contract import Evidence, RecordUnreadable, RunRecord, RunRef, State


def reference(known: RunRef) -> str:
    """The id of a run that the engine hands us; "" where it is not one of ours (a MISSED run has none)."""
    try:
        return fields.text(fields.table(json.loads(known.native_ref)), "run")
    except (ValueError, RecursionError, RecordUnreadable):
        return ""


def gone(known: RunRef) -> RunRecord:
    """Runs are deleted by hand or by a retention: the end of a started one that is gone was not seen."""
    return RunRecord(
        job=known.job,
        attempt_key=known.attempt_key,
        state=State.LOST if known.started_at else State.UNKNOWN,
        native_state="deleted",
        evidence=Evidence.INFERRED,
        period_key=known.period_key,
        started_at=known.started_at,
        message="Dagster no longer has this run: it was deleted, and its end was not seen",
        native_ref=known.native_ref,
    )
