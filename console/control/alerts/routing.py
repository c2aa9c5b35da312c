"""Routing: who is notified, and in which wording.

Technical wording for those who can fix the cause, business wording for the owners of affected services.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from console.control.alerts.context import AlertContext, AlertSubject
from console.control.incidents.correlation import IncidentMatch
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import BUSINESS, SHADOW, TECHNICAL, AlertingSettings, RotaRule, on_call
from console.domain.decision import IncidentDecision
from console.domain.estate import Estate


def route_of_person(alerting: AlertingSettings, rota: str, person: str) -> str:
    """The route of a person of that rota; empty where config names none."""
    rule = next((one for one in alerting.rotas if one.name == rota), RotaRule(rota))
    names = {name.casefold(): route for name, route in rule.people}
    return names.get(person.casefold(), "")


def on_call_route(context: AlertContext, route: str) -> str:
    """Who is told where this route is named: of one with a rota, whoever is on call; in a gap its fallback, without
    one its own URLs. Its shifts' ends are turning points."""
    rule = context.alerting.route(route)
    if not rule.rota:
        return route
    shift = on_call(context.telling.shifts.get(rule.rota, ()), context.now)
    if shift is not None:
        context.is_due(shift.ends)
        if found := route_of_person(context.alerting, rule.rota, shift.person):
            context.named[found] = route
            return found
    return rule.fallback or route


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A route that config names for an incident."""

    route: str
    words: str
    live: bool
    """False where what it would be told of is in shadow."""


def routes_of_incident(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The routes that are told, and those that would be if nothing were in shadow, each once."""
    asked = list(_route_requests(index.estate, match, decision))
    live = tuple(dict.fromkeys(one.route for one in asked if one.live))
    return live, tuple(dict.fromkeys(one.route for one in asked if not one.live and one.route not in live))


def audience(context: AlertContext, subject: AlertSubject) -> list[tuple[str, str]]:
    """(route, words), each route once: technical words say what business words do and more. The shadow route last."""
    found: dict[str, str] = {}
    for one in _route_requests(context.index.estate, subject.match, subject.decision):
        if one.live:
            route = on_call_route(context, one.route)
            found[route] = TECHNICAL if TECHNICAL in (one.words, found.get(route)) else BUSINESS
    shadow = context.index.estate.settings.shadow_route
    in_shadow = [(shadow, SHADOW)] if shadow and subject.decision.in_shadow else []
    return [*found.items(), *in_shadow]


def services_on_route(context: AlertContext, subject: AlertSubject, route: str) -> list[str]:
    """Names of the hurt services that have the route told; all of them, where it is told for the root's sake."""
    hurt = {one.service for one in subject.decision.services}
    services = [one for one in context.index.estate.services if one.name in hurt]
    own = [one.name for one in services if route in {on_call_route(context, name) for name in one.notify}]
    return own or [one.name for one in services]


def _route_requests(estate: Estate, match: IncidentMatch, decision: IncidentDecision) -> Iterator[RouteRequest]:
    """Of each job that is to be mended where its system is live, of the hurt services that are, or of those that a
    finding's job feeds. Where nobody is named for such a job, the default route, and without one the services' routes,
    are told what broke: somebody must be."""
    modes, hurt = estate.modes, {each.service for each in decision.services} or set(match.feeds)
    services = [service for service in estate.services if service.name in hurt]
    roots, default = [estate.jobs[each] for each in match.group.to_mend()], estate.settings.default_route
    any_live = _any_live(estate, match) or any(modes.service_is_live(one.name) for one in services)
    for job in roots:
        forced = TECHNICAL if not hurt else ""
        for route in job.notify:
            yield RouteRequest(route, _words(estate, route, forced), modes.system_is_live(job.system))
    is_unnamed = not roots or not all(job.notify for job in roots)
    if is_unnamed:
        yield from (RouteRequest(route, TECHNICAL, any_live) for route in default)
    for service in services:
        live = modes.service_is_live(service.name)
        for route in service.notify:
            forced = TECHNICAL if is_unnamed and not default else ""
            yield RouteRequest(route, _words(estate, route, forced, BUSINESS), live)


def _any_live(estate: Estate, match: IncidentMatch) -> bool:
    """Whether a system is live in which the cause lies."""
    systems = [estate.jobs[each].system for each in match.group.to_mend()]
    target = match.group.target
    return any(map(estate.modes.system_is_live, systems or [target.system if target is not None else ""]))


def _words(estate: Estate, route: str, forced: str, otherwise: str = TECHNICAL) -> str:
    """The words that the route is told in: as config says of it, else as it is named."""
    return forced or estate.declared.alerting.route(route).style or otherwise


def technical_first(notification: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those who can mend it before those who wait for it: what the latter are told says when the former were."""
    return sorted(notification, key=lambda one: one[1] != TECHNICAL)
