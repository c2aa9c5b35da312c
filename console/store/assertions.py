"""A state that a person asserts of a run: an attempt beside the source's own, so that a later one of these wins."""

from __future__ import annotations

from datetime import datetime

from connectors.sdk.records import RunRecord, SkippedRecord
from connectors.sdk.states import RunEvidence, RunState
from console.domain.ids import micros
from console.store import audit
from console.store.actions import ActionRow, ActionStep, move_action, run_ref
from console.store.db.database import Database
from console.store.ingest.batch import IngestBatch, read_batch
from console.store.ingest.records import write_runs

MANUAL = "manual"
"""The kind of system whose jobs people complete."""
_STEP = (
    "SELECT j.name, s.kind, r.state, r.evidence FROM run r JOIN job j ON j.id = r.job_id"
    " JOIN system s ON s.id = j.system_id WHERE r.id = ?"
)


class AssertionRefused(Exception):
    """Why the run cannot take what is said of it, in words; nothing was written. The store itself is well."""


def assert_state(
    store: Database, fence: int | None, action: ActionRow, state: RunState, step: ActionStep, now: datetime
) -> bool:
    """Writes the attempt and ends the action that asks for it, in one transaction; False when it is not "requested"
    any more. Its evidence is ASSERTED, its key the action's. Raises NotTaken."""
    found = None if action.run_id is None else run_ref(store, action.run_id, job_id=action.job_id)
    if found is None:
        raise AssertionRefused("its run is no longer in the store")
    record = RunRecord(
        job=found[0].job,
        attempt_key=action.key,
        state=state,
        native_state="",
        evidence=RunEvidence.ASSERTED,
        started_at=now,
        ended_at=now,
        message=f"{action.requested_by}: {action.why}" if action.why else f"on the word of {action.requested_by}",
        action_key=action.key,
    )
    batch = IngestBatch((record,), "", now, business_date=lambda _: now.date())
    with store.write(fence, durable=True) as session:
        if not move_action(session, action.key, "requested", step, micros(now)):
            return False
        skipped: list[SkippedRecord] = []
        write_runs(session, batch, read_batch(session, action.target_id, batch, skipped))
        if skipped:
            raise AssertionRefused(f"the store cannot keep it: {skipped[0].reason}")
    return True


def reopen_step(store: Database, fence: int, run_id: int, by: str, origin: str, why: str, now: datetime) -> str:
    """Takes back that a manual step is done: it waits for a person again. Why not, in words; empty when it does. Its
    line in the audit is written with it."""
    found = run_ref(store, run_id)
    if found is None:
        return "its run is no longer in the store"
    with store.write(fence, durable=True) as session:
        [(name, kind, state, evidence)] = session.rows(_STEP, (run_id,))
        if kind != MANUAL:
            return f"{name} is no manual step: what its scheduler says stands"
        if evidence != RunEvidence.ASSERTED or RunState(state).is_open:
            return f"{name} {found[0].period_key} is {state}: nobody has completed it"
        record = RunRecord(
            job=found[0].job,
            attempt_key=f"again@{now.isoformat()}",
            state=RunState.WAITING,
            native_state="opened again",
            evidence=RunEvidence.ASSERTED,
            period_key=found[0].period_key,
            queued_at=now,
            message=f"{by}: {why}" if why else f"on the word of {by}",
            reason="approval",
        )
        batch = IngestBatch((record,), "", now, business_date=lambda _: now.date())
        skipped: list[SkippedRecord] = []
        write_runs(session, batch, read_batch(session, found[2], batch, skipped))
        if skipped:
            return f"the store cannot keep it: {skipped[0].reason}"
        audit.append(session, micros(now), by, origin, "undo done", name, {"run_id": run_id}, why)
    return ""
