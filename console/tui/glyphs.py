"""One mark for every word of the vocabulary: shape first, colour second, an ASCII twin for plain terminals."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from connectors.words import Evidence, State
from console.model.words import Safety, Timeliness


class Mark(NamedTuple):
    """How one member is shown. Glyph and letter are one cell wide; `style` is a name of `widgets.paint`."""

    glyph: str
    letter: str
    word: str
    style: str


STATES: dict[StrEnum, Mark] = {
    State.SUCCEEDED: Mark("●", "+", "succeeded", "ok"),
    State.PARTIAL: Mark("◐", "%", "partial", "warn"),
    State.RUNNING: Mark("▶", ">", "running", "run"),
    State.CANCELLING: Mark("▷", ")", "cancelling", "run"),
    State.RETRYING: Mark("↻", "R", "retrying", "run"),
    State.QUEUED: Mark("◔", "q", "queued", "dim"),
    State.WAITING: Mark("◌", "w", "waiting", "dim"),
    State.PLANNED: Mark("·", ".", "planned", "dim"),
    State.HELD: Mark("‖", "H", "held", "dim"),
    State.FAILED: Mark("✖", "X", "failed", "bad"),
    State.TIMED_OUT: Mark("⧖", "T", "timed out", "bad"),
    State.MISSED: Mark("◇", "M", "missed", "warn"),
    State.LOST: Mark("◈", "L", "lost", "warn"),
    State.BLOCKED: Mark("⊣", "B", "blocked", "warn"),
    State.CANCELLED: Mark("○", "-", "cancelled", "dim"),
    State.SKIPPED: Mark("↷", "s", "skipped", "dim"),
    State.UNKNOWN: Mark("?", "?", "unknown", "dim"),
}

TIMELINESS: dict[StrEnum, Mark] = {
    Timeliness.NO_ESTIMATE: Mark("–", "-", "no estimate", "dim"),
    Timeliness.ON_TIME: Mark("●", "+", "on time", "ok"),
    Timeliness.AT_RISK: Mark("!", "!", "at risk", "warn"),
    Timeliness.WILL_MISS: Mark("‼", "W", "will miss", "bad"),
    Timeliness.BREACHED: Mark("✖", "X", "breached", "bad"),
    Timeliness.MET_LATE: Mark("◑", "l", "met late", "warn"),
    Timeliness.MET: Mark("✓", "y", "met", "ok"),
    Timeliness.NO_PROMISE: Mark("○", "o", "no promise", "dim"),
}

EVIDENCE: dict[StrEnum, Mark] = {
    Evidence.NATIVE: Mark(" ", " ", "native", "dim"),
    Evidence.INFERRED: Mark("≈", "~", "inferred", "dim"),
    Evidence.ASSERTED: Mark("p", "p", "asserted", "dim"),
    Evidence.CONFLICT: Mark("≠", "#", "conflict", "warn"),
    Evidence.STALE: Mark("◷", "o", "stale", "warn"),
}

SAFETY: dict[StrEnum, Mark] = {
    Safety.SAFE: Mark("✓", "y", "safe", "ok"),
    Safety.ASK: Mark("?", "?", "ask", "warn"),
    Safety.NEVER: Mark("⊘", "n", "never", "bad"),
}


class Role(StrEnum):
    """What a run is to an incident."""

    ROOT = "root"
    RED = "red"
    STALE = "stale"
    THREATENED = "threatened"
    REPAIRED = "repaired"


ROLES: dict[StrEnum, Mark] = {
    Role.ROOT: Mark("◉", "O", "root", "bad"),
    Role.RED: Mark("✖", "X", "red", "bad"),
    Role.STALE: Mark("≠", "#", "stale", "warn"),
    Role.THREATENED: Mark("!", "!", "threat", "warn"),
    Role.REPAIRED: Mark("●", "+", "green", "ok"),
}


class Step(StrEnum):
    """Where an action of ours stands."""

    REQUESTED = "requested"
    SENDING = "sending"
    SENT = "sent"
    VERIFIED = "verified"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


STEPS: dict[StrEnum, Mark] = {
    Step.REQUESTED: Mark("◌", "w", "requested", "dim"),
    Step.SENDING: Mark("▷", ")", "sending", "run"),
    Step.SENT: Mark("▶", ">", "sent", "run"),
    Step.VERIFIED: Mark("●", "+", "verified", "ok"),
    Step.REFUSED: Mark("⊘", "n", "refused", "bad"),
    Step.FAILED: Mark("✖", "X", "failed", "bad"),
    Step.UNKNOWN: Mark("?", "?", "unknown", "warn"),
}

PLAN_STEPS: dict[str, Mark] = {
    "planned": Mark("·", ".", "planned", "dim"),
    "asked": Mark("◌", "w", "asked", "run"),
    "left_out": Mark("○", "-", "left out", "dim"),
    "given_up": Mark("↷", "s", "given up", "dim"),
}
"""States of a plan's step that no action has."""

COLUMNS = {
    "state": STATES,
    "timeliness": TIMELINESS,
    "evidence": EVIDENCE,
    "safety": SAFETY,
    "role": ROLES,
    "action": STEPS,
}
"""Marks that may stand under one another; a test asserts that no two of a column look alike."""

_MARKS = {(column, str(value)): mark for column, marks in COLUMNS.items() for value, mark in marks.items()}

SIGNS = {
    "stale": ("◷", "?"),
    "full": ("▓", "#"),
    "empty": ("░", "."),
    "dash": ("–", "-"),
    "dot": ("·", "|"),
    "enter": ("↵", "Enter"),
    "branch": ("└", "`"),
    "marked": ("◆", "*"),
    "ahead": ("─", "-"),
    "fan": ("░", "."),
    "deadline": ("▏", "|"),
    "beyond": ("»", ">"),
    "taken": ("✓", "a"),
}


class Glyphs:
    """The marks of one terminal: shapes, or letters where `plain`."""

    def __init__(self, plain: bool = False) -> None:
        self.plain = plain

    def mark(self, column: str, value: str) -> tuple[str, str, str]:
        """(one cell, word, style) of a value; a value that nobody knows is shown as `?` with its own word."""
        found = _MARKS.get((column, value))
        if found is None:
            return "?", value or "unknown", "warn"
        return (found.letter if self.plain else found.glyph), found.word, found.style

    def sign(self, name: str) -> str:
        return SIGNS[name][self.plain]
