"""Which service days a cause hurts, and with which of their jobs.

A target that does not answer hurts a day whose work there is due, waits to be repaired, or comes within `NEAR`: what is
to run only later may find it back. A deadline that near counts too, whatever is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from console.control.cases import Case
from console.control.delivery import waits_for
from console.control.fingerprint import Day
from console.control.forecast import Forecast, How, Node
from console.control.gated import awaited_by
from console.control.picture import Picture, key_of, when

NEAR = timedelta(hours=1)
"""How far ahead work or a deadline endangers a service while a target does not answer."""


def hits(picture: Picture, case: Case, days: Sequence[Forecast]) -> dict[Day, tuple[Forecast, list[Node]]]:
    """The service days that a cause hurts, each with the jobs that are broken in it."""
    if case.close_reason:
        return {}
    found: dict[Day, tuple[Forecast, list[Node]]] = {}
    if case.group.target is not None:
        found = _hit_by_target(picture, case.group.target.id, days)
    if case.group.check:
        return {(day.service.name, day.bd): (day, []) for day in days if _is_hit_by_check(picture, case, day)}
    if awaited := case.group.awaits or case.awaits:
        lost = ((day.service.name, day.bd) for day in days)
        return {name: (day, []) for name, day in zip(lost, days, strict=True) if name in awaited}
    broken = {key_of(run) for run in case.broken()}
    jobs = {job_id for job_id, _ in broken}
    for day in days:
        if day.nodes.keys().isdisjoint(jobs):
            continue
        nodes = [day.nodes[each] for each in jobs if each in day.nodes]
        read = [node for node in nodes if node.run is not None and key_of(node.run) in broken]
        unrepaired = [node for node in read if node.how not in (How.DONE, How.OVER)]
        unrepaired = _awaited(picture, day, unrepaired)
        if unrepaired:
            _, known = found.get((day.service.name, day.bd), (day, []))
            found[day.service.name, day.bd] = (day, known + unrepaired)
    return found


def _awaited(picture: Picture, day: Forecast, nodes: list[Node]) -> list[Node]:
    """Those that the service day cannot do without."""
    if not nodes:
        return nodes
    needed = awaited_by(picture, day)
    return [node for node in nodes if node.job_id in needed]


def _hit_by_target(
    picture: Picture, target_id: int, days: Sequence[Forecast]
) -> dict[Day, tuple[Forecast, list[Node]]]:
    """Of each service the first day not over that needs a job on the target now or soon."""
    found: dict[Day, tuple[Forecast, list[Node]]] = {}
    seen: set[str] = set()
    for day in days:
        if day.service.name in seen or day.deadline < picture.now:
            continue
        nodes = [node for node in day.unfinished() if picture.job(node.job_id).target_id == target_id]
        if nodes and _is_near(day, nodes, picture.now):
            seen.add(day.service.name)
            found[day.service.name, day.bd] = (day, nodes)
    return found


def _is_hit_by_check(picture: Picture, case: Case, day: Forecast) -> bool:
    return day.bd == case.group.bd and any(one.check == case.group.check for one in waits_for(picture, day))


def nearing(days: Sequence[Forecast]) -> Iterator[datetime]:
    """Instants from which a target that does not answer may hurt a day that it does not hurt yet."""
    for day in days:
        yield day.deadline - NEAR
        yield from (at - NEAR for node in day.unfinished() if (at := _due(node)) is not None)


def _is_near(day: Forecast, nodes: Sequence[Node], now: datetime) -> bool:
    """Work that follows other work is due once the day has begun: nothing else says when it starts."""
    if day.deadline - NEAR <= now:
        return True
    follows = any(_due(node) is None for node in nodes)
    known = [at for node in (day.nodes.values() if follows else nodes) if (at := _due(node)) is not None]
    return min(known, default=day.deadline) - NEAR <= now


def _due(node: Node) -> datetime | None:
    """When its run was or is to start; None where only other work decides."""
    return when(node.run) if node.run is not None else node.due
