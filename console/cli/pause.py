"""`headway pause SYSTEM`: no polls of it for a while; they go on by themselves, nothing is green till then."""

from __future__ import annotations

import argparse
from datetime import timedelta

from console.cli.common import Stop, clock_words, print_json, reading, say_lines, store_of
from console.cli.exits import Exit
from console.durations import duration_words, parse_duration
from console.engine.requests import Requests
from console.model.pauses import PAUSED_FOR, length_fault

USAGE = """%(prog)s SYSTEM --why TEXT [--for TIME] [options]
       %(prog)s SYSTEM --off [--why TEXT] [options]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    words = duration_words(PAUSED_FOR.total_seconds())
    parser.add_argument("name", metavar="SYSTEM", help="as config names it; all its targets")
    parser.add_argument(
        "--for", dest="length", metavar="TIME", help=f"so long ({words}); it is polled again after that"
    )
    parser.add_argument("--off", action="store_true", help="poll it again now")
    parser.add_argument("--why", default="", metavar="TEXT", help="for the audit, and for whoever reads the banner")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.off and arguments.length:
        raise Stop(Exit.USAGE, "--for says how long it is paused, --off that it is not: one of them; nothing was done")
    length = timedelta(0) if arguments.off else _length(arguments.length)
    with reading(arguments) as reads:
        reads.system_named(arguments.name)
    said = Requests(store_of(arguments)).pause_polling(arguments.name, length.total_seconds(), arguments.why)
    if arguments.json:
        print_json(arguments, {"system": said.system, "paused": not arguments.off, "pause": said})
    elif arguments.off:
        say_lines([f"{said.system}: polled again; it is seen with its next poll"])
    else:
        until = clock_words(said.until, near=said.at)
        say_lines([
            f"{said.system}: not polled until {until}; then it is again, by itself",
            "  until then what it runs is shown as unknown, and what is sent there is verified only afterwards",
            f"  sooner: headway pause {said.system} --off",
        ])  # fmt: skip
    return Exit.OK


def _length(text: str | None) -> timedelta:
    """Raises Stop."""
    if text is None:
        return PAUSED_FOR
    try:
        found: timedelta = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise Stop(Exit.USAGE, f"--for: {error}; nothing was paused") from None
    if fault := length_fault(found):
        raise Stop(Exit.USAGE, f"--for {text}: {fault}; nothing was paused")
    return found
