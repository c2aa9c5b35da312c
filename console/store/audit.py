"""Who did what, when, from where, why, what was sent, what came back: written with the change, never changed again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from console.store import chain
from console.store.wire import wire

ENGINE = "headway"
"""The actor where the engine itself decides: a refusal, an outcome, a config that changed."""
FROM_ENGINE = "engine"
_WORDS = {
    "sending": "send {verb}",
    "sent": "accepted {verb}",
    "refused": "refuse {verb}",
    "unknown": "lost sight of {verb}",
    "verified": "verified {verb}",
    "failed": "failed {verb}",
}
"""State an action comes into -> what the audit calls it."""


def append(
    connection: Connection,
    at_us: int,
    actor: str,
    origin: str,
    verb: str,
    object: str,
    detail: Mapping[str, Any],
    why: str = "",
) -> None:
    """One row more, in this transaction of `Store.write`. Texts are cleaned here; secrets must be masked by then."""
    chain.append(wire(connection).rows, at_us, actor, origin, verb, object, detail, why)


def append_step(connection: Connection, key: str, was: str, state: str, now_us: int) -> None:
    """That an action came from one state into another, as its row says now; nothing where it only waits on."""
    lines = wire(connection)
    found = lines.rows(
        "SELECT a.verb, a.requested_by, a.why, a.preview, a.words, a.native_ref, a.origin, a.approved_by, j.name"
        " FROM action a JOIN job j ON j.id = a.job_id WHERE a.key = ?",
        (key,),
    )
    if not found or was == state or state not in _WORDS:
        return
    verb, by, why, preview, words, native_ref, origin, approved_by, job = found[0]
    detail: dict[str, Any] = {"key": key, "asked_by": by, "as": origin, "words": words}
    if state == "sending":
        shown = json.loads(preview)
        detail |= {"sends": shown.get("native_calls", []), "scope": shown.get("scope", ""), "approved_by": approved_by}
    elif native_ref:
        detail["native_ref"] = native_ref
    chain.append(lines.rows, now_us, ENGINE, FROM_ENGINE, _WORDS[state].format(verb=verb), job, detail, why)


def config_changed(connection: Connection, at_us: int, before: str, after: str) -> None:
    """That the engine works by another config from here on: digests of its files before and after."""
    if before != after:
        append(connection, at_us, ENGINE, FROM_ENGINE, "change config", "config", {"before": before, "after": after})
