"""The audit: actor, verb, object, time, origin, reason and result. Append only, hash-chained.

Each row's hash covers the row and the hash before it, so that verification finds each changed, dropped, inserted or
swapped row. A cut end, or a rebuilt chain, is found only with a head kept elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.failpoints import failpoint
from console.store.db.session import Session
from console.text.cleaning import clean_line

AUDIT_COLUMNS = ("seq", "at_us", "actor", "origin", "verb", "object", "detail", "why", "prev_hash", "hash")
SELECT_AUDIT = f"SELECT {', '.join(AUDIT_COLUMNS)} FROM audit"  # noqa: S608  (our own names)

HEAD_KEY = "audit_head"
"""Key in `meta` that the database itself writes with each audit row: "seq hash"."""
ANCHOR_KEY = "audit_anchor"
"""Key in `meta`: "seq hash" of the last row that was exported and deleted."""
DELETE_VERB = "delete exported audit rows"
"""Its detail names the anchor as "seq:hash"."""
_INSERT = f"INSERT INTO audit ({', '.join(AUDIT_COLUMNS)}) VALUES ({', '.join('?' * len(AUDIT_COLUMNS))})"  # noqa: S608
_MAX_STORED = 4_000
"""Maximum length of one text."""
_MAX_DIGITS = 18
"""Of a row's number."""
_MAX_CHAINED = 100
"""Entries of clients that one transaction appends: the engine's other writers wait for it."""


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """Result of verifying the whole chain."""

    rows: int
    head: str
    bad: int | None = None
    """The seq of the first wrong or missing row; None: the chain is intact."""
    text: str = ""
    missing_triggers: tuple[str, ...] = ()
    foreign_objects: tuple[str, ...] = ()
    """Triggers, grants and other objects of the database that Headway did not make: they may write in the name of any
    user."""
    """Missing triggers of those that keep the audit append only."""
    deleted: int = 0
    """Rows that were exported and deleted, and not verified."""


def entry_hash(prev_hash: str, values: Sequence[Any]) -> str:
    """SHA-256 over the hash before it and the row's values, seq to why, as compact JSON in UTF-8."""
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
    """Adds one row within the caller's transaction, which must hold the writers' lock (SQLite: BEGIN IMMEDIATE).

    `about`: the job, plan, switch or file acted on. Secrets in `detail` are masked already."""
    if session.is_restricted:
        session.rows(
            "SELECT headway_record(?, ?, ?, ?, ?)", (verb, about, json.dumps(detail, default=str), why, origin)
        )
        return
    chain_waiting(session)
    _append(session, at_us, actor, origin, verb, about, detail, why)


def chain_waiting(session: Session) -> None:
    """Appends the entries that clients of a shared store left (grants.sql), under the writers' lock of the caller."""
    if not session.is_postgres:
        return
    entries = session.rows(
        "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE state = 'unchained' ORDER BY id LIMIT ?)"
        " RETURNING id, requested_us, requested_by, arguments",
        (_MAX_CHAINED,),
    )
    for row in sorted(entries):
        arguments = json.loads(row.arguments)
        texts = (arguments[name] for name in ("origin", "verb", "object", "detail", "why"))
        _append(session, row.requested_us, row.requested_by, *texts)


