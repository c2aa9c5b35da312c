"""Runs that the engine hands back: what their reference holds, and what is told where Prefect no longer has them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from connectors import fields
from connectors.contract import RecordUnreadable, RunRecord, RunRef
from connectors.gone import no_longer_listed
from connectors.prefect import parse


@dataclass(frozen=True, slots=True)
class Reference:
    """What `RunRecord.native_ref` holds: a flow run, and which of its attempts."""

    run: str
    number: int = 1


def reference(known: RunRef) -> Reference | None:
    """Read back from a run that the engine hands us; None where it is not one of ours (a MISSED run has none)."""
    try:
        row = fields.table(json.loads(known.native_ref))
        return Reference(parse.id_of(row, "run"), fields.number(row, "try", 1))
    except (ValueError, RecursionError, RecordUnreadable):
        return None


def gone(known: RunRef) -> RunRecord:
    """Prefect deletes what it is told to, also what runs."""
    words = "Prefect no longer has this run: it was deleted, or its deployment's schedule was changed"
    return no_longer_listed(known, "deleted", words)
