"""Names that begin as typed: asked at each press of the Tab key, so apart from all that takes long to load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from console.model.ids import incident_name
from console.store.keys import pack
from console.store.name_ends import ends_of
from console.store.reads.link import Link
from console.store.reads.watched import still_watched

Named = Literal["job", "service", "system"]
OFFERED = 200
"""Names at most: a shell asks before it prints as many."""
_NAMES = {
    "job": "SELECT name FROM job j WHERE substr(name, 1, ?) = ?{watched} ORDER BY name LIMIT ?",
    "service": "SELECT name FROM service WHERE substr(name, 1, ?) = ? AND NOT removed ORDER BY name LIMIT ?",
    "system": "SELECT name FROM system WHERE substr(name, 1, ?) = ? AND NOT removed ORDER BY name LIMIT ?",
}


_HELD = "SELECT DISTINCT j.name FROM hold h JOIN job j ON j.id = h.job_id WHERE h.ended_us IS NULL ORDER BY j.name"


def names_that_begin(link: Link, of: Named, begins: str) -> list[str]:
    """In order, OFFERED at most; of jobs those that are watched, by their short names where no whole one begins so."""
    typed = pack(begins)
    query = _NAMES[of].format(watched=still_watched(link) if of == "job" else "")
    found = [row[0] for row in link.rows(query, (len(typed), typed, OFFERED))]
    return found or (_short_names(link, typed) if of == "job" and typed else [])


def _short_names(link: Link, typed: str) -> list[str]:
    """Ends of jobs' names that begin so and that only one job has: as a command takes them."""
    holds, watched = link.contains("name"), still_watched(link)
    rows = link.rows(f"SELECT name FROM job j WHERE {holds}{watched} ORDER BY name", (typed,))  # noqa: S608 - ours
    return _ends_of_one([name for (name,) in rows], typed)[:OFFERED]


def _ends_of_one(names: Iterable[str], typed: str) -> list[str]:
    ends = Counter(end for name in names for end in ends_of(name) if end.startswith(typed))
    return sorted(end for end, number in ends.items() if number == 1)


def held_that_begin(link: Link, begins: str) -> list[str]:
    """The jobs that are held, as `names_that_begin` tells jobs."""
    typed = pack(begins)
    held = [row[0] for row in link.rows(_HELD)]
    found = [name for name in held if name.startswith(typed)]
    return found or (_ends_of_one(held, typed) if typed else [])


def incidents_to_name(link: Link) -> list[str]:
    """The incidents that are open, the newest first; the latest ten where none is."""
    rows = link.rows("SELECT id FROM incident WHERE closed_us IS NULL ORDER BY id DESC LIMIT ?", (OFFERED,))
    rows = rows or link.rows("SELECT id FROM incident ORDER BY id DESC LIMIT 10")
    return [incident_name(row[0]) for row in rows]
