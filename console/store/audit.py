"""The audit: who did what, when, from where, why, what was sent and what came back. Append only, hash-chained.

Each row's hash covers the row and the hash before it. Verification finds every row that was changed, dropped,
inserted
or swapped. Rows cut off at the end, and a chain rebuilt from its start, are found only with a head kept elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from console.failpoints import failpoint
from console.store.db.session import Session
from console.text.cleaning import clean_line

AUDIT_COLUMNS = ("seq", "at_us", "actor", "origin", "verb", "object", "detail", "why", "prev_hash", "hash")
SELECT_AUDIT = f"SELECT {', '.join(AUDIT_COLUMNS)} FROM audit"  # noqa: S608  (our own names)


HEAD_KEY = "audit_head"
"""The row of `meta` that the database itself writes with every audit row: "seq hash"."""
_INSERT = f"INSERT INTO audit ({', '.join(AUDIT_COLUMNS)}) VALUES ({', '.join('?' * len(AUDIT_COLUMNS))})"  # noqa: S608
_MAX_STORED = 4_000
"""Characters of one text at most: a log of 10 MB is no reason."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the audit, as it is stored."""

    seq: int
    at_us: int
    actor: str
    origin: str
    verb: str
    object: str
    detail: str
    why: str
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What a look at the whole chain found. `bad` is the seq of the first row that is wrong or gone; None: none is."""

    rows: int
    head: str
    bad: int | None = None
    words: str = ""
    unguarded: tuple[str, ...] = ()
    """Triggers of the database that keep the audit append only, and are gone: rows can be changed, or were."""


def entry_hash(prev_hash: str, values: Sequence[Any]) -> str:
    """The hash of a row: SHA-256 over the hash before it and the row's values, seq to why, as compact JSON in UTF-8.

    PostgreSQL computes the same for logins that are not the engine's (`headway store grants`)."""
    import hashlib  # noqa: PLC0415 - 3 ms that no first paint needs

    text = json.dumps(list(values), ensure_ascii=False, separators=(",", ":"), default=repr)
    return hashlib.sha256((prev_hash + text).encode("utf-8", "surrogatepass")).hexdigest()


def append(
    session: Session,
    at_us: int,
    actor: str,
    origin: str,
    verb: str,
    about: str,
    detail: Mapping[str, Any],
    why: str = "",
) -> None:
    """One row more, in the caller's transaction, which must hold the writers' lock (SQLite: BEGIN IMMEDIATE).

    `about`: the job, plan, switch or file that it was done to. `detail` is kept as JSON; secrets are masked by then."""
    last = session.rows("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", ())
    seq, prev = (int(last[0][0]) + 1, str(last[0][1])) if last else (1, "")
    texts = [clean_line(one, _MAX_STORED) for one in (actor, origin, verb, about)]
    values = (seq, at_us, *texts, json.dumps(detail, sort_keys=True, default=str), clean_line(why, _MAX_STORED))
    failpoint("audit.before_append")
    session.rows(_INSERT, (*values, prev, entry_hash(prev, values)))


def verify_chain(rows: Iterable[Sequence[Any]], noted: str = "", head: str = "") -> ChainVerdict:
    """Whether the chain is whole. `rows`: of SELECT_AUDIT, by seq. `noted`: what `meta` says was the last ("seq hash").

    `head`: a hash that was kept elsewhere ("seq:hash", or the hash alone); it must be found in the chain, in that row.
    """
    kept, count, last, found = head.rpartition(":")[2], 0, "", 0
    for row in rows:
        link = AuditEntry(*row)
        count += 1
        wrong = _entry_fault(link, count, last)
        if wrong is not None:
            return ChainVerdict(count, last, *wrong)
        last = link.hash
        found = count if last == kept else found
    return _verify_end(count, last, noted, head, found)


def _entry_fault(link: AuditEntry, expected: int, last: str) -> tuple[int, str] | None:
    if link.seq != expected:
        return expected, f"row {expected} is gone: row {link.seq} stands in its place"
    if link.prev_hash != last:
        return link.seq, f"row {link.seq} does not follow the row before it: one of them was exchanged"
    values = (link.seq, link.at_us, link.actor, link.origin, link.verb, link.object, link.detail, link.why)
    if link.hash != entry_hash(last, values):
        return link.seq, f"row {link.seq} was changed after it was written"
    return None


def _verify_end(count: int, last: str, noted: str, head: str, found: int) -> ChainVerdict:
    seq, _, digest = noted.partition(" ")
    if noted and (seq, digest) != (str(count), last):
        return ChainVerdict(
            count, last, count + 1, f"the store noted row {seq} as the last, and row {count} is: rows were cut"
        )
    if not noted and count:
        return ChainVerdict(count, last, count, "the store's note of its last row was removed")
    return _verify_head(ChainVerdict(count, last), head, found)


def _verify_head(whole: ChainVerdict, head: str, found: int) -> ChainVerdict:
    """The verdict on a whole chain, beside a head that was kept elsewhere; `found`: the row of its hash, 0 for none."""
    place = head.partition(":")[0] if ":" in head else "?"
    row = int(place) if place.isascii() and place.isdigit() else 0
    if head and not found:
        words = f"the head that was kept elsewhere (row {place}) is not in this chain: it was cut there, or made anew"
        return replace(whole, bad=row or whole.rows + 1, words=words)
    if ":" in head and row != found:
        words = f"the head that was kept elsewhere names row {place}, and its hash is row {found}'s: one is mistyped"
        return replace(whole, bad=row, words=words)
    return whole


ENGINE_ACTOR = "headway"
"""The actor where the engine itself decides: a refusal, an outcome, a config that changed."""
ENGINE_ORIGIN = "engine"
_VERB_TEXT = {
    "sending": "send {verb}",
    "sent": "accepted {verb}",
    "refused": "refuse {verb}",
    "unknown": "lost sight of {verb}",
    "verified": "verified {verb}",
    "failed": "failed {verb}",
}
"""State an action comes into -> what the audit calls it."""


def append_action_state(session: Session, key: str, was: str, state: str, now_us: int) -> None:
    """That an action came from one state into another, as its row says now; nothing where it only waits on."""
    found = session.rows(
        "SELECT a.verb, a.requested_by, a.why, a.preview, a.words, a.native_ref, a.origin, a.approved_by, j.name"
        " FROM action a JOIN job j ON j.id = a.job_id WHERE a.key = ?",
        (key,),
    )
    if not found or was == state or state not in _VERB_TEXT:
        return
    verb, by, why, preview, words, native_ref, origin, approved_by, job = found[0]
    detail: dict[str, Any] = {"key": key, "asked_by": by, "as": origin, "words": words}
    if state == "sending":
        shown = json.loads(preview)
        detail |= {"sends": shown.get("native_calls", []), "scope": shown.get("scope", ""), "approved_by": approved_by}
    elif native_ref:
        detail["native_ref"] = native_ref
    append(session, now_us, ENGINE_ACTOR, ENGINE_ORIGIN, _VERB_TEXT[state].format(verb=verb), job, detail, why)


def append_config_change(session: Session, at_us: int, before: str, after: str) -> None:
    """That the engine works by another config from here on: digests of its files before and after."""
    if before != after:
        append(
            session,
            at_us,
            ENGINE_ACTOR,
            ENGINE_ORIGIN,
            "change config",
            "config",
            {"before": before, "after": after},
        )


@dataclass(frozen=True, slots=True)
class ChangeOrigin:
    """Who says it, from where, when and why."""

    by: str
    origin: str
    why: str
    now_us: int
