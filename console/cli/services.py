"""`headway services [NAME]`: what is promised by when, and how it stands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any

from console.clean import clean_line
from console.cli.attainment import COLUMNS as COLUMNS_KEPT
from console.cli.attainment import attainment_json, attainment_lines, attainment_rows
from console.cli.common import (
    Stop,
    business_date,
    cell_clock,
    clock_words,
    now_of,
    print_json,
    until,
    watched,
)
from console.cli.exits import Exit
from console.cli.plain import add_plain, tell, tell_table
from console.cli.table import Col, print_table
from console.durations import duration_words
from console.model.forecasts import late_words, percent
from console.model.views import IncidentRow, ServiceView
from console.model.views.services import AttainmentView
from console.model.words import Timeliness
from console.store.reads import Reads
from console.store.reads.services import NOT_JUDGED

SURE = 0.995
FAR = datetime.max.replace(tzinfo=UTC)
COLUMNS = (
    Col("service", 12), Col("tier", drop=5), Col("timeliness"), Col("deadline"), Col("left", drop=6),
    Col("slack", drop=4), Col("expected", drop=3), Col("act by"), Col("data", drop=2), Col("cause", 14, middle=True),
    Col("owner", drop=1), Col("taken by", drop=7),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="SERVICE", help="one service, with its reason, path and sources")
    parser.add_argument("--attainment", action="store_true", help="how often each kept its promise; error budgets")
    parser.add_argument(
        "--bd", type=business_date, metavar="DATE", help="on that business date; default: the present one"
    )
    add_plain(parser)
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.attainment:
        return _attainment(arguments)
    with watched(arguments) as reads:
        bd = arguments.bd
        services = [reads.service(arguments.name, bd)] if arguments.name else reads.services(bd)
        services = [_left_out(one, reads) for one in services] if bd else services
        kept = reads.attainment(arguments.name) if arguments.name else []
        instances = reads.instances(arguments.name, bd) if arguments.name else []
        now = now_of(reads)
    if arguments.json:
        told = [service_json(one) for one in instances or services]
        print_json(arguments, told[0] if arguments.name and not instances else told)
    elif arguments.name:
        _show(arguments, services[0], kept[0], instances or services, now)
    else:
        print_table(*service_rows(services, now))
    return Exit.OK


def _attainment(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        found = reads.attainment(arguments.name)
    if arguments.json:
        told = [attainment_json(one) for one in found]
        print_json(arguments, told[0] if arguments.name else told)
    else:
        print_table(COLUMNS_KEPT, attainment_rows(found))
    return Exit.OK


def instance_named(reads: Reads, name: str, key: str, bd: str | None) -> ServiceView:
    """That submission of a service that is promised end to end, as its list calls it. Raises NotFound, and Stop with
    those that are near."""
    service = reads.service(name).name
    known = {one.instance: one for one in reads.instances(service, bd)}
    if key in known:
        return known[key]
    near = ", ".join(map(clean_line, get_close_matches(key, known, n=3, cutoff=0.5)))
    lists = f"headway services {service} lists them" if known else "it has none in these days"
    hint = f"did you mean {near}?" if near else lists
    words = f'{service} has no submission "{clean_line(key)}"{f" on {bd}" if bd else ""}'
    raise Stop(Exit.NOT_FOUND, f"{words}; {hint}")


def service_rows(services: Sequence[ServiceView], now: datetime) -> tuple[Sequence[Col], list[tuple[str, ...]]]:
    """Columns and rows of the board: what needs a person first, the soonest to act on or due before the others."""
    return COLUMNS, [_row(one, now) for one in by_urgency(services)]


def by_urgency(services: Sequence[ServiceView]) -> list[ServiceView]:
    """What needs a person first, then what nobody can estimate, the soonest to act on or due before the others."""
    return sorted(services, key=_urgency)


def _left_out(one: ServiceView, reads: Reads) -> ServiceView:
    """The service on a date far from now, which no evaluation looks at: its calendar may leave it out."""
    if not one.calendar or one.reason != NOT_JUDGED:
        return one
    from console.control.calendars import counts, left_out_words

    calendar, day = reads.declared().calendar(one.calendar), date.fromisoformat(one.bd)
    if calendar is None or counts(calendar, day):
        return one
    words = left_out_words(calendar, day)
    return replace(one, timeliness=Timeliness.NO_PROMISE.value, data_state="", reason=words)


def service_json(one: ServiceView) -> dict[str, Any]:
    """A service as data. On a date without a promise there is no deadline either."""
    told = asdict(one)
    return told if one.is_promised else {**told, "deadline": None, "promised": None}


def _urgency(one: ServiceView) -> tuple[bool, datetime, bool, datetime, str]:
    is_known = one.delivered is not None or one.timeliness != Timeliness.NO_ESTIMATE
    return not one.needs_a_person, one.act_by or FAR, is_known, one.deadline if one.is_promised else FAR, one.name


def deadline_words(one: ServiceView, now: datetime) -> str:
    """ "06:30 CET", or "07:00 CET, extended from 06:30 CET by ann: late files"; the day where it is not today. A dash
    on a date without a promise."""
    if not one.is_promised:
        return "–"
    words = clock_words(one.deadline, one.zone, now)
    if not one.extension or one.promised is None:
        return words
    return f"{words}, extended from {clock_words(one.promised, one.zone, near=one.deadline)} {one.extension}"


def slack_words(one: ServiceView, now: datetime) -> str:
    """Deadline less the expected finish; where an incident is open, the time left to act, named as that."""
    if one.delivered is not None or one.expected is None:
        return "–"
    slack = one.act_by - now if one.act_by is not None else one.deadline - one.expected
    seconds = slack.total_seconds()
    words = f"+{duration_words(seconds)}" if seconds >= 0 else duration_words(seconds)
    return f"{words} to act" if one.act_by is not None else words


def _row(one: ServiceView, now: datetime) -> tuple[str, ...]:
    left = one.given or until(one.deadline, now)
    act_at = cell_clock(one.act_by, one.zone, now).rpartition(" ")[0]  # the deadline beside it names the zone
    act_by = "–" if one.act_by is None else f"{act_at} {until(one.act_by, now)}"
    deadline, stands = cell_clock(one.deadline, one.zone, now), one.timeliness.replace("_", " ")
    if not one.is_promised:
        return one.title, str(one.tier), stands, "–", "–", "–", "–", "–", "–", one.reason, one.owner, "–"
    return (
        one.title, str(one.tier), stands, deadline, left, slack_words(one, now), expected_words(one, now), act_by,
        one.data_state or "–", one.trouble or one.cause or "–", one.owner, taken_words(one, now) or "–",
    )  # fmt: skip


def expected_words(one: ServiceView, now: datetime) -> str:
    """ "05:50–06:40": when it is done in half and in nineteen of twenty cases; a dash where nothing is forecast."""
    if one.delivered is not None or one.expected is None:
        return "–"
    first, last = one.expected, max(one.p95 or one.late or one.expected, one.expected)
    ends = [cell_clock(at, one.zone, now).rpartition(" ")[0] for at in (first, last)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]}–{ends[1]}"


def expected_in_full(one: ServiceView, now: datetime) -> str:
    """The same with its zone, where no deadline stands beside it."""
    words = expected_words(one, now)
    return words if words == "–" else f"{words} {cell_clock(one.expected, one.zone, now).rpartition(' ')[2]}"


def forecast_words(one: ServiceView, now: datetime) -> str:
    """ "05:50–06:40 CET, 61 % late": with the probability that it is late, where the simulation says one."""
    late = "" if one.p_late is None or one.expected is None or one.delivered is not None else late_words(one.p_late)
    return ", ".join(filter(None, [expected_in_full(one, now), late]))


def path_words(one: ServiceView) -> str:
    """ "extract → load (72 %) → publish": with how likely a job decides the finish, where that is not sure."""
    shares = one.critical or (1.0,) * len(one.path)
    told = zip(one.path, shares, strict=False)
    return " → ".join(job if share >= SURE else f"{job} ({percent(share)})" for job, share in told)


def taken_words(one: ServiceView | IncidentRow, now: datetime) -> str:
    """ "mara until 04:15 CET"; empty where nobody is on it."""
    zone = one.zone if isinstance(one, ServiceView) else ""
    until = f" until {cell_clock(one.taken_until, zone, now)}" if one.taken_until is not None else ""
    return f"{one.taken_by}{until}" if one.taken_by else ""


def _show(
    arguments: argparse.Namespace, one: ServiceView, kept: AttainmentView, board: Sequence[ServiceView], now: datetime
) -> None:
    tell_table(arguments, *service_rows(board, now))
    lines = [
        "",
        f"business date  {one.bd}",
        f"deadline       {deadline_words(one, now)}",
        f"expected       {forecast_words(one, now)}",
        f"owner          {one.owner or '–'}",
        f"taken by       {taken_words(one, now) or '–'}",
        f"runbook        {one.runbook or '–'}",
    ]
    lines += [f"why            {one.reason or '–'}", f"path           {path_words(one) or '–'}"]
    lines += [
        f"estimate       {source.get('job')}: {source.get('source')} ({source.get('runs')} runs)"
        for source in one.sources
    ]
    tell(arguments, [*lines, *attainment_lines(kept)])
