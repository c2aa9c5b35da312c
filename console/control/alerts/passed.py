"""A deadline that passed since a route's last word: whoever waits for the service must hear it from somebody."""

from __future__ import annotations

from console.control.alerts.routes import audience, services_of
from console.control.alerts.scene import Scene, Subject, Wanted
from console.control.incidents import listed
from console.model.alerting import BUSINESS, TECHNICAL, ToldFacts
from console.model.decisions import HurtServiceVerdict
from console.model.words import UNDELIVERED, Timeliness

_MISSED = (Timeliness.BREACHED, Timeliness.MET_LATE)


def passed_since(scene: Scene, one: HurtServiceVerdict, before: ToldFacts) -> bool:
    """Whether its deadline passed, unkept, after what the route was told last."""
    return one.timeliness in _MISSED and before.last_at <= one.deadline <= scene.now


def passed_unheard(scene: Scene, subject: Subject, before: ToldFacts) -> list[str]:
    """Names of the services whose deadline passed and of which no owner hears in words of their own: they name nobody,
    or a route that is told what broke. An incident that is about the promise itself has said so already.
    """
    passed = [one.service for one in subject.decision.services if passed_since(scene, one, before)]
    if not passed or subject.decision.rule == UNDELIVERED:
        return []
    heard = {
        name
        for route, words in audience(scene, subject)
        if words == BUSINESS
        for name in services_of(scene, subject, route)
    }
    return [name for name in passed if name not in heard]


def note(scene: Scene, wanted: Wanted, before: ToldFacts) -> str:
    """What passed, for the word that leaves; empty where nothing did."""
    found = passed_unheard(scene, wanted.subject, before) if wanted.words == TECHNICAL else []
    return f"past its deadline: {listed(found)}" if found else ""
