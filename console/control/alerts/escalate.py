"""What nobody acknowledged goes to the next ones: by the tier of what it hurts, and by time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from console.control.alerts.rota import on_call_route
from console.control.alerts.scene import Scene, Subject, Wanted
from console.control.words import moment
from console.model.alerting import TECHNICAL, RouteRule, ToldFacts
from console.model.values import AlertKind


def escalations(scene: Scene, subject: Subject) -> Iterator[Wanted]:
    """The routes that are due to be told, because the ones before them were and nobody took it."""
    for told in subject.told:
        if told.words == TECHNICAL:
            yield from _of_route(scene, subject, told)


def targets_of(scene: Scene, route: str) -> list[str]:
    """Where a route's alerts go on to, as its rota stands now."""
    return [on_call_route(scene, name) for name in scene.rule(route).escalate_to]


def _of_route(scene: Scene, subject: Subject, told: ToldFacts) -> Iterator[Wanted]:
    after = _after(scene.rule(told.route), subject.tier)
    if after is None:
        return
    for place, target in enumerate(targets_of(scene, told.route), 1):
        if subject.told_to(target, TECHNICAL) is None and scene.is_due(told.first_at + place * after):
            words = f'Route "{told.route}" was told at {moment(told.first_at, "UTC")} and nobody acknowledged it.'
            yield Wanted(subject, target, TECHNICAL, AlertKind.ESCALATED, because=words)


def _after(rule: RouteRule, tier: int | None) -> timedelta | None:
    """How long the route has; None where it does not go on."""
    times = dict(rule.escalate_after)
    return times.get(tier or 0, times.get(0))
