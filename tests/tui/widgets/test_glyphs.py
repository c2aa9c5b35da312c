"""Shape first, colour second: every word of the vocabulary has a mark of its own, with a twin in plain ASCII."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len

from connectors.sdk.states import RunEvidence, RunState
from console.domain.job import Safety
from console.domain.service import Timeliness, timeliness_label
from console.tui.frame.glyphs import COLUMNS, GlyphSet
from console.tui.widgets.paint import INKS
from tests.rows import each_row

MEMBERS: dict[str, Iterable[str]] = {
    "state": RunState,
    "timeliness": Timeliness,
    "evidence": RunEvidence,
    "safety": Safety,
    "role": ("root", "red", "stale", "closing", "awaited", "threatened", "rerun", "repaired", "superseded"),
    "plan step": ("planned", "requested", "abandoned", "not needed"),
    "timeline": ("ran", "ahead", "usual", "fan", "now", "start", "act_by", "green_by", "deadline", "beyond"),
    "sign": ("unseen", "stale", "full", "empty", "marked", "taken", "branch", "dash", "dot", "arrow", "red_hour"),
    "action": ("requested", "sending", "sent", "verified", "refused", "failed", "unknown"),
}


def test_a_status_has_the_same_text_as_in_commands_and_alerts() -> None:
    assert {member: timeliness_label(member) for member in Timeliness} == {
        member: mark.label for member, mark in COLUMNS["timeliness"].items()
    }


@each_row("column", sorted(COLUMNS))
def test_every_member_has_a_glyph_a_letter_and_a_text(column: str) -> None:
    marks = COLUMNS[column]
    assert set(MEMBERS[column]) == set(marks)
    assert [] == [member for member, mark in marks.items() if not (mark.glyph and mark.letter and mark.label)]
    assert set() == {mark.style for mark in marks.values()} - set(INKS)


@each_row("column", sorted(COLUMNS))
def test_every_mark_is_one_cell_wide_and_its_twin_is_ascii(column: str) -> None:
    marks = COLUMNS[column].values()
    assert [] == [mark.glyph for mark in marks if cell_len(mark.glyph) != 1]
    assert [] == [mark.letter for mark in marks if len(mark.letter) != 1 or not mark.letter.isascii()]


@each_row("column", sorted(COLUMNS))
def test_no_two_marks_of_a_column_are_similar(column: str) -> None:
    marks = list(COLUMNS[column].values())
    assert len(marks) == len({mark.glyph for mark in marks})
    assert len(marks) == len({mark.letter for mark in marks})


def test_no_bad_end_shares_its_shape_with_a_good_one() -> None:
    """Red and green are never distinguished by colour alone."""
    marks = COLUMNS["state"]
    good = marks[RunState.SUCCEEDED].glyph
    assert [] == [state for state in RunState if state.is_red and marks[state].glyph == good]


def test_an_unknown_state_is_shown_as_such_and_never_green() -> None:
    assert ("?", "exploded", "warn") == GlyphSet().mark("state", "exploded")
