"""Holds by the calls of the mapping."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from connectors.http.client import HttpApiClient
from connectors.http.options import HttpHoldCall, HttpWriteCall
from connectors.sdk.errors import InvalidAnswer
from connectors.sdk.field_mapping import Row, text_at
from connectors.sdk.mapped_actions import KEY_PLACEHOLDER
from connectors.sdk.mapped_hold import MappedHolder


class HttpHolder(MappedHolder):
    def __init__(self, client: HttpApiClient, call: HttpHoldCall) -> None:
        starts = client.options.verbs.start is not None
        super().__init__(client.source.name, client.options.jobs, call.note, call.is_reason, starts)
        self._api, self._call = client, call

    def read(self, job: str) -> Row | None:
        if not self._call.job_path:
            return next((row for row in self.rows() if text_at(row, self._fields.id) == job), None)
        row: Row | None = self._api.job(job)
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
        rows = [self.read(job) for job in dict.fromkeys([*ids, *sorted(known)])]
        return [row for row in rows if row is not None]

    def _may_be_held(self, row: Any) -> bool:
        """Whether it is paused, or has an id and its pause cannot be read."""
        try:
            return self.is_paused(row)
        except InvalidAnswer:
            return isinstance(row, dict) and text_at(row, self._fields.id) != ""

    def write(self, job: str, is_enabled: bool, note: str, was_enabled: bool, key: str) -> None:
        for call in self._calls(is_enabled, was_enabled):
            self._api.write(call, _values(job, is_enabled, note, key))

    def shown(self, job: str, is_enabled: bool, note: str, was_enabled: bool) -> tuple[str, ...]:
        values = {**self._api.source.values, **_values(job, is_enabled, note, KEY_PLACEHOLDER)}
        return tuple(self._api.shown(call, values) for call in self._calls(is_enabled, was_enabled))

    def _calls(self, is_enabled: bool, was_enabled: bool) -> list[HttpWriteCall]:
        """The calls in their order. The job is paused only under its mark, which is removed last: if a call is lost
        between, the mark shows whose pause it is. A mark that is the reason of the pause comes and goes with it."""
        hold = self._call
        if hold.resume is None or is_enabled == was_enabled:
            return [hold]
        if hold.pause is None:
            return [hold.resume] if is_enabled else [hold]
        return [hold.resume, hold] if is_enabled else [hold, hold.pause]


def _values(job: str, is_enabled: bool, note: str, key: str) -> dict[str, Any]:
    return {"job": job, "enabled": is_enabled, "paused": not is_enabled, "note": note, "key": key}
