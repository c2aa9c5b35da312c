"""When the gates of a downstream will be open: a gate of several with as many as it needs, the earliest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from console.control.estimate import whole
from console.control.graph import Gate, Read
from console.control.mapping import Look, look_of, meant
from console.control.moments import BEGINNING, completed_at, red_since, when
from console.control.nodes import Finish, How, Node
from console.control.picture import Picture
from console.control.readiness import readiness
from console.model.values import RunFacts
from console.model.wants import Condition, Period

if TYPE_CHECKING:
    from console.control.forecast import Forecast

_AT_ONCE = Finish.at(BEGINNING)


def opens(
    picture: Picture, gates: Iterable[Gate], look: Look, nodes: Mapping[int, Node], natively: bool = False
) -> Finish | None:
    """When the last of the gates is open; None where nobody knows. `natively`: only what its scheduler waits for."""
    last = _AT_ONCE
    for gate in gates:
        if natively and not any(read.native for read in gate.reads):
            continue
        times = _opens(gate, [_comes(picture, read, look, nodes) for read in gate.reads])
        if times is None:
            return None
        last = last.no_earlier(times)
    return last


def last_awaited(picture: Picture, gates: Iterable[Gate], look: Look, nodes: Mapping[int, Node]) -> int | None:
    """The upstream of that date that opens the last gate: the one to look at. One that nobody knows before all."""
    found: tuple[datetime, int] | None = None
    for gate in gates:
        comes = [(read, _comes(picture, read, look, nodes)) for read in gate.reads]
        shown = [(read, times) for read, times in comes if read.unit in nodes and read.wants.period is Period.SAME]
        known = sorted((times.p90, read.unit) for read, times in shown if times is not None)
        if len(known) < min(gate.need, len(shown)):
            return next(read.unit for read, times in shown if times is None)
        if known:
            last = known[min(gate.need, len(known)) - 1]
            found = max(found or last, last)
    return found[1] if found is not None else None


def needed(picture: Picture, ends: Sequence[int], members: Iterable[int]) -> set[int]:
    """Of a service's members those that it reads on its own date: what is read by another period alone is none."""
    graph, known = picture.graph, set(members)
    if known.isdisjoint(graph.gated):
        return known
    found, ahead = set(ends) & known, list(set(ends) & known)
    while ahead:
        for upstream in _on_the_date(picture, ahead.pop()) & known - found:
            found.add(upstream)
            ahead.append(upstream)
    return found


def awaited_by(picture: Picture, day: Forecast) -> set[int]:
    """The jobs of a service day that it cannot do without: what others of a gate stand in for is none."""
    nodes = day.nodes
    if nodes.keys().isdisjoint(picture.graph.gated):
        return set(nodes)
    found = {each for each in day.ends if each in nodes}
    ahead = list(found)
    while ahead:
        job_id = ahead.pop()
        look = look_at(picture, day.bd, nodes[job_id])
        above = {edge.upstream for edge in picture.graph.into(job_id)} & nodes.keys() - found
        needed_here = {each for each in above if not suffices(picture, job_id, each, nodes, look)}
        found |= needed_here
        ahead += needed_here
    return found


def look_at(picture: Picture, bd: date, node: Node) -> Look:
    """From where the job of a service day looks at its upstreams."""
    if node.run is not None:
        return look_of(node.run, picture.now)
    at = node.due or picture.now
    return Look(bd, at, at, picture.now)


def suffices(picture: Picture, downstream: int, upstream: int, nodes: Mapping[int, Node], look: Look) -> bool:
    """True where every gate of the downstream opens without this upstream: nobody waits for it there."""
    gates = picture.graph.gates(downstream)
    if gates is None:
        return False
    mine = [(gate, read) for gate in gates for read in gate.reads if read.unit == upstream]
    return all(_without(picture, gate, read, nodes, look) for gate, read in mine)


def _without(picture: Picture, gate: Gate, read: Read, nodes: Mapping[int, Node], look: Look) -> bool:
    if read.wants.condition is Condition.FAILURE or read.wants.period is not Period.SAME:
        return True
    if read.wants.condition in (Condition.COMPLETION, Condition.READY):
        node = nodes.get(read.unit)
        waits = node is None or node.how not in (How.RERUN, How.OVER, How.DONE)
        return not waits or _comes(picture, read, look, {}) is not None
    others = [each for each in gate.reads if each.unit != read.unit]
    coming = [each for each in others if each.unit not in nodes or nodes[each.unit].how not in (How.RERUN, How.UNKNOWN)]
    return len(coming) >= gate.need


def _on_the_date(picture: Picture, job_id: int) -> set[int]:
    gates = picture.graph.gates(job_id)
    if gates is None:
        return {edge.upstream for edge in picture.graph.into(job_id)}
    return {read.unit for gate in gates for read in gate.reads if read.wants.period is Period.SAME}


def _opens(gate: Gate, found: Sequence[Finish | None]) -> Finish | None:
    known = [each for each in found if each is not None]
    if len(known) < gate.need:
        return None
    return Finish(*(sorted(moments)[gate.need - 1] for moments in zip(*known, strict=True)))


def _comes(picture: Picture, read: Read, look: Look, nodes: Mapping[int, Node]) -> Finish | None:
    """When this upstream will be as wanted; None where nobody knows, or it never will be."""
    found = comes_from(picture, read, look, nodes)
    return found.finish if isinstance(found, Node) else found


def comes_from(picture: Picture, read: Read, look: Look, nodes: Mapping[int, Node]) -> Node | Finish | None:
    """The node that this upstream will be as wanted with, or when it is; None where it never will be."""
    wants, node = read.wants, nodes.get(read.unit)
    if wants.condition is Condition.READY:
        found = readiness(picture.estate, wants.check, look.bd, picture.now)
        if found.passes:
            return Finish.at(found.at or BEGINNING)
        return node if node is not None and node.how not in (How.DONE, How.OVER) else None
    run = meant(picture, read.upstream, wants, look, read.loops)
    if wants.condition is Condition.FAILURE:
        if run is not None and run.state.is_red:
            return Finish.at(red_since(run))
        return None if run is None or picture.is_green(run) else node
    if wants.condition is Condition.COMPLETION and run is not None and (ended := completed_at(run)) is not None:
        return Finish.at(ended)
    if wants.period is Period.SAME:
        return node if node is not None else _AT_ONCE
    return _AT_ONCE if run is None else _of_run(picture, run)


def _of_run(picture: Picture, run: RunFacts) -> Finish | None:
    """The end of a run of another date, or of what must repair it from now on."""
    good_at = picture.good_by(run, picture.now)
    if good_at is not None or picture.is_unknown(run):
        return Finish.at(good_at or BEGINNING)
    known = picture.estimate(run.job_id)
    if known.takes is None:
        return None
    if run.state.is_open and run.started_at is not None:
        lasts = whole(known, picture.estate.durations.get(run.job_id, ()), picture.now - run.started_at)
        return Finish.at(run.started_at).after(lasts) if lasts is not None else None
    return Finish.at(max(picture.now, when(run))).after(known.takes)
