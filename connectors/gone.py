"""An open run that its source no longer lists: its end was not seen, and nobody will tell it any more. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.contract import Evidence, RunRecord, RunRef, State


def no_longer_listed(known: RunRef, native_state: str, message: str, state: State | None = None) -> RunRecord:
    """Its record, INFERRED. LOST where it was seen to start: it vanished while it ran. One that was only waiting is
    UNKNOWN. `state` is for kinds that know better."""
    return RunRecord(
        job=known.job,
        attempt_key=known.attempt_key,
        state=state or (State.LOST if known.started_at else State.UNKNOWN),
        native_state=native_state,
        evidence=Evidence.INFERRED,
        period_key=known.period_key or None,
        started_at=known.started_at,
        message=message,
        native_ref=known.native_ref,
    )


def row_deleted(known: RunRef) -> RunRecord:
    """For logs whose rows people delete: what runs goes on all the same, and may end well."""
    return no_longer_listed(known, "(row deleted)", "its row was deleted: how it ends nobody will tell", State.UNKNOWN)


def unless_kept(known: RunRef, kept: timedelta, now: datetime) -> State | None:
    """UNKNOWN for a run that began longer ago than its source keeps what has ended: it may have ended well while nobody
    looked. None for a younger one, which was taken away."""
    began = known.started_at
    return State.UNKNOWN if began is not None and now - began > kept else None
