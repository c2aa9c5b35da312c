"""Roles, permissions and the rules of acting, as config and store bring them to `control.access`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from console.domain.ids import name_key

EVERYBODY = "*"
UNKNOWN_PERSON = "link"
"""The person of a link in a message with several possible readers."""
GROUP = "group:"


class Role(IntEnum):
    """Each role includes the rights of those before it."""

    NONE = 0
    VIEW = 1
    ACT = 2
    APPROVE = 3
    ADMIN = 4

    @property
    def text(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class PermissionRule:
    """One `[[permissions]]`, for one person or group."""

    who: str
    """A login, "group:NAME", or "*" for everybody."""
    role: Role
    systems: tuple[str, ...] = ()
    """Patterns, * for any text; empty: every system, and actions that belong to none."""
    services: tuple[str, ...] = ()
    """Patterns: only jobs all of whose services are among them; empty: every job."""
    tiers: tuple[int, ...] = ()
    """Only jobs whose most important service has one of these tiers; a job without a service has tier 5."""

    @property
    def is_limited(self) -> bool:
        return bool(self.systems or self.services or self.tiers)


@dataclass(frozen=True, slots=True)
class Person:
    """The requester, as the kernel or the database login identifies them."""

    name: str
    groups: frozenset[str] = frozenset()
    is_policy: bool = False
    """Headway itself, by a dependency mode: "hold" or "trigger"."""
    is_repair_policy: bool = False
    """One of `[[policies]]`: it may only rerun."""
    is_visitor: bool = False
    """Identified by a proxy or a token: without permissions in the config they may only view."""


def is_same_person(name: str, other_name: str) -> bool:
    """Whether two names are of one person: a directory may take any case of a login, and a proxy hands it on."""
    return name_key(name) == name_key(other_name)


@dataclass(frozen=True, slots=True)
class ActionSubject:
    """The subject of an action; all empty: the whole estate."""

    system: str = ""
    job: str = ""
    services: tuple[tuple[str, int], ...] = ()
    """(name, tier) of every downstream service."""
    why: str = ""
    requested_by: str = ""
    """For an approval: the requester of the action."""
    modes: frozenset[str] = frozenset()
    """Modes of the dependencies into the job: they permit policies."""
    held_back: bool = False
    """True for the start that follows a hold by Headway."""
    recent: int = 0
    """Actions requested by the same person, or by policies, within the last hour."""

    @property
    def tier(self) -> int | None:
        """Tier of the most important downstream service; None without one."""
        return min((tier for _, tier in self.services), default=None)


APPROVAL_SECONDS = 3600.0
"""An approval expires after this time: the situation that the approver saw no longer holds."""


EXPIRY = timedelta(hours=4)
"""A request of a person or a plan expires if it is not sent within this time."""
REPAIR_EXPIRY = timedelta(minutes=10)
"""The same for a request of a policy: after an outage of the engine or of the system a person may have come first."""


@dataclass(frozen=True, slots=True)
class ActingRules:
    """`[acting]`: conditions of actions besides the role."""

    reason_tiers: tuple[int, ...] = (1,)
    """Tiers of services whose upstream jobs need a reason for actions."""
    approval_tiers: tuple[int, ...] = ()
    """Tiers of services whose upstream jobs need the approval of another person, within an hour."""
    per_hour: int = 20
    """Most actions of one person, steps of plans included; 0: no limit. A plan that may start goes through whole."""
    policy_per_hour: int = 200
    """Maximum holds and starts by policies; 0: no limit. Releases have none."""
    cards: tuple[str, ...] = ("owner", "runbook")
    """CARD_FIELDS that people may set, in the console or by "headway job", where [jobs] does not set them."""
