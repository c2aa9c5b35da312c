"""`headway restore FILE`: a copy in the place of the store, frozen, so that nothing is done a second time."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from console.cli.backup import file_of, words
from console.cli.common import Stop, print_json, say, say_lines
from console.cli.exits import Exit
from console.engine.emergency import Emergency
from console.engine.origin import where_from
from console.store.backup import restore
from console.store.errors import StoreError, StoreMissing, StoreTooNew, StoreUnusable
from console.store.reads import open_reads
from console.store.reads.holders import living_holder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a copy that `headway backup` made")
    parser.add_argument("--replace", action="store_true", help="move the store that is there aside")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    store = file_of(arguments)
    _refuse_while_watched(store)
    _require_right(store)
    found, moved = restore(arguments.file, store, where_from(), datetime.now(UTC), arguments.replace)
    if arguments.json:
        print_json(arguments, {"restored": found, "moved_aside": moved})
    else:
        say_lines([f"{store}: {words(found)}"])
    if moved is not None:
        say(f"what was there is now {moved}")
    say("frozen: look at headway holds and at what was under way (headway audit), then headway freeze --off")
    return Exit.OK


def _require_right(store: Path) -> None:
    """Raises NotAllowed where the table of rights of the store that is there says no, StoreTooNew where only a newer
    Headway can read that. One that is not there, or cannot be read, has none: then it is the file system's matter."""
    try:
        Emergency(str(store)).ask_restore()
    except StoreMissing:
        return
    except StoreTooNew:
        raise
    except StoreUnusable as error:
        say(f"its rights cannot be asked ({error}): whoever can write the file may replace it")


def _refuse_while_watched(store: Path) -> None:
    """Raises Stop while an engine works on the store. One that cannot be read is no reason to keep it."""
    try:
        with open_reads(str(store)) as reads:
            engine = reads.engine()
    except StoreError:
        return
    if engine.alive or living_holder(engine.holder, engine.since) is not None:
        raise Stop(Exit.REFUSED, f"an engine works on {store} ({engine.holder}): headway engine stop, then restore")
