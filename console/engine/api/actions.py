"""Requests about actions: preview, approve and withdraw them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connectors.sdk.contract import ActionSpec
from connectors.sdk.states import STARTING, RunState, Verb
from console.control.holds.warnings import empty_hold_warning
from console.control.services.status import services_missed_by_hold
from console.domain.conf import texts_in
from console.domain.hold import hold_end
from console.engine.actions.previews import fetch_preview, note_of, preview_to_json, rerun_context, unsupported_reason
from console.engine.api.requests import ApproveAction, PreviewAction, WithdrawAction
from console.engine.api.server import ANSWER_SECONDS, AnsweringEngine, Caller, Handlers, RequestFailed
from console.engine.polling.sanitize import sanitizer
from console.store import actions, approvals, conflicts


def preview_action(engine: AnsweringEngine, request: PreviewAction, _: Caller) -> dict[str, Any]:
    """The preview of a verb for a run or a job."""
    store, run_id, job_id, verb = engine.store, request.run_id, request.job_id, request.verb
    native = native_ref(engine, run_id, job_id)
    place = engine.connectors.places[native.target_id]
    if cannot := unsupported_reason(place, native.system, verb):
        raise RequestFailed(cannot)
    spec = ActionSpec(verb, native.ref, RunState(native.state), request.parameters or {})
    parameters = "\n".join(texts_in(spec.parameters.get("conf")))
    if engine.secrets.mask(parameters) != parameters:
        raise RequestFailed(
            "the parameters contain a secret of the config, which the scheduler and the audit would store in plain"
            " text. Fix: pass the name under which the job reads it"
        )
    extras = rerun_context(store, engine.estate(), run_id, engine.clock.now()) if run_id is not None else {}
    with engine.connectors.for_request(native.target_id, ANSWER_SECONDS) as connector:
        preview = fetch_preview(connector, place, spec, ANSWER_SECONDS)
    if good := conflicts.mark_refusal(store, verb, run_id):
        preview = replace(preview, refused=preview.refused or good)
    until = hold_end(spec.parameters) if verb is Verb.HOLD else None
    if until is not None and job_id is not None:
        about = (engine.estate(), job_id, until, engine.clock.now())
        warnings = (*empty_hold_warning(*about), *services_missed_by_hold(*about))
        preview = replace(preview, notes=(*map(note_of, warnings), *preview.notes))
    if takes := place.system.kind.takes.get(verb):
        extras["takes"] = sorted(takes)
    if verb in STARTING:
        extras["in_progress"], own_action = conflicts.run_conflicts(store, run_id)
        overlap = preview.overlap or conflicts.start_in_flight(store, run_id, job_id) or own_action
        hold = conflicts.format_hold(store, run_id, job_id)
        preview = replace(preview, overlap=overlap, notes=(*((note_of(hold),) if hold else ()), *preview.notes))
    name = actions.short_name(store, job_id, run_id)
    return {**preview_to_json(preview, sanitizer(engine.secrets)), **extras, "confirm": name}


def native_ref(
    engine: AnsweringEngine, run_id: int | None, job_id: int | None = None, attempt_id: int | None = None
) -> actions.NativeRef:
    """The run, or the job without one, as its scheduler names it. Raises RequestFailed if it is unknown."""
    if run_id is not None:
        native = actions.run_ref(engine.store, run_id, attempt_id)
    else:
        native = None if job_id is None else actions.job_ref(engine.store, job_id)
    if native is None:
        raise RequestFailed(f"no job {job_id}" if run_id is None else f"no run {run_id}")
    if native.target_id not in engine.connectors.places:
        raise RequestFailed(f"{native.system} is not in the config of the running engine")
    return native


def approve_action(engine: AnsweringEngine, request: ApproveAction, caller: Caller) -> dict[str, Any]:
    change = engine.change(caller)
    if refused := approvals.approve_action(engine.store, caller.fence, request.key, request.digest, change):
        raise RequestFailed(refused)
    engine.wake_dispatcher()
    return {"approved": True}


def withdraw_action(engine: AnsweringEngine, request: WithdrawAction, caller: Caller) -> dict[str, Any]:
    if refused := actions.withdraw(engine.store, caller.fence, request.key, engine.change(caller, request.why)):
        raise RequestFailed(refused)
    return {"withdrawn": True}


HANDLERS: Handlers = {
    PreviewAction: preview_action, ApproveAction: approve_action, WithdrawAction: withdraw_action
}  # fmt: skip
