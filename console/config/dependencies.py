"""`[[dependencies]]`: contradictions within one dependency and between several; cycles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from console.config.document import ConfigDocument
from console.config.sections import DependencySettings
from console.domain.dependency import find_cycles

Pair = tuple[str, str]
_CALENDARS = ("previous business day", "last of month")


def check_dependencies(numbered: Mapping[int, DependencySettings], reading: ConfigDocument) -> None:
    """Each says something that can be; one pair says one thing; of one downstream there is one answer to no engine;
    and nothing feeds itself but through the previous period."""
    for number, dependency in numbered.items():
        for key, text in _faults(dependency):
            reading.fault(_key(number, key), text)
    _check_duplicates(numbered, reading)
    _check_engine_down(numbered, reading)
    _check_cycle(numbered, reading)


def find_cycle(edges: list[Pair]) -> list[str]:
    """Names along one circle of `edges` (upstream, downstream), in order, each once; empty without one."""
    return next((list(path[:-1]) for path in find_cycles(edges)), [])


def _faults(dependency: DependencySettings) -> Iterable[tuple[str, str]]:
    """(key, text) of contradictions within one dependency."""
    count = len(dependency.feeding)
    repeated = next((upstream for upstream in dependency.feeding if dependency.feeding.count(upstream) > 1), None)
    if repeated is not None:
        yield "upstreams", f'names "{repeated}" twice. Name each once.'
    elif dependency.needed > count:
        yield "need", f'{dependency.needed} of {count} upstreams cannot be. Write at most {count}, or "all".'
    if dependency.condition == "ready" and not dependency.check:
        yield "condition", '"ready" needs the check that says so. Add check = "…".'
    if dependency.check and dependency.condition != "ready":
        reason = f'is used only with condition = "ready" (it is "{dependency.condition}")'
        yield "check", f'"{dependency.check}" {reason}. Change one of them.'
    if dependency.condition == "ready" and dependency.period != "same":
        yield "period", f'"{dependency.period}": a check queries the same business date. Remove it.'
    if dependency.calendar and dependency.period not in _CALENDARS:
        yield "calendar", f'only "{_CALENDARS[0]}" and "{_CALENDARS[1]}" count days ({_period(dependency)}). Remove it.'
    if dependency.period == "window" and dependency.within is None:
        yield "period", '"window" needs how long before. Add within = "6h".'
    if dependency.within is not None and dependency.period != "window":
        yield "within", f'only period = "window" has one ({_period(dependency)}). Change one of them.'


def _period(dependency: DependencySettings) -> str:
    return f'period is "{dependency.period}"'


def _check_duplicates(numbered: Mapping[int, DependencySettings], reading: ConfigDocument) -> None:
    """A repeated pair with another mode or other times is ambiguous."""
    first: dict[Pair, int] = {}
    for number, dependency in numbered.items():
        for pair in _edges(dependency):
            before = first.setdefault(pair, number)
            _differs(pair, (before, numbered[before]), (number, dependency), reading)


def _differs(
    pair: Pair, before: tuple[int, DependencySettings], here: tuple[int, DependencySettings], reading: ConfigDocument
) -> None:
    for name in DependencySettings.model_fields:
        earlier_value, value = getattr(before[1], name), getattr(here[1], name)
        if earlier_value != value:
            text = f'"{pair[0]}" → "{pair[1]}" is declared at {reading.place(_key(before[0], name))} already, and'
            differ = f"there {name} is {_shown(earlier_value)}, here {_shown(value)}"
            reading.fault(_key(here[0], name), f"{text} {differ}. Keep one of them.")
            return


def _check_engine_down(numbered: Mapping[int, DependencySettings], reading: ConfigDocument) -> None:
    """`engine_down` needs a mode that holds the downstream."""
    first: dict[str, int] = {}
    for number, dependency in numbered.items():
        if dependency.mode == "observe":
            continue
        before = first.setdefault(dependency.downstream, number)
        earlier = numbered[before]
        if dependency.engine_down != earlier.engine_down and dependency.feeding != earlier.feeding:
            place = reading.place(_key(before, "engine_down"))
            text = f'"{dependency.engine_down}", and "{earlier.engine_down}" at {place} for the same'
            text += f' downstream "{dependency.downstream}": without an engine it starts or it does not.'
            reading.fault(_key(number, "engine_down"), f"{text} Write the same in both.")


def _check_cycle(numbered: Mapping[int, DependencySettings], reading: ConfigDocument) -> None:
    places: dict[Pair, int] = {}
    for number, dependency in numbered.items():
        for pair in _edges(dependency) if dependency.period != "previous" else ():
            places.setdefault(pair, number)
    cycle = find_cycle(list(places))
    if not cycle:
        return
    numbers = [places[edge] for edge in zip(cycle, [*cycle[1:], cycle[0]], strict=True)]
    path = " → ".join([*cycle, cycle[0]])
    steps = [reading.place(_end(number, numbered[number])) for number in numbers]
    further_steps = f", {', '.join(steps[1:])}" if len(steps) > 1 else ""
    text = f"dependency cycle: {path} (here{further_steps})."
    fix = 'Remove one of them, or let one read the run before, with period = "previous".'
    reading.fault(_end(numbers[0], numbered[numbers[0]]), f"{text} {fix}")


def _edges(dependency: DependencySettings) -> list[Pair]:
    return [(upstream, dependency.downstream) for upstream in dependency.feeding]


def _end(number: int, dependency: DependencySettings) -> tuple[str, ...]:
    return _key(number, "upstreams" if dependency.upstreams else "upstream")


def _key(number: int, name: str) -> tuple[str, ...]:
    return ("dependencies", str(number), name)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return f'"{value}"' if isinstance(value, str) else "not there" if value is None else str(value)
