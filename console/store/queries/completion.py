"""Names by prefix: run at each press of Tab, so apart from all that takes long to load."""

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
"""Names at most: a shell asks before it prints as many."""
_NAMES = {
    "job": "SELECT name FROM job j WHERE substr(name, 1, ?) = ?{watched} ORDER BY name LIMIT ?",
    "service": "SELECT name FROM service WHERE substr(name, 1, ?) = ? AND NOT removed ORDER BY name LIMIT ?",
    "system": "SELECT name FROM system WHERE substr(name, 1, ?) = ? AND NOT removed ORDER BY name LIMIT ?",
}


_HELD = "SELECT DISTINCT j.name FROM hold h JOIN job j ON j.id = h.job_id WHERE h.ended_us IS NULL ORDER BY j.name"


def complete_names(link: ReadConnection, of: Completion, begins: str) -> list[str]:
    """In order, at most MAX_OFFERED. Of jobs the watched ones, by their short names where no whole name begins so."""
    typed = encode_name(begins)
    query = _NAMES[of].format(watched=watched_condition(link) if of == "job" else "")
    found = [row[0] for row in link.rows(query, (len(typed), typed, MAX_OFFERED))]
    return found or (_short_names(link, typed) if of == "job" and typed else [])


def _short_names(link: ReadConnection, typed: str) -> list[str]:
    """Ends of jobs' names that begin so and that only one job has: as a command takes them."""
    holds, watched = link.contains("name"), watched_condition(link)
    rows = link.rows(f"SELECT name FROM job j WHERE {holds}{watched} ORDER BY name", (typed,))  # noqa: S608 - ours
    return _suffixes_of([name for (name,) in rows], typed)[:MAX_OFFERED]


def _suffixes_of(names: Iterable[str], typed: str) -> list[str]:
    ends = Counter(end for name in names for end in name_suffixes(name) if end.startswith(typed))
    return sorted(end for end, number in ends.items() if number == 1)


def complete_held_jobs(link: ReadConnection, begins: str) -> list[str]:
    """The jobs that are held, as `complete_names` lists jobs."""
    typed = encode_name(begins)
    held = [row[0] for row in link.rows(_HELD)]
    found = [name for name in held if name.startswith(typed)]
    return found or (_suffixes_of(held, typed) if typed else [])


def complete_incidents(link: ReadConnection) -> list[str]:
    """The incidents that are open, the newest first; the latest ten where none is."""
    rows = link.rows("SELECT id FROM incident WHERE closed_us IS NULL ORDER BY id DESC LIMIT ?", (MAX_OFFERED,))
    rows = rows or link.rows("SELECT id FROM incident ORDER BY id DESC LIMIT 10")
    return [incident_name(row[0]) for row in rows]
