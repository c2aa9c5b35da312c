"""One mark for every state, each sign of a drawing: shape first, color second, an ASCII twin for plain terminals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connectors.sdk.states import RunEvidence, RunState
from console.domain.incident import ROLE_LABELS
from console.domain.service import Timeliness


class Glyph(NamedTuple):
    """The display of one member. Glyph and letter are one cell wide; `style` is a name of `widgets.paint`."""

    glyph: str
    letter: str
    label: str
    style: str
    says: str = ""
    """Explanation in the legend, beyond the label."""

    def shape(self, plain: bool) -> str:
        """The letter on a plain terminal, else the glyph."""
        return self.letter if plain else self.glyph

    @property
    def meaning(self) -> str:
        return f"{self.label}: {self.says}" if self.says else self.label


STATES: dict[str, Glyph] = {
    RunState.SUCCEEDED: Glyph("●", "+", "succeeded", "ok"),
    RunState.PARTIAL: Glyph("◐", "%", "partial", "warn", "a part of its work failed"),
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
    RunEvidence.INFERRED: Glyph("≈", "~", "inferred", "dim", "no source recorded its end"),
    RunEvidence.ASSERTED: Glyph("p", "p", "asserted", "dim", "by a person"),
    RunEvidence.CONFLICT: Glyph("≠", "#", "conflict", "warn", "sources disagree"),
    RunEvidence.STALE: Glyph("◷", "o", "outdated", "warn", "its system is not seen; this is the last known state"),
}

SAFETY: dict[str, Glyph] = {
    "safe": Glyph("✓", "y", "safe", "ok"),
    "ask": Glyph("?", "?", "ask", "warn"),
    "never": Glyph("⊘", "n", "never", "bad"),
}


ROLES: dict[str, Glyph] = {
    "root": Glyph("◉", "O", ROLE_LABELS["root"], "bad", "its failure explains the others"),
    "red": Glyph("✖", "X", ROLE_LABELS["red"], "bad", "below the root, or by the same cause"),
    "stale": Glyph("«", "<", "stale", "warn", "it read its upstream too early, or while that was red"),
    "closing": Glyph("▷", "c", ROLE_LABELS["closing"], "run", "its start closes the incident: nothing to restart"),
    "awaited": Glyph("◌", "w", "awaited", "dim", "the root is rerun once it has finished"),
    "threatened": Glyph("!", "!", ROLE_LABELS["threatened"], "warn", "it starts later, and reads what is not repaired"),
    "rerun": Glyph("▶", ">", "rerun", "run", "it runs again"),
    "repaired": Glyph("●", "+", "repaired", "ok", "it succeeded after it had failed or was stale"),
    "superseded": Glyph("○", "-", "superseded", "dim", "it stays failed; a later run of its job replaces it"),
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
    "not needed": Glyph("○", "-", "not needed", "dim", "nothing was sent for it"),
}
"""States of a plan's step that no action has."""

TIMELINE: dict[str, Glyph] = {
    "ran": Glyph("━", "=", "runs, or ran", "ok"),
    "ahead": Glyph("─", "-", "still to come, until the expected end (p50)", "plain"),
    "usual": Glyph("╌", "~", "still to come, until the end (p50) after the usual repair: not a restart now", "plain"),
    "fan": Glyph("░", ".", "the end may be as late as here (p95)", "warn"),
    "now": Glyph("┊", ":", "now", "key"),
    "start": Glyph("├", "[", "starts by its clock", "strong"),
    "act_by": Glyph("▼", "v", "act by", "warn", "latest restart that keeps the deadline"),
    "green_by": Glyph("▲", "^", "green by", "bad", "latest success that keeps the deadline"),
    "deadline": Glyph("▏", "|", "deadline", "strong"),
    "beyond": Glyph("»", ">", "ends beyond the cell", "warn"),
}
"""Signs of forecast cells, paths and Tonight."""

SIGNS: dict[str, Glyph] = {
    "unseen": Glyph("◷", "?", "not seen", "warn", "its system is unreachable, refuses, or is not polled"),
    "stale": Glyph("«", "<", "stale", "warn", "read old or unfinished data"),
    "full": Glyph("▓", "#", "done, or time left", "ok"),
    "empty": Glyph("░", ".", "not done, or time used", "dim"),
    "marked": Glyph("◆", "*", "marked, or the plan as shown", "key"),
    "taken": Glyph("✓", "a", "acknowledged", "ok"),
    "branch": Glyph("└", "+", "step after the one above", "plain"),
    "dash": Glyph("–", "-", "nothing to show", "dim"),
    "dot": Glyph("·", "|", "separates facts", "dim"),
    "arrow": Glyph("▸", ">", "read by the job on its right", "dim"),
    "red_hour": Glyph("▪", "!", "hour with a failed run", "bad"),
}

OTHER_SIGNS = (
    ("finish", Glyph("‼", "W", "late", "bad", "after its deadline")),
    ("finish", Glyph("✖", "X", "not by this plan", "bad", "it needs a job that the plan does not run")),
    ("act by", Glyph("passed", "passed", "no restart keeps the deadline any more", "bad")),
    ("left", Glyph("done", "done", "delivered", "ok")),
    ("deadline", Glyph("+", "+", "extended by a person", "plain")),
    ("slack", Glyph("any", "any", "the job cannot make the service late", "dim")),
    ("step", Glyph("~", "~", "its usual duration", "dim")),
    ("attempt", Glyph("ours", "ours", "Headway sent it", "plain")),
    ("bars", Glyph("▁", "1", "lowest value", "dim")),
    ("bars", Glyph("█", "8", "highest value", "dim", "duration, number of runs, or share of a month")),
    ("lineage", Glyph("─", "-", "dependency", "dim")),
    ("lineage", Glyph("━", "=", "critical path or blast radius", "warn")),
)
"""Signs and short cells outside the columns, with their subjects."""

COLUMNS = {
    "state": STATES,
    "timeliness": TIMELINESS,
    "evidence": EVIDENCE,
    "safety": SAFETY,
    "role": ROLES,
    "action": STEPS,
    "plan step": PLAN_STEPS,
    "timeline": TIMELINE,
    "sign": SIGNS,
}
"""Marks of one column; a test asserts that no two of a column share a shape."""

COLUMN_TITLES = {
    "state": "run", "timeliness": "service", "role": "incident", "safety": "rerun", "plan step": "step", "sign": "any",
}  # fmt: skip
"""Subjects of the marks of a column, where its name does not say it."""

_MARKS = {(column, str(value)): mark for column, marks in COLUMNS.items() for value, mark in marks.items()}
_SIGNS = {**TIMELINE, **SIGNS}


def legend() -> Iterator[tuple[str, Glyph]]:
    """Every visible mark and sign with its subject: "run", "service" …"""
    for column, marks in COLUMNS.items():
        title = COLUMN_TITLES.get(column, column)
        yield from ((title, mark) for mark in marks.values() if mark.glyph.strip())
    yield from OTHER_SIGNS


class GlyphSet:
    """The marks of one terminal: shapes, or letters where `plain`."""

    def __init__(self, plain: bool = False) -> None:
        self.plain = plain

    def mark(self, column: str, value: str) -> tuple[str, str, str]:
        """(one cell, word, style) of a value; `?` with its own word for an unknown value."""
        glyph = _MARKS.get((column, value))
        if glyph is None:
            return "?", value or "unknown", "warn"
        return glyph.shape(self.plain), glyph.label, glyph.style

    def sign(self, name: str) -> str:
        return _SIGNS[name].shape(self.plain)
