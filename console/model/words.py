"""Our own words, without the records: what screens need before their first paint."""

from __future__ import annotations

from enum import StrEnum


class Timeliness(StrEnum):
    """Ours, apart from state and evidence: how a run or service stands against its deadline."""

    NO_ESTIMATE = "no_estimate"
    ON_TIME = "on_time"
    AT_RISK = "at_risk"
    WILL_MISS = "will_miss"
    BREACHED = "breached"
    MET_LATE = "met_late"
    MET = "met"
    NO_PROMISE = "no_promise"
    """Of a service, on a business date that its calendar leaves out."""


class Safety(StrEnum):
    """Whether a job may simply be rerun, as its owner declared."""

    SAFE = "safe"
    ASK = "ask"
    NEVER = "never"


class Origin(StrEnum):
    """Who says that a dependency exists."""

    NATIVE = "native"
    DECLARED = "declared"


class Mode(StrEnum):
    """What a dependency does about a downstream whose upstream is not good."""

    OBSERVE = "observe"
    """It warns."""
    HOLD = "hold"
    """It keeps the downstream from starting."""
    TRIGGER = "trigger"
    """It keeps it from starting, and starts it when the upstream is good."""


class EngineDown(StrEnum):
    """What it means for a held dependency that no engine works."""

    OPEN = "open"
    """The downstream starts by its clock: it is held only while its upstream is not good."""
    CLOSED = "closed"
    """It stays held: it is held always, but for the run that may start."""


class HoldState(StrEnum):
    """How far a hold has come. Those of ENDED_HOLDS are over."""

    PLACING = "placing"
    HELD = "held"
    RELEASING = "releasing"
    WATCHING = "watching"
    """Enabled again: did the native start come?"""
    STARTING = "starting"
    CLEARING = "clearing"
    """A person enabled the job at its source and left our mark, which we take away: a later pause is theirs."""
    RELEASED = "released"
    FAILED = "failed"
    """It was never placed."""
    SHADOW = "shadow"
    """It would have been placed; nothing was sent."""
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


UNDELIVERED = "undelivered"
"""The rule of a cause that is nothing but a promise that is not kept."""
NOT_LET_GO = "it cannot be let go: "
"""How the words of a hold begin whose release was refused, or failed; its refusal stands behind."""
NOT_NEEDED = "not needed: "
"""How the words of a hold begin whose job waited to see a failure, and what is good stands behind."""
UNSENT_BEFORE_ITS_START = "nobody could send it before its start"
"""Why a hold was given up that waited for its source until the start that it was to keep back."""
BY_A_PERSON = "a person enabled it at its source"
"""Why a hold is over whose mark a person left."""
BY_PEOPLE = "manual"
"""The kind whose steps people complete: nothing of them is run again."""
NOTHING_TO_MARK = "it succeeded already: nothing is left to mark"
"""Of a run whose success nothing speaks against; one that read stale data, or is good on a person's word, may be."""
MARK_LEFT = "our mark was left at its source"
"""Of a hold that was over, as far as we knew."""
MARK_WAS_GONE = "released by a person"
"""How the words of a hold end whose mark a person took away."""
MARK_GONE = "; our mark is gone"
"""What is added to either, once it is."""


NOT_SENT = "not sent: "
"""How the words of an action begin that failed before its call left; why stands behind."""
NEVER_ARRIVED = "looked up: it never arrived. Ask again to send it."
"""The words of an action that was looked up and is proved not to be at its scheduler."""
NOT_THERE = (NOT_SENT, NEVER_ARRIVED.partition(".")[0])
"""By these beginnings, and by nothing else, a failed action may be sent again."""


def is_unsent(state: str, words: str) -> bool:
    """Whether an action in this state is proved never to have reached its scheduler."""
    return state == "failed" and words.startswith(NOT_THERE)


class AlertKind(StrEnum):
    """What a notice tells about its incident."""

    OPENED = "opened"
    UPDATED = "updated"
    RECOVERED = "recovered"
    REPEATED = "repeated"
    """Still open, and nobody acknowledged it."""
    ESCALATED = "escalated"
    """The first word to a route, because those before it did not take it."""
