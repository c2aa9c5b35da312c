"""What is told now: one notice for each route, where there is something new to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from console.control.alerts import technical
from console.control.alerts.routes import routes
from console.control.cases import Case
from console.control.fingerprint import NEW, Told, read_told
from console.control.picture import Picture
from console.control.titles import is_own_matter
from console.model.decisions import IncidentDecision, Notice
from console.model.values import AlertKind


def kind_of(picture: Picture, case: Case, decision: IncidentDecision, before: Told | None) -> AlertKind | None:
    """What is to be told now; None when nothing changed that is told. The first word waits for nothing, but for what
    somebody cancelled by our own hand and nobody needs: that is told once it turns out to be more."""
    if is_own_matter(picture, case, decision.title):
        return None
    if case.incident is not None and is_own_matter(picture, case, case.incident.title) and not decision.closed:
        return AlertKind.OPENED
    if read_told(decision.fingerprint).quiet:
        return None
    if before is None or (before.quiet == NEW and not decision.closed):
        return AlertKind.OPENED
    if before.quiet == NEW:
        return None
    if decision.closed:
        return AlertKind.RECOVERED if case.recovered else AlertKind.UPDATED
    return AlertKind.UPDATED if case.incident and case.incident.fingerprint != decision.fingerprint else None


def notices(
    picture: Picture,
    case: Case,
    decision: IncidentDecision,
    before: Told | None,
    log_tails: Mapping[int, str],
    changes: str,
) -> tuple[Notice, ...]:
    """One notice for each route; none when there is nothing new to tell. `changes`: the update in words."""
    kind = kind_of(picture, case, decision, before)
    if kind is None:
        return ()
    said = technical.words(picture, case, decision, kind, log_tails, changes)
    urgent = _is_urgent(picture, decision, before)
    live, _ = routes(picture, case, decision)
    told = [Notice(kind, route, said.title, said.body, said.plain_title, said.plain_body, urgent) for route in live]
    if decision.in_shadow and (route := picture.estate.settings.shadow_route):
        words = f"In shadow: this would have gone to {', '.join(decision.in_shadow)}.\n\n"
        titles = f"[shadow] {said.title}", f"[shadow] {said.plain_title}"
        told.append(Notice(kind, route, titles[0], words + said.body, titles[1], words + said.plain_body))
    return tuple(told)


def _is_urgent(picture: Picture, decision: IncidentDecision, before: Told | None) -> bool:
    """The first word about a tier-1 service: no rate limit delays it."""
    told = before.heard if before is not None else frozenset()
    new = {each.service for each in decision.services if (each.service, each.bd) not in told}
    return any(service.tier == 1 for service in picture.estate.services if service.name in new)


def first_words(
    picture: Picture, before: Sequence[Told | None], incidents: Sequence[IncidentDecision]
) -> tuple[IncidentDecision, ...]:
    """The incidents; of many that hurt one tier-1 service on one day only the first is urgent, or each of a flood would
    be. `before`: what was told of each."""
    tier_1 = {service.name for service in picture.estate.services if service.tier == 1}
    told = {day for one in before if one is not None for day in one.heard}
    found = []
    for one in incidents:
        days = {(each.service, each.bd) for each in one.services if each.service in tier_1}
        first = bool(days - told) or not one.notices
        told |= days
        found.append(one if first else replace(one, notices=tuple(replace(each, urgent=False) for each in one.notices)))
    return tuple(found)
