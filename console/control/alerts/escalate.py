"""What nobody acknowledged goes to the next ones: by the tier of what it hurts, and by time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from console.control.alerts.rota import on_call_route
from console.control.alerts.scene import Scene, Subject, Wanted
from console.control.words import moment
from console.model.alerting import SHADOW, TECHNICAL, RouteRule, ToldFacts
from console.model.values import AlertKind


def escalations(scene: Scene, subject: Subject) -> Iterator[Wanted]:
    """The routes that are due to be told, because the ones before them were and nobody took it."""
    found: dict[str, Wanted] = {}
    for told in subject.told:
        if told.words != SHADOW:
            for wanted in _of_route(scene, subject, told):
                found.setdefault(wanted.route, wanted)
    yield from found.values()


def targets_of(scene: Scene, route: str) -> list[str]:
    """Where a route's alerts go on to, as its rota stands now."""
    return [on_call_route(scene, name) for name in scene.rule(route).escalate_to]


def _of_route(scene: Scene, subject: Subject, told: ToldFacts) -> Iterator[Wanted]:
    after = _after(scene.rule(told.route), subject.tier)
    if after is None:
        return
    first_at = scene.now if subject.case.reopened else told.first_at
    known = {one.route for one in subject.told if one.words != SHADOW}
    for place, target in enumerate(targets_of(scene, told.route), 1):
        if target not in known and scene.is_due(first_at + place * after):
            because = f'Route "{told.route}" was told at {moment(first_at, "UTC")} and nobody acknowledged it.'
            yield Wanted(subject, target, _words(scene, told, target), AlertKind.ESCALATED, because=because)


def _words(scene: Scene, told: ToldFacts, target: str) -> str:
    """Who hears what others were told in business words may have their own, as config says."""
    return told.words if told.words == TECHNICAL else scene.rule(target).words or told.words


def _after(rule: RouteRule, tier: int | None) -> timedelta | None:
    """How long the route has; None where it does not go on."""
    times = dict(rule.escalate_after)
    return times.get(tier or 0, times.get(0))
