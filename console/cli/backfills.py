"""`headway backfill [JOB] --list`: the schedulers' own backfills that are under way, asked of them now."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from connectors import registry
from connectors.words import Verb
from console.cli.asking import ANSWER_SECONDS, answered, require_engine
from console.cli.common import Stop, print_json, reading, say
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.engine.requests import Requests
from console.engine.wishes import Wish
from console.model.filters import JobFilter
from console.store.reads import Reads

LIST = {"do": "list"}
COLUMNS = (
    Col("job", 18, middle=True), Col("backfill"), Col("state"), Col("from"), Col("to"), Col("at once", drop=1),
    Col("made", drop=2),
)  # fmt: skip


def listed(arguments: argparse.Namespace) -> int:
    """Those of the job, or of all systems that have such a thing; the exit code."""
    with reading(arguments) as reads:
        asked = [_of_job(reads, arguments.name)] if arguments.name else list(_of_systems(reads))
    requests, found, failed = require_engine(arguments), list[dict[str, Any]](), False
    for system, job_id, of in asked:
        try:
            found += _told(
                arguments, requests, system, Wish(Verb.BACKFILL, job_id=job_id, parameters={**LIST, "of": of})
            )
        except Stop as why:
            if arguments.name or why.code != Exit.REFUSED:
                raise
            say(str(why))
            failed = True
    if arguments.json:
        print_json(arguments, found)
    else:
        _show(found)
    return Exit.PROBLEM if failed else Exit.OK


def _told(arguments: argparse.Namespace, requests: Requests, system: str, wish: Wish) -> list[dict[str, Any]]:
    """What the system answers. Raises Stop where it cannot be asked."""
    data = answered(
        arguments, requests, requests.preview(wish), min(ANSWER_SECONDS, arguments.timeout or ANSWER_SECONDS)
    )
    if data["verb"] != LIST["do"]:
        raise Stop(Exit.REFUSED, f"{system}: {data.get('refused') or 'it has no list of its backfills'}")
    for note in data.get("notes", ()):
        say(f"{system}: {note}")
    return [{"system": system, **one} for one in data.get("backfills", ())]


def _of_job(reads: Reads, name: str) -> tuple[str, int, str]:
    row = reads.job(name).row
    return row.system, row.id, "job"


def _of_systems(reads: Reads) -> Iterator[tuple[str, int, str]]:
    """Each system that has backfills of its own, with a job of it by which it is asked."""
    for name, kind in sorted({(one.system, one.kind) for one in reads.systems()}):
        try:
            able = Verb.BACKFILL in registry.load(kind).verbs
        except registry.UnknownKind:
            able = False
        jobs = reads.jobs_first_page(JobFilter(systems=(name,)), "name") if able else ()
        first = next((row for row in jobs if row.system == name), None)
        if first is not None:
            yield name, first.id, "system"


def _show(found: list[dict[str, Any]]) -> None:
    rows = [
        (f"{one['system']}/{one['job']}", str(one["number"]), "paused" if one["paused"] else "going on",
         one["first"][:10], one["last"][:10], str(one["at_once"]), one["made"][:16].replace("T", " "))
        for one in found
    ]  # fmt: skip
    if rows:
        print_table(COLUMNS, rows)
        say("headway backfill JOB --pause N, --resume N or --cancel N changes one")
    else:
        say("no backfill of a scheduler's own is under way")
