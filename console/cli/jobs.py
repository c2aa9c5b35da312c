"""`headway jobs [FILTER]`: jobs that match, each with its latest run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches

from connectors.words import State
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
from console.cli.wall import zone_for
from console.model.filters import FIELDS, FilterError, JobFilter, parse_terms, split_filter, words_of
from console.model.views import JobRow
from console.personal.views import SavedView
from console.store.errors import NotFound
from console.store.reads import Reads

COLUMNS = (
    Col("job", 24, middle=True), Col("state", 12), Col("evidence", drop=3), Col("latest"), Col("next"),
    Col("schedule", 12, drop=2), Col("owner", drop=1),
)  # fmt: skip
LIMIT = 200
SORTS = ("name", "attention", "age", "deadline", "slack")


def add_filter(parser: argparse.ArgumentParser) -> None:
    """The filter language, as words of a command line."""
    parser.add_argument(
        "filter",
        nargs="*",
        help=f'words of the job name, !word without, ~word fuzzy; "!field:value" without. {"; ".join(FIELDS.values())}',
    )


def add_view(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--view", metavar="NAME", help="what is saved under this name, yours or of the config")


def view_of(table: str, name: str | None, reads: Reads) -> SavedView:
    """The view that was asked for, or one that shows everything. Raises Stop."""
    if name is None:
        return SavedView("", table)
    from console.personal.asked import NoView, view_for  # not loaded where Tab asks only for the command's options

    try:
        return view_for(table, name, reads.header().console)
    except NoView as error:
        raise Stop(Exit.USAGE, str(error)) from None


def wanted_of(terms: Sequence[str], now: datetime, only_problems: bool = False) -> JobFilter:
    """What was typed; a time of day is meant as times are told. Raises Stop."""
    words = [word for term in terms for word in words_of(term)]
    try:
        return parse_terms(words, now, zone_for() or now.astimezone().tzinfo or UTC, only_problems)
    except FilterError as error:
        raise Stop(Exit.USAGE, error.told('"{}" in the filter cannot be read:')) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_filter(parser)
    parser.add_argument("--state", action="append", default=[], help="failed, missed, running, …; may be repeated")
    parser.add_argument("--system", action="append", default=[])
    parser.add_argument("--owner", action="append", default=[])
    parser.add_argument("--service", action="append", default=[], help="what this service hangs on")
    parser.add_argument("--problems", action="store_true", help="only what needs a person")
    add_view(parser)
    parser.add_argument("--sort", choices=SORTS, help="by name where neither this nor the view says otherwise")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--limit", type=positive_number, default=LIMIT, help=f"rows at most ({LIMIT})")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    unknown = set(arguments.state) - set(State)
    if unknown:
        raise Stop(Exit.USAGE, f"no state {', '.join(sorted(unknown))}; there are {', '.join(State)}")
    with watched(arguments) as reads:
        _know("system", arguments.system, {one.system for one in reads.systems()})
        _know("service", arguments.service, {one.name for one in reads.services()})
        now = now_of(reads)
        view = view_of("jobs", arguments.view, reads)
        terms = (*split_filter(view.filter), *arguments.filter)
        typed = wanted_of(terms, now, arguments.problems or view.problems)
        wanted = replace(
            typed,
            states=(*typed.states, *arguments.state),
            systems=(*typed.systems, *arguments.system),
            owners=(*typed.owners, *arguments.owner),
            services=(*typed.services, *arguments.service),
        )
        ids = reads.job_ids(wanted, _order(arguments, view))
        rows = reads.jobs_by_ids(ids[: arguments.limit].tolist())
    if arguments.json:
        print_json(arguments, rows)
        return Exit.OK
    print_table(COLUMNS, [_row(one, now) for one in rows])
    if len(ids) > len(rows):
        print(f"… {len(ids) - len(rows)} more; --limit {len(ids)} shows all")
    return Exit.OK


def _order(arguments: argparse.Namespace, view: SavedView) -> str:
    """What is asked for goes before what the view says; --reverse turns either round."""
    order: str = arguments.sort or view.sort or "name"
    return order if not arguments.reverse else order[1:] if order.startswith("-") else f"-{order}"


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
