"""What a time's alerts were, for the noise report. Plain SQL, for whoever reads the store."""

from __future__ import annotations

from datetime import datetime

from console.clean import clean_line
from console.model.ids import micros
from console.model.noise import Noise, Told, noise
from console.store.chain import Run

_TOLD = (
    "SELECT a.route, a.kind, i.id, i.owner, CASE WHEN i.rule <> '' THEN i.rule ELSE i.cause END,"
    " COALESCE(j.name, t.words, NULLIF(i.root_shared, ''), i.root_check, ''), u.useful, i.reopened"
    " FROM alert a JOIN incident i ON i.id = a.incident_id LEFT JOIN job j ON j.id = i.root_job_id"
    " LEFT JOIN (SELECT t.id, s.name || '/' || t.name AS words FROM target t JOIN system s ON s.id = t.system_id) t"
    " ON t.id = i.root_target_id LEFT JOIN alert_useful u ON u.alert_id = a.id"
    " WHERE a.made_us >= ? AND a.made_us < ? AND a.kind <> 'person'"
    " AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = a.id AND d.state = 'dropped')"
)
_HELD = "SELECT stage, count(*) FROM alert_held WHERE since_us >= ? AND since_us < ? GROUP BY stage ORDER BY stage"
_TAKEN = "SELECT DISTINCT incident_id FROM acknowledgement WHERE made_us >= ?"


def noise_since(run: Run, since: datetime, until: datetime) -> Noise:
    """The alerts about incidents that were made from then until then."""
    window = (micros(since), micros(until))
    told = [
        Told(
            route,
            kind,
            incident,
            clean_line(owner),
            rule,
            clean_line(root),
            None if useful is None else bool(useful),
            int(reopened),
        )
        for route, kind, incident, owner, rule, root, useful, reopened in run(_TOLD, window)
    ]
    held = [(stage, int(count)) for stage, count in run(_HELD, window)]
    return noise(since, until, told, held, (row[0] for row in run(_TAKEN, window[:1])))
