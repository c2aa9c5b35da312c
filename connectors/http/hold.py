"""Holds by the call of the mapping."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from connectors.http.client import HttpApiClient, fill_placeholders
from connectors.http.options import PLACEHOLDER, HttpHoldCall
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

    def write(self, job: str, is_enabled: bool, note: str) -> None:
        self._api.request(self._call, _values(job, is_enabled, note), once=True)

    def shown(self, job: str, is_enabled: bool, note: str) -> str:
        values = {**self._api.source.values, **_values(job, is_enabled, note)}
        path = PLACEHOLDER.sub(lambda match: str(values[match[1]]), self._call.path)
        return f"{self._call.method} {path} {json.dumps(fill_placeholders(self._call.body, values))}"


def _values(job: str, is_enabled: bool, note: str) -> dict[str, Any]:
    return {"job": job, "enabled": is_enabled, "paused": not is_enabled, "note": note}
