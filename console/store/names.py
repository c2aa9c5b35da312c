"""Names of jobs: as databases store them, as people shorten them, as sources renamed them.

A half of a surrogate pair (a byte that was not UTF-8, read with `surrogateescape`) and NUL are moved into the last
private plane and back, so that identity is exact and nothing is lost. Standard library only.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from console.domain.ids import job_name
from console.store.meta import get_meta, set_meta
from console.text.cleaning import clean_line

if TYPE_CHECKING:
    from console.domain.settings import ServiceSetting
    from console.store.db.session import Session


MAX_NAME_BYTES = 1_000
"""Longest identity. PostgreSQL refuses index rows over 2,704 bytes (its documentation, "B-Tree Indexes")."""

_PLANE = 0x10F000
_NUL = chr(_PLANE + 0x800)
_ESCAPE = chr(_PLANE + 0x801)
"""Before a character of the plane that was in the raw name."""
_UNSTORABLE = re.compile(f"[\x00\ud800-\udfff{chr(_PLANE)}-{_ESCAPE}]")
_MOVED = re.compile(f"{_ESCAPE}.|[{chr(_PLANE)}-{_NUL}]")


def encode_name(raw: str) -> str:
    """The name as both databases can hold it."""
    if raw.isascii():
        return raw.replace("\0", _NUL) if "\0" in raw else raw
    return _UNSTORABLE.sub(_move, raw)


def decode_name(stored: str) -> str:
    """The raw name, as its source gave it."""
    return stored if stored.isascii() else _MOVED.sub(_move_back, stored)


def _move(match: re.Match[str]) -> str:
    letter = match[0]
    if letter == "\0":
        return _NUL
    return chr(_PLANE + ord(letter) - 0xD800) if letter <= "\udfff" else _ESCAPE + letter


def _move_back(match: re.Match[str]) -> str:
    moved = match[0]
    if len(moved) == 2:
        return moved[1]
    return "\0" if moved == _NUL else chr(ord(moved) - _PLANE + 0xD800)


def is_too_long_name(packed: str) -> bool:
    """True for a name that cannot be an identity."""
    return len(packed) > MAX_NAME_BYTES // 4 and len(packed.encode()) > MAX_NAME_BYTES


MIN_SUFFIX = 3
"""Shortest suffix to type as a confirmation."""
_COUNT_SUFFIX = "SELECT COUNT(*) AS total FROM job WHERE substr(name, length(name) - ?) IN (?, ?)"


def name_suffixes(name: str) -> Iterator[str]:
    """Longest first, without the whole name."""
    return (name[at + 1 :] for at, character in enumerate(name) if character in "/:")


def shortest_suffix(session: Session, name: str) -> str:
    """The shortest suffix of a stored job name that no other job has; without one, the whole name."""
    for suffix in reversed([suffix for suffix in name_suffixes(name) if len(suffix) >= MIN_SUFFIX]):
        if session.rows(_COUNT_SUFFIX, (len(suffix), f"/{suffix}", f":{suffix}"))[0].total == 1:
            return suffix
    return name


FORMER_NAMES_KEY = "former_names"
RENAMED_KEY = "renamed"
"""Key in `meta` of (name in the config, current name of that job) pairs."""
MAX_FORMER = 5
"""Former names kept per job."""


def former_names(session: Session) -> dict[str, int]:
    """Raw former name -> the job that had it last; the name may belong to another job now."""
    return parse_former_names(get_meta(session, FORMER_NAMES_KEY))


def parse_former_names(text: str | None) -> dict[str, int]:
    """As `former_names`, from the value of FORMER_NAMES_KEY."""
    return {job_name(system, decode_name(name)): job_id for system, name, job_id in _parse_renames(text)}


def record_renames(session: Session, system: str, names: Sequence[tuple[int, str]]) -> None:
    """`names`: (job id, raw former name) of jobs of that system."""
    renames = _parse_renames(get_meta(session, FORMER_NAMES_KEY))
    renames += [(system, encode_name(name), job_id) for job_id, name in names]
    counts: Counter[int] = Counter()
    latest: list[tuple[str, str, int]] = []
    for system_name, name, job_id in reversed(renames):
        counts[job_id] += 1
        if counts[job_id] <= MAX_FORMER:
            latest.append((system_name, name, job_id))
    set_meta(session, {FORMER_NAMES_KEY: json.dumps(latest[::-1])})


def parse_renamed(text: str | None) -> list[str]:
    """The value of RENAMED_KEY as sentences."""
    return [renamed_text(old, new) for old, new in json.loads(text or "[]")]


def renamed_text(old: str, new: str) -> str:
    """The warning about a former name in the config."""
    now = f'config names "{clean_line(old)}", which is called {clean_line(new)} at its source by now'
    return f"{now}: it still counts. Write the new name."


def renamed_json(renamed: Mapping[str, str]) -> str:
    """The value of RENAMED_KEY."""
    return json.dumps([[encode_name(old), encode_name(new)] for old, new in renamed.items()])


def _parse_renames(text: str | None) -> list[tuple[str, str, int]]:
    return [(system, name, job_id) for system, name, job_id in json.loads(text or "[]")]


UNKNOWN_JOBS_KEY = "unknown_ends"
MAX_HINTS = 5
"""Names for which similar ones are searched: each costs a comparison with every job."""
MAX_COMPARED = 20_000
"""Jobs compared with a name at most."""


class UnknownJob(NamedTuple):
    """One name in a service's `delivered_by` that no job has."""

    service: str
    job: str
    text: str


_LISTED = (
    "SELECT s.name FROM system s WHERE EXISTS (SELECT 1 FROM job j WHERE j.system_id = s.id) AND NOT EXISTS (SELECT 1"
    " FROM target t WHERE t.system_id = s.id AND NOT t.removed AND t.inventory_us IS NULL)"
)


def listed_systems(session: Session) -> set[str]:
    """Names of the systems with a job and an inventory of each target: there a name that no job has is wrong, elsewhere
    what was not read may have it."""
    return {row.name for row in session.rows(_LISTED)}


def unknown_jobs(
    services: Sequence[ServiceSetting], names: Collection[str], listed: Collection[str]
) -> tuple[UnknownJob, ...]:
    """By service, of the systems that have listed their jobs."""
    unknown = [
        (service.name, job)
        for service in services
        for job in service.delivered_by
        if job not in names and job.partition("/")[0] in listed
    ]
    return tuple(
        UnknownJob(service, clean_line(job), _unknown_text(job, names if number < MAX_HINTS else ()))
        for number, (service, job) in enumerate(unknown)
    )


def _unknown_text(job: str, names: Collection[str]) -> str:
    from console.text.suggestions import suggest_names  # noqa: PLC0415 - readers of the stored text do not need it

    close = suggest_names(job, list(names)[:MAX_COMPARED])
    hint = f"; did you mean {' or '.join(map(clean_line, close))}?" if close else "; fix the name, or remove it"
    return f"delivered_by names an unknown job: {clean_line(job)}{hint}"


def parse_unknown_jobs(text: str | None) -> tuple[UnknownJob, ...]:
    """The value of UNKNOWN_JOBS_KEY, which is their JSON."""
    return tuple(UnknownJob(*job) for job in json.loads(text or "[]"))


def unknown_by_service(unknown: Sequence[UnknownJob]) -> Mapping[str, str]:
    """The messages about each service's unknown jobs."""
    texts: dict[str, list[str]] = {}
    for job in unknown:
        texts.setdefault(job.service, []).append(job.text)
    return {service: "; ".join(of_service) for service, of_service in texts.items()}
