"""Audit rows in a file, a JSON object per line, and their deletion from the store once they are there.

The rest of the chain stays verifiable: the store keeps number and hash of the last deleted row (the anchor), an entry
records the deletion, and the file's rows followed by the store's are the whole chain again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.store.audit import ANCHOR_KEY, AUDIT_COLUMNS, DELETE_VERB, ChangeOrigin, chain_waiting, verify_chain
from console.store.db.session import Row, Session, row_maker
from console.store.errors import NotAllowed, StoreUnusable
from console.store.meta import set_meta

OWNER_ONLY = "only the owner of the store's tables may delete audit rows. Fix: run it with the owner's login"


@dataclass(frozen=True, slots=True)
class AuditExport:
    """A verified file of audit rows."""

    file: Path
    first: int
    last: int
    """`seq` of its first and last row."""
    head: str
    """Hash of the last row."""
    sha256: str


def write_export(rows: Iterable[Sequence[Any]], file: Path, anchor: str) -> AuditExport | None:
    """Writes rows of the chain that follow the anchor ("seq hash"), reads them again and verifies them; None without
    rows. Raises StoreUnusable: the file exists or cannot be written, or the chain is broken; no file is left."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise StoreUnusable(f"{file} cannot be written: {error.strerror}") from error
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogatepass") as lines:
            for row in rows:
                entry = dict(zip(AUDIT_COLUMNS, row, strict=True))
                lines.write(json.dumps(entry, ensure_ascii=False, default=repr) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        export = _verified(file, anchor)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise StoreUnusable(f"{file} cannot be written: {error.strerror}") from error
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    if export is None:
        file.unlink()
    return export


def _verified(file: Path, anchor: str) -> AuditExport | None:
    written = list(read_export(file))
    if not written:
        return None
    first, last = written[0], written[-1]
    recorded = f"{last.seq} {last.hash}"
    verdict = verify_chain(written, recorded, anchor=anchor, is_export=True)
    if verdict.bad is not None:
        raise StoreUnusable(f"the audit log is broken: {verdict.text}. Next: headway audit verify")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return AuditExport(file, int(first.seq), verdict.rows, verdict.head, digest)


def read_export(file: Path) -> Iterator[Row]:
    """The rows of an exported file. Raises StoreUnusable for the first other line."""
    make = row_maker(AUDIT_COLUMNS)
    try:
        with file.open(encoding="utf-8", errors="surrogatepass") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    entry = json.loads(line)
                    row = make([entry[column] for column in AUDIT_COLUMNS])
                    if type(row.seq) is not int:
                        raise ValueError
                    yield row
                except (ValueError, TypeError, KeyError, RecursionError):
                    raise StoreUnusable(f"{file}: line {number} is not an exported audit row") from None
    except OSError as error:
        raise StoreUnusable(f"{file} cannot be read: {error.strerror}") from error


def delete_exported(session: Session, export: AuditExport, change: ChangeOrigin) -> int:
    """Deletes the rows of the export, in the caller's transaction, after recording it; the number of rows. Raises
    StoreUnusable if the store's chain is another one, NotAllowed."""
    if session.is_postgres and not session.rows(
        "SELECT 1 FROM pg_class WHERE oid = CAST('audit' AS regclass) AND pg_has_role(current_user, relowner, 'USAGE')"
    ):
        raise NotAllowed(OWNER_ONLY)
    last = session.first("SELECT hash FROM audit WHERE seq = ?", (export.last,))
    if last is None or last.hash != export.head:
        raise StoreUnusable(f"row {export.last} of {export.file} is not in the audit log of this store")
    chain_waiting(session)
    detail = {"anchor": f"{export.last}:{export.head}", "file": export.file.name, "sha256": export.sha256}
    change.audit(session, DELETE_VERB, f"audit rows {export.first} to {export.last}", detail)
    with _deletable(session):
        deleted = session.rows("DELETE FROM audit WHERE seq <= ? RETURNING seq", (export.last,))
    set_meta(session, {ANCHOR_KEY: f"{export.last} {export.head}"})
    return len(deleted)


@contextmanager
def _deletable(session: Session) -> Iterator[None]:
    """Lifts the trigger that refuses to delete audit rows; a transaction that fails has it again."""
    if session.is_postgres:
        session.rows("ALTER TABLE audit DISABLE TRIGGER audit_refuses")
        yield
        session.rows("ALTER TABLE audit ENABLE TRIGGER audit_refuses")
        return
    trigger = session.first("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'audit_refuses_delete'")
    if trigger is None:
        raise StoreUnusable("the audit log is not append-only: a trigger is missing. Next: headway audit verify")
    session.rows("DROP TRIGGER audit_refuses_delete")
    yield
    session.rows(trigger.sql)
