"""What comes and goes is told once it stays: from its second return on, "over" and "again" wait for a steady time.

A red or a green time that lasts `[incidents] steady_for` is told at its end; who was told that it is over and not of
its return is not told a second time. A service that is hit for the first time,
and a deadline that passes, are told at once.
"""

from __future__ import annotations

from console.control.alerts import business
from console.control.alerts.passed import passed_since
from console.control.alerts.quiet_hours import let_go
from console.control.alerts.scene import Held, Scene, Subject, Wanted
from console.control.fingerprint import Day, read_told, said_over
from console.control.words import moment
from console.durations import duration_words
from console.model.alerting import BUSINESS, ToldFacts
from console.model.decisions import IncidentDecision
from console.model.words import AlertKind

STAGE = "flapping"
FROM = 2
"""The return from which on it is held: the first one is told."""


def hold(scene: Scene, wanted: Wanted) -> Held | None:
    """Holds the end and the return of what flaps, until it has been steady. Of what is over the time lies ahead: where
    it comes back before that, the store takes the notice back."""
    decision, before = wanted.subject.decision, wanted.before
    if before is None or not _flaps(scene, decision) or not _comes_or_goes(wanted, before):
        return None
    if _must_be_known(scene, wanted.subject, before):
        return None
    steady = scene.picture.estate.declared.incidents.steady_for
    until = let_go(scene, wanted, scene.now + steady) if decision.closed else decision.failed_since + steady
    lasting = duration_words(steady.total_seconds())
    return Held(STAGE, f"flapping: {_times(scene, decision)}; told again when it has been steady for {lasting}", until)


def knows_it_is_over(scene: Scene, subject: Subject, told: ToldFacts) -> bool:
    """Whether the route has heard that it was over and nothing since, as its return was held: a second all-clear would
    be about a failure that it never heard of."""
    decision = subject.decision
    if not told.left_by(scene.now if decision.reopened else told.first_at):
        return False
    if told.words == BUSINESS:
        is_over = decision.flaps >= FROM and business.said_fine(told) and not business.is_news(scene, subject, told)
    else:
        is_over = said_over(told.fingerprint)
    return is_over and not _must_be_known(scene, subject, told)


def note(scene: Scene, decision: IncidentDecision) -> str:
    """How often it was red, for the word that leaves; empty where it does not flap."""
    if decision.flaps < FROM:
        return ""
    since = scene.now if decision.closed else decision.failed_since
    return f"{_times(scene, decision)}, {'green' if decision.closed else 'now'} since {moment(since, 'UTC', scene.now)}"


def _times(scene: Scene, decision: IncidentDecision) -> str:
    since = decision.flaps_since or decision.failed_since
    return f"red {decision.flaps + 1} times since {moment(since, 'UTC', scene.now)}"


def _flaps(scene: Scene, decision: IncidentDecision) -> bool:
    """Until it has been red for a steady time: what is told then is no flapping."""
    steady = scene.picture.estate.declared.incidents.steady_for
    return decision.flaps >= FROM and scene.now < decision.failed_since + steady


def _comes_or_goes(wanted: Wanted, before: ToldFacts) -> bool:
    """Whether it is the end, or the return of what the route was told is over. To those who wait for a service each
    change is one of the two."""
    if wanted.kind is AlertKind.RECOVERED:
        return True
    if wanted.kind is not AlertKind.UPDATED or wanted.subject.decision.closed:
        return False
    return wanted.words == BUSINESS or read_told(before.fingerprint).closed


def _must_be_known(scene: Scene, subject: Subject, before: ToldFacts) -> bool:
    """Whether a service is hit that the route has not heard of, or a deadline passed since its last word."""
    is_business = before.words == BUSINESS
    hurt = business.hurt_by(scene, subject, before.route) if is_business else subject.decision.services
    heard = _days(before)
    return any((one.service, one.bd) not in heard or passed_since(scene, one, before) for one in hurt)


def _days(before: ToldFacts) -> frozenset[Day]:
    return business.days(before.fingerprint) if before.words == BUSINESS else read_told(before.fingerprint).services
