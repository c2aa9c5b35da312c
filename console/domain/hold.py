"""Holds: states, lengths, ends, facts for decisions, and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from console.domain.dependency import DependencyMode
from console.domain.text import Text


class HoldState(StrEnum):
    """The state of a hold; those in ENDED_HOLDS are final."""

    PLACING = "placing"
    HELD = "held"
    RELEASING = "releasing"
    WATCHING = "watching"
    """Enabled again; its native start is awaited."""
    STARTING = "starting"
    CLEARING = "clearing"
    """A person enabled the job at its source and left the hold mark, which we take away: a later pause is theirs."""
    RELEASED = "released"
    FAILED = "failed"
    """Never placed."""
    SHADOW = "shadow"
    """In shadow mode: nothing was sent."""
    FOREIGN = "foreign"
    """A mark at the source that this store does not drive: another store's, or left by a crash."""

    @property
    def is_over(self) -> bool:
        return self in ENDED_HOLDS

    @property
    def holds_back(self) -> bool:
        """True while a run that does not start is our doing, and so not missed."""
        return self in _HOLD_BACK


ENDED_HOLDS = frozenset({HoldState.RELEASED, HoldState.FAILED, HoldState.SHADOW})
_HOLD_BACK = frozenset({HoldState.HELD, HoldState.RELEASING, HoldState.WATCHING, HoldState.STARTING, HoldState.FOREIGN})


class HoldReason(StrEnum):
    """Why a hold is in its state. Decisions read the reason, people its text."""

    OTHER = "other"
    """Its detail is the whole text."""
    AWAITS_UPSTREAM = "awaits_upstream"
    """Detail: the condition that it waits for."""
    AWAITS_PLAN = "awaits_plan"
    BY_PERSON = "by_person"
    """Detail: the person."""
    NOT_SENT_IN_TIME = "not_sent_in_time"
    """Abandoned: it could not be placed before its start."""
    NOT_NEEDED = "not_needed"
    """It waited for a failure that did not happen. Detail: the good upstream."""
    RELEASE_FAILED = "release_failed"
    """Detail: the refusal."""
    ENABLED_AT_SOURCE = "enabled_at_source"
    """A person enabled the job; the hold mark remained. Detail: MARK_REMOVED once it is removed."""
    MARK_LEFT = "mark_left"
    """The hold had ended in the store; the hold mark remained. Detail as before."""
    MARK_GONE = "mark_gone"
    """A person removed the hold mark."""

    @classmethod
    def _missing_(cls, value: object) -> HoldReason:
        """OTHER for a reason that this version does not have."""
        return cls.OTHER

    def text(self, detail: Text = ()) -> Text:
        return (clause, *detail) if (clause := _REASON_TEXT[self]) else detail


_REASON_TEXT = {
    HoldReason.OTHER: "",
    HoldReason.AWAITS_UPSTREAM: "until ",
    HoldReason.AWAITS_PLAN: "while a plan repairs what it reads",
    HoldReason.BY_PERSON: "by ",
    HoldReason.NOT_SENT_IN_TIME: "it could not be sent before its start",
    HoldReason.NOT_NEEDED: "not needed: ",
    HoldReason.RELEASE_FAILED: "it cannot be released: ",
    HoldReason.ENABLED_AT_SOURCE: "a person enabled it at its source",
    HoldReason.MARK_LEFT: "the hold mark was left at its source",
    HoldReason.MARK_GONE: "its mark is gone from its source: released by a person",
}
"""The detail follows."""

MARK_REMOVED = "; the hold mark is gone"
RELEASED_BY_PERSON = frozenset({HoldReason.ENABLED_AT_SOURCE, HoldReason.MARK_GONE})
"""Their period is not held again."""
_GIVEN_BY_HOLDER = frozenset({HoldReason.AWAITS_UPSTREAM, HoldReason.BY_PERSON})
"""Reasons that repeat the holder's own text."""

MAX_HOLD = timedelta(days=30)
"""Maximum duration. Longer pauses belong into the scheduler."""

HOLD_LEAD = timedelta(minutes=10)
"""How long before its start a plan or a dependency holds a job."""
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
    """An action of a hold: the one that places it, releases it, or makes its start."""

    state: str
    text: str
    ended_at: datetime | None
    unsent: bool
    """True if it ended and never reached the scheduler: it may be requested again."""
    origin: str = "person"
    sent_at: datetime | None = None
    """Of the one that places it: from then on a start may be prevented, verified or not."""


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
    reason: HoldReason = HoldReason.OTHER
    detail: Text = ()
    """It completes the text of the reason."""
    place: HoldActionFacts | None = None
    release: HoldActionFacts | None = None
    start: HoldActionFacts | None = None
    plan_id: int | None = None
    """The plan that placed it and has not ended."""
    is_released_by_plan: bool = False
    """True if a step of its running plan releases it."""
    is_reported_by_plan: bool = False
    """True if its plan reports that it cannot be released."""
    plan_until: datetime | None = None
    """Until when a running plan wants the job held; None without such a plan."""

    @property
    def text(self) -> Text:
        """Text of its reason."""
        return self.reason.text(self.detail)

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
    """As `HoldFacts` names them; "foreign": a mark that is not of this Headway."""
    mode: str
    upstream: str
    """The job that it waits for; empty for a manual hold."""
    held_by: str
    why: str
    """The reason given by its holder."""
    reason: HoldReason
    detail: Text
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
    def state_label(self) -> str:
        return "awaits start" if self.state == HoldState.WATCHING else self.state.replace("_", " ")

    @property
    def kind_label(self) -> str:
        """The kind as people read it: "upstream" holds one start, "always" holds each start of a dependency."""
        return {"reactive": "upstream", "standing": "always"}.get(self.kind, self.kind)

    @property
    def explanation(self) -> Text:
        """The reason given by its holder, then that of its state."""
        text = self.reason.text(self.detail)
        if not self.why or (self.kind != "person" and self.reason is HoldReason.RELEASE_FAILED):
            return text  # the upstream is good: why it was held no longer matters
        return (f"{self.why}; ", *text) if text and self.reason not in _GIVEN_BY_HOLDER else (self.why,)

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
    "clearing": "was enabled at its source: the hold mark there is being removed",
    "foreign": "is held under a mark that this store did not make",
    "released": "is not held any more",
    "failed": "was not held",
    "shadow": "is in shadow: it would have been held",
}
