"""Names that jobs had before their source called them otherwise: a config that still says one means the same job."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from console.clean import clean_line
from console.model.ids import job_name
from console.store.keys import pack, unpack

if TYPE_CHECKING:  # it brings sqlalchemy, and a console that only reads does without
    from console.store.wire import Wire

META = "former_names"
IN_CONFIG = "renamed"
"""In `meta`: what config says, and what that job is called now, as pairs."""
KEPT = 5
"""The latest of one job."""


def former_names(lines: Wire) -> dict[str, int]:
    """Raw name -> the job that had it, the latest where several had; also of names that another job has by now."""
    return names_of(_text(lines))


def names_of(text: str | None) -> dict[str, int]:
    """As `former_names`, of what `META` has."""
    return {job_name(system, unpack(name)): job_id for system, name, job_id in _read(text)}


def remember(lines: Wire, system: str, names: Sequence[tuple[int, str]]) -> None:
    """`names`: of jobs of that system, each with the raw name that it has no longer."""
    kept = [*_read(_text(lines)), *((system, pack(name), job_id) for job_id, name in names)]
    later: Counter[int] = Counter()
    fresh: list[tuple[str, str, int]] = []
    for one in reversed(kept):
        later[one[2]] += 1
        if later[one[2]] <= KEPT:
            fresh.append(one)
    query = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    lines.rows(query, (META, json.dumps(fresh[::-1])))


def words_of(text: str | None) -> list[str]:
    """What `IN_CONFIG` has, a sentence each."""
    return [told(old, new) for old, new in json.loads(text or "[]")]


def told(old: str, new: str) -> str:
    """What a person reads of a name in config that a job had."""
    now = f'config names "{clean_line(old)}", which is called {clean_line(new)} at its source by now'
    return f"{now}: it still counts. Write the new name."


def text_of(found: Mapping[str, str]) -> str:
    """As `meta` keeps what config says."""
    return json.dumps([[pack(old), pack(new)] for old, new in found.items()])


def _text(lines: Wire) -> str | None:
    """What `META` has."""
    return next((text for (text,) in lines.rows("SELECT value FROM meta WHERE name = ?", (META,))), None)


def _read(text: str | None) -> list[tuple[str, str, int]]:
    return [(system, name, job_id) for system, name, job_id in json.loads(text or "[]")]
