"""Holds by the statement of a profile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connectors.sdk.errors import InvalidAnswer
from connectors.sdk.mapped_hold import MappedHolder, PauseChange
from connectors.sql.client import MAX_JOBS, SqlClient
from connectors.sql.options import SqlHoldQuery


class SqlHolder(MappedHolder):
    def __init__(self, client: SqlClient, call: SqlHoldQuery) -> None:
        super().__init__(
            client.database.product, client.options.jobs, call.note, starts=client.options.verbs.start is not None
        )
        self._client, self._call = client, call

    def rows(self) -> Iterable[Any]:
        result = self._client.jobs()
        if result.is_full:
            raise InvalidAnswer(f"{self._source}: more than {MAX_JOBS} jobs: no more are read")
        return result.rows

    def write(self, change: PauseChange, key: str) -> None:
        del key
        values = {"job": change.job, "enabled": int(change.is_enabled), "note": change.text, "key": "hold"}
        self._client.send(self._call, values)

    def shown(self, change: PauseChange) -> tuple[str, ...]:
        values = f"job = {change.job!r}, enabled = {int(change.is_enabled)}, note = {change.text!r}"
        return (f"{' '.join(self._call.query.split())} -- {values}",)
