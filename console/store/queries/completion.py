"""Names by prefix: separate from slow imports, because each press of Tab runs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from console.domain.ids import incident_name
from console.store.db.read_connection import ReadConnection
from console.store.names import encode_name, name_suffixes
from console.store.queries.watched_jobs import watched_condition

Completion = Literal["job", "service", "system"]
MAX_OFFERED = 200
"""A shell asks before it prints as many."""
_NAMES = {
    "job": "SELECT name FROM job j WHERE substr(name, 1, ?) = ?{watched} ORDER BY name LIMIT ?",
    "service": "SELECT name FROM service WHERE substr(name, 1, ?) = ? AND NOT removed ORDER BY name LIMIT ?",
    "system": "SELECT name FROM system WHERE substr(name, 1, ?) = ? AND NOT removed ORDER BY name LIMIT ?",
}

_HELD = "SELECT DISTINCT j.name FROM hold h JOIN job j ON j.id = h.job_id WHERE h.ended_us IS NULL ORDER BY j.name"


def complete_names(link: ReadConnection, of: Completion, begins: str) -> list[str]:
    """Names that begin so, in order, at most MAX_OFFERED: watched jobs, by suffixes of one job each if no whole name
    begins so."""
    typed = encode_name(begins)
    watched = watched_condition(link) if of == "job" else ""
    rows = link.rows(_NAMES[of].format(watched=watched), (len(typed), typed, MAX_OFFERED))
    if rows or of != "job" or not typed:
        return [row.name for row in rows]
    query = f"SELECT name FROM job j WHERE {link.contains('name')}{watched} ORDER BY name"  # noqa: S608 - our own
    return _suffixes_of([row.name for row in link.rows(query, (typed,))], typed)[:MAX_OFFERED]


def _suffixes_of(names: Iterable[str], typed: str) -> list[str]:
    ends = Counter(end for name in names for end in name_suffixes(name) if end.startswith(typed))
    return sorted(end for end, number in ends.items() if number == 1)


def complete_held_jobs(link: ReadConnection, begins: str) -> list[str]:
    """The held jobs, as `complete_names` lists jobs."""
    typed = encode_name(begins)
    held = [row.name for row in link.rows(_HELD)]
    return [name for name in held if name.startswith(typed)] or (_suffixes_of(held, typed) if typed else [])


def complete_incidents(link: ReadConnection) -> list[str]:
    """The open incidents, newest first; without any, the latest ten."""
    rows = link.rows("SELECT id FROM incident WHERE closed_us IS NULL ORDER BY id DESC LIMIT ?", (MAX_OFFERED,))
    rows = rows or link.rows("SELECT id FROM incident ORDER BY id DESC LIMIT 10")
    return [incident_name(row.id) for row in rows]
