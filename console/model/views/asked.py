"""What was asked of the schedulers, whole: by whom, why, what was or will be sent, and the proof that it was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

UNDER_WAY = ("requested", "sending", "sent", "unknown")
"""States of an action that has not ended."""


@dataclass(frozen=True, slots=True)
class ProofView:
    """The attempt that followed, as its scheduler tells it."""

    run_id: int
    number: int
    state: str
    evidence: str
    native_state: str
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    message: str

    @property
    def words(self) -> str:
        """ "attempt 3 succeeded, exit 0"."""
        code = "" if self.exit_code is None else f", exit {self.exit_code}"
        return f"attempt {self.number} {self.state.replace('_', ' ')}{code}"


@dataclass(frozen=True, slots=True)
class AskedView:
    """One action from the question to its proof."""

    key: str
    verb: str
    job: str
    job_id: int
    system: str
    run_id: int | None
    """None where the verb is about the job (hold, release)."""
    period: str
    incident_id: int | None
    plan: int | None
    """The plan of which it is a step."""
    state: str
    origin: str
    """"person", or the policy that asked: "hold", "trigger", "plan"."""
    requested_by: str
    requested_from: str
    requested: datetime
    why: str
    needs_approval: bool
    approved_by: str
    approved: datetime | None
    sent: datetime | None
    ended: datetime | None
    words: str
    """What it waits for, what came back, or why it was refused."""
    native_verb: str
    """In its scheduler's own words, as far as those are known: "clear failed tasks"."""
    native_words: str
    scope: str
    sends: tuple[str, ...]
    """The calls as they were or will be sent; empty where its scheduler is asked for them right before it leaves."""
    notes: tuple[str, ...]
    native_ref: str
    parameters: dict[str, Any] = field(default_factory=dict)
    proof: ProofView | None = None

    @property
    def waits_for_approval(self) -> bool:
        return self.state == "requested" and self.needs_approval and not self.approved_by

    @property
    def is_over(self) -> bool:
        return self.state not in UNDER_WAY

    @property
    def needs_a_person(self) -> bool:
        return self.waits_for_approval or self.state in ("unknown", "failed", "refused")

    @property
    def why_not_withdrawn(self) -> str:
        """Why it cannot be taken back; empty where it can."""
        if self.state in ("sending", "sent"):
            return f"it was sent already: it can be cancelled on its run (headway cancel {self.run_id or self.job})"
        if self.is_over:
            return f"it is over: {self.state}"
        if self.state == "requested" and self.origin == "plan":
            named = "" if self.plan is None else f" {self.plan}"
            return f"it is a step of plan{named}: giving up the plan gives up what was not sent"
        return ""

    @property
    def does(self) -> str:
        """The native verb where it is known, else ours."""
        return self.native_verb or self.verb.replace("_", " ")

    @property
    def says(self) -> str:
        """What its end was, the proof first; else what it waits for."""
        if self.proof is not None and self.state in ("sent", "verified", "failed"):
            said = "" if self.words.startswith(self.proof.state) else self.words
            return f"{self.proof.words}: {said}" if said else self.proof.words
        return self.words

    @property
    def text(self) -> str:
        """What a filter looks at."""
        named = f"{self.key} {self.verb} {self.native_verb} {self.job} {self.why} {self.says} {self.period}"
        approved = f"approved:{self.approved_by}" if self.approved_by else ""
        where = f"state:{self.state} system:{self.system} by:{self.requested_by} {approved} origin:{self.origin}"
        return f"{named} {self.requested_by} {where} plan:{self.plan or ''} incident:{self.incident_id or ''}"


@dataclass(frozen=True, slots=True)
class WayStep:
    """One thing that happened to an action, as the audit has it."""

    at: datetime
    actor: str
    origin: str
    verb: str
    words: str