def _append(
    session: Session, at_us: int, actor: str, origin: str, verb: str, about: str, detail: Mapping[str, Any], why: str
) -> None:
    last = session.first("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
    seq, prev_hash = (1, "") if last is None else (int(last.seq) + 1, str(last.hash))
    texts = [clean_line(text, _MAX_STORED) for text in (actor, origin, verb, about)]
    values = (seq, at_us, *texts, json.dumps(detail, sort_keys=True, default=str), clean_line(why, _MAX_STORED))
    failpoint("audit.before_append")
    session.rows(_INSERT, (*values, prev_hash, entry_hash(prev_hash, values)))


def row_number(text: str) -> int | None:
    """The number that the text is; None for any other, which a login that can write `meta` may have put there."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def verify_chain(
    rows: Iterable[Sequence[Any]], recorded: str = "", head: str = "", anchor: str = "", *, is_export: bool = False
) -> ChainVerdict:
    """Verifies the chain. `rows`: of SELECT_AUDIT, by seq; `recorded`: the last row by `meta` ("seq hash"); `head`: a
    hash kept elsewhere ("seq:hash", or only the hash), which must be in the chain, in that row; `anchor`: the last
    exported and deleted row by `meta`, which an entry must record, unless these rows are of such an export."""
    first, _, last = anchor.partition(" ")
    count = row_number(first) or 0
    head_hash, anchor_row, is_recorded = head.rpartition(":")[2], count, is_export or not anchor
    head_row = count if last and last == head_hash else 0
    for entry in rows:
        *values, prev_hash, row_hash = entry
        seq, count = values[0], count + 1
        is_recorded = is_recorded or (values[4] == DELETE_VERB and f'"{anchor.replace(" ", ":")}"' in values[6])
        if seq != count:
            return ChainVerdict(count, last, count, f"row {count} is missing: row {seq} is in its place")
        if prev_hash != last:
            text = f"row {seq} does not follow the row before it: one of them was exchanged"
            return ChainVerdict(count, last, seq, text)
        if row_hash != entry_hash(last, values):
            return ChainVerdict(count, last, seq, f"row {seq} was changed after it was written")
        last = row_hash
        head_row = count if last == head_hash else head_row
    if not is_recorded:
        return ChainVerdict(count, last, 1, f"rows 1 to {anchor_row} are missing, and no entry records their export")
    recorded_row, _, recorded_hash = recorded.partition(" ")
    if recorded and (recorded_row, recorded_hash) != (str(count), last):
        recorded_count = row_number(recorded_row)
        is_longer = recorded_count is not None and recorded_count < count
        how = "rows were added past that record" if is_longer else "rows were cut"
        text = f"the store recorded row {recorded_row} as the last, and row {count} is: {how}"
        return ChainVerdict(count, last, (recorded_count or 0) + 1 if is_longer else count + 1, text)
    if not recorded and count:
        return ChainVerdict(count, last, count, "the store's record of its last row was removed")
    place = head.partition(":")[0] if ":" in head else "?"
    expected_row = row_number(place) or 0
    if head and not head_row and expected_row < anchor_row:
        text = f"rows 1 to {anchor_row} were exported and deleted. Fix: name their files with --export"
        return ChainVerdict(count, last, expected_row or 1, text)
    if head and not head_row:
        text = f"the head that was kept elsewhere (row {place}) is not in this chain: it was cut there, or rebuilt"
        return ChainVerdict(count, last, expected_row or count + 1, text)
    if ":" in head and expected_row != head_row:
        text = f"the head that was kept elsewhere names row {place}, and its hash is row {head_row}'s: one is mistyped"
        return ChainVerdict(count, last, expected_row, text)
    return ChainVerdict(count, last, deleted=anchor_row)


ENGINE_ACTOR = "headway"
"""The actor of the engine's own decisions: a refusal, an outcome, a changed config."""
ENGINE_ORIGIN = "engine"
_VERB_TEXT = {
    "sending": "send {verb}",
    "sent": "accepted {verb}",
    "refused": "refuse {verb}",
    "unknown": "lost sight of {verb}",
    "verified": "verified {verb}",
    "failed": "failed {verb}",
}
"""New state of an action -> its verb in the audit."""


def append_action_state(session: Session, key: str, was: str, state: str, now_us: int, code: str = "") -> None:
    """Records an action's transition, with its row as it is now and the code of a refusal; nothing for states without
    a verb here."""
    action = session.first(
        "SELECT a.verb, a.requested_by, a.why, a.preview, a.text, a.native_ref, a.origin, a.approved_by,"
        " a.first_approver, j.name AS job FROM action a JOIN job j ON j.id = a.job_id WHERE a.key = ?",
        (key,),
    )
    if action is None or was == state or state not in _VERB_TEXT:
        return
    detail = {"key": key, "requested_by": action.requested_by, "as": action.origin, "text": action.text}
    if state == "sending":
        preview = json.loads(action.preview)
        detail |= {"sends": preview.get("native_calls", []), "scope": preview.get("scope", "")}
        detail |= {"approved_by": action.approved_by, "first_approver": action.first_approver}
    elif action.native_ref:
        detail["native_ref"] = action.native_ref
    if code:
        detail["code"] = code
    verb = _VERB_TEXT[state].format(verb=action.verb)
    append(session, now_us, ENGINE_ACTOR, ENGINE_ORIGIN, verb, action.job, detail, action.why)


def append_config_change(session: Session, at_us: int, before: str, after: str) -> None:
    """Records that the engine uses another config; `before` and `after`: digests of its files."""
    if before != after:
        detail = {"before": before, "after": after}
        append(session, at_us, ENGINE_ACTOR, ENGINE_ORIGIN, "change config", "config", detail)


@dataclass(frozen=True, slots=True)
class ChangeOrigin:
    """A person's change: user, origin, time and reason."""

    by: str
    origin: str
    why: str
    now_us: int

    def audit(self, session: Session, verb: str, about: str, detail: Mapping[str, Any]) -> None:
        append(session, self.now_us, self.by, self.origin, verb, about, detail, self.why)
