"""Jobs: rows and details, cards, rerun safety, and explanations why a job does not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.domain.finding import FindingView
    from console.domain.run import RunRow
    from console.domain.system import DriftView
    from console.domain.text import Text


class Safety(StrEnum):
    SAFE = "safe"
    ASK = "ask"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class RepairedJob:
    """A job that people repaired, as policies see it now. `services`: those downstream of it, with their tiers."""

    rerun: Safety
    services: Mapping[str, int]


CARD_FIELDS = ("owner", "runbook", "rerun")
FIELD_DESCRIPTIONS = {"owner": "the team that answers", "runbook": "the page that says what to do first",
         "rerun": "whether it may simply be rerun"}  # fmt: skip
MAX_CARD_LENGTH = 300
"""Maximum characters of a card's field."""
_BY_CAUTION = (Safety.SAFE, Safety.ASK, Safety.NEVER)


def card_fault(field: str, value: str) -> str:
    """Why the value is invalid; empty if valid. An empty value restores the config's."""
    if field not in CARD_FIELDS:
        return f'"{field[:40]}" is not on a card: write {", ".join(f"{name}=…" for name in CARD_FIELDS)}'
    if len(value) > MAX_CARD_LENGTH:
        return f"{field}: {len(value)} characters; say it in {MAX_CARD_LENGTH}"
    if field == "rerun" and value and value not in _BY_CAUTION:
        return f'rerun: "{value[:40]}" is not one of {", ".join(_BY_CAUTION)}'
    return ""


def card_locked_reason(field: str, config_says: Sequence[str], allowed: Sequence[str]) -> str:
    """Why only config may set the field; empty if people may."""
    if field in config_says:
        return "config says it, under [jobs]"
    return "" if field in allowed else f'config does not let people set it: [acting] cards has no "{field}"'


def is_less_cautious(before: str, after: str) -> bool:
    """True if a rerun would need less confirmation than before, which takes an admin."""
    levels = [str(level) for level in _BY_CAUTION]
    return before not in levels or after not in levels or levels.index(after) < levels.index(before)


@dataclass(frozen=True, slots=True)
class JobRow:
    """One line of the big table."""

    id: int
    name: str
    system: str
    kind: str
    state: str
    evidence: str
    native_state: str
    timeliness: str
    business_date: str
    run_id: int | None
    started: datetime | None
    ended: datetime | None
    next: datetime | None
    schedule: str
    owner: str
    paused: bool
    gone: bool
    is_task: bool
    stale_since: datetime | None
    """Last good poll of its target, if that is unreachable."""
    stale_read: bool = False
    attempts: int = 0
    held_by: str = ""
    """Holder through Headway, "headway" for a policy; empty: not held. A held job is not `paused`, and has no `next`.
    """
    held_until: datetime | None = None
    title: str = ""
    """As its source calls it."""

    @property
    def shown_title(self) -> str:
        """Its title; empty where its name has it."""
        return "" if self.title in self.name else self.title


@dataclass(frozen=True, slots=True)
class CardView:
    """One field of a job's card."""

    field: str
    value: str
    said_by: str = ""
    """The person who set it; empty if config did."""
    said_at: datetime | None = None
    why_not: str = ""
    """Why people may not set it; empty if they may."""


@dataclass(frozen=True, slots=True)
class JobView:
    """One job with its details."""

    row: JobRow
    definition: str
    run_as: str
    proof: str
    runbook: str
    rerun: str
    expected_s: float | None
    history_runs: int
    p50_s: float | None
    p90_s: float | None
    native_url: str
    upstreams: tuple[tuple[str, str], ...]
    """(job name, origin)."""
    downstreams: tuple[tuple[str, str], ...]
    services: tuple[str, ...]
    drift: tuple[DriftView, ...] = ()
    runs: tuple[RunRow, ...] = ()
    """Newest first, at most 60."""
    findings: tuple[FindingView, ...] = ()
    """Open ones of the job and its runs, newest first."""
    coming: tuple[datetime, ...] = ()
    """Next expected starts, at most three."""
    waits: tuple[str, ...] = ()
    """Gates: "2 of etl/a, etl/b, etl/c", "etl/d (completion)"; empty if every upstream must simply succeed on the same
    date."""
    card: tuple[CardView, ...] = ()
    """In the order of CARD_FIELDS."""
    unwatched_reason: str = ""
    """Why it is no longer watched; empty if it is."""
    months: tuple[JobMonth, ...] = ()
    """Oldest first, of the dates whose runs are deleted."""
    changed_schedule: str = ""
    """Its schedule at the source, if that changed and is not accepted."""
    schedule_fault: str = ""
    """Why no start is expected by its schedule at the source; empty if starts are, or if it has none."""


@dataclass(frozen=True, slots=True)
class JobMonth:
    """The daily figures of one month."""

    month: str
    """ISO: "2026-03"."""
    runs: int
    """Those that began and whose result is known."""
    succeeded: int
    p50_s: float | None
    """Mean of its daily medians; None without a success."""


@dataclass(frozen=True, slots=True)
class ExplanationStep:
    job: str
    kind: str
    """"unreachable", "gone", "pause", "hold", "approval", "freeze", "maintenance", "calendar", "clock", "upstream",
    "slot", "waits", "running", "failed", "missed", "unproved", "stale", "event", "done"."""
    text: Text
    depth: int = 0
    """Distance upstream from the requested job."""
    since: datetime | None = None
    until: datetime | None = None
    """When it ends by itself, if known."""
    by: str = ""
    evidence: Text = ()
    """Its evidence: the poll, the source's report, the hold's key."""
    act: str = ""
    """The fix; empty if only time helps."""
