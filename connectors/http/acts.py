"""What is sent to the API: a rerun, a start, a cancel, each as config names it; found again by our key in a run."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.arrival import sent_at
from connectors.contract import (
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NotSupported,
    Preview,
    Receipt,
    State,
    Verb,
)
from connectors.http.client import HttpClient, filled, is_known_below
from connectors.http.options import PLACE, VerbCall
from connectors.mapping import cancelled, text_at
from connectors.transport.deadline import Deadline
from connectors.words import STARTING

BEFORE = timedelta(minutes=5)
"""Two clocks may differ by so much: from so long before it was sent the runs are looked through."""
MOST_PAGES = 50
KEY = "<key>"


def unnamed(verb: Verb) -> str:
    """Why it cannot be asked, where config has no call for it."""
    return f"the config names no call for it: add [systems.NAME.verbs.{verb.value}] with its path"


def preview(client: HttpClient, ask: Ask, timeout_seconds: float) -> Preview:
    """The call as it would go. Raises NotSupported for a verb that config does not name."""
    call = call_of(client, ask.verb)
    name = ask.verb.value
    if call is None:
        raise NotSupported(unnamed(ask.verb))
    values = {"id": ask.run.native_ref, "job": ask.run.job, "period": ask.run.period_key}
    shown = json.dumps(filled(call.body, {**values, "key": KEY})) if call.body is not None else ""
    path = PLACE.sub(lambda match: str({**values, "key": KEY}[match[1]]) or f"<{match[1]}>", call.path)
    return Preview(
        verb=f"{call.method} {call.path}",
        words=f"{name} {ask.run.job} by {call.method} {path}",
        scope=f"run {ask.run.attempt_key} of {ask.run.job}" if ask.run.attempt_key else f"job {ask.run.job}",
        overlap="a run of it is running" if ask.verb in STARTING and ask.state is State.RUNNING else None,
        native_calls=(f"{call.method} {client.door.base_url}{path} {shown}".rstrip(),),
        refused=_refused(ask, call) or _not_found_again(client, ask.verb, Deadline(timeout_seconds)),
        plan={"verb": name, **values},
    )


def _refused(ask: Ask, call: VerbCall) -> str | None:
    if "id" in call.places and not ask.run.native_ref:
        return f"{ask.run.job} {ask.run.period_key} has no run at its source that could be named in {call.path}"
    if ask.verb is Verb.CANCEL and not ask.state.is_open:
        return f"the run is over ({ask.state})"
    return None


def _not_found_again(client: HttpClient, verb: Verb, deadline: Deadline) -> str | None:
    """Why a run that we ask for could not be looked up; None where it could. Asks only where config lists all runs."""
    if verb is Verb.CANCEL or "since" in client.options.runs.places:
        return None
    try:
        deque(recent(client, datetime.now(UTC) - BEFORE, deadline), maxlen=0)
    except TooMany as many:
        return _cannot_be_looked_up(client, many)
    return None


def _cannot_be_looked_up(client: HttpClient, many: TooMany) -> str:
    mend = "" if "since" in client.options.runs.places else ": add {since} to the query of runs"
    return f"it could not be looked up afterwards, {many}{mend}"


def call_of(client: HttpClient, verb: Verb) -> VerbCall | None:
    verbs = client.options.verbs
    return {Verb.RERUN: verbs.rerun, Verb.START: verbs.start, Verb.CANCEL: verbs.cancel}.get(verb)


def send(client: HttpClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Sends it once. The same key again is refused where its run is there already."""
    verb, deadline = Verb(str(plan["verb"])), Deadline(timeout_seconds)
    call = call_of(client, verb)
    if call is None:
        raise NotSupported(f"the config names no call for {verb} any more")
    try:
        there = None if verb is Verb.CANCEL else run_under(client, key, plan, deadline)
    except TooMany as many:
        raise NotSupported(_cannot_be_looked_up(client, many)) from None
    if there is not None:
        raise NotSupported(f"it was sent already, and is run {there}")
    client.ask(call, {**plan, "key": key}, deadline, once=True)
    return Receipt(key, f"accepted by {call.method} {call.path}")


def look_up(client: HttpClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> LookUp:
    """By the run that carries our key; a cancel by its run's end."""
    deadline = Deadline(timeout_seconds)
    try:
        if plan["verb"] == Verb.CANCEL.value:
            return _cancelled(client, plan, deadline)
        run = run_under(client, key, plan, deadline)
    except TooMany as many:
        return CannotTell(str(many))
    return Absent() if run is None else Found(run, f"run {run} carries it")


def _cancelled(client: HttpClient, plan: Mapping[str, Any], deadline: Deadline) -> LookUp:
    fields = client.options.runs
    row = next((one for one in recent(client, None, deadline) if text_at(one, fields.id) == plan["id"]), None)
    return cancelled(row, str(plan["id"]), fields, client.options.states)


class TooMany(Exception):
    """More pages, or rows, than are looked through."""


def run_under(client: HttpClient, key: str, plan: Mapping[str, Any], deadline: Deadline) -> str | None:
    """The id of the run that carries our key, whatever else its row says, of those that changed since it was sent.
    Raises TooMany."""
    since = (sent_at(plan) or datetime.now(UTC)) - BEFORE
    fields = client.options.runs
    under = (row for row in recent(client, since, deadline) if text_at(row, fields.key) == key)
    return next((text_at(row, fields.id) for row in under), None)


def recent(client: HttpClient, since: datetime | None, deadline: Deadline) -> Iterator[Any]:
    """The rows of runs that changed since; None: all that are listed. Raises TooMany, also where rows may be left out:
    what is not among them is not proved to be nowhere."""
    options, page = client.options, None
    since = since or datetime(1970, 1, 1, tzinfo=UTC)
    for _ in range(MOST_PAGES):
        got = client.page(options.runs, page, since, deadline)
        yield from got.rows
        page = got.following
        if is_known_below(got, since, options.runs):
            return
        if got.cut:
            raise TooMany(got.cut)
        if page is None:
            return
    raise TooMany(f"more than {MOST_PAGES} pages of runs are listed")
