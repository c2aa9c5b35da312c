"""Who is on call now, by a calendar, and which route is theirs."""

from __future__ import annotations

from console.control.alerts.scene import Scene
from console.model.alerting import Alerting, RotaRule, on_call


def route_of(alerting: Alerting, rota: str, person: str) -> str:
    """The route of a person of that rota; empty where config names none."""
    rule = next((one for one in alerting.rotas if one.name == rota), RotaRule(rota))
    names = {name.casefold(): route for name, route in rule.people}
    return names.get(person.casefold(), "")


def on_call_route(scene: Scene, route: str) -> str:
    """Who is told where this route is named: of one with a rota, whoever is on call; in a gap its fallback, without
    one its own URLs. Its shifts' ends are turning points."""
    rule = scene.alerting.route(route)
    if not rule.rota:
        return route
    shift = on_call(scene.telling.shifts.get(rule.rota, ()), scene.now)
    if shift is not None:
        scene.is_due(shift.ends)
        if found := route_of(scene.alerting, rule.rota, shift.person):
            scene.named[found] = route
            return found
    return rule.fallback or route
