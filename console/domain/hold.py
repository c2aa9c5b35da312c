"""Holds: states, lengths, ends, facts for decisions, and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from console.domain.dependency import DependencyMode


class HoldState(StrEnum):
    """The state of a hold; those in ENDED_HOLDS are final."""

    PLACING = "placing"
    HELD = "held"
    RELEASING = "releasing"
    WATCHING = "watching"
    """Enabled again; its native start is awaited."""
    STARTING = "starting"
    CLEARING = "clearing"
    """A person enabled the job at its source and left our mark, which we take away: a later pause is theirs."""
    RELEASED = "released"
    FAILED = "failed"
    """Never placed."""
    SHADOW = "shadow"
    """In shadow mode: nothing was sent."""
    FOUND = "found"
    """A mark at the source that this store does not drive: another store's, or left by a crash."""

    @property
    def is_over(self) -> bool:
        return self in ENDED_HOLDS

    @property
    def holds_back(self) -> bool:
        """True while a run that does not start is our doing, and so not missed."""
        return self in _HOLD_BACK


ENDED_HOLDS = frozenset({HoldState.RELEASED, HoldState.FAILED, HoldState.SHADOW})
_HOLD_BACK = frozenset({HoldState.HELD, HoldState.RELEASING, HoldState.WATCHING, HoldState.STARTING, HoldState.FOUND})


RELEASE_FAILED = "it cannot be released: "
"""Prefix of the text of a hold whose release failed; the reason follows."""
NOT_NEEDED = "not needed: "
"""Prefix of the text of a hold that waited for a failure that did not happen; the good upstream follows."""
NOT_SENT_IN_TIME = "it could not be sent before its start"
"""Why a hold was abandoned that could not be placed before its start."""
ENABLED_AT_SOURCE = "a person enabled it at its source"
"""Why a hold ended whose mark remained at the source."""


MARK_LEFT = "our mark was left at its source"
"""For a hold that had ended in the store."""
RELEASED_AT_SOURCE = "released by a person"
"""Suffix of the text of a hold whose mark a person removed."""
MARK_REMOVED = "; our mark is gone"

MAX_HOLD = timedelta(days=30)
"""Maximum duration. Longer pauses belong into the scheduler."""

HOLD_LEAD = timedelta(minutes=10)
"""How long before its start a plan holds a job; the default of `hold_lead`."""
DEFAULT_HOLD = timedelta(hours=6)
"""After the start: then the engine releases what a plan held."""


def hold_length_fault(length: timedelta) -> str:
    """Why a hold may not last that long, with the fix; empty if it may."""
    if length <= timedelta(0):
        return "no time at all holds nothing; write 6h"
    if length > MAX_HOLD:
        return f"a hold lasts {MAX_HOLD.days}d at most; write 6h, or pause the job at its scheduler"
    return ""


def hold_end(parameters: Mapping[str, Any]) -> datetime | None:
    """The end of the hold; None if there is none to read."""
    try:
        end = datetime.fromisoformat(str(parameters.get("until", "")))
    except ValueError:
        return None
    return end if end.tzinfo is not None else None


def held_start(parameters: Mapping[str, Any]) -> datetime | None:
    """The start that a plan's hold with these parameters prevents; None if unreadable."""
    end = hold_end(parameters)
    return None if end is None else end - DEFAULT_HOLD


def seconds_until_hold(parameters: Mapping[str, Any], wait_s: float, now: datetime) -> float:
    """Seconds until a started plan holds: `wait_s` as proposed, or less so that HOLD_LEAD remains before the start."""
    start = held_start(parameters)
    return wait_s if start is None else min(wait_s, max(0.0, (start - HOLD_LEAD - now).total_seconds()))


def hold_end_fault(parameters: Mapping[str, Any], now: datetime) -> str:
    """Why a hold with these parameters cannot be requested now; empty if it can."""
    until = hold_end(parameters)
    fault = "" if until is None else hold_length_fault(until - now)
    return f"until {_until_text(until)}: {fault}" if until is not None and fault else ""


