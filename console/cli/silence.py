"""`headway silence`: what is muted; `silence add --system dwh --for 2h --why …` mutes, `silence end ID` ends it."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta

from console.clean import clean_line
from console.cli.asking import answered, require_engine
from console.cli.common import Stop, print_json, reading, say, say_lines, stamp, whole_number
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.durations import parse_duration
from console.model.alerting import MATCHERS
from console.model.ids import instant, micros
from console.store.errors import Ambiguous, NotFound
from console.store.reads import Reads

COLUMNS = (
    Col("id"), Col("what", 20), Col("from", drop=2), Col("until"), Col("by", drop=1), Col("why", 12),
)  # fmt: skip
HELP = {
    "system": "of the cause: pattern, * for any text",
    "job": "the cause: SYSTEM/ID, or a pattern",
    "service": "that it hurts",
    "tier": "of the most important service that it hurts",
    "owner": "of the cause",
    "route": "that is not told; the others are",
}


def duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def instant_typed(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text[:40]}" is no time: write 2026-11-21T02:00Z') from None
    if found.tzinfo is None:
        raise argparse.ArgumentTypeError(f'"{text}" has no zone: write {text}Z, or +01:00 after it')
    return found


USAGE = """%(prog)s [list] [--all] [options]
       %(prog)s add --for TIME --why TEXT [--from TIME] [options]
                       --system | --job | --service | --tier | --owner | --route
       %(prog)s end ID [options]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    parser.add_argument("what", nargs="?", choices=["list", "add", "end"], default="list")
    parser.add_argument("id", nargs="?", type=whole_number, help="end: as the list names it")
    for name in MATCHERS:
        parser.add_argument(f"--{name}", metavar="PATTERN", help=f"add: {HELP[name]}")
    parser.add_argument("--for", dest="length", type=duration, metavar="TIME", help="add, required: how long, 2h")
    parser.add_argument("--from", dest="begins", type=instant_typed, metavar="TIME", help="add: from then on")
    parser.add_argument(
        "--why",
        default="",
        metavar="TEXT",
        help="add, required: for those who were not told; end: for the audit",
    )
    parser.add_argument("--all", action="store_true", help="list: those that are over too")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    return {"list": show, "add": add, "end": end}[arguments.what](arguments)


def show(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        found = reads.silences(ended=arguments.all)
    if arguments.json:
        print_json(arguments, found)
        return Exit.OK
    rows = [
        (str(one.id), what_words(one.matchers), stamp(one.begins), stamp(one.ended or one.until), one.by, one.why)
        for one in found
    ]
    print_table(COLUMNS, rows)
    return Exit.OK


def what_words(matchers: dict[str, str]) -> str:
    return " ".join(f"{name}={pattern}" for name, pattern in matchers.items())


def add(arguments: argparse.Namespace) -> int:
    matchers = {name: getattr(arguments, name) for name in MATCHERS if getattr(arguments, name)}
    if not matchers:
        raise Stop(Exit.USAGE, f"nothing is muted: name what, by {', '.join(f'--{one}' for one in MATCHERS)}")
    if arguments.length is None:
        raise Stop(Exit.USAGE, "nothing is muted: say for how long (--for 2h)")
    if not arguments.why.strip():
        raise Stop(Exit.USAGE, "nothing is muted: say why (--why); it stands where somebody was not told")
    unfit = _refuse_unknown(arguments, matchers)
    requests = require_engine(arguments)
    begins = micros(arguments.begins) if arguments.begins is not None else None
    asked = requests.silence(matchers, arguments.length.total_seconds(), arguments.why, begins)
    data = answered(arguments, requests, asked)
    if arguments.json:
        print_json(arguments, data)
    else:
        until = stamp(instant(int(data["until_us"])))
        say_lines([f"silence {data['silence']}: {what_words(matchers)} is muted until {until}"])
    for name, pattern in unfit:
        say(f'no {name} fits "{pattern}" yet: nothing is muted until one does')
    return Exit.OK


def _refuse_unknown(arguments: argparse.Namespace, matchers: dict[str, str]) -> list[tuple[str, str]]:
    """Patterns that fit nothing yet. Raises Stop for an exact name that nothing has: it would mute nothing, and nobody
    would know."""
    with reading(arguments) as reads:
        unknown = reads.unknown(matchers)
        if any(name == "job" and "*" not in pattern for name, pattern, _ in unknown):
            matchers["job"] = _full_name(reads, matchers["job"])
            unknown = reads.unknown(matchers)
    for name, pattern, meant in unknown:
        if "*" not in pattern:
            raise Stop(Exit.NOT_FOUND, f'nothing is muted: no {name} "{clean_line(pattern)}". {meant}')
    return [(name, clean_line(pattern)) for name, pattern, _ in unknown]


def _full_name(reads: Reads, typed: str) -> str:
    """Of the one job that answers to a short name; else as typed. Raises Ambiguous."""
    try:
        return reads.job_named(typed)
    except Ambiguous:
        raise
    except NotFound:
        return typed


def end(arguments: argparse.Namespace) -> int:
    if arguments.id is None:
        raise Stop(Exit.USAGE, "headway silence end ID: which? headway silence lists them")
    requests = require_engine(arguments)
    data = answered(arguments, requests, requests.end_silence(arguments.id, arguments.why))
    if arguments.json:
        print_json(arguments, data)
    else:
        say_lines([f"silence {arguments.id}: ended"])
    return Exit.OK
