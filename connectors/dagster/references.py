"""Runs that the engine hands back: what their reference holds, and what is told where Dagster no longer has them."""

from __future__ import annotations

import json

from connectors import fields
from connectors.contract import RecordUnreadable, RunRecord, RunRef
from connectors.gone import no_longer_listed


def reference(known: RunRef) -> str:
    """The id of a run that the engine hands us; "" where it is not one of ours (a MISSED run has none)."""
    try:
        return fields.text(fields.table(json.loads(known.native_ref)), "run")
    except (ValueError, RecursionError, RecordUnreadable):
        return ""


def gone(known: RunRef) -> RunRecord:
    """Runs are deleted by hand or by a retention."""
    words = "Dagster no longer has this run: it was deleted, and its end was not seen"
    return no_longer_listed(known, "deleted", words)
