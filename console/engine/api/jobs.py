"""Requests about jobs and runs: edit a job card, compare the log of a failed run with that of the last
successful one.

Logs of successful runs are not stored, which would cost thousands of calls a minute: they are fetched on request.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

from connectors.sdk.contract import Connector
from connectors.sdk.errors import ConnectorError
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.secrets import SecretStore
from console.domain.ids import instant
from console.domain.job import MAX_CARD_LENGTH
from console.domain.request import RequestKind
from console.engine.api.server import ChangeHandlers, RequestFailed, RequestHandler, change_origin
from console.engine.connector_pool import ConnectorPool
from console.engine.polling.sanitize import sanitize_log, sanitize_text
from console.store import actions
from console.store.db.database import Database
from console.store.jobs import edit_card
from console.store.snapshot import history
from console.text.cleaning import clean_line
from console.text.normalize import log_difference


class JobCardHandlers(ChangeHandlers):
    """Edits of job cards."""

    def by_kind(self) -> dict[RequestKind, RequestHandler]:
        return {
            RequestKind.EDIT_CARD: partial(self._edit, may_loosen=False),
            RequestKind.RELAX_RERUN_SAFETY: partial(self._edit, may_loosen=True),
        }

    def _edit(self, arguments: dict[str, Any], may_loosen: bool) -> dict[str, Any]:
        card = {str(field): clean_line(str(value), MAX_CARD_LENGTH) for field, value in arguments["card"].items()}
        origin, job_id = change_origin(arguments, self.clock), int(arguments["job_id"])
        self.finish(edit_card(self.store, arguments["fence"], job_id, card, may_loosen, origin))
        return {"card": card, "by": origin.by}


LOG_BYTES = 128 * 1024
"""Of the end of each log: more than a person reads, and little enough for one call."""
FETCH_SECONDS = 15.0
"""Per log."""


class BaselineLog(NamedTuple):
    """The log of the last successful run; empty, with the reason in `fields`, where it is not available."""

    text: str
    fields: dict[str, Any]
    """Fields of the reply about that run."""


class LogDifferenceHandlers:
    """Compares a log with that of the last successful run."""

    def __init__(self, store: Database, connectors: ConnectorPool, secrets: SecretStore) -> None:
        self._store, self._connectors, self._secrets = store, connectors, secrets

    def by_kind(self) -> dict[RequestKind, RequestHandler]:
        return {RequestKind.COMPARE_LOGS: self.compare_logs}

    def compare_logs(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The fields of LogDifference, with "good_run", "good_ended" and "good_error": the reason why no log of a
        successful run is available; then all lines count as new. Raises RequestFailed for a run that is unknown or
        whose system is not in the config, ConnectorError if the run's own log cannot be read."""
        run_id = int(arguments["run_id"])
        run = actions.run_ref(self._store, run_id, arguments.get("attempt_id"))
        if run is None:
            raise RequestFailed(f"there is no run {run_id}")
        if run.target_id not in self._connectors.places:
            raise RequestFailed(f"the system of run {run_id} is not in the config of the running engine")
        with self._connectors.for_request(run.target_id, 2 * FETCH_SECONDS) as connector:
            text = self._text(connector, run.ref)
            baseline = self._last_successful(connector, run_id)
        return asdict(log_difference(text, baseline.text)) | baseline.fields

    def _last_successful(self, connector: Connector, run_id: int) -> BaselineLog:
        last = history.last_good(self._store, run_id)
        run = actions.run_ref(self._store, last[0]) if last is not None else None
        if last is None or run is None:
            return BaselineLog("", {"good_error": "no earlier successful run of this job is known"})
        fields: dict[str, Any] = {"good_run": last[0], "good_ended": instant_key(instant(last[1]))}
        try:
            text = self._text(connector, run.ref)
        except ConnectorError as error:
            reason = sanitize_text(f"the log of the last successful run cannot be read: {error}", self._secrets.mask)
            return BaselineLog("", fields | {"good_error": reason})
        if not text.strip():
            reason = "the scheduler no longer has the log of the last successful run"
            return BaselineLog("", fields | {"good_error": reason})
        return BaselineLog(text, fields)

    def _text(self, connector: Connector, ref: RunRef) -> str:
        return sanitize_log(connector.log(ref, None, LOG_BYTES, FETCH_SECONDS), self._secrets)
