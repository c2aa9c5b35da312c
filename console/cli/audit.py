"""The audit log: list its entries, verify that no row was changed or removed, export old rows."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path

from console.cli.arguments import positive_number
from console.cli.clock_format import timestamp
from console.cli.commands import JSON, Handler, flag, option
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, print_message, print_result, table
from console.cli.reader import store_reader, store_url_of
from console.engine.api.emergency import EmergencyAccess
from console.store.errors import NotAllowed
from console.timing.durations import parse_duration

OPEN_ESTATE_NOTE = (
    "config has no [[permissions]]: everybody who can write this store has every permission. Fix: docs/security.md"
)
FOREIGN_NOTE = (
    "the store holds objects or grants that Headway did not make, which may read it or write in the name of any user:"
    " {}. Fix: remove them; on PostgreSQL then run what `headway store grants` prints"
)
UNGUARDED_NOTE = (
    "the audit log is no longer append-only: triggers missing or disabled: {}. A user with rights on its"
    " tables did that. Fix: verify with --head, stored outside of this store"
)


def list_audit(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        since = audit_since(arguments.since, reads.now())
        entries = reads.audit.list_entries(since, arguments.actor, arguments.object, arguments.limit)
    rows = table(
        entries,
        ValueColumn("row", lambda row: str(row.seq), drop=2),
        ValueColumn("at", lambda row: timestamp(row.at)),
        ValueColumn("actor", lambda row: row.actor, 8),
        ValueColumn("from", lambda row: row.origin or "–", drop=1),
        ValueColumn("action", lambda row: row.verb, 16),
        ValueColumn("object", lambda row: row.object, 12, middle=True),
        ValueColumn("why", lambda row: row.why or "–", 10),
        ValueColumn("outcome", lambda row: str(row.detail.get("refused") or row.detail.get("text") or "–"), 16),
    )
    return print_result(arguments, entries, rows)


def verify_audit(arguments: argparse.Namespace) -> int:
    """Verifies that no row was changed, removed, inserted, swapped or truncated, and that none can be."""
    if arguments.head and re.fullmatch(r"(\d{1,18}:)?[0-9a-f]{64}", arguments.head) is None:
        raise CommandError(Exit.USAGE, '--head takes what "headway audit head" printed: ROW:HASH, 64 hex digits')
    with store_reader(arguments) as reads:
        chain = reads.audit.verify_audit(arguments.head, arguments.export or ())
        is_open = not reads.approvals.has_permissions()
    missing_triggers = ", but not append-only: triggers are missing or disabled" if chain.missing_triggers else ""
    deleted = f", the first {chain.deleted:,} exported and deleted" if chain.deleted else ""
    intact = (
        f"{chain.rows} row{'s' * (chain.rows != 1)}{deleted}, intact{missing_triggers}; head {chain.head or 'none'}"
    )
    print_result(arguments, chain, [intact if chain.bad is None else f"BROKEN at row {chain.bad}: {chain.text}"])
    if chain.bad is None and not arguments.head and not arguments.json:
        print_message("truncation and a rebuilt chain are detected only with --head, stored outside of this store")
    if chain.missing_triggers:
        print_message(f"headway: {UNGUARDED_NOTE.format(', '.join(chain.missing_triggers))}")
    if chain.foreign_objects:
        print_message(f"headway: {FOREIGN_NOTE.format(', '.join(chain.foreign_objects))}")
    if is_open:
        print_message(f"headway: {OPEN_ESTATE_NOTE}")
    is_guarded = not (chain.missing_triggers or chain.foreign_objects)
    return Exit.OK if chain.bad is None and is_guarded else Exit.PROBLEM


def print_audit_head(arguments: argparse.Namespace) -> int:
    """Prints the last row's number and hash; stored elsewhere, it proves later that no row up to it was changed."""
    with store_reader(arguments) as reads:
        head = reads.audit.audit_head()
    if not head:
        raise CommandError(Exit.NOT_FOUND, "the audit log is empty")
    return print_result(arguments, {"head": head}, [head])


def export_audit(arguments: argparse.Namespace) -> int:
    """Writes audit rows into a file; with --delete they are then deleted from the store."""
    if arguments.delete and arguments.before is None:
        raise CommandError(Exit.USAGE, "--delete needs the age of the rows. Fix: add --before 400d, or another age")
    with store_reader(arguments) as reads:
        export = reads.audit.export(arguments.file, audit_since(arguments.before, reads.now(), "--before"))
    if export is None:
        raise CommandError(Exit.NOT_FOUND, "the audit log has no such rows")
    try:
        deleted = (
            EmergencyAccess(store_url_of(arguments)).delete_audit(export, arguments.why) if arguments.delete else 0
        )
    except NotAllowed:  # nothing was deleted
        export.file.unlink()
        raise
    text = f"{export.file}: rows {export.first} to {export.last}, intact; head {export.last}:{export.head}"
    print_result(arguments, {"export": export, "deleted": deleted}, [text])
    if deleted:
        how = f"headway audit verify --export {export.file}"
        print_message(f"{deleted} row{'s' * (deleted != 1)} deleted from the store; keep the file: {how}")
    return Exit.OK


def audit_since(text: str | None, now: datetime, named: str = "--since") -> datetime | None:
    """An instant, or a duration before now; UTC by default. Raises CommandError for any other text."""
    if text is None:
        return None
    try:
        return now - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError(
            Exit.USAGE, f"{named} {text[:40]!a} is not a duration or time; write 2h or 2026-11-20T03:00Z"
        ) from None


HANDLERS = {
    "audit": Handler(
        list_audit,
        option("--since", '"2h", "3d", or a time: 2026-11-20T03:00Z', "WHEN"),
        option("--actor", "only actions of this person", "WHO", default=""),
        option("--object", "only rows whose job, plan or switch contains this text", "TEXT", default=""),
        option("--limit", "the latest N rows (200)", "N", type=positive_number, default=200),
        JSON,
    ),
    "audit verify": Handler(
        verify_audit,
        option("--head", "a head stored outside of this store", "HASH", default=""),
        option(
            "--export",
            "file of exported rows; repeat per file, oldest first",
            "FILE",
            type=Path,
            action="append",
        ),
        JSON,
    ),
    "audit export": Handler(
        export_audit,
        option("file", "new file, a JSON object per row; mode 0600", type=Path),
        option("--before", 'only rows older than this: "400d", or a time', "WHEN"),
        flag("--delete", "then delete these rows from the store; the rest stays verifiable"),
        option("--why", "with --delete: reason for the audit log", "TEXT", default=""),
        JSON,
    ),
    "audit head": Handler(print_audit_head, JSON),
}
