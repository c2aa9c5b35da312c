"""Holds by the calls of the mapping."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any

from connectors.http.client import HttpApiClient
from connectors.http.options import HttpHoldCall, HttpWriteCall
from connectors.sdk.errors import InvalidAnswer
from connectors.sdk.field_mapping import Row, text_at
from connectors.sdk.mapped_actions import KEY_PLACEHOLDER
from connectors.sdk.mapped_hold import MappedHolder, PauseChange
from connectors.sdk.send_outcome import send_each


class HttpHolder(MappedHolder):
    def __init__(self, client: HttpApiClient, call: HttpHoldCall) -> None:
        starts = client.options.verbs.start is not None
        super().__init__(client.source.name, client.options.jobs, call.note, call.is_reason, starts, call.one_line)
        self._api, self._call = client, call

    def row(self, job: str) -> Row | None:
        row: Row | None = self._api.job(job) if self._call.job_path else super().row(job)
        return row

    def rows(self) -> Iterable[Any]:
        rows, _, cut = self._api.all_rows(self._api.options.jobs, self._fields.id)
        if cut:
            raise InvalidAnswer(f"{self._source}: {cut}")
        return rows

    def marked_rows(self, known: Collection[str]) -> Iterable[Any]:
        if self._call.note_in == "list":
            return self.rows()
        ids = [text_at(row, self._fields.id) for row in self.rows() if self._may_be_held(row)]
        rows = [self.row(job) for job in dict.fromkeys([*ids, *sorted(known)])]
        return [row for row in rows if row is not None]

    def _may_be_held(self, row: Any) -> bool:
        """Whether it is paused, or has an id and its pause cannot be read."""
        try:
            return self.is_paused(row)
        except InvalidAnswer:
            return isinstance(row, dict) and text_at(row, self._fields.id) != ""

    def write(self, change: PauseChange, key: str) -> None:
        send_each(
            (f"{call.method} {call.path} was done", partial(self._api.write, call, values))
            for call, values in self._calls(change, key)
        )

    def shown(self, change: PauseChange) -> tuple[str, ...]:
        calls = self._calls(change, KEY_PLACEHOLDER)
        return tuple(self._api.shown(call, {**self._api.source.values, **values}) for call, values in calls)

    def _calls(self, change: PauseChange, key: str) -> Iterator[tuple[HttpWriteCall, dict[str, Any]]]:
        """Each call of `_steps` with its values. A second call has its own key: APIs refuse one key for two
        requests."""
        for number, (call, text) in enumerate(self._steps(change), start=1):
            values = {"job": change.job, "enabled": change.is_enabled, "paused": not change.is_enabled, "note": text}
            yield call, {**values, "key": key if number == 1 else f"{key}-{number}"}

    def _steps(self, change: PauseChange) -> list[tuple[HttpWriteCall, str]]:
        """The calls in their order, each with the text that it writes. The job is paused only under its mark, which is
        removed last: if a call is lost between, the mark shows whose pause it is. A mark that is the reason of the
        pause comes and goes with it."""
        hold, text = self._call, change.text
        is_switched = change.is_enabled != change.was_enabled
        if hold.resume is None or not (is_switched or hold.resume.writes_text):
            return [(hold, text)]
        if hold.pause is not None:
            calls = [hold.resume, hold] if change.is_enabled else [hold, hold.pause]
            return [(call, text) for call in calls]
        first, last = (hold, hold.resume) if change.is_enabled else (hold.resume, hold)
        return [(last, text)] if is_switched else [(first, change.text_before), (last, text)]
