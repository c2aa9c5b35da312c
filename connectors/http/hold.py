"""Holds by the call of the mapping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connectors.http.client import HttpApiClient
from connectors.http.options import HttpHoldCall, HttpWriteCall
from connectors.sdk.errors import InvalidAnswer
from connectors.sdk.field_mapping import Row
from connectors.sdk.mapped_hold import MappedHolder


class HttpHolder(MappedHolder):
    def __init__(self, client: HttpApiClient, call: HttpHoldCall) -> None:
        super().__init__(client.source.name, client.options.jobs, call.note)
        self._api, self._call = client, call

    def read(self, job: str) -> Row | None:
        row: Row | None = self._api.job(job)
        return row

    def rows(self) -> Iterable[Any]:
        rows, _, cut = self._api.all_rows(self._api.options.jobs, self._fields.id)
        if cut:
            raise InvalidAnswer(f"{self._source}: {cut}")
        return rows

    def write(self, job: str, is_enabled: bool, note: str, was_enabled: bool) -> None:
        for call in self._calls(is_enabled, was_enabled):
            self._api.write(call, _values(job, is_enabled, note))

    def shown(self, job: str, is_enabled: bool, note: str, was_enabled: bool) -> tuple[str, ...]:
        values = {**self._api.source.values, **_values(job, is_enabled, note)}
        return tuple(self._api.shown(call, values) for call in self._calls(is_enabled, was_enabled))

    def _calls(self, is_enabled: bool, was_enabled: bool) -> list[HttpWriteCall]:
        """The calls in their order. The job is paused only under its mark, which is removed last: if a call is lost
        between, the mark shows whose pause it is."""
        path = self._call.resume if is_enabled else self._call.pause
        if not path or is_enabled == was_enabled:
            return [self._call]
        hold = self._call
        switch = HttpWriteCall.model_construct(server=hold.server, method="POST", path=path, redirects=hold.redirects)
        return [switch, self._call] if is_enabled else [self._call, switch]


def _values(job: str, is_enabled: bool, note: str) -> dict[str, Any]:
    return {"job": job, "enabled": is_enabled, "paused": not is_enabled, "note": note}
