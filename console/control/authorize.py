"""The one answer to "may they?", asked when something is requested and again right before it is sent.

`DOORS` is the one table of everything that may be asked for; what is not in it is refused, and a test finds it. Denied
unless permitted, once config has any `[[permissions]]`; without any, who can write the store may do everything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from connectors.words import Verb
from console.model.modes import FREEZE
from console.model.rights import EVERYBODY, GROUP, Permission, Person, Role, Rules, Subject

LEAST_TIER = 5
NAMED = 3
"""Of those who could help, so many are named at most."""


@dataclass(frozen=True, slots=True)
class Door:
    """One thing that may be asked for."""

    role: Role
    is_action: bool = False
    """True where something is sent to a scheduler: the rules for reasons and approvals hold."""


_SENDS = Door(Role.ACT, is_action=True)
DOORS: dict[str, Door] = {
    **{verb.value: _SENDS for verb in Verb},
    "preview": Door(Role.VIEW),
    "log": Door(Role.VIEW),
    "log difference": Door(Role.VIEW),
    "what if": Door(Role.VIEW),
    "present": Door(Role.VIEW),
    "accept_drift": Door(Role.ACT),
    "approve": Door(Role.APPROVE),
    "withdraw": Door(Role.ACT),
    "shell": Door(Role.ACT),
    "plan preview": Door(Role.VIEW),
    "plan start": _SENDS,
    "plan pause": Door(Role.ACT),
    "plan resume": Door(Role.ACT),
    "plan abort": Door(Role.ACT),
    "release natively": _SENDS,
    "restore": Door(Role.ADMIN),
    "freeze on": Door(Role.ACT),
    "freeze off": Door(Role.ADMIN),
    "shadow on": Door(Role.ACT),
    "shadow off": Door(Role.ADMIN),
    "extend": Door(Role.ACT),
    "check look": Door(Role.ACT),
    "probe": Door(Role.ACT),
    "pause polling": Door(Role.ACT),
    "resume polling": Door(Role.ACT),
    "note": Door(Role.ACT),
    "undo done": Door(Role.ACT),
    "card": Door(Role.ACT),
    "card loosen": Door(Role.ADMIN),
    "alert test": Door(Role.ACT),
    "alert retry": Door(Role.ACT),
    "alert useful": Door(Role.ACT),
    "ack": Door(Role.ACT),
    "ack lapse": Door(Role.ACT),
    "silence": Door(Role.ACT),
    "silence end": Door(Role.ACT),
}
"""Every kind of request and answer, every verb, every switch, and what is done without an engine. Stopping takes less
than letting loose."""
_POLICY = ("hold", "release", "start")


@dataclass(frozen=True, slots=True)
class Granted:
    """It may be done; with `needs_approval`, once another person has approved it."""

    needs_approval: bool = False
    by_policy: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not; `reason` says what is needed, what there is, and whom to ask."""

    reason: str
    wants_reason: bool = False
    """True where saying why is all that is missing."""


def authorize(
    person: Person, door: str, subject: Subject, permissions: Sequence[Permission], rules: Rules
) -> Granted | Refused:
    """Whether this person may do that to it now."""
    known = DOORS.get(door)
    if known is None:
        return Refused(f'nobody may "{door}": it is in no table of what may be asked for')
    if person.is_policy:
        return _policy(door, subject, rules.policy_per_hour)
    held = role_of(person, subject, permissions)
    if held < known.role:
        return Refused(_denied(person, known.role, held, subject, permissions))
    if door == "approve" and person.name == subject.asked_by:
        return Refused(f"{person.name} asked for it: another person must approve it")
    if door == "withdraw" and subject.asked_by not in ("", person.name) and held < Role.ADMIN:
        return Refused(f"{subject.asked_by} asked for it: only they or an admin may take it back")
    if not known.is_action:
        return Granted()
    if rules.per_hour and subject.recent >= rules.per_hour:
        return Refused(_too_many(f"{person.name} asked", subject.recent, "per_hour"))
    if subject.tier is None:
        return Granted()
    if subject.tier in rules.reason_tiers and not subject.why.strip():
        return Refused(f"{_hurt(subject)} hangs on it: say why (--why)", wants_reason=True)
    return Granted(needs_approval=subject.tier in rules.approval_tiers)


def switch_door(name: str, value: str) -> str:
    """The door that turning a switch of `console.model.modes` to this value goes through: what stops, or what lets
    loose. A value that it knows nothing of has no door."""
    if name == FREEZE:
        return f"freeze {value}"
    return {"live": "shadow off", "shadow": "shadow on"}.get(value, f"turn {value}")


def role_of(person: Person, subject: Subject, permissions: Sequence[Permission]) -> Role:
    """The highest role that this person has there; ADMIN where config says nothing of permissions."""
    if not permissions:
        return Role.ADMIN
    roles = (one.role for one in permissions if _is_named(one, person) and _covers(one, subject))
    return max(roles, default=Role.NONE)


def _is_named(permission: Permission, person: Person) -> bool:
    who = permission.who
    if who.startswith(GROUP):
        return who.removeprefix(GROUP) in person.groups
    return who in (EVERYBODY, person.name)


def _covers(permission: Permission, subject: Subject) -> bool:
    """What belongs to no system (the freeze, a route) is covered by a permission without limits only."""
    if not subject.system:
        return not permission.is_limited
    if permission.systems and not _is_one_of(subject.system, permission.systems):
        return False
    names = [name for name, _ in subject.services]
    if permission.services and not (names and all(_is_one_of(name, permission.services) for name in names)):
        return False
    tier = LEAST_TIER if subject.tier is None else subject.tier
    return not permission.tiers or tier in permission.tiers


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return any(_pattern(one).fullmatch(name) for one in patterns)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def _policy(door: str, subject: Subject, limit: int) -> Granted | Refused:
    """Headway itself: as config's mode says. What it holds it may always let go, and start what it kept back."""
    if door not in _POLICY:
        return Refused(f"no policy may {door}")
    if door == "release" or subject.held_back:
        return Granted(by_policy=True)
    if not subject.modes & {"hold", "trigger"}:
        return Refused(f'no dependency into {subject.job} has the mode "hold" or "trigger" any more')
    if limit and subject.recent >= limit:
        return Refused(_too_many("config's modes asked", subject.recent, "policy_per_hour"))
    return Granted(by_policy=True)


def _too_many(who: str, count: int, key: str) -> str:
    many = f"{count} action{'s' * (count != 1)}"
    return f"{who} for {many} within the hour, as many as [acting] {key} lets: wait, or have it raised"


def _denied(person: Person, needed: Role, held: Role, subject: Subject, permissions: Sequence[Permission]) -> str:
    place = subject.system or "the whole estate"
    what = f"{place} ({_hurt(subject)})" if subject.services else place
    has = f"have {held.word}" if held else "have no role there"
    able = [one.who for one in permissions if one.role >= needed and _covers(one, subject) and one.who != EVERYBODY]
    names = list(dict.fromkeys(able))[:NAMED]
    ask = f"ask {' or '.join(names)}" if names else "nobody has it: add it under [[permissions]] in the config"
    return f"needs role {needed.word} on {what}; you ({person.name}) {has}; {ask}"


def of_another(reason: str, person: Person) -> str:
    """A refusal for the eyes of somebody else: nobody but who asks is spoken to."""
    return reason.replace(f"you ({person.name}) have", f"{person.name} has")


def _hurt(subject: Subject) -> str:
    """ "tier 1 (daily-revenue)": the most important service, by name."""
    name = min(subject.services, key=lambda one: (one[1], one[0]))[0]
    return f"tier {subject.tier} ({name})"
