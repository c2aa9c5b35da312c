"""Jobs that a service is delivered by and that nobody has seen: told where the service is, not only by a check."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from console.clean import clean_line
from console.model.frozen import dataclass

if TYPE_CHECKING:
    from console.model.settings import ServiceSetting

META = "unknown_ends"
HINTS = 5
"""Names whose near misses are looked for: each costs a comparison with every job."""
COMPARED = 20_000
"""Jobs at most with which a name is compared."""


@dataclass(frozen=True, slots=True)
class UnknownEnd:
    """One name in a service's `delivered_by` that no job has."""

    service: str
    job: str
    words: str


def unknown_ends(services: Sequence[ServiceSetting], names: Collection[str]) -> tuple[UnknownEnd, ...]:
    """By service; of a system that has never shown any job nothing can be said."""
    seen = {name.partition("/")[0] for name in names}
    unknown = [
        (one.name, job)
        for one in services
        for job in one.delivered_by
        if job not in names and job.partition("/")[0] in seen
    ]
    return tuple(
        UnknownEnd(service, clean_line(job), _words(job, names if number < HINTS else ()))
        for number, (service, job) in enumerate(unknown)
    )


def _words(job: str, names: Collection[str]) -> str:
    from console.store.reads.near import near  # noqa: PLC0415 - the reads tell what is written here

    close = near(job, list(names)[:COMPARED])
    hint = f"; did you mean {' or '.join(map(clean_line, close))}?" if close else "; mend the name, or take it out"
    return f"delivered_by names a job nobody has seen: {clean_line(job)}{hint}"


def text_of(found: Sequence[UnknownEnd]) -> str:
    """As `meta` keeps them."""
    return json.dumps([[one.service, one.job, one.words] for one in found])


def read_back(text: str | None) -> tuple[UnknownEnd, ...]:
    return tuple(UnknownEnd(*one) for one in json.loads(text or "[]"))


def by_service(found: Sequence[UnknownEnd]) -> Mapping[str, str]:
    """What there is to say of each service."""
    told: dict[str, list[str]] = {}
    for one in found:
        told.setdefault(one.service, []).append(one.words)
    return {service: "; ".join(words) for service, words in told.items()}
