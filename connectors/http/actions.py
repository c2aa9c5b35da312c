"""RERUN, START and CANCEL as the config defines them. An action is found again by our key in a run."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.http.client import HttpApiClient, fill_placeholders, is_page_before
from connectors.http.options import PLACEHOLDER, HttpVerbCall
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, LookUpResult, Preview, Receipt
from connectors.sdk.errors import NotSupported
from connectors.sdk.field_mapping import cancelled, text_at
from connectors.sdk.fields import EPOCH
from connectors.sdk.settle import sent_at
from connectors.sdk.states import STARTING, RunState, Verb
from connectors.sdk.transport.budget import Deadline

LOOK_BACK = timedelta(minutes=5)
"""How long before an action was sent runs are searched for it: the clocks may differ by as much."""
MAX_LOOK_UP_PAGES = 50
KEY_PLACEHOLDER = "<key>"


def missing_verb(verb: Verb) -> str:
    """Why the verb is missing: the config has no call for it."""
    return f"the config names no call for it: add [systems.NAME.verbs.{verb.value}] with its path"


def preview(client: HttpApiClient, spec: ActionSpec, timeout_seconds: float) -> Preview:
    """The call that would be sent. Raises NotSupported for a verb that the config does not name."""
    call = verb_call(client, spec.verb)
    name = spec.verb.value
    if call is None:
        raise NotSupported(missing_verb(spec.verb))
    values = {"id": spec.run.native_ref, "job": spec.run.job, "period": spec.run.period_key}
    shown = {**values, "key": KEY_PLACEHOLDER}
    body_text = json.dumps(fill_placeholders(call.body, shown)) if call.body is not None else ""
    path = PLACEHOLDER.sub(lambda match: str(shown[match[1]]) or f"<{match[1]}>", call.path)
    return Preview(
        verb=f"{call.method} {call.path}",
        summary=f"{name} {spec.run.job} by {call.method} {path}",
        scope=f"run {spec.run.attempt_key} of {spec.run.job}" if spec.run.attempt_key else f"job {spec.run.job}",
        overlap="a run of it is running" if spec.verb in STARTING and spec.state is RunState.RUNNING else None,
        native_calls=(f"{call.method} {client.endpoint.base_url}{path} {body_text}".rstrip(),),
        refused=_preview_refusal(spec, call) or _why_not_traceable(client, spec.verb, Deadline(timeout_seconds)),
        plan={"verb": name, **values},
    )


def _preview_refusal(spec: ActionSpec, call: HttpVerbCall) -> str | None:
    if "id" in call.places and not spec.run.native_ref:
        return f"{spec.run.job} {spec.run.period_key} has no run at its source that could be named in {call.path}"
    if spec.verb is Verb.CANCEL and not spec.state.is_open:
        return f"the run is over ({spec.state})"
    return None


def _why_not_traceable(client: HttpApiClient, verb: Verb, deadline: Deadline) -> str | None:
    """Why a requested run could not be looked up later; None where it could."""
    if verb is Verb.CANCEL or "since" in client.options.runs.places:
        return None
    try:
        deque(recent_rows(client, datetime.now(UTC) - LOOK_BACK, deadline), maxlen=0)
    except TooManyRows as many:
        return _look_up_error(client, many)
    return None


def _look_up_error(client: HttpApiClient, many: TooManyRows) -> str:
    fix = "" if "since" in client.options.runs.places else ": add {since} to the query of runs"
    return f"its outcome could not be checked afterwards, {many}{fix}"


def verb_call(client: HttpApiClient, verb: Verb) -> HttpVerbCall | None:
    verbs = client.options.verbs
    return {Verb.RERUN: verbs.rerun, Verb.START: verbs.start, Verb.CANCEL: verbs.cancel}.get(verb)


def send(client: HttpApiClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Sends it once. The same key again is refused where its run is there already."""
    verb, deadline = Verb(str(plan["verb"])), Deadline(timeout_seconds)
    call = verb_call(client, verb)
    if call is None:
        raise NotSupported(f"the config names no call for {verb} any more")
    try:
        existing = None if verb is Verb.CANCEL else find_run_with_key(client, key, plan, deadline)
    except TooManyRows as many:
        raise NotSupported(_look_up_error(client, many)) from None
    if existing is not None:
        raise NotSupported(f"it was sent already, and is run {existing}")
    client.request(call, {**plan, "key": key}, deadline, once=True)
    return Receipt(key, f"accepted by {call.method} {call.path}")


def look_up(client: HttpApiClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> LookUpResult:
    """By the run that carries our key; a cancel by its run's end."""
    deadline = Deadline(timeout_seconds)
    try:
        if plan["verb"] == Verb.CANCEL.value:
            return _find_cancel(client, plan, deadline)
        run = find_run_with_key(client, key, plan, deadline)
    except TooManyRows as many:
        return ActionUnknown(str(many))
    return ActionAbsent() if run is None else ActionFound(run, f"run {run} carries it")


def _find_cancel(client: HttpApiClient, plan: Mapping[str, Any], deadline: Deadline) -> LookUpResult:
    fields = client.options.runs
    rows = (row for row in recent_rows(client, None, deadline) if text_at(row, fields.id) == plan["id"])
    return cancelled(next(rows, None), str(plan["id"]), fields, client.options.states)


class TooManyRows(Exception):
    """More pages or rows than are searched."""


def find_run_with_key(client: HttpApiClient, key: str, plan: Mapping[str, Any], deadline: Deadline) -> str | None:
    """The id of the run that carries our key, whatever else its row says, of those that changed since it was sent.
    Raises TooMany."""
    since = (sent_at(plan) or datetime.now(UTC)) - LOOK_BACK
    fields = client.options.runs
    under = (row for row in recent_rows(client, since, deadline) if text_at(row, fields.key) == key)
    return next((text_at(row, fields.id) for row in under), None)


def recent_rows(client: HttpApiClient, since: datetime | None, deadline: Deadline) -> Iterator[Any]:
    """The rows of runs that changed since; None: all that are listed. Raises TooMany, also where rows may be left out:
    what is not among them is not proved to be nowhere."""
    options, page = client.options, None
    since = since or EPOCH
    for _ in range(MAX_LOOK_UP_PAGES):
        result = client.page(options.runs, page, since, deadline)
        yield from result.rows
        page = result.following
        if is_page_before(result, since, options.runs):
            return
        if result.cut:
            raise TooManyRows(result.cut)
        if page is None:
            return
    raise TooManyRows(f"more than {MAX_LOOK_UP_PAGES} pages of runs are listed")
