"""Holds by the statement of a profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connectors.sdk.contract import ActionAbsent, ActionUnknown, LookUpResult
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
        values = {"job": change.job, "enabled": int(change.is_enabled), "note": change.text, "key": key}
        self._client.send(self._call, values)

    def look_up(self, plan: Mapping[str, Any], key: str) -> LookUpResult:
        """Whether it arrived; nothing is absent while a session of ours still sends it."""
        alive = self._client.senders(key)
        result = super().look_up(plan, key)
        return ActionUnknown(alive) if alive and isinstance(result, ActionAbsent) else result

    def shown(self, change: PauseChange) -> tuple[str, ...]:
        values = f"job = {change.job!r}, enabled = {int(change.is_enabled)}, note = {change.text!r}"
        return (f"{' '.join(self._call.query.split())} -- {values}",)
