"""Actions: the action's row, and its full record from request to proof."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from console.domain.ids import utc_minute
from console.domain.stored import from_json
from console.domain.text import Text, render

MANUAL_KIND = "manual"
"""The kind of system whose steps people complete; nothing is rerun there."""
NOTHING_TO_MARK = "it succeeded already: nothing is left to mark"
"""Refusal for a proved success; a run that read stale data, or is only asserted, may be marked."""


def preview_notes(preview: Mapping[str, Any]) -> tuple[Text, ...]:
    """The notes of a preview that the engine sent or stored."""
    return tuple((note,) if isinstance(note, str) else from_json(Text, note) for note in preview.get("notes") or ())


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Names and values for an approver; the text of a requester cannot look like a second parameter."""
    return ", ".join(f"{quoted_text(name)} {quoted_text(value)}" for name, value in parameters.items())


def quoted_text(value: Any) -> str:
    """The text unchanged if it has only ASCII letters, digits and the signs of a date or path, and does not read as a
    value of JSON; all else as JSON in ASCII."""
    is_plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.:+/@-]+", value) and not _reads_as_json(value)
    return str(value) if is_plain else json.dumps(value)


def _reads_as_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def displayed_preview(preview: Mapping[str, Any]) -> dict[str, Any]:
    """The preview for a document: its notes with times in UTC, without the data for the connector."""
    notes = {"notes": [render(note, utc_minute) for note in preview_notes(preview)]} if preview else {}
    return {name: part for name, part in preview.items() if name != "plan"} | notes


def verb_summary(verb: str, summary: str) -> str:
    """ "resume the DAG: enable load_orders"; only the summary if it begins with the same word."""
    if not summary or verb.split()[:1] == summary.split()[:1]:
        return summary or verb
    return f"{verb}: {summary}"


@dataclass(frozen=True, slots=True)
class ActionStatus:
    """A requested action and its state."""

    key: str
    verb: str
    job: str
    job_id: int
    run_id: int | None
    """None for verbs about the job (hold, release)."""
    incident_id: int | None
    state: str
    requested_by: str
    requested: datetime
    sent: datetime | None
    ended: datetime | None
    text: str
    """The pending condition, the result, or the reason of a refusal."""


@dataclass(frozen=True, slots=True)
class ActionView(ActionStatus):
    """An action with the preview that its requester saw."""

    preview: dict[str, object]


IN_FLIGHT_STATES = ("requested", "sending", "sent", "unknown")
"""States of an action that has not ended."""


@dataclass(frozen=True, slots=True)
class ActionProofView:
    """The attempt that followed an action, as its scheduler reports it."""

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
    def text(self) -> str:
        """ "attempt 3 succeeded, exit 0"."""
        code = "" if self.exit_code is None else f", exit {self.exit_code}"
        return f"attempt {self.number} {self.state.replace('_', ' ')}{code}"


def approvers_text(first: str, last: str) -> str:
    """ "ben and lee"; one alone if there is no other."""
    return " and ".join(filter(None, (first, last)))


@dataclass(frozen=True, slots=True)
class ActionDetailView(ActionStatus):
    """One action from the request to its proof."""

    system: str
    period: str
    plan: int | None
    origin: str
    """ "person", "plan", "policy", or the mode of a dependency: "hold", "trigger"."""
    requested_from: str
    why: str
    needs_approval: bool
    approved_by: str
    approved: datetime | None
    native_verb: str
    """The scheduler's own verb, if known: "clear failed tasks"."""
    native_summary: str
    scope: str
    sends: tuple[str, ...]
    """The calls as sent; empty if they are previewed right before sending."""
    notes: tuple[Text, ...]
    native_ref: str
    parameters: dict[str, Any] = field(default_factory=dict)
    proof: ActionProofView | None = None
    first_approver: str = ""

    @property
    def approvers(self) -> str:
        return approvers_text(self.first_approver, self.approved_by)

    @property
    def waits_for_approval(self) -> bool:
        return self.state == "requested" and self.needs_approval and self.approved is None

    @property
    def is_over(self) -> bool:
        return self.state not in IN_FLIGHT_STATES

    @property
    def needs_a_person(self) -> bool:
        return self.waits_for_approval or self.state in ("unknown", "failed", "refused")

    @property
    def why_not_withdrawn(self) -> str:
        """Why it cannot be withdrawn; empty if it can."""
        if self.state in ("sending", "sent"):
            run = self.run_id or shlex.quote(self.job)
            return f"it was sent already: it can be cancelled on its run (headway run cancel {run})"
        if self.is_over:
            return f"it has ended: {self.state}"
        if self.state == "requested" and self.origin == "plan":
            named = "" if self.plan is None else f" {self.plan}"
            return f"it is a step of plan{named}: aborting the plan drops the steps not sent yet"
        return ""

    @property
    def verb_text(self) -> str:
        return self.native_verb or self.verb.replace("_", " ")

    @property
    def outcome(self) -> str:
        """The outcome, proof first; else the pending condition."""
        if self.proof is None or self.state not in ("sent", "verified", "failed"):
            return self.text
        if self.state == "verified":
            return self.proof.text
        detail = self.text if self.proof.ended is None else self.proof.message
        return f"{self.proof.text}: {detail}" if detail else self.proof.text

    @property
    def search_text(self) -> str:
        """The text that a filter matches."""
        named = f"{self.key} {self.verb} {self.native_verb} {self.job} {self.why} {self.outcome} {self.period}"
        approved = f"approved:{self.approvers}" if self.approvers else ""
        where = f"state:{self.state} system:{self.system} by:{self.requested_by} {approved} origin:{self.origin}"
        return f"{named} {self.requested_by} {where} plan:{self.plan or ''} incident:{self.incident_id or ''}"


@dataclass(frozen=True, slots=True)
class ActionHistoryEntry:
    """One thing that happened to an action, as the audit has it."""

    at: datetime
    actor: str
    origin: str
    verb: str
    text: str
