"""The jobs of a target as the store knows them, for whoever compares an inventory with them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from connectors.contract import Schedule
from console.model.ids import maybe_instant
from console.model.inventory import KnownJob
from console.store.keys import unpack
from console.store.open import Store
from console.store.wire import Row, wire

_NOTHING = Schedule("none")
_JOBS = (
    "SELECT j.id, j.native_id, j.source_id, j.match_keys, j.definition_hash, j.paused_since_us, j.gone_since_us,"
    " j.parent_id, j.definition, j.unwatched, j.pool, j.slots,"
    " EXISTS (SELECT 1 FROM hold h WHERE h.job_id = j.id AND h.kind <> 'trigger'"
    " AND h.state NOT IN ('failed', 'shadow')"
    " AND (h.ended_us IS NULL OR h.ended_us >= COALESCE(j.paused_since_us, t.inventory_us, 0)))"
    " OR j.id IN (SELECT a.job_id FROM action a WHERE a.requested_us >= (SELECT MAX(x.requested_us) FROM action x)"
    " - 172800000000 AND a.verb = 'hold' AND a.state NOT IN ('refused', 'failed')"
    " AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.key = a.key))"  # sent lately, before it has its row
    " FROM job j JOIN target t ON t.id = j.target_id WHERE j.target_id = ? ORDER BY j.id"
)
_SCHEDULES = (
    "SELECT s.job_id, s.dialect, s.expression, s.zone, s.words, s.next_us, s.accepted_us"
    " FROM schedule s JOIN job j ON j.id = s.job_id WHERE j.target_id = ? ORDER BY s.id"
)
_DRIFT = (
    "SELECT d.job_id, d.what, d.words FROM drift d JOIN job j ON j.id = d.job_id"
    " WHERE j.target_id = ? AND d.accepted_us IS NULL AND d.ended_us IS NULL"
)


def known_jobs(store: Store, target_id: int) -> list[KnownJob]:
    """The jobs of a target that an inventory has shown, by id; those gone as well. Names are raw."""
    with store.read() as connection:
        lines = wire(connection)
        versions: dict[int, list[tuple[Schedule, bool]]] = defaultdict(list)
        for job_id, dialect, expression, zone, words, next_us, accepted_us in lines.rows(_SCHEDULES, (target_id,)):
            schedule = Schedule(dialect, expression, zone, words, maybe_instant(next_us))
            versions[job_id].append((schedule, accepted_us is not None))
        drift: dict[int, dict[str, str]] = defaultdict(dict)
        for job_id, what, words in lines.rows(_DRIFT, (target_id,)):
            drift[job_id][what] = words
        rows = lines.rows(_JOBS, (target_id,))
    return [_known(row, versions[row[0]], drift.get(row[0], {})) for row in rows if row[0] in versions]


def _known(row: Row, versions: Sequence[tuple[Schedule, bool]], drift: Mapping[str, str]) -> KnownJob:
    accepted = [schedule for schedule, is_accepted in versions if is_accepted]
    return KnownJob(
        id=row[0],
        native_id=unpack(row[1]),
        source_id=unpack(row[2]),
        match_keys=tuple(unpack(key) for key in json.loads(row[3])),
        definition_hash=row[4],
        accepted=accepted[-1] if accepted else _NOTHING,
        seen=versions[-1][0],
        paused_since=maybe_instant(row[5]),
        gone_since=maybe_instant(row[6]),
        parent_id=row[7],
        open_drift=frozenset(drift),
        drift_words=drift,
        definition=row[8],
        unwatched=bool(row[9]),
        pool=(row[10], row[11]),
        held=bool(row[12]),
    )
