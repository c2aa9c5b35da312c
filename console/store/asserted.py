"""What a person asserts of a run: an attempt of ours beside the source's own, so that a later one of these wins."""

from __future__ import annotations

from datetime import datetime

from connectors.contract import Evidence, RunRecord, Skipped, State
from console.model.ids import micros
from console.store.asked import ActionRow, ActionStep, move_action, run_ref
from console.store.batch import IngestBatch
from console.store.incoming import read
from console.store.ingest import write_runs
from console.store.open import Store
from console.store.wire import wire


class NotTaken(Exception):
    """Why the run cannot take what is said of it, in words; nothing was written. The store itself is well."""


def assert_state(
    store: Store, fence: int | None, action: ActionRow, state: State, step: ActionStep, now: datetime
) -> bool:
    """Writes the attempt and ends the action that asks for it, in one transaction; False when it is not "requested"
    any more. Its evidence is ASSERTED, its key the action's. Raises NotTaken."""
    found = None if action.run_id is None else run_ref(store, action.run_id, job_id=action.job_id)
    if found is None:
        raise NotTaken("its run is gone from the store")
    record = RunRecord(
        job=found[0].job,
        attempt_key=action.key,
        state=state,
        native_state="",
        evidence=Evidence.ASSERTED,
        started_at=now,
        ended_at=now,
        message=f"{action.requested_by}: {action.why}" if action.why else f"on the word of {action.requested_by}",
        action_key=action.key,
    )
    batch = IngestBatch((record,), "", now, bd=lambda _: now.date())
    with store.write(fence, durable=True) as connection:
        if not move_action(connection, action.key, "requested", step, micros(now)):
            return False
        skipped: list[Skipped] = []
        lines = wire(connection)
        write_runs(connection, lines, batch, read(lines, action.target_id, batch, skipped))
        if skipped:
            raise NotTaken(f"the store cannot keep it: {skipped[0].reason}")
    return True
