"""What nobody acknowledged goes to the next ones: by the tier of what it hurts, and by time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from console.control.alerts.rota import on_call_route
from console.control.alerts.scene import Scene, Subject, Wanted
from console.control.words import moment
from console.model.alerting import SHADOW, TECHNICAL, RouteRule, ToldFacts
from console.model.words import AlertKind


def escalations(scene: Scene, subject: Subject) -> Iterator[Wanted]:
    """The routes that are due to be told, because the ones before them were and nobody took it. Who is called for both
    those who can mend it and those who wait for it is called for the former."""
    found: dict[str, Wanted] = {}
    for told in sorted(subject.told, key=lambda one: one.words != TECHNICAL):
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
    for place, target in enumerate(targets_of(scene, told.route), 1):
        words = _words(scene, subject, told, target)
        if _knows(subject, target, words) or not scene.is_due(first_at + place * after):
            continue
        because = f'Route "{told.route}" was told at {moment(first_at, "UTC", scene.now)} and nobody acknowledged it.'
        yield Wanted(subject, target, words, AlertKind.ESCALATED, because=because)


def _knows(subject: Subject, target: str, words: str) -> bool:
    """Whether it was told just that already, or what broke: who was told only what it means is still called."""
    return any(subject.told_to(target, each) is not None for each in (words, TECHNICAL))


def _words(scene: Scene, subject: Subject, told: ToldFacts, target: str) -> str:
    """The target's own words, else those that the route before it was told in. Where no service is hurt there is
    nothing to say in business words."""
    if not subject.decision.services:
        return TECHNICAL
    return scene.rule(target).words or told.words


def _after(rule: RouteRule, tier: int | None) -> timedelta | None:
    """How long the route has; None where it does not go on."""
    times = dict(rule.escalate_after)
    return times.get(tier or 0, times.get(0))
