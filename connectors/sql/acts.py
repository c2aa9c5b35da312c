"""What is sent to the database: a rerun, a start, a cancel, each one statement of config; found again by our key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.contract import (
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NotSupported,
    Preview,
    Receipt,
    Right,
    RightMissing,
    State,
    Verb,
)
from connectors.mapping import cancelled
from connectors.sql.client import LAST, SqlClient
from connectors.sql.options import SqlOptions, VerbQuery
from connectors.transport.deadline import Deadline
from connectors.words import STARTING

VERBS = (Verb.RERUN, Verb.START, Verb.CANCEL)
KEY = "<key>"
AT_SENDING = "it shows when it is sent"


def unnamed(verb: Verb) -> str:
    """Why it cannot be asked, where config has no statement for it."""
    return f"the config names no statement for it: add [systems.NAME.verbs.{verb.value}] with its query"


def call_of(options: SqlOptions, verb: Verb) -> VerbQuery | None:
    found: VerbQuery | None = getattr(options.verbs, verb.value, None)
    return found


def preview(client: SqlClient, ask: Ask, timeout_seconds: float) -> Preview:
    """The statement and its values. Raises NotSupported for a verb that config does not name."""
    call, deadline = call_of(client.options, ask.verb), Deadline(timeout_seconds)
    if call is None:
        raise NotSupported(unnamed(ask.verb))
    name, ref = ask.verb.value, ask.run
    values = {"run": ref.native_ref, "job": ref.job, "period": ref.period_key}
    statement = " ".join(call.query.split())
    given = ", ".join(f"{place} = { ({**values, 'key': KEY}[place])!r}" for place in call.places)
    refused = _refused(ask, call, values) or _not_allowed(client, call, deadline)
    unproved = "" if refused or ask.verb is Verb.CANCEL else client.under(KEY, deadline.left).why
    return Preview(
        verb=f"verbs.{name}",
        words=f"{name} {ref.job} by {statement}",
        scope=f"run {ref.attempt_key} of {ref.job}" if ref.attempt_key else f"job {ref.job}",
        overlap="a run of it is running" if ask.verb in STARTING and ask.state is State.RUNNING else None,
        native_calls=(statement, *([f"-- {given}"] if given else [])),
        notes=(f"a lost answer would stay unknown: {unproved}",) if unproved else (),
        refused=refused,
        plan={"verb": name, **values},
    )


def _refused(ask: Ask, call: VerbQuery, values: Mapping[str, str]) -> str | None:
    if "run" in call.places and not ask.run.native_ref:
        return f"{ask.run.job} {ask.run.period_key} has no run at its source that could be given as {{run}}"
    if ask.verb is Verb.CANCEL and not ask.state.is_open:
        return f"the run is over ({ask.state})"
    odd = [name for name in call.places if not _is_text(values.get(name, ""))]
    return f"{{{odd[0]}}} holds bytes that are no text, which cannot be given back" if odd else None


def _is_text(value: str) -> bool:
    return not any("\ud800" <= one <= "\udfff" or one == "\0" for one in value)


def _not_allowed(client: SqlClient, call: VerbQuery, deadline: Deadline) -> str | None:
    right = right_to(client, "", call, deadline)
    return right.why if right.held is False else None


def right_to(client: SqlClient, name: str, call: VerbQuery, deadline: Deadline) -> Right:
    """Whether the role may run it, as far as the server tells without running it."""
    mend = f"grant what verbs.{name} needs: EXECUTE on its function, or INSERT or UPDATE on its table"
    if call.query.split()[0].lower() == "call":
        return Right(name, None, f"of a CALL it cannot be asked: {AT_SENDING}", mend, "act")
    try:
        client.check(call, deadline.left)
    except RightMissing as error:
        return Right(name, False, str(error), mend, "act")
    except NotSupported as error:
        return Right(name, False, str(error), f"correct verbs.{name}.query", "act")
    return Right(name, True, "", "", "act")


def rights(client: SqlClient, deadline: Deadline) -> Iterator[Right]:
    """Of each verb that config names."""
    for verb in VERBS:
        if (call := call_of(client.options, verb)) is not None:
            yield right_to(client, verb.value, call, deadline)


def send(client: SqlClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Sends it once. The same key again is refused where its run is there already."""
    verb, deadline = Verb(str(plan["verb"])), Deadline(timeout_seconds)
    call = call_of(client.options, verb)
    if call is None:
        raise NotSupported(f"the config names no statement for {verb} any more")
    there = None if verb is Verb.CANCEL else client.under(key, deadline.left).run
    if there is not None:
        raise NotSupported(f"it was sent already, and is run {there}")
    said = client.send(call, {**plan, "key": key}, deadline.left)
    return Receipt(key, f"committed{f': {said}' if said else ''}")


def look_up(client: SqlClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> LookUp:
    """By the run that shows our key; a cancel by its run's end."""
    if plan["verb"] == Verb.CANCEL.value:
        rows = client.runs(LAST[client.options.runs.cursor_is], [str(plan["run"])], (), timeout_seconds).again
        return cancelled(next(iter(rows), None), str(plan["run"]), client.options.runs, client.options.states)
    found = client.under(key, timeout_seconds)
    if found.run is not None:
        return Found(found.run, f"run {found.run} carries it")
    return CannotTell(found.why) if found.why else Absent()
