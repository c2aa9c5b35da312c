"""Holds by the call of the mapping: it pauses a job and writes our mark into a text of the job."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from connectors.http.client import HttpApiClient, fill_placeholders
from connectors.http.options import PLACEHOLDER, HttpHoldCall
from connectors.sdk.contract import STARTED_LATER, HoldMark, NativeHold, Preview
from connectors.sdk.errors import InvalidAnswer, RecordUnreadable
from connectors.sdk.field_mapping import Row, id_at, read_job
from connectors.sdk.marked_pause import (
    MarkedPause,
    MarkedPauseActions,
    PauseState,
    holds_in,
    native_holds,
    shown_mark,
    with_hold,
    without_hold,
    without_holds,
)
from connectors.sdk.states import ProofLevel


class HttpHolder(MarkedPauseActions[Row]):
    missing_job = "{job} is no longer listed"
    fix = "enable it in its scheduler"

    def __init__(self, client: HttpApiClient, call: HttpHoldCall) -> None:
        self._api, self._call = client, call
        self._fields, self._source = client.options.jobs, client.source.name

    @property
    def marking(self) -> MarkedPause:  # type: ignore[override]  # a class constant of other kinds
        return MarkedPause(self._source, "paused", self._call.note)

    def read(self, job: str) -> Row | None:
        row: Row | None = self._api.job(job)
        return row

    def state(self, row: Row) -> PauseState:
        """Raises InvalidAnswer for a row that is not a job."""
        try:
            is_paused = read_job(row, self._fields, ProofLevel.EXIT).paused
        except RecordUnreadable as error:
            raise InvalidAnswer(f"{self._source}: a job cannot be read: {error}") from None
        return PauseState(is_paused, tuple(holds_in(self._note(row))))

    def preview_hold(self, job: str, row: Row, mark: HoldMark) -> Preview:
        return Preview(
            verb="pause the job",
            summary=f"pause {job} and add a mark to its {self._call.note}",
            scope=f"every start of {job}",
            native_calls=(
                self._shown(job, False, with_hold(self._note(row), mark).replace(mark.text, shown_mark(mark))),
            ),
            notes=("active runs continue",),
        )

    def preview_release(self, job: str, row: Row, resumes: bool, enables: bool) -> Preview:
        is_enabled = resumes or not self.state(row).is_paused
        return Preview(
            verb="resume the job" if resumes else "remove the mark",
            summary=f"resume {job} and remove our mark" if resumes else f"remove our mark of {job}; its pause stays",
            scope=f"every start of {job}" if resumes else f"the {self._call.note} of {job}",
            native_calls=(self._shown(job, is_enabled, without_holds(self._note(row))),),
            notes=(STARTED_LATER,) if resumes else (),
        )

    def write_hold(self, row: Row, now: PauseState, plan: Mapping[str, Any], mark: HoldMark) -> None:
        self._write(str(plan["job"]), False, with_hold(self._note(row), mark))

    def write_release(self, row: Row, now: PauseState, plan: Mapping[str, Any]) -> None:
        is_enabled = plan["how"] == "release" or not now.is_paused
        self._write(str(plan["job"]), is_enabled, without_hold(self._note(row), str(plan["hold"])))

    def all_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """Every mark, bare ones too: the list of jobs shows them. `known` adds nothing."""
        del known
        rows, _, cut = self._api.all_rows(self._fields, self._fields.id)
        if cut:
            raise InvalidAnswer(f"{self._source}: {cut}")
        holds: list[NativeHold] = []
        for row in rows:
            if isinstance(row, dict) and holds_in(self._note(row)):
                job = id_at(row, self._fields.id, "the job's id")
                holds += native_holds(job, self.state(row), f"{self._call.note} of {job} in {self._source}")
        return tuple(holds)

    def without_marks(self, row: Any) -> Any:
        """A row of the list of jobs as people wrote it: a hold does not change a job."""
        return {**row, self._call.note: without_holds(self._note(row))} if isinstance(row, dict) else row

    def _note(self, row: Row) -> str:
        text = row.get(self._call.note)
        return text if isinstance(text, str) else ""

    def _values(self, job: str, is_enabled: bool, note: str) -> dict[str, Any]:
        return {"job": job, "enabled": is_enabled, "paused": not is_enabled, "note": note}

    def _write(self, job: str, is_enabled: bool, note: str) -> None:
        self._api.request(self._call, self._values(job, is_enabled, note), once=True)

    def _shown(self, job: str, is_enabled: bool, note: str) -> str:
        values = {**self._api.source.values, **self._values(job, is_enabled, note)}
        path = PLACEHOLDER.sub(lambda match: str(values[match[1]]), self._call.path)
        return f"{self._call.method} {path} {json.dumps(fill_placeholders(self._call.body, values))}"
