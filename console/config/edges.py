"""What `[[dependencies]]` say each well alone, and what of them cannot all be true together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from console.config.models import DependencySettings
from console.config.reading import Reading
from console.model.cycles import knots

Pair = tuple[str, str]
_CALENDARS = ("previous business day", "last of month")


def check_dependencies(numbered: Mapping[int, DependencySettings], reading: Reading) -> None:
    """Each says something that can be; one pair says one thing; of one downstream there is one answer to no engine;
    and nothing feeds itself but through the previous period."""
    for number, one in numbered.items():
        for key, words in _faults(one):
            reading.fault(_key(number, key), words)
    _pairs(numbered, reading)
    _engine_down(numbered, reading)
    _circle(numbered, reading)


def find_cycle(edges: list[Pair]) -> list[str]:
    """Names along one circle of `edges` (upstream, downstream), in order, each once; empty without one."""
    return next((list(path[:-1]) for path in knots(edges)), [])


def _faults(one: DependencySettings) -> Iterable[tuple[str, str]]:
    """Key and words of what contradicts itself within one dependency."""
    count = len(one.feeding)
    twice = next((each for each in one.feeding if one.feeding.count(each) > 1), None)
    if twice is not None:
        yield "upstreams", f'names "{twice}" twice. Name each once.'
    elif one.needed > count:
        yield "need", f'{one.needed} of {count} upstreams cannot be. Write at most {count}, or "all".'
    if one.condition == "ready" and not one.check:
        yield "condition", '"ready" needs the check that says so. Add check = "…".'
    if one.check and one.condition != "ready":
        said = f'is asked only with condition = "ready" (it is "{one.condition}")'
        yield "check", f'"{one.check}" {said}. Change one of them.'
    if one.condition == "ready" and one.period != "same":
        yield "period", f'"{one.period}": a check looks at the same business date. Remove it.'
    if one.calendar and one.period not in _CALENDARS:
        yield "calendar", f'only "{_CALENDARS[0]}" and "{_CALENDARS[1]}" count days ({_period(one)}). Remove it.'
    if one.period == "window" and one.within is None:
        yield "period", '"window" needs how long before. Add within = "6h".'
    if one.within is not None and one.period != "window":
        yield "within", f'only period = "window" has one ({_period(one)}). Change one of them.'


def _period(one: DependencySettings) -> str:
    return f'period is "{one.period}"'


def _pairs(numbered: Mapping[int, DependencySettings], reading: Reading) -> None:
    """The same pair again, in another mode or with other times: what should count?"""
    first: dict[Pair, int] = {}
    for number, one in numbered.items():
        for pair in _edges(one):
            before = first.setdefault(pair, number)
            _differs(pair, (before, numbered[before]), (number, one), reading)


def _differs(
    pair: Pair, before: tuple[int, DependencySettings], here: tuple[int, DependencySettings], reading: Reading
) -> None:
    for name in DependencySettings.model_fields:
        there, said = getattr(before[1], name), getattr(here[1], name)
        if there != said:
            words = f'"{pair[0]}" → "{pair[1]}" stands at {_places([before[0]], name, reading)} already, and'
            differ = f"there {name} is {_shown(there)}, here {_shown(said)}"
            reading.fault(_key(here[0], name), f"{words} {differ}. Keep one of them.")
            return


def _engine_down(numbered: Mapping[int, DependencySettings], reading: Reading) -> None:
    """A downstream starts without an engine, or it does not; in mode "observe" it is not held at all."""
    first: dict[str, int] = {}
    for number, one in numbered.items():
        if one.mode == "observe":
            continue
        before = first.setdefault(one.downstream, number)
        other = numbered[before]
        if one.engine_down != other.engine_down and one.feeding != other.feeding:
            place = _places([before], "engine_down", reading)
            words = f'"{one.engine_down}", and "{other.engine_down}" at {place} for the same'
            mend = f'downstream "{one.downstream}": without an engine it starts or it does not. Write the same in both.'
            reading.fault(_key(number, "engine_down"), f"{words} {mend}")


def _circle(numbered: Mapping[int, DependencySettings], reading: Reading) -> None:
    places: dict[Pair, int] = {}
    for number, one in numbered.items():
        for pair in _edges(one) if one.period != "previous" else ():
            places.setdefault(pair, number)
    cycle = find_cycle(list(places))
    if not cycle:
        return
    numbers = [places[edge] for edge in zip(cycle, [*cycle[1:], cycle[0]], strict=True)]
    path = " → ".join([*cycle, cycle[0]])
    steps = [reading.place(_end(number, numbered[number])) for number in numbers]
    others = f", {', '.join(steps[1:])}" if len(steps) > 1 else ""
    words = f"these feed each other in a circle: {path} (here{others})."
    mend = 'Remove one of them, or let one read the run before, with period = "previous".'
    reading.fault(_end(numbers[0], numbered[numbers[0]]), f"{words} {mend}")


def _edges(one: DependencySettings) -> list[Pair]:
    return [(upstream, one.downstream) for upstream in one.feeding]


def _end(number: int, one: DependencySettings) -> tuple[str, ...]:
    return _key(number, "upstreams" if one.upstreams else "upstream")


def _key(number: int, name: str) -> tuple[str, ...]:
    return ("dependencies", str(number), name)


def _places(numbers: list[int], name: str, reading: Reading) -> str:
    return ", ".join(reading.place(_key(number, name)) for number in numbers)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return f'"{value}"' if isinstance(value, str) else "not there" if value is None else str(value)
