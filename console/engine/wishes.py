"""What a person wants of a run or a job, as a value, and as the row of an action."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.words import Verb
from console.durations import duration_words
from console.store import beside
from console.store.chain import Run

_NEW_ACTION = (
    "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, parameters, origin, requested_by,"
    " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, words, next_us, looked_up,"
    " changed_seq) SELECT ?, ?, j.id, r.id, COALESCE(CAST(? AS BIGINT), (SELECT MIN(i.id) FROM incident_member m"
    " JOIN incident i ON i.id = m.incident_id"
    " WHERE m.job_id = r.job_id AND m.period_key = r.period_key AND i.closed_us IS NULL)),"
    " 'requested', ?, ?, 'person', ?, ?, ?, ?, ?, '', ?, '', ?, 0, 0, 0"
    " FROM job j LEFT JOIN run r ON r.job_id = j.id AND r.id = CAST(? AS BIGINT)"
    " WHERE j.id = COALESCE((SELECT job_id FROM run WHERE id = CAST(? AS BIGINT)), CAST(? AS BIGINT)) RETURNING key"
)
"""Without a named incident it is told in that of which the run is part, whichever way it was asked."""

ONE_AT_A_TIME = (
    (Verb.RERUN, Verb.START, Verb.MARK_OK, Verb.SKIP),
    (Verb.CANCEL,),
    (Verb.HOLD, Verb.RELEASE),
    (Verb.BACKFILL,),
)
"""Of each group one action at most is under way for a run (for a job, where it is about no run)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants of a run, or of a job."""

    verb: Verb
    run_id: int | None = None
    job_id: int | None = None
    """Where there is no run yet, and for hold and release."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """`Ask.parameters` of the contract."""
    preview: Mapping[str, Any] = field(default_factory=dict)
    """What the person saw; empty: the engine asks for it right before sending, and sends what it then says."""
    why: str = ""
    overlap: str = "refuse"
    """Where its job is running already: "refuse", "queue" until it is not, "allow" what the person was shown."""
    incident_id: int | None = None
    needs_approval: bool = False
    beside: tuple[str, ...] | None = None
    """Where `overlap` was chosen, keys of what was shown to be under way for the same run: an allowed one leaves beside
    what of it has arrived, a queued one waits for all that was asked before it."""


class AlreadyAsked(Exception):
    """Somebody asked for this run already; the message says who and when."""


def overlap_shown(preview: Mapping[str, Any]) -> str:
    """`Wish.overlap` of who was shown this and sends it: one that was shown is allowed, one that comes later is not."""
    return "allow" if preview.get("overlap") else "refuse"


def refuse_a_second(run: Run, wish: Wish, now_us: int) -> None:
    """Raises AlreadyAsked where one of the same group is under way or to come, unless it was chosen to stand beside."""
    group = [verb.value for verb in next(verbs for verbs in ONE_AT_A_TIME if wish.verb in verbs)]
    queues = wish.beside is not None and wish.overlap == "queue"
    for by, at, state, key in [] if queues else beside.under_way(run, wish.run_id, wish.job_id, group):
        shown = wish.beside is not None and key in wish.beside
        if shown and state == "sent":
            continue  # it has arrived and runs, or is about to: that is what was chosen
        ago, lost = duration_words((now_us - at) / 1e6), state in ("requested", "unknown")
        further = f"; headway withdraw {key} takes it back" if shown and lost else ""
        raise AlreadyAsked(f"already asked by {by} {ago} ago; it is {state}{further}")
    plan = None if queues or wish.run_id is None else beside.to_come(run, wish.run_id, group)
    if plan is not None:
        number, by, place = plan
        ways = f"headway recovery {number} --watch follows it; --overlap queue waits for it"
        raise AlreadyAsked(f"plan {number} of {by} does it, in its step {place}: {ways}")


def insert(run: Run, wish: Wish, key: str, by: str, origin: str, now: int) -> None:
    """Keeps it under its key, as `by` asked for it from `origin`."""
    words = (json.dumps(dict(wish.preview)), json.dumps(dict(wish.parameters)))
    waits = f"waits for the approval of another person: headway approve {key}" if wish.needs_approval else ""
    asked_by = (by, origin, wish.why, wish.overlap, wish.needs_approval, now, waits)
    of = (wish.run_id, wish.run_id, wish.job_id)
    run(_NEW_ACTION, (key, wish.verb.value, wish.incident_id, *words, *asked_by, *of))
