"""What a connector is asked to do, what it answers, and the marks that its acts leave at the source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.contract.records import RunRef, instant_key
from connectors.words import State, Verb

SENT_AT = "sent_at"
"""In `Preview.plan` of what was sent: when, an ISO instant by our clock. Whoever sends writes it down with the intent,
before `act`, so that `look_up` knows how long the source may still work on it."""

ACTION_KEY = re.compile(r"headway-[0-9a-z]{10,40}")
"""Our id of an action, carried in a native name wherever there is one. Safe in every scheduler's names."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted of one run, or of its job.

    `run` has an empty `attempt_key` where nothing ran yet (START, HOLD, RELEASE); for HOLD and RELEASE only `run.job`
    counts. A kind answers a verb that it lacks with NotSupported.
    """

    verb: Verb
    run: RunRef
    state: State
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """RERUN: "scope" = "failed" (default), "downstream" or "all". START: "period_at" (ISO instant) where it is known.
    What one kind takes besides stands on its page (Airflow: "version", "conf").
    HOLD: "by", "until" (ISO instant): with the action's key they make its HoldMark. RELEASE: "hold", the mark's id;
    with "enable" = "no" the mark alone is taken away, and whether the job is paused stays as it is found.
    BACKFILL: "do" = "create" (default) with "from", "to" (ISO instants), "reprocess" ("none", "failed", "completed":
    which runs that are there run again), "at_once"; or "pause", "resume", "cancel" with "backfill", its number there;
    or "list" with "of" = "job" or "system": a look at those that are not over, in `Preview.backfills`.
    Any: "why", a person's words, for sources that keep a note; never put into a command or a name."""


@dataclass(frozen=True, slots=True)
class NativeBackfill:
    """A backfill of the scheduler's own that is not over."""

    number: int
    """As it is paused, resumed and cancelled by."""
    job: str
    first: str
    last: str
    """ISO instants, as its source tells them."""
    paused: bool
    at_once: int
    made: str = ""
    """When, as an ISO instant."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action will send, in the scheduler's own words, before anything is sent."""

    verb: str
    """Native verb: "clear failed tasks", "redrive", "start again", "run once"."""
    words: str
    """One sentence: "run this crontab line once on db07 as etl"."""
    scope: str
    """What it covers: "3 failed tasks of load_orders 2026-11-19"."""
    affected: tuple[str, ...] = ()
    """Native names that it will touch (tasks, lines, executions). Empty where that is the job itself."""
    overlap: str | None = None
    """Why it may overlap with something running now; None when the source says that nothing is."""
    native_calls: tuple[str, ...] = ()
    """The calls as they will go over the wire, readable, without secrets."""
    notes: tuple[str, ...] = ()
    """What a person should know: "up to 60 s until it starts", "context is lost"."""
    refused: str | None = None
    """Why it cannot be done now; None when it can."""
    backfills: tuple[NativeBackfill, ...] = ()
    """Of a look at the source's own backfills (`refused`, since there is nothing to send): those that are not over."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """What `act` and `look_up` need, JSON-safe, without secrets; opaque to everybody else, but for SENT_AT."""


HOLD_MARK = re.compile(
    r"headway-hold id=(headway-[0-9a-z]{10,40}) by=([A-Za-z0-9_.@+-]{1,64}) until=([0-9TZ:.-]{20,27})"
)

STARTED_LATER = (
    "the release itself starts nothing: what fell due while it was held Headway starts once afterwards, unless the"
    " job's own clock is about to start it"
)
"""What every release says of missed starts. It is the engine's matter, whatever the source does by itself."""


@dataclass(frozen=True, slots=True)
class HoldMark:
    """What a hold leaves at the source, so that a person finds it, and who to ask, without Headway and its store."""

    id: str
    """The key of the action that placed it (ACTION_KEY)."""
    by: str
    """Who holds: [A-Za-z0-9_.@+-], at most 64."""
    until: datetime
    """After it, nobody should hold any more. Aware UTC, whole seconds."""

    @property
    def text(self) -> str:
        """ "headway-hold id=headway-… by=alice until=2026-11-20T06:30:00Z": one line, safe in every comment."""
        return f"headway-hold id={self.id} by={self.by} until={instant_key(self.until.replace(microsecond=0))}"

    @classmethod
    def read(cls, text: str) -> HoldMark | None:
        """The first mark in a text from outside; None without one."""
        found = HOLD_MARK.search(text)
        if found is None:
            return None
        try:
            return cls(found[1], found[2], datetime.fromisoformat(found[3]).astimezone(UTC))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class NativeHold:
    """A job that bears our mark at its source."""

    job: str
    """Native id."""
    mark: HoldMark
    where: str
    """For people: "crontab of etl on db07, line 4"."""
    bare: bool = False
    """True where the job is enabled all the same, or paused under another mark: its hold was undone, the mark left."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The source accepted an action. Acceptance is not success: the run that follows is."""

    native_ref: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Looked up under our id: it did arrive."""

    native_ref: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """Looked up under our id: proved that it never arrived, and cannot any more."""


@dataclass(frozen=True, slots=True)
class CannotTell:
    """Looked up under our id without proof either way."""

    why: str


LookUp = Found | Absent | CannotTell
