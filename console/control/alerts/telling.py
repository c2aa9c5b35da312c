"""Every notice on its way out passes these stages, in this order; whoever holds one back says why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from console.control.alerts import (
    acknowledge,
    business,
    cancelled,
    flapping,
    group,
    inhibit,
    maintenance,
    passed,
    quiet_hours,
    silence,
    technical,
    wait,
)
from console.control.alerts.due import due, fingerprint_of
from console.control.alerts.scene import Held, Scene, Stage, Subject, Wanted, scene_of, shadowed
from console.control.alerts.text import Text
from console.control.alerts.values import plain_values, values
from console.control.cases import Case
from console.control.fingerprint import Told, read_told
from console.control.incidents import event_words
from console.control.picture import Picture
from console.model.alerting import BUSINESS, SHADOW, TECHNICAL, HeldFacts
from console.model.decisions import HeldNotice, IncidentDecision, Notice, ServiceDayVerdict

STAGES: tuple[Stage, ...] = (
    # 1. What was planned is no alert: whoever planned it knows.
    maintenance.hold,
    # 2. What somebody cancelled through Headway is known to them just so.
    cancelled.hold,
    # 3. What may be over by itself is no alert yet: nobody below needs to look at it.
    wait.hold,
    # 4. What another incident explains is that one's matter, whoever muted or took it.
    inhibit.hold,
    # 5. What a person muted is muted, whatever the hour: before the stages that only put off.
    silence.hold,
    # 6. What somebody is on is neither repeated nor escalated until that lapses.
    acknowledge.hold,
    # 7. What comes and goes is told once it stays: after the stages that mute it, before the one that chooses the hour.
    flapping.hold,
    # 8. What may wait until the morning does: after the stages that may drop it, so that the night holds little.
    quiet_hours.hold,
    # 9. What leaves now leaves together: last, for only what nothing else holds has company.
    group.hold,
)
_RECOVERED_WHILE = {
    "cancelled": "it was repaired before anybody had to be told",
    "wait": "it was over before it had held for so long",
    "inhibit": "it was over with what explained it",
    "maintenance": "it recovered within its maintenance",
    "silence": "it recovered while it was silenced",
    "flapping": "it was over again before it had been red for a steady time",
}


def tell(
    picture: Picture,
    open_cases: Sequence[Case],
    decisions: Sequence[IncidentDecision],
    days: Iterable[ServiceDayVerdict],
    log_tails: Mapping[int, str],
) -> tuple[tuple[IncidentDecision, ...], list[datetime]]:
    """The decisions with what leaves now and what is held back, and the instants at which time alone has something
    told. `days`: how every service day stands."""
    scene = scene_of(picture, open_cases, decisions)
    scene.days = {(one.service, one.bd): one for one in days}
    passed = [_passed(scene, subject) for subject in scene.subjects]
    leaving = (one.wanted for each in passed for one in each if one.leaves)
    company = Counter(one.route for one in leaving if group.is_grouped(scene, one))
    told = [
        _decided(scene, subject, each, company, log_tails) for subject, each in zip(scene.subjects, passed, strict=True)
    ]
    return first_words(scene, told), scene.turns


@dataclass(frozen=True, slots=True)
class _Passed:
    """A notice, and the first stage that holds it."""

    wanted: Wanted
    held: Held | None

    @property
    def leaves(self) -> bool:
        """Whether it is written now: of an incident that is over nothing is decided again, so what is held of it is
        written with the time at which it may leave."""
        return self.held is None or (self.wanted.subject.decision.closed and self.held.until is not None)

    @property
    def is_dropped(self) -> bool:
        """Whether nobody is told any more: it is over, and what holds it says no time."""
        return self.wanted.subject.decision.closed and not self.leaves


def _passed(scene: Scene, subject: Subject) -> list[_Passed]:
    found = []
    for wanted in due(scene, subject):
        stages = () if shadowed(wanted) else STAGES
        held = next(filter(None, (stage(scene, wanted) for stage in stages)), None)
        scene.turns += [held.until] if held is not None and held.until is not None else []
        found.append(_Passed(wanted, held))
    return found


def _decided(
    scene: Scene,
    subject: Subject,
    passed: Sequence[_Passed],
    company: Mapping[str, int],
    log_tails: Mapping[int, str],
) -> IncidentDecision:
    leaving = [one for one in passed if one.leaves]
    to_mend = any(one.wanted.words == TECHNICAL for one in leaving)
    return replace(
        subject.decision,
        notices=tuple(_written(scene, one, to_mend, company, log_tails) for one in leaving),
        held=tuple(_held(one.wanted, one.held) for one in passed if one.held is not None and not one.is_dropped),
        dropped=_dropped(subject, passed),
    )


def _written(
    scene: Scene, one: _Passed, to_mend: bool, company: Mapping[str, int], log_tails: Mapping[int, str]
) -> Notice:
    route = one.wanted.route
    together = route if company[route] > 1 and group.is_grouped(scene, one.wanted) else ""
    until = one.held.until if one.held is not None else None
    return replace(_notice(scene, one.wanted, to_mend, log_tails), group=together, not_before=until)


def _held(wanted: Wanted, found: Held) -> HeldNotice:
    return HeldNotice(wanted.route, wanted.words, wanted.kind, found.stage, found.why, found.until)


def _dropped(subject: Subject, passed: Sequence[_Passed]) -> tuple[tuple[HeldFacts, str], ...]:
    """What was held back and is to be told no more, and why."""
    still = {(one.wanted.route, one.wanted.words) for one in passed if not one.is_dropped}
    stages = {(one.wanted.route, one.wanted.words): one.held.stage for one in passed if one.held is not None}
    gone = [one for one in subject.held if (one.route, one.words) not in still]
    return tuple((one, _why_untold(subject, stages.get((one.route, one.words), one.stage))) for one in gone)


def _why_untold(subject: Subject, stage: str) -> str:
    """Empty while it is open: it is told otherwise."""
    if not subject.decision.closed:
        return ""
    return _RECOVERED_WHILE.get(stage, "it is over") if subject.case.recovered else "it is over"


def _notice(scene: Scene, wanted: Wanted, to_mend: bool, log_tails: Mapping[int, str]) -> Notice:
    text = (
        business.words(scene, wanted, to_mend)
        if wanted.words == BUSINESS
        else technical.words(scene.picture, wanted, log_tails, _changes(scene, wanted))
    )
    if wanted.words == SHADOW:
        text = _in_shadow(text, wanted.subject.decision.in_shadow)
    return Notice(
        wanted.kind,
        wanted.route,
        text.title,
        text.body,
        text.plain_title,
        text.plain_body,
        urgent=wanted.words == TECHNICAL and _is_urgent(scene, wanted),
        words=wanted.words,
        fingerprint=fingerprint_of(scene, wanted),
        **_template(scene, wanted, text, log_tails),
    )


def _template(scene: Scene, wanted: Wanted, text: Text, log_tails: Mapping[int, str]) -> dict[str, Any]:
    """What the route's own words are made of, where it has some; whoever is on call without any gets those of the
    route with the rota."""
    own = scene.alerting.route(wanted.route)
    rule = own if own.templated else scene.rule(wanted.route)
    if not rule.templated or wanted.words == SHADOW:
        return {}
    tail = technical.tail_lines(scene.picture, wanted.subject.case, log_tails)
    full, plain = values(scene, wanted, text, tail), plain_values(scene, wanted, text)
    return {"template": rule.name, "values": full, "plain_values": plain}


def _changes(scene: Scene, wanted: Wanted) -> str:
    """What is new to this route since its last word, in words."""
    if wanted.before is None or wanted.because:
        return wanted.because
    try:
        before = read_told(wanted.before.fingerprint)
    except (ValueError, TypeError):
        before = Told("", frozenset(), False)
    decision = wanted.subject.decision
    return "; ".join(
        filter(
            None,
            [event_words(decision, before), passed.note(scene, wanted, wanted.before), flapping.note(scene, decision)],
        )
    )


def _in_shadow(text: Text, routes: Sequence[str]) -> Text:
    words = f"In shadow: this would have gone to {', '.join(routes)}.\n\n"
    return Text(f"[shadow] {text.title}", words + text.body, f"[shadow] {text.plain_title}", words + text.plain_body)


def _is_urgent(scene: Scene, wanted: Wanted) -> bool:
    """The first word about a tier-1 service: no rate limit delays it."""
    told = wanted.subject.days_told
    new = {one.service for one in wanted.subject.decision.services if (one.service, one.bd) not in told}
    return any(service.tier == 1 for service in scene.picture.estate.services if service.name in new)


def first_words(scene: Scene, incidents: Sequence[IncidentDecision]) -> tuple[IncidentDecision, ...]:
    """The incidents; of many that hurt one tier-1 service on one day only the first is urgent, or each of a flood would
    be."""
    tier_1 = {service.name for service in scene.picture.estate.services if service.tier == 1}
    told = {day for subject in scene.subjects for day in subject.days_told}
    found = []
    for one in incidents:
        days = {(each.service, each.bd) for each in one.services if each.service in tier_1}
        first = bool(days - told) or not one.notices
        told |= days if one.notices else set()
        found.append(one if first else replace(one, notices=tuple(replace(each, urgent=False) for each in one.notices)))
    return tuple(found)
