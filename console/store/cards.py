"""What people say on a job's card, as rows: config's word goes before theirs, and theirs before what was there.

Each word is one transaction with its line in the audit. Whoever asks was checked before for the right to say it; what
only an admin may say (`may_loosen`) is looked at here once more, by what stands there at that moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from console.model import cards
from console.store import audit
from console.store.muting import Said
from console.store.open import Store, next_changed_seq
from console.store.permissions import rights_of
from console.store.wire import Wire, wire

COLUMNS = "owner, runbook, rerun"
"""As `cards.FIELDS`."""


class Word(NamedTuple):
    """`value`, and what stood there before anybody said it."""

    value: str
    was: str


def words(lines: Wire) -> dict[int, dict[str, Word]]:
    """What people said of every job."""
    found: dict[int, dict[str, Word]] = defaultdict(dict)
    for job_id, field, value, was in lines.rows("SELECT job_id, field, value, was FROM job_card"):
        found[job_id][field] = Word(value, was)
    return found


def in_force(field: str, word: Word, allowed: Collection[str], otherwise: object) -> object:
    """What holds where config says nothing of the field; `otherwise`: where it lets people say nothing of it either."""
    if field in allowed:
        return word.value
    return word.was if field == "owner" else otherwise


def safety_said(store: Store, job_ids: Collection[int]) -> dict[int, tuple[str, int]]:
    """By whom and when it was said how safe a rerun is, of those jobs of which a person's word holds."""
    with store.read() as connection:
        lines = wire(connection)
        if "rerun" not in rights_of(lines.rows)[1].cards:
            return {}
        sql = (
            "SELECT c.job_id, c.said_by, c.said_us, j.config_says FROM job_card c JOIN job j ON j.id = c.job_id"
            " WHERE c.field = 'rerun'"
        )
        rows = [row for row in lines.rows(sql) if row[0] in job_ids and "rerun" not in row[3].split(",")]
    return {job_id: (by, at) for job_id, by, at, _ in rows}


def say(store: Store, fence: int | None, job_id: int, given: Mapping[str, str], may_loosen: bool, said: Said) -> str:
    """Writes these words on the card; an empty one takes back what was said. Why not, in words; empty when it is so."""
    with store.write(fence, durable=True) as connection:
        lines = wire(connection)
        rows = lines.rows(f"SELECT name, config_says, {COLUMNS} FROM job WHERE id = ?", (job_id,))  # noqa: S608
        if not rows:
            return f"there is no job {job_id}"
        name, config_says, *stand = rows[0]
        known = dict(zip(cards.FIELDS, stand, strict=True))
        before = _words_of(lines, job_id)
        refused = _refusal(name, lines, config_says, known, given, before, may_loosen)
        if not refused:
            _write(connection, lines, job_id, name, known, given, before, said)
    return refused


def _words_of(lines: Wire, job_id: int) -> dict[str, Word]:
    rows = lines.rows("SELECT field, value, was FROM job_card WHERE job_id = ?", (job_id,))
    return {field: Word(value, was) for field, value, was in rows}


def _refusal(
    name: str,
    lines: Wire,
    config_says: str,
    known: Mapping[str, str],
    given: Mapping[str, str],
    before: Mapping[str, Word],
    may_loosen: bool,
) -> str:
    allowed = rights_of(lines.rows)[1].cards
    for field, value in given.items():
        locked = cards.fault(field, value) or cards.why_locked(field, config_says.split(","), allowed)
        if locked:
            return f"{name} {field}: {locked}" if not locked.startswith(field) else locked
        if not value and field not in before:
            return f"{name} {field}: nobody has said it, so there is nothing to take back"
        then = value or before[field].was
        if field == "rerun" and not may_loosen and cards.is_looser(known[field], then):
            return f"{name}: rerun {known[field]} was asked to be {then} as if that took more; look again"
    return ""


def _write(
    connection: Connection,
    lines: Wire,
    job_id: int,
    name: str,
    known: Mapping[str, str],
    given: Mapping[str, str],
    before: Mapping[str, Word],
    said: Said,
) -> None:
    now = dict(known)
    for field, value in given.items():
        was = before[field].was if field in before else known[field]
        now[field] = value or was
        lines.rows("DELETE FROM job_card WHERE job_id = ? AND field = ?", (job_id, field))
        if value:
            lines.rows(
                "INSERT INTO job_card (job_id, field, value, was, said_by, said_us) VALUES (?, ?, ?, ?, ?, ?)",
                (job_id, field, value, was, said.by, said.now_us),
            )
    lines.rows(
        "UPDATE job SET owner = ?, runbook = ?, rerun = ?, changed_seq = ? WHERE id = ?",
        (*now.values(), next_changed_seq(connection), job_id),
    )
    detail = {field: {"was": known[field], "is": now[field]} for field in given}
    audit.append(connection, said.now_us, said.by, said.origin, "edit card", name, detail, said.why)
