"""Authorization: the one answer to whether a person may do something, now.

Asked when something is requested and again right before it is sent.

`OPERATIONS` lists everything that may be requested; what is not in it is refused, and a test finds it. Denied
unless permitted, once config has any `[[permissions]]`; without any, whoever can write the store may do everything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from connectors.sdk.states import Verb
from console.domain.access import EVERYBODY, GROUP, ActingRules, ActionSubject, PermissionRule, Person, Role
from console.domain.switches import FREEZE

LOWEST_TIER = 5
MAX_NAMED = 3
"""Of those who could help, so many are named at most."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that may be asked for."""

    role: Role
    is_action: bool = False
    """True where something is sent to a scheduler: the rules for reasons and approvals hold."""


_SENDS = Operation(Role.ACT, is_action=True)
OPERATIONS: dict[str, Operation] = {
    **{verb.value: _SENDS for verb in Verb},
    "preview": Operation(Role.VIEW),
    "log": Operation(Role.VIEW),
    "log difference": Operation(Role.VIEW),
    "what if": Operation(Role.VIEW),
    "accept_drift": Operation(Role.ACT),
    "approve": Operation(Role.APPROVE),
    "withdraw": Operation(Role.ACT),
    "shell": Operation(Role.ACT),
    "plan preview": Operation(Role.VIEW),
    "plan start": _SENDS,
    "plan pause": Operation(Role.ACT),
    "plan resume": Operation(Role.ACT),
    "plan abort": Operation(Role.ACT),
    "release natively": _SENDS,
    "restore": Operation(Role.ADMIN),
    "freeze on": Operation(Role.ACT),
    "freeze off": Operation(Role.ADMIN),
    "shadow on": Operation(Role.ACT),
    "shadow off": Operation(Role.ADMIN),
    "extend": Operation(Role.ACT),
    "check look": Operation(Role.ACT),
    "probe": Operation(Role.ACT),
    "pause polling": Operation(Role.ACT),
    "resume polling": Operation(Role.ACT),
    "note": Operation(Role.ACT),
    "undo done": Operation(Role.ACT),
    "card": Operation(Role.ACT),
    "card loosen": Operation(Role.ADMIN),
    "alert test": Operation(Role.ACT),
    "alert retry": Operation(Role.ACT),
    "alert useful": Operation(Role.ACT),
    "ack": Operation(Role.ACT),
    "ack lapse": Operation(Role.ACT),
    "silence": Operation(Role.ACT),
    "silence end": Operation(Role.ACT),
}
"""Every kind of request and answer, every verb, every switch, and what is done without an engine. Stopping takes less
than letting loose."""
_POLICY = ("hold", "release", "start")


@dataclass(frozen=True, slots=True)
class AccessGranted:
    """It may be done; with `needs_approval`, once another person has approved it."""

    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class AccessRefusal:
    """It may not; `reason` says what is needed, what there is, and whom to ask."""

    reason: str
    wants_reason: bool = False
    """True where saying why is all that is missing."""


def authorize(
    person: Person, door: str, subject: ActionSubject, permissions: Sequence[PermissionRule], rules: ActingRules
) -> AccessGranted | AccessRefusal:
    """Whether this person may do that to it now."""
    known = OPERATIONS.get(door)
    if known is None:
        return AccessRefusal(f'nobody may "{door}": it is in no table of what may be asked for')
    if person.is_policy:
        return _policy(door, subject, rules.policy_per_hour)
    held = role_of(person, subject, permissions)
    if held < known.role:
        return AccessRefusal(_denied(person, known.role, held, subject, permissions))
    if door == "approve" and person.name == subject.asked_by:
        return AccessRefusal(f"{person.name} asked for it: another person must approve it")
    if door == "withdraw" and subject.asked_by not in ("", person.name) and held < Role.ADMIN:
        return AccessRefusal(f"{subject.asked_by} asked for it: only they or an admin may take it back")
    if not known.is_action:
        return AccessGranted()
    if rules.per_hour and subject.recent >= rules.per_hour:
        return AccessRefusal(_too_many(f"{person.name} asked", subject.recent, "per_hour"))
    if subject.tier is None:
        return AccessGranted()
    if subject.tier in rules.reason_tiers and not subject.why.strip():
        return AccessRefusal(f"{_hurt(subject)} hangs on it: say why (--why)", wants_reason=True)
    return AccessGranted(needs_approval=subject.tier in rules.approval_tiers)


