"""What was told of an incident last: its fingerprint, which changes only where there is something new to tell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

from console.control.cases import Case

NEW, KNOWN = "new", "known"
Day = tuple[str, date]
"""A service day: service name and business date."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the fingerprint remembers of an incident."""

    root: str
    services: frozenset[Day]
    closed: bool
    in_shadow: tuple[str, ...] = ()
    """Routes that were not told because of a shadow: once it is gone, they are."""
    quiet: str = ""
    """Not told because of a maintenance: "new", nobody has heard of it; "known", of what is new since."""

    @property
    def heard(self) -> frozenset[Day]:
        """The service days that somebody was told of."""
        return frozenset() if self.quiet == NEW else self.services

    def text(self) -> str:
        days = sorted((name, bd.isoformat()) for name, bd in self.services)
        shadow = [sorted(self.in_shadow)] if self.in_shadow or self.quiet else []
        quiet = [self.quiet] if self.quiet else []
        return json.dumps([self.root, days, self.closed, *shadow, *quiet], separators=(",", ":"))


def told_before(case: Case) -> Told | None:
    """What was told last; None for a new cause. A fingerprint that cannot be read has told nothing."""
    if case.incident is None:
        return None
    try:
        return read_told(case.incident.fingerprint)
    except (ValueError, TypeError):
        return Told("", frozenset(), False)


def said_over(fingerprint: str) -> bool:
    """Whether it was last told that it is over; False for a fingerprint of other words."""
    try:
        return read_told(fingerprint).closed
    except (ValueError, TypeError):
        return False


def read_told(fingerprint: str) -> Told:
    """What `Told.text` wrote. ValueError or TypeError where it is anything else."""
    root, days, closed, *more = json.loads(fingerprint)
    told = frozenset((name, date.fromisoformat(bd)) for name, bd in days)
    shadow = tuple(more[0]) if more else ()
    return Told(root, told, bool(closed), shadow, str(more[1]) if len(more) > 1 else "")
