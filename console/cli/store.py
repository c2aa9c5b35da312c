"""The store: its size, a verified backup while it is in use, and restore from one."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from console.cli.clock_format import timestamp
from console.cli.commands import JSON, Handler, flag, option
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, counted, print_message, print_result, table
from console.cli.reader import load_valid_config, store_reader, store_url_of
from console.domain.settings import RetentionRules
from console.engine.api.emergency import EmergencyAccess
from console.engine.api.origin import request_origin
from console.store.db.backup import CopySummary, back_up, engine_at_work, restore
from console.store.db.read_connection import POSTGRES_URLS
from console.store.errors import StoreError, StoreGone, StoreMissing, StoreTooNew, StoreUnusable
from console.store.queries import open_queries

POSTGRES_HINT = (
    "back up a store on PostgreSQL with PostgreSQL's own tools: "
    "pg_dump --format=custom, pg_restore; or base backups with the archived log"
)

EVIDENCE_NOTE = (
    "the audit log of this store is broken: {}. The copy was made as evidence; do not restore it. "
    "Next: headway audit verify"
)


def run_backup(arguments: argparse.Namespace) -> int:
    summary = back_up(store_file(arguments), arguments.file, arguments.replace)
    print_result(arguments, summary, [f"{arguments.file}: {backup_summary(summary)}"])
    if summary.broken:
        print_message(f"headway: {EVIDENCE_NOTE.format(summary.broken)}")
    return Exit.PROBLEM if summary.broken else Exit.OK


def store_file(arguments: argparse.Namespace) -> Path:
    """The file of the store. Raises CommandError for a store on PostgreSQL."""
    url = store_url_of(arguments)
    if url.startswith(POSTGRES_URLS):
        raise CommandError(Exit.REFUSED, POSTGRES_HINT)
    return Path(url.removeprefix("sqlite:///")).expanduser()


def backup_summary(summary: CopySummary) -> str:
    """The content of a copy: "12 jobs, 1,000 runs, data until …; intact; audit log of 4 rows, intact, head 8c1f…"."""
    newest = f"data until {timestamp(summary.newest)}" if summary.newest else "no data yet"
    content = f"{counted(summary.jobs, 'job')}, {counted(summary.runs, 'run')}, {newest}"
    if summary.broken:
        return f"{content}; its audit log is BROKEN: {summary.broken}"
    head = f", head {summary.audit}:{summary.head}" if summary.head else ""
    return f"{content}; intact; audit log of {summary.audit:,} rows, intact{head}"


def run_restore(arguments: argparse.Namespace) -> int:
    store = store_file(arguments)
    _refuse_while_engine_runs(store)
    _require_restore_right(store)
    summary, moved = restore(arguments.file, store, request_origin(), datetime.now(UTC), arguments.replace)
    print_result(arguments, {"restored": summary, "moved_aside": moved}, [f"{store}: {backup_summary(summary)}"])
    if summary.foreign_objects:
        print_message(f"headway: left out, as Headway did not make it: {', '.join(summary.foreign_objects)}")
    if moved is not None:
        print_message(f"previous store moved to {moved}")
    print_message("frozen: review headway hold and headway audit, then resume with headway freeze --off")
    return Exit.OK


def _require_restore_right(store: Path) -> None:
    """Raises NotAllowed if the permissions of the existing store deny it, StoreTooNew if only a newer Headway can read
    them. For a missing or unreadable store the permissions of the file system decide."""
    try:
        EmergencyAccess(str(store)).ask_restore()
    except (StoreMissing, StoreGone):
        return
    except StoreTooNew:
        raise
    except StoreUnusable as error:
        print_message(f"its permissions cannot be read ({error}); everybody who can write the file may replace it")


def _refuse_while_engine_runs(store: Path) -> None:
    """Raises CommandError while an engine works on the store; an unreadable store may be replaced."""
    try:
        with open_queries(str(store)) as reads:
            holder = reads.estate.working_engine()
    except StoreError:
        holder = ""
    holder = holder or engine_at_work(store)
    if holder:
        raise CommandError(Exit.REFUSED, f"an engine works on {store} ({holder}): headway engine stop, then restore")


def run_size(arguments: argparse.Namespace) -> int:
    """With --store the default rules are used: no config is read."""
    rules = RetentionRules() if arguments.store else load_valid_config(arguments).retention_rules
    with store_reader(arguments) as reads:
        tables = reads.table_sizes(rules)
    document = [{**size._asdict(), "free_size": size.free_size} for size in tables]
    sizes, free = [size.size or 0 for size in tables], [size.free_size or 0 for size in tables]
    total = f"{size_text(sum(sizes))} in all, {size_text(sum(free))} of it beyond [retention]"
    listing = table(
        tables,
        ValueColumn("table", lambda size: size.table, 8),
        ValueColumn("rows", lambda size: f"{size.rows:,}"),
        ValueColumn("size", lambda size: size_text(size.size)),
        ValueColumn("rows to delete", lambda size: f"{size.free_rows:,}" if size.free_rows else ""),
        ValueColumn("frees", lambda size: size_text(size.free_size) if size.free_rows else ""),
    )
    return print_result(arguments, document, listing, ["", total])


def size_text(size: int | None) -> str:
    """Bytes for people: "12 kB", "3.4 MB"; "?" where the database does not say."""
    if size is None:
        return "?"
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


HANDLERS = {
    "store size": Handler(run_size, JSON),
    "store backup": Handler(
        run_backup,
        option("file", "file of the copy; mode 0600", type=Path),
        flag("--replace", "replace an existing file"),
        JSON,
    ),
    "store restore": Handler(
        run_restore,
        option("file", "copy made by `headway store backup`", type=Path),
        flag("--replace", "move the existing store aside"),
        JSON,
    ),
}