def switch_operation(name: str, value: str) -> str:
    """The door that turning a switch of `console.domain.switches` to this value goes through: what stops, or what lets
    loose. A value that it knows nothing of has no door."""
    if name == FREEZE:
        return f"freeze {value}"
    return {"live": "shadow off", "shadow": "shadow on"}.get(value, f"turn {value}")


def role_of(person: Person, subject: ActionSubject, permissions: Sequence[PermissionRule]) -> Role:
    """The highest role that this person has there; ADMIN where config says nothing of permissions."""
    if not permissions:
        return Role.ADMIN
    roles = (one.role for one in permissions if _is_named(one, person) and _covers(one, subject))
    return max(roles, default=Role.NONE)


def _is_named(permission: PermissionRule, person: Person) -> bool:
    who = permission.who
    if who.startswith(GROUP):
        return who.removeprefix(GROUP) in person.groups
    return who in (EVERYBODY, person.name)


def _covers(permission: PermissionRule, subject: ActionSubject) -> bool:
    """What belongs to no system (the freeze, a route) is covered by a permission without limits only."""
    if not subject.system:
        return not permission.is_limited
    if permission.systems and not _is_one_of(subject.system, permission.systems):
        return False
    names = [name for name, _ in subject.services]
    if permission.services and not (names and all(_is_one_of(name, permission.services) for name in names)):
        return False
    tier = LOWEST_TIER if subject.tier is None else subject.tier
    return not permission.tiers or tier in permission.tiers


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return any(_pattern(one).fullmatch(name) for one in patterns)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def _policy(door: str, subject: ActionSubject, limit: int) -> AccessGranted | AccessRefusal:
    """Headway itself: as config's mode says. What it holds it may always let go, and start what it kept back."""
    if door not in _POLICY:
        return AccessRefusal(f"no policy may {door}")
    if door == "release" or subject.held_back:
        return AccessGranted()
    if not subject.modes & {"hold", "trigger"}:
        return AccessRefusal(f'no dependency into {subject.job} has the mode "hold" or "trigger" any more')
    if limit and subject.recent >= limit:
        return AccessRefusal(_too_many("config's modes asked", subject.recent, "policy_per_hour"))
    return AccessGranted()


def _too_many(who: str, count: int, key: str) -> str:
    many = f"{count} action{'s' * (count != 1)}"
    return f"{who} for {many} within the hour, as many as [acting] {key} lets: wait, or have it raised"


def _denied(
    person: Person, needed: Role, held: Role, subject: ActionSubject, permissions: Sequence[PermissionRule]
) -> str:
    place = subject.system or "the whole estate"
    what = f"{place} ({_hurt(subject)})" if subject.services else place
    has = f"have {held.text}" if held else "have no role there"
    able = [one.who for one in permissions if one.role >= needed and _covers(one, subject) and one.who != EVERYBODY]
    names = list(dict.fromkeys(able))[:MAX_NAMED]
    ask = f"ask {' or '.join(names)}" if names else "nobody has it: add it under [[permissions]] in the config"
    return f"needs role {needed.text} on {what}; you ({person.name}) {has}; {ask}"


def refusal_for_other(reason: str, person: Person) -> str:
    """A refusal for the eyes of somebody else: nobody but who asks is spoken to."""
    return reason.replace(f"you ({person.name}) have", f"{person.name} has")


def _hurt(subject: ActionSubject) -> str:
    """ "tier 1 (daily-revenue)": the most important service, by name."""
    name = min(subject.services, key=lambda one: (one[1], one[0]))[0]
    return f"tier {subject.tier} ({name})"
