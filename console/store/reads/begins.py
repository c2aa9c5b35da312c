"""Names that begin as typed: asked at each press of the Tab key, so apart from all that takes long to load."""

from __future__ import annotations

from typing import Literal

from console.model.ids import incident_name
from console.store.keys import pack
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


def names_that_begin(link: Link, of: Named, begins: str) -> list[str]:
    """In order, OFFERED at most; of jobs those that are watched."""
    typed = pack(begins)
    query = _NAMES[of].format(watched=still_watched(link) if of == "job" else "")
    return [row[0] for row in link.rows(query, (len(typed), typed, OFFERED))]


def incidents_to_name(link: Link) -> list[str]:
    """The incidents that are open, the newest first; the latest ten where none is."""
    rows = link.rows("SELECT id FROM incident WHERE closed_us IS NULL ORDER BY id DESC LIMIT ?", (OFFERED,))
    rows = rows or link.rows("SELECT id FROM incident ORDER BY id DESC LIMIT 10")
    return [incident_name(row[0]) for row in rows]
