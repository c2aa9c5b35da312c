"""The log of a red run against that of the last good one before it, both from their scheduler, when somebody asks.

Logs of good runs are not kept (docs/decisions/2026-11-20-logs-of-good-runs.md): they are fetched then, and where the
source has none any more, that is said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectors.contract import Connector, ConnectorError, RunRef
from console.control.log_difference import difference
from console.engine.arriving import shown
from console.engine.doors import Doors
from console.model.ids import instant
from console.store import asked, pasts
from console.store.open import Store

LOG_BYTES = 128 * 1024
SECONDS = 15.0
"""For each of the two."""


class LogDifferences:
    """Answers "log difference"."""

    def __init__(self, store: Store, doors: Doors, mask: Callable[[str], str]) -> None:
        self._store = store
        self._doors = doors
        self._mask = mask

    def by_kind(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        return {"log difference": self.answer}

    def answer(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """{"new", "missing", "first_error", "new_count", "missing_count", "good_run", "good_ended", "good_error"}.
        `good_error`: why there is nothing to compare with; then all lines of the run are new. Raises ConnectorError
        where its own log cannot be read."""
        run_id = int(arguments["run_id"])
        found = asked.run_ref(self._store, run_id, arguments.get("attempt_id"))
        if found is None or found[2] not in self._doors.places:
            return {"good_error": f"run {run_id} is of no system in the config of the running engine"}
        with self._doors.question(found[2], 2 * SECONDS) as connector:
            ours = self._text(connector, found[0])
            good, told = self._good(connector, run_id)
        said = difference(ours, good)
        return {
            "new": list(said.new),
            "missing": list(said.missing),
            "first_error": said.first_error,
            "new_count": said.new_count,
            "missing_count": said.missing_count,
            **told,
        }

    def _good(self, connector: Connector, run_id: int) -> tuple[str, dict[str, Any]]:
        """The last good log, and which run it is of; empty with the reason where there is none."""
        last = pasts.last_good(self._store, run_id)
        found = asked.run_ref(self._store, last[0]) if last is not None else None
        if last is None or found is None:
            return "", {"good_error": "no good run of this job is known before it"}
        told: dict[str, Any] = {"good_run": last[0], "good_ended": instant(last[1]).isoformat()}
        try:
            text = self._text(connector, found[0])
        except ConnectorError as error:
            return "", {
                **told,
                "good_error": shown(f"the log of the last good run cannot be read: {error}", self._mask),
            }
        if not text.strip():
            return "", {**told, "good_error": "its source has kept no log of the last good run"}
        return text, told

    def _text(self, connector: Connector, ref: RunRef) -> str:
        return shown(connector.log(ref, None, LOG_BYTES, SECONDS).text, self._mask)
