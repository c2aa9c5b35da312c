"""What people say in between, what checks find, and what is held back on its way out: lines of a timeline."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from connectors.sdk.states import Verb
from console.domain.alert import AcknowledgementFacts, AlertKind, SilenceFacts
from console.domain.check import CheckHistory, CheckState, ResultSpan
from console.domain.estate import RepairFacts
from console.domain.policy import PolicyRepair
from console.domain.switches import SwitchState
from console.timing.durations import parse_duration
from tests.control.timeline_estate import Unreadable
from tests.control.timeline_steps import (
    EVENTS,
    EXPECTATIONS,
    Night,
    about,
    among,
    is_rerun,
    now_of,
    one_notification,
    same,
    says,
)
from tests.factories import NIGHT
from tests.reasons import title_of


@says(EVENTS, "{who} acknowledges {root} for {long}")
def acknowledges(night: Night, who: str, root: str, long: str) -> None:
    """The open incident whose title names that root."""
    now, state = now_of(night), night.ledger.estate.notifications
    ids = [incident.id for incident in night.ledger.estate.incidents if root in title_of(incident)]
    if len(ids) != 1:
        raise Unreadable(f"{len(ids)} open incidents name {root}")
    acks = {**state.acks, ids[0]: AcknowledgementFacts(who, now + parse_duration(long), at=now)}
    night.ledger.estate = replace(night.ledger.estate, notifications=replace(state, acks=acks))


@says(EVENTS, "{who} silences {name} for {long}: {why}")
def silences(night: Night, who: str, name: str, long: str, why: str) -> None:
    """A job, by its name or the end of it."""
    now, state = now_of(night), night.ledger.estate.notifications
    matchers = (("job", night.opening.job(name).name),)
    silence = SilenceFacts(len(state.silences) + 1, matchers, now, now + parse_duration(long), who, why)
    notification_state = replace(state, silences=(*state.silences, silence))
    night.ledger.estate = replace(night.ledger.estate, notifications=notification_state)


@says(EVENTS, "policy {policy} sends its rerun of {name}")
def policy_sends(night: Night, policy: str, name: str) -> None:
    """What it requested is sent, and the run starts again."""
    job, ledger = night.opening.job(name), night.ledger
    repair = _move_repair(night, policy, "requested", "sent")
    facts = RepairFacts(job.id, Verb.RERUN, f"policy {policy}", now_of(night), in_flight=True, policy=policy)
    ledger.estate = replace(ledger.estate, repairs={**ledger.estate.repairs, repair.run_id: facts})
    is_rerun(night, name)


@says(EVENTS, "the rerun of policy {policy} is {state}")
def policy_rerun_is(night: Night, policy: str, state: str) -> None:
    """The outcome of what it sent, as Headway knows it: verified, failed, unknown."""
    _move_repair(night, policy, "sent", state)


@says(EVENTS, "{who} pauses policy {policy}")
def pauses_policy(night: Night, who: str, policy: str) -> None:
    modes = night.ledger.estate.modes
    paused = {**modes.policies, policy: SwitchState("paused", who, at=now_of(night))}
    night.ledger.estate = replace(night.ledger.estate, modes=replace(modes, policies=paused))


def _move_repair(night: Night, policy: str, before: str, state: str) -> PolicyRepair:
    repairs = night.ledger.estate.policy_repairs
    known = [
        repair for repair in repairs if repair.policy == policy and repair.action and repair.action.state == before
    ]
    if len(known) != 1:
        raise Unreadable(f"{len(known)} of its reruns are {before}")
    [repair] = known
    assert repair.action is not None
    ended = now_of(night) if state in ("verified", "failed") else None
    moved = replace(repair, action=replace(repair.action, state=state, ended_at=ended))
    changed = tuple(moved if known == repair else known for known in repairs)
    night.ledger.estate = replace(night.ledger.estate, policy_repairs=changed)
    return repair


@says(EVENTS, "check {name} finds {text}")
def finds(night: Night, name: str, text: str) -> None:
    """Something that is not as it must be."""
    _check_result(night, name, CheckState.FAILED, text)


@says(EVENTS, "check {name} passes: {text}")
def passes(night: Night, name: str, text: str) -> None:
    _check_result(night, name, CheckState.PASSED, text)


@says(EXPECTATIONS, "one repeat to {route} naming {text}")
def one_repeat(night: Night, route: str, text: str) -> None:
    one_notification(night, AlertKind.REPEATED, route, text)


@says(EXPECTATIONS, "one escalation to {route} naming {text}")
def one_escalation(night: Night, route: str, text: str) -> None:
    one_notification(night, AlertKind.ESCALATED, route, text)


@says(EXPECTATIONS, "held back: {why}")
def held_back(night: Night, why: str) -> None:
    """The current reason of a notification that a stage suppresses."""
    among(
        why, [held.why for incident in night.decided.decisions[-1].incidents for held in incident.suppressions.notices]
    )


@says(EXPECTATIONS, "nothing held back")
def nothing_held_back(night: Night) -> None:
    same([], [held.why for incident in night.decided.decisions[-1].incidents for held in incident.suppressions.notices])


@says(EXPECTATIONS, "{route} not told: {why}")
def suppressed(night: Night, route: str, why: str) -> None:
    """What was suppressed and is no longer notified."""
    among(
        (route, why),
        [
            (held.route, message)
            for incident in night.decided.incidents()
            for held, message in incident.suppressions.dropped
        ],
    )


@says(EXPECTATIONS, "{number} flaps of {root}")
def flaps_of(night: Night, number: str, root: str) -> None:
    flaps = about(night, root).flaps
    same(int(number), flaps.times if flaps is not None else 0)


def _check_result(night: Night, name: str, state: CheckState, text: str) -> None:
    """A look at the business date of the night."""
    if not re.fullmatch(r"\S+", name) or name not in night.opening.checks:
        raise Unreadable(f"the checks are {', '.join(night.opening.checks) or 'none'}")
    now, known = now_of(night), night.ledger.estate.checks
    before = known[name, NIGHT].stretches if (name, NIGHT) in known else ()
    check_history = CheckHistory(name, NIGHT, (*before, ResultSpan(state, now, now + timedelta(0), text)))
    night.ledger.estate = replace(night.ledger.estate, checks={**known, (name, NIGHT): check_history})
