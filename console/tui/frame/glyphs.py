"""One mark for every state: shape first, color second, an ASCII twin for plain terminals."""

from __future__ import annotations

from typing import NamedTuple

from connectors.sdk.states import RunEvidence, RunState
from console.domain.service import Timeliness


class Glyph(NamedTuple):
    """The display of one member. Glyph and letter are one cell wide; `style` is a name of `widgets.paint`."""

    glyph: str
    letter: str
    label: str
    style: str


STATES: dict[str, Glyph] = {
    RunState.SUCCEEDED: Glyph("●", "+", "succeeded", "ok"),
    RunState.PARTIAL: Glyph("◐", "%", "partial", "warn"),
    RunState.RUNNING: Glyph("▶", ">", "running", "run"),
    RunState.CANCELLING: Glyph("▷", ")", "cancelling", "run"),
    RunState.RETRYING: Glyph("↻", "R", "retrying", "run"),
    RunState.QUEUED: Glyph("◔", "q", "queued", "dim"),
    RunState.WAITING: Glyph("◌", "w", "waiting", "dim"),
    RunState.PLANNED: Glyph("·", ".", "planned", "dim"),
    RunState.HELD: Glyph("‖", "H", "held", "dim"),
    RunState.FAILED: Glyph("✖", "X", "failed", "bad"),
    RunState.TIMED_OUT: Glyph("⧖", "T", "timed out", "bad"),
    RunState.MISSED: Glyph("◇", "M", "missed", "warn"),
    RunState.LOST: Glyph("◈", "L", "lost", "warn"),
    RunState.BLOCKED: Glyph("⊣", "B", "blocked", "warn"),
    RunState.CANCELLED: Glyph("○", "-", "cancelled", "dim"),
    RunState.SKIPPED: Glyph("↷", "s", "skipped", "dim"),
    RunState.UNKNOWN: Glyph("?", "?", "unknown", "dim"),
}

TIMELINESS: dict[str, Glyph] = {
    Timeliness.NO_ESTIMATE: Glyph("–", "-", "no estimate", "dim"),
    Timeliness.ON_TIME: Glyph("●", "+", "on time", "ok"),
    Timeliness.AT_RISK: Glyph("!", "!", "at risk", "warn"),
    Timeliness.WILL_MISS: Glyph("‼", "W", "will miss", "bad"),
    Timeliness.BREACHED: Glyph("✖", "X", "breached", "bad"),
    Timeliness.MET_LATE: Glyph("◑", "l", "delivered late", "warn"),
    Timeliness.MET: Glyph("✓", "y", "met", "ok"),
    Timeliness.NO_PROMISE: Glyph("○", "o", "no promise", "dim"),
}

EVIDENCE: dict[str, Glyph] = {
    RunEvidence.NATIVE: Glyph(" ", " ", "native", "dim"),
    RunEvidence.INFERRED: Glyph("≈", "~", "inferred", "dim"),
    RunEvidence.ASSERTED: Glyph("p", "p", "asserted", "dim"),
    RunEvidence.CONFLICT: Glyph("≠", "#", "conflict", "warn"),
    RunEvidence.STALE: Glyph("◷", "o", "outdated", "warn"),
}

SAFETY: dict[str, Glyph] = {
    "safe": Glyph("✓", "y", "safe", "ok"),
    "ask": Glyph("?", "?", "ask", "warn"),
    "never": Glyph("⊘", "n", "never", "bad"),
}


ROLES: dict[str, Glyph] = {
    "root": Glyph("◉", "O", "root", "bad"),
    "red": Glyph("✖", "X", "red", "bad"),
    "stale": Glyph("«", "<", "stale", "warn"),
    "threatened": Glyph("!", "!", "at risk", "warn"),
    "rerun": Glyph("▶", ">", "rerun", "run"),
    "repaired": Glyph("●", "+", "repaired", "ok"),
    "superseded": Glyph("○", "-", "superseded", "dim"),
}


STEPS: dict[str, Glyph] = {
    "requested": Glyph("◌", "w", "requested", "dim"),
    "sending": Glyph("▷", ")", "sending", "run"),
    "sent": Glyph("▶", ">", "sent", "run"),
    "verified": Glyph("●", "+", "verified", "ok"),
    "refused": Glyph("⊘", "n", "refused", "bad"),
    "failed": Glyph("✖", "X", "failed", "bad"),
    "unknown": Glyph("?", "?", "unknown", "warn"),
}

PLAN_STEPS: dict[str, Glyph] = {
    "planned": Glyph("·", ".", "planned", "dim"),
    "requested": Glyph("◌", "w", "requested", "run"),
    "abandoned": Glyph("↷", "s", "abandoned", "dim"),
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
"""Marks of one column; a test asserts that no two of a column share a shape."""

_MARKS = {(column, str(value)): mark for column, marks in COLUMNS.items() for value, mark in marks.items()}

SIGNS = {
    "silent": ("◷", "?"),
    "stale": ("«", "<"),
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
    "now": ("┊", ":"),
    "start": ("├", "["),
    "act_by": ("▼", "v"),
    "green_by": ("▲", "^"),
    "taken": ("✓", "a"),
}


class GlyphSet:
    """The marks of one terminal: shapes, or letters where `plain`."""

    def __init__(self, plain: bool = False) -> None:
        self.plain = plain

    def mark(self, column: str, value: str) -> tuple[str, str, str]:
        """(one cell, word, style) of a value; `?` with its own word for an unknown value."""
        glyph = _MARKS.get((column, value))
        if glyph is None:
            return "?", value or "unknown", "warn"
        return (glyph.letter if self.plain else glyph.glyph), glyph.label, glyph.style

    def sign(self, name: str) -> str:
        return SIGNS[name][self.plain]
