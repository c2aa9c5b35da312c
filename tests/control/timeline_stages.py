"""What people say in between, what checks find, and what is held back on its way out: lines of a timeline."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from console.domain.alert import AcknowledgementFacts, AlertKind, SilenceFacts
from console.domain.check import CheckHistory, CheckState, ResultSpan
from console.timing.durations import parse_duration
from tests.control.timeline_estate import Unreadable
from tests.control.timeline_steps import EVENTS, EXPECTATIONS, Night, about, among, now_of, one_word, same, says
from tests.factories import NIGHT


@says(EVENTS, "{who} acknowledges {root} for {long}")
def acknowledges(night: Night, who: str, root: str, long: str) -> None:
    """The open incident whose title names that root."""
    now, telling = now_of(night), night.ledger.estate.notifications
    found = [one.id for one in night.ledger.estate.incidents if root in one.title]
    if len(found) != 1:
        raise Unreadable(f"{len(found)} open incidents name {root}")
    acks = {**telling.acks, found[0]: AcknowledgementFacts(who, now + parse_duration(long), at=now)}
    night.ledger.estate = replace(night.ledger.estate, notifications=replace(telling, acks=acks))


@says(EVENTS, "{who} silences {name} for {long}: {why}")
def silences(night: Night, who: str, name: str, long: str, why: str) -> None:
    """A job, by its name or the end of it."""
    now, telling = now_of(night), night.ledger.estate.notifications
    matchers = (("job", night.opening.job(name).name),)
    one = SilenceFacts(len(telling.silences) + 1, matchers, now, now + parse_duration(long), who, why)
    said = replace(telling, silences=(*telling.silences, one))
    night.ledger.estate = replace(night.ledger.estate, notifications=said)


@says(EVENTS, "check {name} finds {text}")
def finds(night: Night, name: str, text: str) -> None:
    """Something that is not as it must be."""
    _looked(night, name, CheckState.FAILED, text)


@says(EVENTS, "check {name} passes: {text}")
def passes(night: Night, name: str, text: str) -> None:
    _looked(night, name, CheckState.PASSED, text)


@says(EXPECTATIONS, "one repeat to {route} naming {text}")
def one_repeat(night: Night, route: str, text: str) -> None:
    one_word(night, AlertKind.REPEATED, route, text)


@says(EXPECTATIONS, "one escalation to {route} naming {text}")
def one_escalation(night: Night, route: str, text: str) -> None:
    one_word(night, AlertKind.ESCALATED, route, text)


@says(EXPECTATIONS, "held back: {why}")
def held_back(night: Night, why: str) -> None:
    """The reason, as it stands now, of a notice that a stage holds."""
    among(why, [held.why for one in night.told.decisions[-1].incidents for held in one.suppressed])


@says(EXPECTATIONS, "nothing held back")
def nothing_held_back(night: Night) -> None:
    same([], [held.why for one in night.told.decisions[-1].incidents for held in one.suppressed])


@says(EXPECTATIONS, "{route} not told: {why}")
def not_told(night: Night, route: str, why: str) -> None:
    """What was held back and is told no more."""
    among((route, why), [(held.route, said) for one in night.told.incidents() for held, said in one.dropped])


@says(EXPECTATIONS, "{number} flaps of {root}")
def flaps_of(night: Night, number: str, root: str) -> None:
    same(int(number), about(night, root).flaps)


def _looked(night: Night, name: str, state: CheckState, text: str) -> None:
    """A look at the business date of the night."""
    if not re.fullmatch(r"\S+", name) or name not in night.opening.checks:
        raise Unreadable(f"the checks are {', '.join(night.opening.checks) or 'none'}")
    now, known = now_of(night), night.ledger.estate.checks
    before = known[name, NIGHT].stretches if (name, NIGHT) in known else ()
    looked = CheckHistory(name, NIGHT, (*before, ResultSpan(state, now, now + timedelta(0), text)))
    night.ledger.estate = replace(night.ledger.estate, checks={**known, (name, NIGHT): looked})