def hold_expired_reason(parameters: Mapping[str, Any], now: datetime) -> str:
    """Why a hold that was not placed yet expired; empty while its end lies ahead."""
    until = hold_end(parameters)
    if until is None or now < until:
        return ""
    return f"it was to end at {_until_text(until)} and was not placed until then: ask again, for a longer time"


def _until_text(until: datetime) -> str:
    return until.isoformat(sep=" ", timespec="minutes")


@dataclass(frozen=True, slots=True)
class HoldActionFacts:
    state: str
    words: str
    ended_at: datetime | None
    unsent: bool
    """True if it ended and never reached the scheduler: it may be requested again."""
    origin: str = "person"


@dataclass(frozen=True, slots=True)
class HoldFacts:
    """A hold with its three actions. Open ones, and those that ended or were due in the lookback or later: a period is
    not held twice."""

    key: str
    job_id: int
    upstream_id: int | None
    business_date: date | None
    kind: str
    """ "reactive", "standing", "person", "trigger" (not held, but started on completion)."""
    mode: DependencyMode
    state: HoldState
    held_by: str
    why: str
    until: datetime
    due_at: datetime | None
    period_key: str
    placed_at: datetime | None = None
    released_at: datetime | None = None
    """When it was released; while still held, when that failed for the first time."""
    ended_at: datetime | None = None
    release_key: str | None = None
    start_key: str | None = None
    words: str = ""
    place: HoldActionFacts | None = None
    release: HoldActionFacts | None = None
    start: HoldActionFacts | None = None
    is_let_go_by_plan: bool = False
    """True if a step of its running plan releases it."""

    is_told_by_plan: bool = False
    """True if its plan reports that it cannot be released."""
    plan_until: datetime | None = None
    """Until when a running plan wants the job held; None without such a plan."""

    @property
    def is_of_plan(self) -> bool:
        return self.place is not None and self.place.origin == "plan"

    @property
    def start_of_plan(self) -> datetime | None:
        """The start that a plan prevents with it; None for other holds."""
        return self.until - DEFAULT_HOLD if self.is_of_plan else None

    @property
    def lasts_until(self) -> datetime:
        """When it is released automatically."""
        return max(self.until, self.plan_until or self.until)


@dataclass(frozen=True, slots=True)
class HoldView:
    """A job that is held, is about to be, or was."""

    key: str
    """Also the id of its mark at the source."""
    job_id: int
    job: str
    system: str
    state: str
    kind: str
    """As in HoldFacts, or "found" (a foreign mark)."""
    mode: str
    upstream: str
    """The job that it waits for; empty for a manual hold."""
    held_by: str
    why: str
    words: str
    placed: datetime | None
    until: datetime
    due: datetime | None
    """The start that it prevents."""
    period_key: str
    ended: datetime | None
    release_key: str | None = None
    start_key: str | None = None
    seen: datetime | None = None
    """When the scheduler last reported the hold; it is read about once a minute."""

    @property
    def reason(self) -> str:
        """The reason given by the holder, then the reason of its state."""
        if not self.why or (self.kind != "person" and self.words.startswith(RELEASE_FAILED)):
            return self.words  # the upstream is good: why it was held no longer matters
        is_said = self.why.startswith(self.words) or self.words == f"by {self.held_by}"
        return self.why if is_said else f"{self.why}; {self.words}"

    @property
    def status_text(self) -> str:
        """ "etl/load is held"."""
        return f"{self.job} {_STATE_TEXT.get(self.state, self.state)}"


_STATE_TEXT = {
    "placing": "is about to be held",
    "held": "is held",
    "releasing": "is being released",
    "watching": "was released: its own start is awaited",
    "starting": "was released: it is being started",
    "clearing": "was enabled at its source: our mark there is taken away",
    "found": "is held under a mark that this store did not make",
    "released": "is not held any more",
    "failed": "was not held",
    "shadow": "is in shadow: it would have been held",
}
