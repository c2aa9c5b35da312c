"""The noise report: how many alerts were repeated, flapping, suppressed or useful, by route, owner, rule and root
cause.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

MIN_FLAPS = 3
"""Minimum occurrences of a cause that count as flapping."""
MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class NoiseAlert:
    """One alert about an incident."""

    route: str
    kind: str
    incident_id: int
    owner: str
    rule: str
    """Its rule, else "run", "target", "shared" or "check"."""
    root: str
    """The job, target, check, or what many jobs share; empty where it is known no more."""
    useful: bool | None
    """A person's rating; None: not rated."""
    reopened: int = 0
    """How often its incident came back under its number."""


@dataclass(frozen=True, slots=True)
class NoiseCount:
    """The alerts of one route, owner, rule or root cause."""

    name: str
    alerts: int
    incidents: int
    repeated: int
    judged: int
    useful: int


@dataclass(frozen=True, slots=True)
class NoiseReport:
    """A time's alerts, the loudest first."""

    since: datetime
    until: datetime
    total: NoiseCount
    routes: tuple[NoiseCount, ...]
    owners: tuple[NoiseCount, ...]
    rules: tuple[NoiseCount, ...]
    roots: tuple[NoiseCount, ...]
    flapping: tuple[tuple[str, int], ...]
    """(root, how often it was there) of what came again and again: as new incidents, or under one number."""
    held: tuple[tuple[str, int], ...]
    """(stage, notifications that it suppressed)."""
    never_acknowledged: int
    """Notified incidents without an acknowledgement."""


def noise_report(
    since: datetime, until: datetime, told: Sequence[NoiseAlert], held: Sequence[tuple[str, int]], taken: Iterable[int]
) -> NoiseReport:
    """`taken`: the acknowledged incidents."""
    incidents = {one.incident_id for one in told}
    causes: dict[str, dict[int, int]] = defaultdict(dict)
    for one in told:
        causes[one.root][one.incident_id] = 1 + one.reopened
    times = [(name, sum(of.values())) for name, of in causes.items() if name]
    flapping = [(name, number) for name, number in times if number >= MIN_FLAPS]
    return NoiseReport(
        since=since,
        until=until,
        total=_count("all", told),
        routes=_count_by(told, lambda one: one.route),
        owners=_count_by(told, lambda one: one.owner or "nobody"),
        rules=_count_by(told, lambda one: one.rule),
        roots=_count_by(told, lambda one: one.root or "not known any more"),
        flapping=tuple(sorted(flapping, key=lambda pair: (-pair[1], pair[0]))),
        held=tuple(sorted(held, key=lambda pair: (-pair[1], pair[0]))),
        never_acknowledged=len(incidents - set(taken)),
    )


def _count_by(told: Sequence[NoiseAlert], key: Callable[[NoiseAlert], str]) -> tuple[NoiseCount, ...]:
    groups: dict[str, list[NoiseAlert]] = defaultdict(list)
    for one in told:
        groups[key(one)].append(one)
    return tuple(sorted((_count(name, of) for name, of in groups.items()), key=lambda one: (-one.alerts, one.name)))


def _count(name: str, told: Sequence[NoiseAlert]) -> NoiseCount:
    judged = [one.useful for one in told if one.useful is not None]
    return NoiseCount(
        name=name,
        alerts=len(told),
        incidents=len({one.incident_id for one in told}),
        repeated=sum(one.kind in ("repeated", "escalated") for one in told),
        judged=len(judged),
        useful=sum(judged),
    )


def format_report(one: NoiseReport) -> Iterator[str]:
    """The report as lines; names in it were cleaned when they were read."""
    total = one.total
    incidents = _plural(total.incidents, "incident")
    yield f"{_plural(total.alerts, 'alert')} about {incidents}, {total.repeated} of them repeated or escalated"
    yield _format_useful(total)
    yield f"never acknowledged: {one.never_acknowledged} of {incidents}"
    for title, counts in (
        ("routes", one.routes),
        ("owners", one.owners),
        ("rules", one.rules),
        ("root causes", one.roots),
    ):
        yield ""
        yield f"by {title}"
        yield from (f"  {each.alerts:>5}  {each.name}  ({_format_useful(each)})" for each in counts[:MAX_SHOWN])
        yield from ["  (none)"] if not counts else []
    yield ""
    yield "came again and again"
    yield from [f"  {count:>5}  {name}" for name, count in one.flapping[:MAX_SHOWN]] or ["  (none)"]
    yield ""
    yield "held back"
    yield from [f"  {count:>5}  {stage}" for stage, count in one.held] or ["  (none)"]


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _format_useful(one: NoiseCount) -> str:
    return f"{one.useful} of {one.judged} judged useful" if one.judged else "none was judged"
