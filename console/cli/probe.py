"""`headway probe SYSTEM`: the running engine asks each of its targets now: does it answer, what may we there."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from console.cli.asking import answered, require_engine
from console.cli.common import print_json, reading, say_lines
from console.cli.exits import Exit
from console.cli.systems import target_named
from console.model.views.estate import right_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="SYSTEM", help="a system, or system/target for one of its targets")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    system, _, target = arguments.name.partition("/")
    with reading(arguments) as reads:
        reads.system_named(system)
        if target:
            target_named(arguments.name, [one for one in reads.systems() if one.system == system])
    requests = require_engine(arguments)
    found: Sequence[Mapping[str, Any]] = answered(arguments, requests, requests.probe(system, target))["targets"]
    if arguments.json:
        print_json(arguments, {"targets": found})
    else:
        say_lines(line for one in found for line in _lines(one))
    return Exit.OK if all(one["reachable"] for one in found) else Exit.PROBLEM


def _lines(one: Mapping[str, Any]) -> list[str]:
    stands = f"answers in {one['took_ms']} ms" if one["reachable"] else f"does NOT answer: {one['error'] or 'no word'}"
    lines = [f"{one['target']}: {stands}{', ' + one['version'] if one['version'] else ''}"]
    for right in one["rights"]:
        held, words = right_words(right)
        lines.append(f"  {held:<8} {words}")
    return lines
