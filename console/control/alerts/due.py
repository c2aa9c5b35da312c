"""What wants to be told now: only what a route has not been told yet, of who was told when it is over, and again what
nobody takes. The store remembers the last word of each route, so a crash between two looks loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from console.control.alerts import business, flapping, group, inhibit, quiet_hours
from console.control.alerts.escalate import escalations, targets_of
from console.control.alerts.over import over_at
from console.control.alerts.passed import passed_unheard
from console.control.alerts.repeat import why_again
from console.control.alerts.routes import audience, technical_first
from console.control.alerts.scene import Scene, Subject, Wanted
from console.control.fingerprint import Told, read_told
from console.control.titles import is_own_matter
from console.model.alerting import BUSINESS, SHADOW, HeldFacts, ToldFacts
from console.model.words import AlertKind


def due(scene: Scene, subject: Subject) -> Iterator[Wanted]:
    """Each route once. Of what a person cancelled by our own hand and nobody needs, nothing, until it turns out to be
    more."""
    if is_own_matter(scene.picture, subject.case, subject.decision.title):
        return
    asked = technical_first(audience(scene, subject))
    for route, words in [*asked, *_told_on(scene, subject, asked)]:
        wanted = _for_route(scene, subject, route, words)
        if wanted is not None:
            yield wanted
    if not subject.decision.closed and not subject.case.awaits:
        yield from escalations(scene, subject)


def fingerprint_of(scene: Scene, wanted: Wanted) -> str:
    """What the route will have been told by this."""
    if wanted.words == BUSINESS:
        return business.fingerprint(scene, wanted.subject, wanted.route)
    return technical_fingerprint(wanted.subject.decision.fingerprint)


def technical_fingerprint(fingerprint: str) -> str:
    """Root, services and end; which routes are in shadow is no news to those that are not."""
    told = read_told(fingerprint)
    return Told(told.root, told.services, told.closed).text()


def _told_on(scene: Scene, subject: Subject, asked: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Routes that were told and are asked for no more: those that it was escalated to hear on, the others its end."""
    named = {route for route, _ in asked} | set(subject.decision.in_shadow)
    further = {target for one in subject.told for target in targets_of(scene, one.route)}
    for one in subject.told:
        if one.route not in named and one.words != SHADOW and (subject.decision.closed or one.route in further):
            yield one.route, one.words


def _for_route(scene: Scene, subject: Subject, route: str, words: str) -> Wanted | None:
    told = subject.told_to(route, words)
    if told is None:
        return _first(scene, subject, route, words)
    if subject.decision.closed:
        if flapping.knows_it_is_over(scene, subject, told):
            return None
        if words == BUSINESS and business.is_late_as_told(scene, subject, told):
            return None
        kind = AlertKind.RECOVERED if subject.case.recovered else AlertKind.UPDATED
        return Wanted(subject, route, words, kind, told)
    if _is_news(scene, subject, told):
        return Wanted(subject, route, words, AlertKind.UPDATED, told)
    is_repeated = words not in (BUSINESS, SHADOW) and not subject.case.awaits  # there, nothing is left to be mended
    again = why_again(scene, subject, told) if is_repeated else ""
    return Wanted(subject, route, words, AlertKind.REPEATED, told, again) if again else None


def _first(scene: Scene, subject: Subject, route: str, words: str) -> Wanted | None:
    """The first word; of what is over already only where it was held and is to be told all the same."""
    if not subject.decision.closed:
        is_told = words != BUSINESS or business.is_worth_telling(scene, subject, route)
        return Wanted(subject, route, words, AlertKind.OPENED) if is_told else None
    held = subject.held_for(route, words)
    if held is None or not subject.case.recovered or not _outlasted(scene, subject, held):
        return None
    return Wanted(subject, route, words, AlertKind.RECOVERED)


def _outlasted(scene: Scene, subject: Subject, held: HeldFacts) -> bool:
    """Whether it waited for company or for the morning, or was still so when what held it ended and nobody looked."""
    if held.stage in (group.STAGE, quiet_hours.STAGE):
        return True
    if held.stage == inhibit.STAGE:
        until = inhibit.explained_until(scene, subject)
        return until is None or until < over_at(scene, subject)
    return held.until is not None and held.until <= over_at(scene, subject)


def _is_news(scene: Scene, subject: Subject, told: ToldFacts) -> bool:
    if told.words == BUSINESS:
        return business.is_news(scene, subject, told)
    if told.fingerprint != technical_fingerprint(subject.decision.fingerprint):
        return True
    return bool(passed_unheard(scene, subject, told))
