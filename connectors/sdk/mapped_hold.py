"""Holds of the kinds that only the config defines: a call pauses a job and writes the mark into a text of the job, or
gives it as the reason of the pause."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.sdk.contract import NOT_STARTED_LATER, STARTED_LATER, HoldMark, NativeHold
from connectors.sdk.errors import ActionRefused, InvalidAnswer, RecordUnreadable
from connectors.sdk.field_mapping import MappedJobFields, Row, id_at, read_job, text_at, value_at, with_value
from connectors.sdk.marked_pause import (
    MarkedPause,
    MarkedPauseHolder,
    PauseState,
    holds_in,
    native_holds,
    with_hold,
    without_hold,
    without_holds,
)
from connectors.sdk.states import ProofLevel


@dataclass(frozen=True, slots=True)
class PauseChange:
    """A hold, a release, or the removal of a mark: the pause of a job and its text, before and after."""

    job: str
    was_enabled: bool
    is_enabled: bool
    text_before: str
    text: str


class MappedHolder(MarkedPauseHolder[Row]):
    fix = "enable it in its scheduler"
    unit = "the job"
    hold_notes = ("active runs continue",)

    def __init__(
        self,
        source: str,
        fields: MappedJobFields,
        note: str,
        is_reason: bool = False,
        starts: bool = True,
        one_line: bool = False,
    ) -> None:
        """`note`: the path to the text of a job. `is_reason`: it is the reason of a pause, which each pause replaces or
        clears; it counts while the job is paused, though its source may show it for longer. `starts`: the kind can
        start a job. `one_line`: the text has no line breaks."""
        self._source, self._fields, self._note_field, self._is_reason = source, fields, note, is_reason
        self._separator = " " if one_line else "\n"
        self.release_notes = (STARTED_LATER if starts else NOT_STARTED_LATER,)
        self.marking = MarkedPause(source, "paused", note)

    def read(self, job: str) -> Row:
        row = self.row(job)
        if row is None:
            raise ActionRefused(f"{job} is no longer listed")
        return row

    def row(self, job: str) -> Row | None:
        return next((row for row in self.rows() if text_at(row, self._fields.id) == job), None)

    def rows(self) -> Iterable[Any]:
        """All jobs. Raises InvalidAnswer where some may be missing."""
        raise NotImplementedError

    def write(self, change: PauseChange, key: str) -> None:
        """Sends it once. `key`: of the action."""
        raise NotImplementedError

    def shown(self, change: PauseChange) -> tuple[str, ...]:
        """The texts of the calls that `write` sends."""
        raise NotImplementedError

    def release_refusal(self, job: str, row: Row, now: PauseState, plan: Mapping[str, Any]) -> str | None:
        if self._is_reason and plan["how"] == "clear":
            return f"the mark is the {self._note_field} of the pause and ends with it: release the hold"
        return super().release_refusal(job, row, now, plan)

    def state(self, row: Row) -> PauseState:
        """Raises InvalidAnswer for a row that is not a job."""
        return PauseState(self.is_paused(row), tuple(holds_in(self._counted_text(row))))

    def is_paused(self, row: Row) -> bool:
        """Raises InvalidAnswer for a row that is not a job."""
        try:
            return read_job(row, self._fields, ProofLevel.EXIT).paused
        except RecordUnreadable as error:
            raise InvalidAnswer(f"{self._source}: a job cannot be read: {error}") from None

    def keeps_reason(self, row: Any) -> bool:
        """Whether a job shows the reason of a pause that has ended."""
        try:
            return self._is_reason and self._shown_text(row) != "" and not self.is_paused(row)
        except InvalidAnswer:
            return False

    def hold_calls(self, row: Row, plan: Mapping[str, Any], mark: HoldMark) -> tuple[str, ...]:
        return self.shown(self._held(row, plan, mark))

    def release_calls(self, row: Row, plan: Mapping[str, Any]) -> tuple[str, ...]:
        return self.shown(self._released(row, plan))

    def write_hold(self, row: Row, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        self.write(self._held(row, plan, mark), mark.id)

    def write_release(self, row: Row, now: PauseState, plan: Mapping[str, Any]) -> None:
        self.write(self._released(row, plan), str(plan["key"]))

    def _held(self, row: Row, plan: Mapping[str, Any], mark: HoldMark) -> PauseChange:
        text, was_enabled = self._counted_text(row), not self.is_paused(row)
        return PauseChange(str(plan["job"]), was_enabled, False, text, with_hold(text, mark, self._separator))

    def _released(self, row: Row, plan: Mapping[str, Any]) -> PauseChange:
        text, was_enabled = self._counted_text(row), not self.is_paused(row)
        is_enabled, rest = was_enabled or plan["how"] == "release", without_hold(text, str(plan["hold"]))
        return PauseChange(str(plan["job"]), was_enabled, is_enabled, text, rest)

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark, bare ones too: the rows show them."""
        holds: list[NativeHold] = []
        for row in self.marked_rows(known):
            if isinstance(row, dict) and holds_in(self._shown_text(row)):
                job = id_at(row, self._fields.id, "the job's id")
                holds += native_holds(job, self.state(row), f"{self._note_field} of {job} in {self._source}")
        return tuple(holds)

    def marked_rows(self, known: Collection[str]) -> Iterable[Any]:
        """The jobs that may bear a mark, with the text. `known`: the jobs that the engine lists as held."""
        del known
        return self.rows()

    def without_marks(self, row: Any) -> Any:
        """A row of the list of jobs as people wrote it: a hold does not change a job."""
        note = self._shown_text(row)
        return with_value(row, self._note_field, without_holds(note)) if holds_in(note) else row

    def _counted_text(self, row: Row) -> str:
        """The text whose mark counts: "" where it is the reason of a pause that has ended."""
        return "" if self._is_reason and not self.is_paused(row) else self._shown_text(row)

    def _shown_text(self, row: Any) -> str:
        """The text as the job shows it; "" where it has none."""
        text = value_at(row, self._note_field)
        return text if isinstance(text, str) else ""
