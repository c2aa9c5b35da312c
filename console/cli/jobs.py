"""`headway jobs [WORDS…]`: jobs that match, each with its latest run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches

from connectors.contract import State
from console.cli.common import (
    Stop,
    clock_words,
    day_words,
    now_of,
    positive_number,
    print_json,
    since_words,
    watched,
)
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.model.views import JobFilter, JobRow
from console.store.errors import NotFound

COLUMNS = (
    Col("job", 24, middle=True), Col("state", 12), Col("evidence", drop=3), Col("latest"), Col("next"),
    Col("schedule", 12, drop=2), Col("owner", drop=1),
)  # fmt: skip
LIMIT = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", help="words that stand in the name; !word: that do not")
    parser.add_argument("--state", action="append", default=[], help="failed, missed, running, …; may be repeated")
    parser.add_argument("--system", action="append", default=[])
    parser.add_argument("--owner", action="append", default=[])
    parser.add_argument("--service", action="append", default=[], help="what this service hangs on")
    parser.add_argument("--problems", action="store_true", help="only what needs a person")
    parser.add_argument("--limit", type=positive_number, default=LIMIT, help=f"rows at most ({LIMIT})")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    wanted = JobFilter(
        words=tuple(word for word in arguments.words if not word.startswith("!")),
        without=tuple(word[1:] for word in arguments.words if word.startswith("!")),
        states=tuple(arguments.state),
        systems=tuple(arguments.system),
        owners=tuple(arguments.owner),
        problems_only=arguments.problems,
        services=tuple(arguments.service),
    )
    unknown = set(wanted.states) - set(State)
    if unknown:
        raise Stop(Exit.USAGE, f"no state {', '.join(sorted(unknown))}; there are {', '.join(State)}")
    with watched(arguments) as reads:
        _know("system", wanted.systems, {one.system for one in reads.systems()})
        _know("service", wanted.services, {one.name for one in reads.services()})
        ids = reads.job_ids(wanted, "name")
        rows = reads.jobs_by_ids(ids[: arguments.limit].tolist())
        now = now_of(reads)
    if arguments.json:
        print_json(arguments, rows)
        return Exit.OK
    print_table(COLUMNS, [_row(one, now) for one in rows])
    if len(ids) > len(rows):
        print(f"… {len(ids) - len(rows)} more; --limit {len(ids)} shows all")
    return Exit.OK


def _know(what: str, wanted: Sequence[str], there: set[str]) -> None:
    """Raises NotFound, with the near ones, for a name that there is not: an empty list would read as "no jobs"."""
    for name in wanted:
        if name not in there:
            raise NotFound(f"{what} {name}", tuple(get_close_matches(name, there)))


def state_words(one: JobRow, now: datetime) -> str:
    """The state with what must be known beside it: held, paused, gone, a stale read."""
    marks = [word for word, on in (("paused", one.paused), ("gone", one.gone), ("stale read", one.stale_read)) if on]
    return " · ".join([one.state or "–", *([held_words(one, now)] if one.held_by else []), *marks])


def held_words(one: JobRow, now: datetime) -> str:
    """ "held by Headway until 05:30 UTC (by alice)", of what is held; with the day where it is not today."""
    by = "" if one.held_by == "headway" else f" (by {one.held_by})"
    return f"held by Headway until {clock_words(one.held_until, near=now)}{by}"


def _row(one: JobRow, now: datetime) -> tuple[str, ...]:
    latest = since_words(one.ended or one.started, now)
    return (
        one.name,
        state_words(one, now),
        one.evidence or "–",
        latest,
        day_words(one.next, now),
        one.schedule or "–",
        one.owner or "–",
    )
