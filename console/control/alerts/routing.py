"""Routing: the routes to notify, and the style of each notification.

Technical text for the routes that can fix the cause, business text for the owners of affected services.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from console.control.alerts.context import AlertContext, AlertSubject
from console.control.incidents.correlation import IncidentMatch
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import BUSINESS, SHADOW, TECHNICAL, AlertingSettings, RotaRule, on_call
from console.domain.decision import AffectedServiceVerdict, IncidentDecision
from console.domain.estate import Estate
from console.domain.ids import name_key


def route_of_person(alerting: AlertingSettings, rota: str, person: str) -> str:
    """Route of a person of that rota; empty if the config names none."""
    rule = next((rule for rule in alerting.rotas if rule.name == rota), RotaRule(rota))
    names = {name_key(name): route for name, route in rule.people}
    return names.get(name_key(person), "")


def on_call_route(context: AlertContext, route: str) -> str:
    """Route that is notified if this one is named: with a rota the person on call, in a gap the fallback, else its
    own URLs. Ends of shifts are turning points."""
    rule = context.alerting.route(route)
    if not rule.rota:
        return route
    shift = on_call(context.notifications.shifts.get(rule.rota, ()), context.now)
    if shift is not None:
        context.is_due(shift.ends)
        if route_on_call := route_of_person(context.alerting, rule.rota, shift.person):
            context.named[route_on_call] = route
            return route_on_call
    return rule.fallback or route


def routes_of_job_owner(context: AlertContext, subject: AlertSubject) -> frozenset[str]:
    """The routes that reach the owner of the job to fix: that of the owner's name, with a rota those of its people.
    Empty if the owner has none, or if the cause is not a job."""
    owner, jobs = subject.job_owner, subject.match.cause.job_ids_to_fix()
    if not owner or not jobs or owner not in context.index.job(jobs[0]).notify:
        return frozenset()
    rota = context.alerting.route(owner).rota
    people = (route for rule in context.alerting.rotas if rule.name == rota for _, route in rule.people)
    return frozenset((on_call_route(context, owner), *people))


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A route that config names for an incident."""

    route: str
    style: str
    live: bool
    """False if the notified system or service is in shadow."""


def routes_of_incident(
    index: EstateIndex, match: IncidentMatch, decision: IncidentDecision
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Routes to notify, and those that would be notified if nothing were in shadow, each once."""
    requests = list(_route_requests(index.estate, match, decision))
    live = tuple(dict.fromkeys(request.route for request in requests if request.live))
    return live, tuple(
        dict.fromkeys(request.route for request in requests if not request.live and request.route not in live)
    )


def audience(context: AlertContext, subject: AlertSubject) -> list[tuple[str, str]]:
    """(route, style), each route once: technical text contains the business text. The shadow route last."""
    styles: dict[str, str] = {}
    for request in _route_requests(context.index.estate, subject.match, subject.decision):
        if request.live:
            route = on_call_route(context, request.route)
            styles[route] = TECHNICAL if TECHNICAL in (request.style, styles.get(route)) else BUSINESS
    shadow = context.index.estate.settings.shadow_route
    in_shadow = [(shadow, SHADOW)] if shadow and subject.decision.suppressions.in_shadow else []
    return [*styles.items(), *in_shadow]


def services_on_route(context: AlertContext, subject: AlertSubject, route: str) -> list[str]:
    """Names of the affected services that notify the route; all of them if it is notified because of the root."""
    affected = {service.service for service in subject.decision.services}
    services = [service for service in context.index.estate.services if service.name in affected]
    own = [service.name for service in services if route in {on_call_route(context, name) for name in service.notify}]
    return own or [service.name for service in services]


def affected_services(context: AlertContext, subject: AlertSubject, route: str) -> list[AffectedServiceVerdict]:
    """Affected services that the route is notified of."""
    names = services_on_route(context, subject, route)
    return [service for service in subject.decision.services if service.service in names]


def _route_requests(estate: Estate, match: IncidentMatch, decision: IncidentDecision) -> Iterator[RouteRequest]:
    """Routes of each job to fix, and of the affected services or those that a finding's job feeds. If such a job
    names no route, the default route, and without one the services' routes, get the technical text."""
    modes, affected = estate.modes, {service.service for service in decision.services} or set(match.feeds)
    services = [service for service in estate.services if service.name in affected]
    roots, default = [estate.jobs[job_id] for job_id in match.cause.job_ids_to_fix()], estate.settings.default_route
    systems = [estate.jobs[job_id].system for job_id in match.cause.job_ids_to_fix()]
    systems = systems or [target.system for target in match.cause.targets] or [""]
    any_cause_live = any(map(estate.modes.system_is_live, systems))
    any_live = any_cause_live or any(modes.service_is_live(service.name) for service in services)
    for job in roots:
        forced = TECHNICAL if not affected else ""
        for route in job.notify:
            yield RouteRequest(route, _style(estate, route, forced), modes.system_is_live(job.system))
    is_unnamed = not roots or not all(job.notify for job in roots)
    if is_unnamed:
        yield from (RouteRequest(route, TECHNICAL, any_live) for route in default)
    for service in services:
        live = modes.service_is_live(service.name)
        for route in service.notify:
            forced = TECHNICAL if is_unnamed and not default else ""
            yield RouteRequest(route, _style(estate, route, forced, BUSINESS), live)


def _style(estate: Estate, route: str, forced: str, otherwise: str = TECHNICAL) -> str:
    return forced or estate.declared.alerting.route(route).style or otherwise
