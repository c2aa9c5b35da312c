"""`headway audit`: who did what, when, from where, why, what came back; `verify` it; the `head` to keep elsewhere."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from console.cli.common import Stop, now_of, positive_number, print_json, reading, say, say_lines, stamp
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.durations import parse_duration

if TYPE_CHECKING:
    from console.store.reads.audit import AuditRow

OPEN_ESTATE = (
    "config has no [[permissions]]: whoever can write this store may do everything (docs/security.md says how to limit)"
)
UNGUARDED = (
    "the database does not keep the audit append only any more; of its triggers are gone or turned off: {}. Somebody"
    " who may change its tables did that: verify with --head, kept outside of this store"
)
COLUMNS = (
    Col("row", drop=2), Col("at"), Col("who", 8), Col("from", drop=1), Col("did", 16), Col("to", 12, middle=True),
    Col("why", 10), Col("came of it", 16),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=["list", "verify", "head"], default="list")
    parser.add_argument("--since", metavar="WHEN", help='"2h", "3d", or an instant: 2026-11-20T03:00Z')
    parser.add_argument("--actor", default="", metavar="WHO", help="only this person's rows")
    parser.add_argument("--object", default="", metavar="TEXT", help="only rows about a job, plan or switch with it")
    parser.add_argument("--limit", type=positive_number, default=200, metavar="N", help="the latest N rows (200)")
    parser.add_argument("--head", default="", metavar="HASH", help="verify: a head that was kept elsewhere")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.head and arguments.what != "verify":
        raise Stop(Exit.USAGE, "--head goes with verify: headway audit verify --head HASH; nothing was verified")
    return {"list": show, "verify": verify, "head": head}[arguments.what](arguments)


def show(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        since = since_of(arguments.since, now_of(reads))
        rows = reads.audit(since, arguments.actor, arguments.object, arguments.limit)
    if arguments.json:
        print_json(arguments, rows)
        return Exit.OK
    print_table(COLUMNS, [_cells(one) for one in rows])
    return Exit.OK


def _cells(one: AuditRow) -> Sequence[str]:
    return (str(one.seq), stamp(one.at), one.actor, one.origin or "–", one.verb, one.object, one.why or "–", _said(one))


def _said(one: AuditRow) -> str:
    """A refusal's reason, or what came back: last, since it may be long."""
    return str(one.detail.get("refused") or one.detail.get("words") or "–")


def verify(arguments: argparse.Namespace) -> int:
    """Whether nothing was changed, dropped, put in, swapped or cut since it was written, nor can be."""
    if arguments.head and re.fullmatch(r"(\d{1,18}:)?[0-9a-f]{64}", arguments.head) is None:
        raise Stop(Exit.USAGE, '--head takes what "headway audit head" printed: ROW:HASH, 64 hex digits')
    with reading(arguments) as reads:
        found, is_open = reads.verify_audit(arguments.head), not reads.has_permissions()
    if arguments.json:
        print_json(arguments, found)
    elif found.bad is None:
        kept = ", but UNGUARDED" if found.unguarded else ""
        say_lines([f"{found.rows} row{'s' * (found.rows != 1)}, unbroken{kept}; the last is {found.head or 'none'}"])
        if not arguments.head:
            say("a cut at the end and a chain made anew are found only with --head, kept outside of this store")
    else:
        say_lines([f"NOT WHOLE at row {found.bad}: {found.words}"])
    if found.unguarded:
        say(f"headway: {UNGUARDED.format(', '.join(found.unguarded))}")
    if is_open:
        say(f"headway: {OPEN_ESTATE}")
    return Exit.OK if found.bad is None and not found.unguarded else Exit.PROBLEM


def head(arguments: argparse.Namespace) -> int:
    """The last row's number and hash: kept elsewhere, it proves later that nothing up to it was touched."""
    with reading(arguments) as reads:
        found = reads.audit_head()
    if not found:
        raise Stop(Exit.NOT_FOUND, "the audit has no row yet")
    if arguments.json:
        print_json(arguments, {"head": found})
    else:
        say_lines([found])
    return Exit.OK


def since_of(text: str | None, now: datetime) -> datetime | None:
    """An instant, or that long before now. Raises Stop for anything else."""
    if text is None:
        return None
    try:
        return now - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Stop(Exit.USAGE, f'--since {text[:40]!a} is neither "2h" nor an instant: 2026-11-20T03:00Z') from None
