"""Which of our jobs a source means by a name."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime

from console.clean import clean_line
from console.model.ids import job_name, micros
from console.store.keys import is_too_long, pack
from console.store.latest import first_rows
from console.store.wire import Wire

NAME_LIMIT = 300
WHOLE = (
    "id", "system_id", "target_id", "native_id", "source_id", "name", "title", "definition", "definition_hash",
    "match_keys", "proof", "run_as", "native_url", "pool", "slots", "first_seen_us", "paused_since_us",
    "gone_since_us", "owner", "notify", "runbook", "rerun", "grace_s", "changed_seq",
)  # fmt: skip
"""The columns of a job that has just been seen."""


def job_ids(lines: Wire, target_id: int, names: AbstractSet[str], now: datetime) -> dict[str, int]:
    """Job id by the raw name that the source uses now; a name over 1,000 bytes is left out.

    A run whose job no inventory has shown (deleted at its source, or made a moment ago) is kept under a job that is
    marked gone; the next inventory that shows it takes it over as new.
    """
    if not names:
        return {}
    packed = {pack(name): name for name in names}
    wanted = sorted(name for name in packed if not is_too_long(name))
    [(system_id, system)] = lines.rows(
        "SELECT s.id, s.name FROM target t JOIN system s ON s.id = t.system_id WHERE t.id = ?", (target_id,)
    )
    found = _known(lines, "source_id", system_id, wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        found |= _known(lines, "native_id", system_id, missing)
        found |= _make(
            lines, system_id, system, target_id, [name for name in missing if name not in found], micros(now)
        )
    return {packed[name]: job_id for name, job_id in found.items()}


def _known(lines: Wire, column: str, system_id: int, names: list[str]) -> dict[str, int]:
    """Ids of those jobs that are stored. The outer join makes SQLite look each name up in the index; an inner one has
    it go through all names for each job: 5,000 of both took two seconds."""
    query = f"SELECT k.a, j.id FROM {{keys}} LEFT JOIN job j ON j.system_id = ? AND j.{column} = k.a"  # noqa: S608
    return {name: job_id for name, job_id in lines.by_keys(query, "t", names, (system_id,)) if job_id is not None}


def _make(lines: Wire, system_id: int, system: str, target_id: int, names: list[str], now_us: int) -> dict[str, int]:
    made = dict(zip(names, lines.new_ids("job", len(names)), strict=True))
    rows = [
        (job_id, system_id, target_id, name, name, clean_line(job_name(system, name), NAME_LIMIT), "", "", "", "[]",
         "full", "", "", "", None, now_us, None, now_us, "", "[]", "", "ask", 300.0, 0)
        for name, job_id in made.items()
    ]  # fmt: skip
    lines.insert("job", WHOLE, rows)
    first_rows(lines, system_id, made.values(), 0)
    return made
