"""What was when a job was last good, looked up for the roots that somebody is told of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from console.clean import clean_line
from console.model.ids import instant, maybe_instant
from console.model.past import Past
from console.store.keys import unpack
from console.store.open import Store
from console.store.wire import Wire, single, wire

LOOKED = 500
"""Runs of a job before the red one among which a good one is looked for: one that runs each minute has many."""
DURATIONS = 30
DRIFTS = 5
_SELF = (
    "SELECT r.job_id, r.sort_us, a.context, t.booted_us, s.name, t.name FROM run r JOIN job j ON j.id = r.job_id"
    " JOIN target t ON t.id = j.target_id JOIN system s ON s.id = t.system_id"
    " LEFT JOIN attempt a ON a.id = r.attempt_id WHERE r.id = ?"
)
_GOOD = (
    "SELECT g.started_us, g.ended_us, a.context, g.id FROM (SELECT * FROM run r WHERE r.job_id = ? AND r.sort_us < ?"
    " ORDER BY r.sort_us DESC LIMIT ?) g LEFT JOIN attempt a ON a.id = g.attempt_id"
    " WHERE g.state = 'succeeded' AND g.ended_us IS NOT NULL ORDER BY g.sort_us DESC LIMIT ?"
)
_STAMP = (
    "SELECT r.id, r.changed_seq, j.changed_seq, t.booted_us FROM {keys} JOIN run r ON r.id = k.a"
    " JOIN job j ON j.id = r.job_id JOIN target t ON t.id = j.target_id"
)
Stamp = tuple[int | None, ...]


def of_runs(store: Store, run_ids: Iterable[int]) -> dict[int, Past]:
    """Run id -> its past, of these red runs."""
    with store.read() as connection:
        lines = wire(connection)
        found = {run_id: _past(lines, run_id) for run_id in dict.fromkeys(run_ids)}
    return {run_id: past for run_id, past in found.items() if past is not None}


def stamps(store: Store, run_ids: Iterable[int]) -> dict[int, Stamp]:
    """Run id -> what is another as soon as its past may be: how often the run and its job were changed, and when its
    host started."""
    with store.read() as connection:
        rows = list(wire(connection).by_keys(_STAMP, "i", sorted(set(run_ids))))
    return {run_id: tuple(stamp) for run_id, *stamp in rows}


def last_good(store: Store, run_id: int) -> tuple[int, int] | None:
    """(id, end in µs) of the last good run of its job before this one; None where none is known."""
    with store.read() as connection:
        lines = wire(connection)
        row = single(lines.rows("SELECT job_id, sort_us FROM run WHERE id = ?", (run_id,)))
        good = lines.rows(_GOOD, (row[0], row[1], LOOKED, 1)) if row is not None else []
    return (int(good[0][3]), int(good[0][1])) if good else None


def _past(lines: Wire, run_id: int) -> Past | None:
    row = single(lines.rows(_SELF, (run_id,)))
    if row is None:
        return None
    job_id, sort_us, context, booted, system, target = row
    good = lines.rows(_GOOD, (job_id, sort_us, LOOKED, DURATIONS))
    if not good:
        return Past(None, _context(context))
    started, ended, good_context, _ = good[0]
    since = started if started is not None else ended
    return Past(
        good_at=instant(ended),
        context=_context(context),
        good_context=_context(good_context),
        drift=tuple(
            (instant(at), what, words)
            for at, what, words in lines.rows(
                "SELECT seen_us, what, words FROM drift WHERE job_id = ? AND seen_us >= ? ORDER BY id DESC LIMIT ?",
                (job_id, since, DRIFTS),
            )
        ),
        accepted=tuple(
            (instant(at), by, expression)
            for at, by, expression in lines.rows(
                "SELECT accepted_us, accepted_by, expression FROM schedule WHERE job_id = ? AND accepted_us >= ?"
                " AND accepted_by <> 'first sight' ORDER BY id DESC LIMIT ?",
                (job_id, since, DRIFTS),
            )
        ),
        booted_at=maybe_instant(booted),
        target=clean_line(f"{system}/{unpack(target)}"),
        durations=tuple((end - begin) / 1_000_000 for begin, end, *_ in good if begin is not None and end >= begin),
    )


def _context(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
