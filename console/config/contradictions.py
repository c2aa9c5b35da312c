"""What each part of a config says well alone, and what cannot all be true together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.config.models import ActingSettings, DependencySettings, PermissionSettings
from console.config.reading import Reading

APPROVERS = ("approve", "admin")


def check_dependencies(numbered: Mapping[int, DependencySettings], reading: Reading) -> None:
    """One pair says one thing; of one downstream there is one answer to no engine; and nothing feeds itself."""
    _pairs(numbered, reading)
    _engine_down(numbered, reading)
    cycle = find_cycle([(one.upstream, one.downstream) for one in numbered.values()])
    if cycle:
        edges = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        numbers = [_number_of(edge, numbered) for edge in edges]
        path = " → ".join([*cycle, cycle[0]])
        others = f", {_places(numbers[1:], 'upstream', reading)}" if len(numbers) > 1 else ""
        words = f"these feed each other in a circle: {path} (here{others}). Remove one of them."
        reading.fault(_key(numbers[0], "upstream"), words)


def _pairs(numbered: Mapping[int, DependencySettings], reading: Reading) -> None:
    """The same pair again, in another mode or with other times: what should count?"""
    first: dict[tuple[str, str], int] = {}
    for number, one in numbered.items():
        before = first.setdefault((one.upstream, one.downstream), number)
        other = numbered[before]
        for name in DependencySettings.model_fields:
            here, there = getattr(one, name), getattr(other, name)
            if here != there:
                words = (
                    f'"{one.upstream}" → "{one.downstream}" stands at {_places([before], name, reading)} already, and'
                )
                differ = f"there {name} is {_shown(there)}, here {_shown(here)}"
                reading.fault(_key(number, name), f"{words} {differ}. Keep one of them.")
                break


def _engine_down(numbered: Mapping[int, DependencySettings], reading: Reading) -> None:
    """A downstream starts without an engine, or it does not; in mode "observe" it is not held at all."""
    first: dict[str, int] = {}
    for number, one in numbered.items():
        if one.mode == "observe":
            continue
        before = first.setdefault(one.downstream, number)
        other = numbered[before]
        if one.engine_down != other.engine_down and one.upstream != other.upstream:
            place = _places([before], "engine_down", reading)
            words = f'"{one.engine_down}", and "{other.engine_down}" at {place} for the same'
            mend = f'downstream "{one.downstream}": without an engine it starts or it does not. Write the same in both.'
            reading.fault(_key(number, "engine_down"), f"{words} {mend}")


def check_approval(acting: ActingSettings, permissions: tuple[PermissionSettings, ...], reading: Reading) -> None:
    """What wants an approval can get one. Without any permission everybody may approve what another asked for."""
    for tier in acting.approval_tiers if permissions else ():
        if not any(one.role in APPROVERS and (not one.tiers or tier in one.tiers) for one in permissions):
            words = f"tier {tier} wants another person's approval, and no [[permissions]] lets anybody approve there"
            mend = 'Add one with role = "approve", or take the tier out.'
            reading.fault(("acting", "approval_tiers"), f"{words}. {mend}")


def find_cycle(edges: list[tuple[str, str]]) -> list[str]:
    """Names along one circle of `edges` (upstream, downstream), in order; empty without one. Iterative."""
    import rustworkx  # noqa: PLC0415 - only where dependencies are checked

    names = sorted({name for edge in edges for name in edge})
    index = {name: number for number, name in enumerate(names)}
    graph: Any = rustworkx.PyDiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from_no_data([(index[up], index[down]) for up, down in edges])
    loop = next((up for up, down in edges if up == down), None)
    if loop is not None:
        return [loop]
    return [names[edge[0]] for edge in rustworkx.digraph_find_cycle(graph)]


def _number_of(edge: tuple[str, str], numbered: Mapping[int, DependencySettings]) -> int:
    return next(number for number, one in numbered.items() if (one.upstream, one.downstream) == edge)


def _key(number: int, name: str) -> tuple[str, ...]:
    return ("dependencies", str(number), name)


def _places(numbers: list[int], name: str, reading: Reading) -> str:
    return ", ".join(reading.place(_key(number, name)) for number in numbers)


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
