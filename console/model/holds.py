"""What decisions see of a hold, and of the actions that place it, let it go and start what it held."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from console.model.holding import HOLD_FOR
from console.model.words import HoldState, Mode


@dataclass(frozen=True, slots=True)
class ActionFacts:
    """How far one action has come."""

    state: str
    words: str
    ended_at: datetime | None
    unsent: bool
    """True where it ended and is proved never to have arrived: it may be asked for again."""
    origin: str = "person"


@dataclass(frozen=True, slots=True)
class HoldFacts:
    """A hold as the store has it, with how far its three actions have come. Open ones, and those that ended, or whose
    start was due, within the lookback or later: what was held once for a period is not held again for it."""

    key: str
    job_id: int
    upstream_id: int | None
    bd: date | None
    kind: str
    """"reactive", "standing", "person", "trigger" (nothing is held: it is started on completion)."""
    mode: Mode
    state: HoldState
    held_by: str
    why: str
    until: datetime
    due_at: datetime | None
    period_key: str
    placed_at: datetime | None = None
    released_at: datetime | None = None
    """When it was let go; of what is held still, when that was refused or failed for the first time."""
    ended_at: datetime | None = None
    release_key: str | None = None
    start_key: str | None = None
    words: str = ""
    place: ActionFacts | None = None
    release: ActionFacts | None = None
    start: ActionFacts | None = None
    is_let_go_by_plan: bool = False
    """True while the plan that placed it goes on: its release is a step of it."""

    is_told_by_plan: bool = False
    """True while that plan stops, or has stopped, where it cannot be let go."""
    plan_until: datetime | None = None
    """Until when a plan would hold its job, which waits as this hold stands, and whose repair is not done."""

    @property
    def is_of_plan(self) -> bool:
        """True where a step of a plan placed it, whoever started that."""
        return self.place is not None and self.place.origin == "plan"

    @property
    def start_of_plan(self) -> datetime | None:
        """The start that a plan keeps back with it; None for another's."""
        return self.until - HOLD_FOR if self.is_of_plan else None

    @property
    def lasts_until(self) -> datetime:
        """When it is let go by itself."""
        return max(self.until, self.plan_until or self.until)
