"""`headway report --noise --since 7d`: which alerts were worth it: by route, owner, rule and job."""

from __future__ import annotations

import argparse
from datetime import timedelta

from console.cli.common import now_of, print_json, reading, say_lines, stamp
from console.cli.exits import Exit
from console.cli.silence import duration
from console.model.noise import noise_lines

SINCE = "7d"


def add_noise_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--noise", action="store_true", help="of the alerts, in place of an incident: what was noise")
    parser.add_argument(
        "--since", type=duration, default=duration(SINCE), metavar="TIME", help="noise: how far back (7d)"
    )


def run_noise(arguments: argparse.Namespace) -> int:
    back: timedelta = arguments.since
    with reading(arguments) as reads:
        now = now_of(reads)
        found = reads.noise(now - back)
    if arguments.json:
        print_json(arguments, found)
        return Exit.OK
    say_lines([f"alerts from {stamp(found.since)} to {stamp(found.until)}", "", *noise_lines(found)])
    return Exit.OK
