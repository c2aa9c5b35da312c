"""Who may do what: the words of `control.authorize`, as config and store bring them. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

EVERYBODY = "*"
GROUP = "group:"


class Role(IntEnum):
    """Each may do what the ones before it may."""

    NONE = 0
    VIEW = 1
    ACT = 2
    APPROVE = 3
    ADMIN = 4

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Permission:
    """One `[[permissions]]` for one of those whom it names."""

    who: str
    """A login, "group:NAME", or "*" for everybody."""
    role: Role
    systems: tuple[str, ...] = ()
    """Patterns, * for any text; empty: every system, and what belongs to none."""
    services: tuple[str, ...] = ()
    """Patterns: only jobs all of whose services are among them; empty: every job."""
    tiers: tuple[int, ...] = ()
    """Only jobs whose most important service is of one of them; a job below which no service hangs counts as 5."""

    @property
    def is_limited(self) -> bool:
        return bool(self.systems or self.services or self.tiers)


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, by the kernel's or the database's word."""

    name: str
    groups: frozenset[str] = frozenset()
    is_policy: bool = False
    """Headway itself, by a mode in config: "hold" or "trigger"."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What it would be done to; all empty: the estate as a whole."""

    system: str = ""
    job: str = ""
    services: tuple[tuple[str, int], ...] = ()
    """(name, tier) of every service below the job."""
    why: str = ""
    """The reason that was given."""
    asked_by: str = ""
    """Of what is to be approved: who asked for it."""
    modes: frozenset[str] = frozenset()
    """Modes of the dependencies that lead into the job: what config lets a policy do."""
    held_back: bool = False
    """True for the one start that a hold of ours owes the job."""
    recent: int = 0
    """Actions that the same person, or config's modes, asked for within the hour before."""

    @property
    def tier(self) -> int | None:
        """Of the most important service below; None without one."""
        return min((tier for _, tier in self.services), default=None)


APPROVED_WITHIN_SECONDS = 3600.0
"""An approval that comes later, or that is older when it could be sent, is none: what was seen then is not what is."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`[acting]`: what acting takes besides the role."""

    reason_tiers: tuple[int, ...] = (1,)
    approval_tiers: tuple[int, ...] = ()
    per_hour: int = 20
    """Most actions of one person, steps of plans included; 0: no limit. A plan that may start goes through whole."""
    policy_per_hour: int = 200
    """Most holds and starts of config's modes together; 0: no limit. Letting go has none."""
    valid_for_s: float = 14_400.0
    """What a person asked for, or a plan, and could not be sent for so long is not sent any more; 0: no limit."""
    cards: tuple[str, ...] = ("owner", "runbook")
    """What people may say on a job's card where config does not: some of `model.cards.FIELDS`."""
