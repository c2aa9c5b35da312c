"""A state asserted by a person: an attempt of its own, so that a later one of the source replaces it."""

from __future__ import annotations

from datetime import datetime

from connectors.sdk.records import RunRecord, SkippedRecord
from connectors.sdk.states import RunEvidence, RunState
from console.domain.ids import instant, micros
from console.domain.request import RequestKind
from console.store.actions import ActionRow, ActionStep, move_action, run_ref
from console.store.audit import ChangeOrigin
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.db.session import WriteSession
from console.store.ingest.batch import IngestBatch, read_batch
from console.store.ingest.records import write_runs

MANUAL = "manual"
"""The system kind whose jobs are completed by people."""
_STEP = (
    "SELECT j.name, s.kind, r.state, r.evidence FROM run r JOIN job j ON j.id = r.job_id"
    " JOIN system s ON s.id = j.system_id WHERE r.id = ?"
)


class AssertionRefused(Exception):
    """The reason why nothing was written; the store itself is usable."""


def assert_state(
    store: Database, fence: Fence | None, action: ActionRow, state: RunState, step: ActionStep, now: datetime
) -> bool:
    """Writes the asserted attempt, keyed by the action, and ends the action in one transaction; False if that is no
    longer "requested". Raises AssertionRefused."""
    ref = None if action.run_id is None else run_ref(store, action.run_id, job_id=action.job_id)
    if ref is None:
        raise AssertionRefused("its run is no longer in the store")
    record = RunRecord(
        job=ref.ref.job,
        attempt_key=action.key,
        state=state,
        native_state="",
        evidence=RunEvidence.ASSERTED,
        started_at=now,
        ended_at=now,
        message=f"{action.requested_by}: {action.why}" if action.why else f"asserted by {action.requested_by}",
        action_key=action.key,
    )
    with store.write(fence, durable=True) as session:
        if not move_action(session, action.key, "requested", step, micros(now)):
            return False
        if reason := _write_record(session, action.target_id, record, now):
            raise AssertionRefused(reason)
    return True


def _write_record(session: WriteSession, target_id: int, record: RunRecord, now: datetime) -> str:
    batch = IngestBatch((record,), "", now, business_date=lambda _: now.date())
    skipped: list[SkippedRecord] = []
    write_runs(session, batch, read_batch(session, target_id, batch, skipped))
    return f"the store cannot record it: {skipped[0].reason}" if skipped else ""


def reopen_step(store: Database, fence: int, run_id: int, change: ChangeOrigin) -> str:
    """Reopens a completed manual step, with its audit row. The reason for refusal; empty on success."""
    ref, now = run_ref(store, run_id), instant(change.now_us)
    if ref is None:
        return "its run is no longer in the store"
    with store.write(fence, durable=True) as session:
        [step] = session.rows(_STEP, (run_id,))
        if step.kind != MANUAL:
            return f"{step.name} is not a manual step: its scheduler sets the state"
        if step.evidence != RunEvidence.ASSERTED or RunState(step.state).is_open:
            return f"{step.name} {ref.ref.period_key} is {step.state}, not completed"
        record = RunRecord(
            job=ref.ref.job,
            attempt_key=f"again@{now.isoformat()}",
            state=RunState.WAITING,
            native_state="opened again",
            evidence=RunEvidence.ASSERTED,
            period_key=ref.ref.period_key,
            queued_at=now,
            message=f"{change.by}: {change.why}" if change.why else f"reopened by {change.by}",
            reason="approval",
        )
        if reason := _write_record(session, ref.target_id, record, now):
            return reason
        change.audit(session, RequestKind.UNDO_COMPLETION, step.name, {"run_id": run_id})
    return ""
