"""Actions of a `sql` system: rerun, start and cancel, each one statement of the config; verified by our key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    LookUpResult,
    Preview,
    Receipt,
    SourcePermission,
)
from connectors.sdk.errors import NotSupported, PermissionMissing
from connectors.sdk.field_mapping import cancelled
from connectors.sdk.states import STARTING, RunState, Verb
from connectors.sdk.transport.budget import Deadline
from connectors.sql.client import LAST, SqlClient
from connectors.sql.options import SqlOptions, SqlVerbQuery

VERBS = (Verb.RERUN, Verb.START, Verb.CANCEL)
KEY = "<key>"
AT_SENDING = "it shows when it is sent"


def unnamed(verb: Verb) -> str:
    """Why it cannot be asked, where config has no statement for it."""
    return f"the config names no statement for it: add [systems.NAME.verbs.{verb.value}] with its query"


def call_of(options: SqlOptions, verb: Verb) -> SqlVerbQuery | None:
    query: SqlVerbQuery | None = getattr(options.verbs, verb.value, None)
    return query


def preview(client: SqlClient, spec: ActionSpec, timeout_seconds: float) -> Preview:
    """The statement and its values. Raises NotSupported for a verb that config does not name."""
    call, deadline = call_of(client.options, spec.verb), Deadline(timeout_seconds)
    if call is None:
        raise NotSupported(unnamed(spec.verb))
    name, ref = spec.verb.value, spec.run
    values = {"run": ref.native_ref, "job": ref.job, "period": ref.period_key}
    statement = " ".join(call.query.split())
    given = ", ".join(f"{place} = { ({**values, 'key': KEY}[place])!r}" for place in call.places)
    refused = _refused(spec, call, values) or _not_allowed(client, call, deadline)
    unproved = "" if refused or spec.verb is Verb.CANCEL else client.under(KEY, deadline.left).why
    return Preview(
        verb=f"verbs.{name}",
        summary=f"{name} {ref.job} by {statement}",
        scope=f"run {ref.attempt_key} of {ref.job}" if ref.attempt_key else f"job {ref.job}",
        overlap="a run of it is running" if spec.verb in STARTING and spec.state is RunState.RUNNING else None,
        native_calls=(statement, *([f"-- {given}"] if given else [])),
        notes=(f"a lost answer would stay unknown: {unproved}",) if unproved else (),
        refused=refused,
        plan={"verb": name, **values},
    )


def _refused(spec: ActionSpec, call: SqlVerbQuery, values: Mapping[str, str]) -> str | None:
    if "run" in call.places and not spec.run.native_ref:
        return f"{spec.run.job} {spec.run.period_key} has no run at its source that could be given as {{run}}"
    if spec.verb is Verb.CANCEL and not spec.state.is_open:
        return f"the run is over ({spec.state})"
    odd = [name for name in call.places if not _is_text(values.get(name, ""))]
    return f"{{{odd[0]}}} holds bytes that are no text, which cannot be given back" if odd else None


def _is_text(value: str) -> bool:
    return not any("\ud800" <= item <= "\udfff" or item == "\0" for item in value)


def _not_allowed(client: SqlClient, call: SqlVerbQuery, deadline: Deadline) -> str | None:
    right = permission_to(client, "", call, deadline)
    return right.why if right.held is False else None


def permission_to(client: SqlClient, name: str, call: SqlVerbQuery, deadline: Deadline) -> SourcePermission:
    """Whether the role may run it, as far as the server tells without running it."""
    mend = f"grant what verbs.{name} needs: EXECUTE on its function, or INSERT or UPDATE on its table"
    if call.query.split()[0].lower() == "call":
        return SourcePermission(name, None, f"of a CALL this is unknown: {AT_SENDING}", mend, "act")
    try:
        client.check(call, deadline.left)
    except PermissionMissing as error:
        return SourcePermission(name, False, str(error), mend, "act")
    except NotSupported as error:
        return SourcePermission(name, False, str(error), f"correct verbs.{name}.query", "act")
    return SourcePermission(name, True, "", "", "act")


def permissions(client: SqlClient, deadline: Deadline) -> Iterator[SourcePermission]:
    for verb in VERBS:
        if (call := call_of(client.options, verb)) is not None:
            yield permission_to(client, verb.value, call, deadline)


def send(client: SqlClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Sends it once. The same key again is refused where its run is there already."""
    verb, deadline = Verb(str(plan["verb"])), Deadline(timeout_seconds)
    call = call_of(client.options, verb)
    if call is None:
        raise NotSupported(f"the config names no statement for {verb} any more")
    run = None if verb is Verb.CANCEL else client.under(key, deadline.left).run
    if run is not None:
        raise NotSupported(f"it was sent already, and is run {run}")
    result = client.send(call, {**plan, "key": key}, deadline.left)
    return Receipt(key, f"committed{f': {result}' if result else ''}")


def look_up(client: SqlClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> LookUpResult:
    """By the run that shows our key; a cancel by its run's end."""
    if plan["verb"] == Verb.CANCEL.value:
        rows = client.runs(LAST[client.options.runs.cursor_is], [str(plan["run"])], (), timeout_seconds).again
        return cancelled(next(iter(rows), None), str(plan["run"]), client.options.runs, client.options.states)
    under = client.under(key, timeout_seconds)
    if under.run is not None:
        return ActionFound(under.run, f"run {under.run} carries it")
    return ActionUnknown(under.why) if under.why else ActionAbsent()
