"""How much alerting was noise: counted from rows, and in words. Standard library only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

FLAPS = 3
"""How often one cause was there within the time, from which on it flaps."""
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Told:
    """One alert about an incident."""

    route: str
    kind: str
    incident_id: int
    owner: str
    rule: str
    """What saw it: a rule's name, else "run", "target", "shared" or "check"."""
    root: str
    """The job, target, check, or what many jobs share; empty where it is known no more."""
    useful: bool | None
    """What a person said of it; None: nobody said anything."""
    reopened: int = 0
    """How often its incident came back under its number."""


@dataclass(frozen=True, slots=True)
class Count:
    """The alerts of one route, owner, rule or root cause."""

    name: str
    alerts: int
    incidents: int
    repeated: int
    judged: int
    useful: int


@dataclass(frozen=True, slots=True)
class Noise:
    """A time's alerts, the loudest first."""

    since: datetime
    until: datetime
    total: Count
    routes: tuple[Count, ...]
    owners: tuple[Count, ...]
    rules: tuple[Count, ...]
    roots: tuple[Count, ...]
    flapping: tuple[tuple[str, int], ...]
    """(root, how often it was there) of what came again and again: as new incidents, or under one number."""
    held: tuple[tuple[str, int], ...]
    """(stage, notices that it held back)."""
    never_acknowledged: int
    """Incidents that were told and that nobody took."""


def noise(
    since: datetime, until: datetime, told: Sequence[Told], held: Sequence[tuple[str, int]], taken: Iterable[int]
) -> Noise:
    """`taken`: the incidents that somebody acknowledged."""
    incidents = {one.incident_id for one in told}
    causes: dict[str, dict[int, int]] = defaultdict(dict)
    for one in told:
        causes[one.root][one.incident_id] = 1 + one.reopened
    times = [(name, sum(of.values())) for name, of in causes.items() if name]
    flapping = [(name, number) for name, number in times if number >= FLAPS]
    return Noise(
        since=since,
        until=until,
        total=_count("all", told),
        routes=_by(told, lambda one: one.route),
        owners=_by(told, lambda one: one.owner or "nobody"),
        rules=_by(told, lambda one: one.rule),
        roots=_by(told, lambda one: one.root or "not known any more"),
        flapping=tuple(sorted(flapping, key=lambda pair: (-pair[1], pair[0]))),
        held=tuple(sorted(held, key=lambda pair: (-pair[1], pair[0]))),
        never_acknowledged=len(incidents - set(taken)),
    )


def _by(told: Sequence[Told], key: Callable[[Told], str]) -> tuple[Count, ...]:
    groups: dict[str, list[Told]] = defaultdict(list)
    for one in told:
        groups[key(one)].append(one)
    return tuple(sorted((_count(name, of) for name, of in groups.items()), key=lambda one: (-one.alerts, one.name)))


def _count(name: str, told: Sequence[Told]) -> Count:
    judged = [one.useful for one in told if one.useful is not None]
    return Count(
        name=name,
        alerts=len(told),
        incidents=len({one.incident_id for one in told}),
        repeated=sum(one.kind in ("repeated", "escalated") for one in told),
        judged=len(judged),
        useful=sum(judged),
    )


def noise_lines(one: Noise) -> Iterator[str]:
    """The report as people read it; names in it are cleaned by whoever read them."""
    total = one.total
    incidents = _number_of(total.incidents, "incident")
    yield f"{_number_of(total.alerts, 'alert')} about {incidents}, {total.repeated} of them repeated or escalated"
    yield _useful(total)
    yield f"never acknowledged: {one.never_acknowledged} of {incidents}"
    for title, counts in (
        ("routes", one.routes),
        ("owners", one.owners),
        ("rules", one.rules),
        ("root causes", one.roots),
    ):
        yield ""
        yield f"by {title}"
        yield from (f"  {each.alerts:>5}  {each.name}  ({_useful(each)})" for each in counts[:SHOWN])
        yield from ["  (none)"] if not counts else []
    yield ""
    yield "came again and again"
    yield from [f"  {count:>5}  {name}" for name, count in one.flapping[:SHOWN]] or ["  (none)"]
    yield ""
    yield "held back"
    yield from [f"  {count:>5}  {stage}" for stage, count in one.held] or ["  (none)"]


def _number_of(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _useful(one: Count) -> str:
    return f"{one.useful} of {one.judged} judged useful" if one.judged else "none was judged"
