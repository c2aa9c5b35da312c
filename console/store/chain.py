"""The audit's chain: each row's hash covers the row and the hash before it. Whoever writes or verifies does it here.

What is found: any row that was changed, dropped, put in or swapped. What only a head kept elsewhere finds: rows cut off
at the end, and a chain that was made anew from its start. Standard library only: who asks pays for no more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from console.clean import clean_line
from console.failpoints import failpoint

Run = Callable[[str, Sequence[Any]], list[Any]]
"""Runs one statement with `?` for its values in the caller's transaction, and gives its rows."""

COLUMNS = ("seq", "at_us", "actor", "origin", "verb", "object", "detail", "why", "prev_hash", "hash")
SELECT = f"SELECT {', '.join(COLUMNS)} FROM audit"  # noqa: S608  (our own names)
WRITER_LOCK = 0x48454144
"""PostgreSQL's advisory lock of whoever writes, the engine and those who ask: one after another, so that changed_seq
follows commits, nobody asks twice at once, and the audit is one chain."""
LOCKED = "SELECT set_config('idle_in_transaction_session_timeout', '10s', true), pg_advisory_xact_lock(%s)"
"""Takes that lock. A writer that lost its line loses its transaction after ten seconds, not when TCP gives up."""
HEAD = "audit_head"
"""The row of `meta` that the database itself writes with every audit row: "seq hash"."""
_INSERT = f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_STORED = 4_000
"""Characters of one text at most: a log of 10 MB is no reason."""


@dataclass(frozen=True, slots=True)
class Link:
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
class Verdict:
    """What a look at the whole chain found. `bad` is the seq of the first row that is wrong or gone; None: none is."""

    rows: int
    head: str
    bad: int | None = None
    words: str = ""
    unguarded: tuple[str, ...] = ()
    """Triggers of the database that keep the audit append only, and are gone: rows can be changed, or were."""


def sealed(prev_hash: str, values: Sequence[Any]) -> str:
    """The hash of a row: SHA-256 over the hash before it and the row's values, seq to why, as compact JSON in UTF-8.

    PostgreSQL computes the same for logins that are not the engine's (`headway grants store`)."""
    import hashlib  # noqa: PLC0415 - 3 ms that no first paint needs

    text = json.dumps(list(values), ensure_ascii=False, separators=(",", ":"), default=repr)
    return hashlib.sha256((prev_hash + text).encode("utf-8", "surrogatepass")).hexdigest()


def append(
    run: Run, at_us: int, actor: str, origin: str, verb: str, about: str, detail: Mapping[str, Any], why: str = ""
) -> None:
    """One row more, in the caller's transaction, which must hold the writers' lock (SQLite: BEGIN IMMEDIATE).

    `about`: the job, plan, switch or file that it was done to. `detail` is kept as JSON; secrets are masked by then."""
    last = run("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", ())
    seq, prev = (int(last[0][0]) + 1, str(last[0][1])) if last else (1, "")
    texts = [clean_line(one, _STORED) for one in (actor, origin, verb, about)]
    values = (seq, at_us, *texts, json.dumps(detail, sort_keys=True, default=str), clean_line(why, _STORED))
    failpoint("audit.before_append")
    run(_INSERT, (*values, prev, sealed(prev, values)))


def verify(rows: Iterable[Sequence[Any]], noted: str = "", head: str = "") -> Verdict:
    """Whether the chain is whole. `rows`: of `SELECT`, by seq. `noted`: what `meta` says was the last ("seq hash").

    `head`: a hash that was kept elsewhere ("seq:hash", or the hash alone); it must be found in the chain, in that row.
    """
    kept, count, last, found = head.rpartition(":")[2], 0, "", 0
    for row in rows:
        link = Link(*row)
        count += 1
        wrong = _wrong(link, count, last)
        if wrong is not None:
            return Verdict(count, last, *wrong)
        last = link.hash
        found = count if last == kept else found
    return _end(count, last, noted, head, found)


def _wrong(link: Link, expected: int, last: str) -> tuple[int, str] | None:
    if link.seq != expected:
        return expected, f"row {expected} is gone: row {link.seq} stands in its place"
    if link.prev_hash != last:
        return link.seq, f"row {link.seq} does not follow the row before it: one of them was exchanged"
    values = (link.seq, link.at_us, link.actor, link.origin, link.verb, link.object, link.detail, link.why)
    if link.hash != sealed(last, values):
        return link.seq, f"row {link.seq} was changed after it was written"
    return None


def _end(count: int, last: str, noted: str, head: str, found: int) -> Verdict:
    seq, _, digest = noted.partition(" ")
    if noted and (seq, digest) != (str(count), last):
        return Verdict(
            count, last, count + 1, f"the store noted row {seq} as the last, and row {count} is: rows were cut"
        )
    if not noted and count:
        return Verdict(count, last, count, "the store's note of its last row was removed")
    return _unless_kept(Verdict(count, last), head, found)


def _unless_kept(whole: Verdict, head: str, found: int) -> Verdict:
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
