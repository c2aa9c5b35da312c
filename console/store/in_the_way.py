"""What is in the way of a start: who holds the job, and what of ours is on its way to it; of a mark: a success."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.contract import Evidence, State, Verb
from connectors.words import STARTING
from console.model.ids import instant
from console.model.words import NOTHING_TO_MARK
from console.store import beside
from console.store.open import Store
from console.store.wire import wire


def hold_words(store: Store, of: dict[str, Any]) -> str:
    """Who holds the job, or the DAG of the task, until when; empty while nobody does. `of`: its `run_id`, `job_id`."""
    run_id = of.get("run_id")
    with store.read() as connection:
        rows = wire(connection).rows(
            _HOLD_OF_JOB if run_id is None else _HOLD_OF_RUN, (of.get("job_id") if run_id is None else int(run_id),)
        )
    for by, until, why in rows:
        return f"it is held by {by} until {instant(until):%Y-%m-%d %H:%M}Z{f': {why}' if why else ''}"
    return ""


_HOLD_OF_JOB = (
    "SELECT h.held_by, h.until_us, h.why FROM hold h WHERE h.state IN ('held', 'releasing', 'found')"
    " AND h.job_id IN (SELECT COALESCE(j.parent_id, j.id) FROM job j WHERE j.id = ?) ORDER BY h.key"
)
_HOLD_OF_RUN = _HOLD_OF_JOB.replace("j.id = ?", "j.id = (SELECT r.job_id FROM run r WHERE r.id = ?)")


def on_its_way(store: Store, of: Mapping[str, Any], key: str = "") -> str | None:
    """A rerun or start of the job, other than `key`, that has left or may have, and that its source has not shown yet,
    in words; None without one. `of`: its `run_id`, `job_id`."""
    with store.read() as connection:
        rows = wire(connection).rows(_ON_ITS_WAY, (of.get("run_id"), of.get("job_id"), key))
    for verb, by in rows:
        return f"{'the rerun' if verb == Verb.RERUN else 'the start'} of {by} was sent, and has not begun yet"
    return None


_ON_ITS_WAY = (
    "SELECT a.verb, a.requested_by FROM action a WHERE a.job_id = COALESCE("
    "(SELECT r.job_id FROM run r WHERE r.id = CAST(? AS BIGINT)), CAST(? AS BIGINT)) AND a.key <> ?"
    " AND a.verb IN ('rerun', 'start')"
    " AND a.state IN ('sending', 'sent', 'unknown') AND NOT EXISTS (SELECT 1 FROM attempt t"
    " WHERE (t.action_key = a.key AND t.job_id = a.job_id)"
    " OR (t.run_id = a.run_id AND a.native_ref <> '' AND t.attempt_key = a.native_ref)) ORDER BY a.sent_us DESC"
)


def under_way(store: Store, run_id: int | None) -> tuple[list[str], str | None]:
    """Keys of what was asked of this run and is not over, and in words what goes before another start of it."""
    if run_id is None:
        return [], None
    with store.read() as connection:
        run = wire(connection).rows
        found = beside.under_way(run, run_id, None, STARTING)
        plan = beside.to_come(run, run_id, STARTING)
    words = f"what {found[0][0]} asked of this run is not over yet" if found else None
    if plan is not None and words is None:
        words = f"plan {plan[0]} of {plan[1]} does it, in its step {plan[2]}"
    return [str(row[3]) for row in found], words


def before(store: Store, key: str) -> str | None:
    """What goes before this action, which waits for its turn; None for nothing."""
    with store.read() as connection:
        return beside.before(wire(connection).rows, key) or None


def good_already(store: Store, verb: Verb, run_id: int | None) -> str:
    """Why this run is marked neither OK nor skipped; empty where it may be, and for other verbs."""
    if run_id is None or verb not in (Verb.MARK_OK, Verb.SKIP):
        return ""
    sql = "SELECT 1 FROM run WHERE id = ? AND state = ? AND evidence <> ? AND NOT stale_read"
    with store.read() as connection:
        rows = wire(connection).rows(sql, (run_id, State.SUCCEEDED.value, Evidence.ASSERTED.value))
    return NOTHING_TO_MARK if rows else ""
