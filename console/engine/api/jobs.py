"""Requests about jobs and runs: accept drift, edit a job card, run a check, read a log, compare the log of a failed run
with that of the last successful one.

Logs of successful runs are not stored, which would cost thousands of calls a minute: they are fetched on request.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from connectors.sdk.contract import Connector
from connectors.sdk.errors import ConnectorError
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.secrets import SecretStore
from console.domain.ids import instant
from console.domain.job import MAX_CARD_LENGTH
from console.engine.api.actions import native_ref
from console.engine.api.requests import AcceptDrift, CompareLogs, EditCard, ReadLog, RelaxRerunSafety, RunDataCheck
from console.engine.api.server import ANSWER_SECONDS, AnsweringEngine, Caller, Handlers
from console.engine.polling.sanitize import sanitize_log
from console.store import actions
from console.store.jobs import edit_card
from console.store.snapshot import history
from console.text.normalize import log_difference
from console.text.redact import sanitize


def accept_drift(engine: AnsweringEngine, request: AcceptDrift, caller: Caller) -> dict[str, Any]:
    engine.accept_drift(request.job_id, request.change, caller.by, caller.origin)
    return {"accepted": True}


def edit_job_card(engine: AnsweringEngine, request: EditCard, caller: Caller) -> dict[str, Any]:
    card = {
        name: sanitize(value, engine.secrets.mask, MAX_CARD_LENGTH, on_one_line=True)
        for name, value in request.card.items()
    }
    change, may_loosen = engine.change(caller, request.why), isinstance(request, RelaxRerunSafety)
    engine.finish(edit_card(engine.store, caller.fence, request.job_id, card, may_loosen, change))
    return {"card": card, "by": change.by}


LOG_BYTES = 64 * 1024
"""Size of one page of a log."""


def read_log(engine: AnsweringEngine, request: ReadLog, _: Caller) -> dict[str, Any]:
    native = native_ref(engine, request.run_id, attempt_id=request.attempt_id)
    with engine.connectors.for_request(native.target_id, ANSWER_SECONDS) as connector:
        chunk = connector.log(native.ref, request.start, LOG_BYTES, ANSWER_SECONDS)
    text = sanitize_log(chunk, engine.secrets, request.start)
    return {"text": text, "next": chunk.next, "more": chunk.more, "cut": chunk.cut}


COMPARED_BYTES = 128 * 1024
"""Of the end of each log: more than a person reads, and little enough for one call."""
FETCH_SECONDS = 15.0
"""Per log."""


def compare_logs(engine: AnsweringEngine, request: CompareLogs, _: Caller) -> dict[str, Any]:
    """The fields of LogDifference, with "good_run", "good_ended" and "good_error": the reason why no log of a
    successful run is available; then all lines count as new. Raises RequestFailed for a run that is unknown or whose
    system is not in the config, ConnectorError if the run's own log cannot be read."""
    run = native_ref(engine, request.run_id, attempt_id=request.attempt_id)
    with engine.connectors.for_request(run.target_id, 2 * FETCH_SECONDS) as connector:
        text = _log_text(connector, run.ref, engine.secrets)
        baseline, about = _last_successful(engine, connector, request.run_id)
    return asdict(log_difference(text, baseline)) | about


def _last_successful(engine: AnsweringEngine, connector: Connector, run_id: int) -> tuple[str, dict[str, Any]]:
    """The log of the last successful run, and the fields of the answer about that run; empty, with the reason there,
    where it is not available."""
    last = history.last_good(engine.store, run_id)
    run = actions.run_ref(engine.store, last[0]) if last is not None else None
    if last is None or run is None:
        return "", {"good_error": "no earlier successful run of this job is known"}
    fields: dict[str, Any] = {"good_run": last[0], "good_ended": instant_key(instant(last[1]))}
    try:
        text = _log_text(connector, run.ref, engine.secrets)
    except ConnectorError as error:
        reason = sanitize(f"the log of the last successful run cannot be read: {error}", engine.secrets.mask)
        return "", fields | {"good_error": reason}
    if not text.strip():
        reason = "the scheduler no longer has the log of the last successful run"
        return "", fields | {"good_error": reason}
    return text, fields


def _log_text(connector: Connector, ref: RunRef, secrets: SecretStore) -> str:
    return sanitize_log(connector.log(ref, None, COMPARED_BYTES, FETCH_SECONDS), secrets)


HANDLERS: Handlers = {
    AcceptDrift: accept_drift, EditCard: edit_job_card, RelaxRerunSafety: edit_job_card,
    ReadLog: read_log, CompareLogs: compare_logs,
    RunDataCheck: lambda engine, request, caller: engine.run_check(request.check, request.business_date, caller.fence),
}  # fmt: skip
