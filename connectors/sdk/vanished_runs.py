"""Open runs that their source no longer lists: the end was not seen and will not be reported. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import PeriodKind, RunEvidence, RunState


def no_longer_listed(known: RunRef, native_state: str, message: str, state: RunState | None = None) -> RunRecord:
    """Its record, INFERRED. LOST where it was seen to start: it vanished while it ran. One that was only waiting is
    UNKNOWN. `state` is for kinds that know better."""
    return RunRecord(
        job=known.job,
        attempt_key=known.attempt_key,
        state=state or (RunState.LOST if known.started_at else RunState.UNKNOWN),
        native_state=native_state,
        evidence=RunEvidence.INFERRED,
        period_key=known.period_key or None,
        period_kind=PeriodKind.RUN,  # the stored kind stays
        started_at=known.started_at,
        message=message,
        native_ref=known.native_ref,
    )


def row_deleted(known: RunRef) -> RunRecord:
    """For logs whose rows people delete: the run continues, and may succeed."""
    return no_longer_listed(known, "(row deleted)", "its row was deleted: its end is unknown", RunState.UNKNOWN)


def state_past_retention(known: RunRef, retention: timedelta, now: datetime) -> RunState | None:
    """UNKNOWN for a run that is older than the retention of ended runs; None for a younger, deleted one."""
    began = known.started_at
    return RunState.UNKNOWN if began is not None and now - began > retention else None
