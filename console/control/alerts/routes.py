"""Who is told, and in which words: who can mend the cause what broke, the services that it hurts what that means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from console.control.alerts.rota import on_call_route
from console.control.alerts.scene import Scene, Subject
from console.control.cases import Case
from console.control.picture import Picture
from console.model.alerting import BUSINESS, SHADOW, TECHNICAL
from console.model.decisions import IncidentDecision
from console.model.values import Estate


@dataclass(frozen=True, slots=True)
class Asked:
    """A route that config names for an incident."""

    route: str
    words: str
    live: bool
    """False where what it would be told of is in shadow."""


def routes(picture: Picture, case: Case, decision: IncidentDecision) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The routes that are told, and those that would be if nothing were in shadow, each once."""
    asked = list(_asked(picture.estate, case, decision))
    live = tuple(dict.fromkeys(one.route for one in asked if one.live))
    return live, tuple(dict.fromkeys(one.route for one in asked if not one.live and one.route not in live))


def audience(scene: Scene, subject: Subject) -> list[tuple[str, str]]:
    """(route, words), each route once: technical words say what business words do and more. The shadow route last."""
    found: dict[str, str] = {}
    for one in _asked(scene.picture.estate, subject.case, subject.decision):
        if one.live:
            route = on_call_route(scene, one.route)
            found[route] = TECHNICAL if TECHNICAL in (one.words, found.get(route)) else BUSINESS
    shadow = scene.picture.estate.settings.shadow_route
    in_shadow = [(shadow, SHADOW)] if shadow and subject.decision.in_shadow else []
    return [*found.items(), *in_shadow]


def services_of(scene: Scene, subject: Subject, route: str) -> list[str]:
    """Names of the hurt services that have the route told; all of them, where it is told for the root's sake."""
    hurt = {one.service for one in subject.decision.services}
    services = [one for one in scene.picture.estate.services if one.name in hurt]
    own = [one.name for one in services if route in {on_call_route(scene, name) for name in one.notify}]
    return own or [one.name for one in services]


def _asked(estate: Estate, case: Case, decision: IncidentDecision) -> Iterator[Asked]:
    """Of each job that is to be mended where its system is live, of the hurt services that are, or of those that a
    finding's job feeds. Where nobody is named for such a job, the default route, and without one the services' routes,
    are told what broke: somebody must be."""
    modes, hurt = estate.modes, {each.service for each in decision.services} or set(case.feeds)
    services = [service for service in estate.services if service.name in hurt]
    roots, default = [estate.jobs[each] for each in case.group.to_mend()], estate.settings.default_route
    any_live = _any_live(estate, case) or any(modes.service_is_live(one.name) for one in services)
    for job in roots:
        forced = TECHNICAL if not hurt else ""
        for route in job.notify:
            yield Asked(route, _words(estate, route, forced), modes.system_is_live(job.system))
    is_unnamed = not roots or not all(job.notify for job in roots)
    if is_unnamed:
        yield from (Asked(route, TECHNICAL, any_live) for route in default)
    for service in services:
        live = modes.service_is_live(service.name)
        for route in service.notify:
            forced = TECHNICAL if is_unnamed and not default else ""
            yield Asked(route, _words(estate, route, forced, BUSINESS), live)


def _any_live(estate: Estate, case: Case) -> bool:
    """Whether a system is live in which the cause lies."""
    systems = [estate.jobs[each].system for each in case.group.to_mend()]
    target = case.group.target
    return any(map(estate.modes.system_is_live, systems or [target.system if target is not None else ""]))


def _words(estate: Estate, route: str, forced: str, otherwise: str = TECHNICAL) -> str:
    """The words that the route is told in: as config says of it, else as it is named."""
    return forced or estate.declared.alerting.route(route).words or otherwise


def technical_first(wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those who can mend it before those who wait for it: what the latter are told says when the former were."""
    return sorted(wanted, key=lambda one: one[1] != TECHNICAL)
