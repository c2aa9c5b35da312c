"""Authorization: whether a person may do something, now.

Checked when something is requested and again right before it is sent.

Denied unless permitted, once the config has any `[[permissions]]`; without any, everyone who can write the store may
do everything, and visitors may view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from connectors.sdk.states import Verb
from console.domain.access import (
    EVERYBODY,
    GROUP,
    UNKNOWN_PERSON,
    ActingRules,
    ActionSubject,
    PermissionRule,
    Person,
    Role,
    is_same_person,
)
from console.domain.name_pattern import matches_name
from console.domain.request import RequestKind

LOWEST_TIER = 5
MAX_NAMED = 3
"""Names in a refusal."""


ACTIONS = (*Verb, RequestKind.START_PLAN, RequestKind.RELEASE_NATIVELY)
"""Operations that send something to a scheduler: the rules for reasons and approvals apply."""
_POLICY = (Verb.HOLD, Verb.RELEASE, Verb.START)


@dataclass(frozen=True, slots=True)
class AccessGranted:
    """Allowed; with `needs_approval`, once another person has approved it."""

    wants_reason: ClassVar[bool] = False
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class AccessRefusal:
    """Refused; `reason` names the missing role or reason, and who has it."""

    reason: str
    wants_reason: bool = False
    """True if only a reason is missing."""
    code: str = ""
    """`Modes.block_code`; empty for other refusals."""
    reason_for_others: str = ""
    """The reason where it names the person, for readers who are not that person; empty: `reason`."""

    @property
    def audit_detail(self) -> dict[str, str]:
        """Its entries in the detail of an audit row."""
        return {"refused": self.reason, **({"code": self.code} if self.code else {})}


def authorize(
    person: Person,
    operation: Verb | RequestKind,
    subject: ActionSubject,
    permissions: Sequence[PermissionRule],
    rules: ActingRules,
) -> AccessGranted | AccessRefusal:
    """Decision for this person now."""
    needed = operation.role if isinstance(operation, RequestKind) else Role.ACT
    if person.is_repair_policy:  # permitted by the config; a tier with approval needs it all the same
        if operation is not Verb.RERUN:
            return AccessRefusal(f"no policy may {operation}")
        return AccessGranted(needs_approval=subject.tier in rules.approval_tiers)
    if person.is_policy:
        return _policy(operation, subject, rules.policy_per_hour)
    held = role_of(person, subject, permissions)
    if held < needed:
        return _denied(person, needed, held, subject, permissions)
    if operation is RequestKind.APPROVE and is_same_person(person.name, subject.requested_by):
        return AccessRefusal(f"{subject.requested_by} requested it: another person must approve it")
    is_own = not subject.requested_by or is_same_person(person.name, subject.requested_by)
    if operation is RequestKind.WITHDRAW and not is_own and held < Role.ADMIN:
        return AccessRefusal(f"{subject.requested_by} requested it: only they or an admin may withdraw it")
    if operation not in ACTIONS:
        return AccessGranted()
    if rules.per_hour and subject.recent >= rules.per_hour:
        return AccessRefusal(_too_many(person.name, subject.recent, "per_hour"))
    if subject.tier is None:
        return AccessGranted()
    if subject.tier in rules.reason_tiers and not subject.why.strip():
        return AccessRefusal(f"{_affected(subject)} depends on it: give a reason", wants_reason=True)
    return AccessGranted(needs_approval=subject.tier in rules.approval_tiers)


def role_of(person: Person, subject: ActionSubject, permissions: Sequence[PermissionRule]) -> Role:
    """Highest role of this person for the subject; without permissions in the config ADMIN, for visitors VIEW."""
    if not permissions:
        return Role.VIEW if person.is_visitor else Role.ADMIN
    roles = (
        permission.role for permission in permissions if _is_named(permission, person) and _covers(permission, subject)
    )
    return max(roles, default=Role.NONE)


def _is_named(permission: PermissionRule, person: Person) -> bool:
    grantee = permission.who
    if grantee.startswith(GROUP):
        return grantee.removeprefix(GROUP) in person.groups
    return grantee in (EVERYBODY, person.name)


def _covers(permission: PermissionRule, subject: ActionSubject) -> bool:
    if not subject.system:
        return not permission.is_limited
    if permission.systems and not _is_one_of(subject.system, permission.systems):
        return False
    if not subject.job:  # all jobs of the system, of any service and tier
        return not (permission.services or permission.tiers)
    names = [name for name, _ in subject.services]
    if permission.services and not (names and all(_is_one_of(name, permission.services) for name in names)):
        return False
    tier = LOWEST_TIER if subject.tier is None else subject.tier
    return not permission.tiers or tier in permission.tiers


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return any(matches_name(pattern, name) for pattern in patterns)


def _policy(operation: Verb | RequestKind, subject: ActionSubject, limit: int) -> AccessGranted | AccessRefusal:
    """Headway itself, as the mode in the config allows. It may always release its own holds, and start the runs that
    they kept back."""
    if operation not in _POLICY:
        return AccessRefusal(f"no policy may {operation}")
    if operation is Verb.RELEASE or subject.held_back:
        return AccessGranted()
    if not subject.modes & {"hold", "trigger"}:
        return AccessRefusal(f'no dependency into {subject.job} has the mode "hold" or "trigger" any more')
    if limit and subject.recent >= limit:
        return AccessRefusal(_too_many("config's modes", subject.recent, "policy_per_hour"))
    return AccessGranted()


def _too_many(subject: str, count: int, key: str) -> str:
    many = f"{count} action{'s' * (count != 1)}"
    return f"{subject} requested {many} within the hour, the limit of [acting] {key}: wait, or raise the limit"


def _denied(
    person: Person, needed: Role, held: Role, subject: ActionSubject, permissions: Sequence[PermissionRule]
) -> AccessRefusal:
    place = subject.system or "the whole estate"
    what = f"{place} ({_affected(subject)})" if subject.services else place
    role = held.text if held else "no role there"
    able = _able(needed, subject, permissions)
    if able and not any(_is_named(rule, person) for rule in permissions):
        able = "an admin"  # without any role a person may not see the list of people
    ask = f"ask {able}" if able else "no user has it: add it under [[permissions]] in the config"
    own, others = (
        f"needs role {needed.text} on {what}; {has} {role}; {ask}"
        for has in (f"you ({person.name}) have", f"{person.name} has")
    )
    return AccessRefusal(own, reason_for_others=others)


def _able(needed: Role, subject: ActionSubject, permissions: Sequence[PermissionRule]) -> str:
    """ "anna or group:dba": the people and groups with the role; empty without any."""
    able = [rule.who for rule in permissions if rule.role >= needed and _covers(rule, subject)]
    names = [name for name in dict.fromkeys(able) if name not in (EVERYBODY, UNKNOWN_PERSON)]
    rest = [f"{len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return " or ".join(names[:MAX_NAMED] + rest)


def approvers(subject: ActionSubject, permissions: Sequence[PermissionRule]) -> str:
    """The possible approvers of a request: "anna or group:dba"; "another person" where anyone else may."""
    needed = RequestKind.APPROVE.role
    rules = [rule for rule in permissions if not is_same_person(rule.who, subject.requested_by)]
    is_open = any(rule.who == EVERYBODY and rule.role >= needed and _covers(rule, subject) for rule in rules)
    if is_open or not permissions:
        return "another person"
    return _able(needed, subject, rules) or "another person, once [[permissions]] gives one the role approve"


def _affected(subject: ActionSubject) -> str:
    """ "tier 1 (daily-revenue)": the most important service, by name."""
    name = min(subject.services, key=lambda service: (service[1], service[0]))[0]
    return f"tier {subject.tier} ({name})"
