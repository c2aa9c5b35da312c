"""Names of jobs: as databases can store them, as people shorten them, as config matches them, as sources renamed
them.

A half of a surrogate pair (a byte that was not UTF-8, read with `surrogateescape`) and NUL are moved into the last
private plane and back, so that identity is exact and nothing is lost. Standard library only.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from console.domain.ids import job_name
from console.store.meta import get_meta, set_meta
from console.text.cleaning import clean_line

if TYPE_CHECKING:
    from console.domain.settings import ServiceSetting
    from console.store.db.session import Session


MAX_NAME_BYTES = 1_000
"""Of an identity. PostgreSQL refuses index rows over 2,704 bytes (its documentation, "B-Tree Indexes")."""

_PLANE = 0x10F000
_NUL = chr(_PLANE + 0x800)
_ESCAPE = chr(_PLANE + 0x801)
"""Before a letter of the plane that was in the name from the start."""
_UNSTORABLE = re.compile(f"[\x00\ud800-\udfff{chr(_PLANE)}-{_ESCAPE}]")
_MOVED = re.compile(f"{_ESCAPE}.|[{chr(_PLANE)}-{_NUL}]")


def encode_name(raw: str) -> str:
    """The name as both databases can hold it."""
    if raw.isascii():
        return raw.replace("\0", _NUL) if "\0" in raw else raw
    return _UNSTORABLE.sub(_move, raw)


def decode_name(stored: str) -> str:
    """The raw name, as its source gave it: what a connector needs."""
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
"""Letters of an end that is asked for: who types fewer has not read it."""
_COUNT_SUFFIX = "SELECT COUNT(*) FROM job WHERE substr(name, length(name) - ?) IN (?, ?)"


def name_suffixes(name: str) -> Iterator[str]:
    """The longest first; without the whole name."""
    return (name[at + 1 :] for at, letter in enumerate(name) if letter in "/:")


def shortest_suffix(session: Session, name: str) -> str:
    """The shortest end of a job's name, as it is stored, that no other job has; the whole name where there is none."""
    for end in reversed([each for each in name_suffixes(name) if len(each) >= MIN_SUFFIX]):
        if session.rows(_COUNT_SUFFIX, (len(end), f"/{end}", f":{end}"))[0][0] == 1:
            return end
    return name


class JobNames(Iterable[str], Container[str], Protocol):
    """Names of jobs: a mapping or a set of them."""


def matching_names(pattern: str, names: JobNames) -> list[str]:
    """The names that a pattern means; without a `*` only that name itself."""
    if "*" not in pattern:
        return [pattern] if pattern in names else []
    fits = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL).fullmatch
    return [name for name in names if fits(name)]


FORMER_NAMES_KEY = "former_names"
RENAMED_KEY = "renamed"
"""In `meta`: what config says, and what that job is called now, as pairs."""
MAX_FORMER = 5
"""The latest of one job."""


def former_names(session: Session) -> dict[str, int]:
    """Raw name -> the job that had it, the latest where several had; also of names that another job has by now."""
    return parse_former_names(get_meta(session, FORMER_NAMES_KEY))


def parse_former_names(text: str | None) -> dict[str, int]:
    """As `former_names`, from the value of FORMER_NAMES_KEY."""
    return {job_name(system, decode_name(name)): job_id for system, name, job_id in _parse_renames(text)}


def record_renames(session: Session, system: str, names: Sequence[tuple[int, str]]) -> None:
    """`names`: of jobs of that system, each with the raw name that it has no longer."""
    kept = [
        *_parse_renames(get_meta(session, FORMER_NAMES_KEY)),
        *((system, encode_name(name), job_id) for job_id, name in names),
    ]
    later: Counter[int] = Counter()
    fresh: list[tuple[str, str, int]] = []
    for one in reversed(kept):
        later[one[2]] += 1
        if later[one[2]] <= MAX_FORMER:
            fresh.append(one)
    set_meta(session, {FORMER_NAMES_KEY: json.dumps(fresh[::-1])})


def parse_renamed(text: str | None) -> list[str]:
    """The value of RENAMED_KEY, a sentence each."""
    return [renamed_text(old, new) for old, new in json.loads(text or "[]")]


def renamed_text(old: str, new: str) -> str:
    """What a person reads of a name in config that a job had."""
    now = f'config names "{clean_line(old)}", which is called {clean_line(new)} at its source by now'
    return f"{now}: it still counts. Write the new name."


def renamed_json(found: Mapping[str, str]) -> str:
    """As `meta` keeps what config says."""
    return json.dumps([[encode_name(old), encode_name(new)] for old, new in found.items()])


def _parse_renames(text: str | None) -> list[tuple[str, str, int]]:
    return [(system, name, job_id) for system, name, job_id in json.loads(text or "[]")]


UNKNOWN_JOBS_KEY = "unknown_ends"
MAX_HINTS = 5
"""Names whose near misses are looked for: each costs a comparison with every job."""
MAX_COMPARED = 20_000
"""Jobs at most with which a name is compared."""


class UnknownJob(NamedTuple):
    """One name in a service's `delivered_by` that no job has."""

    service: str
    job: str
    words: str


def unknown_jobs(services: Sequence[ServiceSetting], names: Collection[str]) -> tuple[UnknownJob, ...]:
    """By service; of a system that has never shown any job nothing can be said."""
    seen = {name.partition("/")[0] for name in names}
    unknown = [
        (one.name, job)
        for one in services
        for job in one.delivered_by
        if job not in names and job.partition("/")[0] in seen
    ]
    return tuple(
        UnknownJob(service, clean_line(job), _unknown_text(job, names if number < MAX_HINTS else ()))
        for number, (service, job) in enumerate(unknown)
    )


def _unknown_text(job: str, names: Collection[str]) -> str:
    from console.text.suggestions import suggest_names  # noqa: PLC0415 - the reads tell what is written here

    close = suggest_names(job, list(names)[:MAX_COMPARED])
    hint = f"; did you mean {' or '.join(map(clean_line, close))}?" if close else "; mend the name, or take it out"
    return f"delivered_by names a job nobody has seen: {clean_line(job)}{hint}"


def unknown_jobs_json(found: Sequence[UnknownJob]) -> str:
    """As `meta` keeps them."""
    return json.dumps(found)


def parse_unknown_jobs(text: str | None) -> tuple[UnknownJob, ...]:
    return tuple(UnknownJob(*one) for one in json.loads(text or "[]"))


def unknown_by_service(found: Sequence[UnknownJob]) -> Mapping[str, str]:
    """What there is to say of each service."""
    told: dict[str, list[str]] = {}
    for one in found:
        told.setdefault(one.service, []).append(one.words)
    return {service: "; ".join(words) for service, words in told.items()}
