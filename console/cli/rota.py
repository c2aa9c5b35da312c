"""`headway rota NAME`: who is on call, now or at another time, who is next, and how old that is."""

from __future__ import annotations

import argparse
from datetime import datetime

from console.cli.common import Stop, now_of, print_json, reading, say, say_lines, since_words, stamp
from console.cli.exits import Exit
from console.cli.silence import instant_typed
from console.cli.table import Col, print_table
from console.model.views import RotaView

COLUMNS = (Col("rota"), Col("on call"), Col("until"), Col("read", drop=1), Col("trouble", 16, drop=2))
NEXT = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="ROTA", help="as config names it")
    parser.add_argument("--at", type=instant_typed, metavar="TIME", help="at that time: 2026-11-21T02:00Z")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        now = now_of(reads)
        at: datetime = arguments.at or now
        found = reads.rotas(at)
    if arguments.name is not None:
        return _one(arguments, found, at, now)
    if arguments.json:
        print_json(arguments, found)
    else:
        print_table(COLUMNS, [_row(one, now) for one in found])
    return Exit.OK


def _row(one: RotaView, now: datetime) -> tuple[str, ...]:
    return (one.name, one.person or "nobody", stamp(one.until), since_words(one.read, now), one.error)


def _one(arguments: argparse.Namespace, found: list[RotaView], at: datetime, now: datetime) -> int:
    one = next((each for each in found if each.name == arguments.name), None)
    if one is None:
        known = ", ".join(each.name for each in found)
        there = f"there are: {known}" if known else "there is none: a rota is a [rotas.NAME] of the config"
        raise Stop(Exit.NOT_FOUND, f'no rota "{arguments.name}" was read; {there}')
    if at > one.known_until:
        say(f"its calendar was read as far as {stamp(one.known_until)}")
    if arguments.json:
        print_json(arguments, one)
    else:
        until = f" until {stamp(one.until)}" if one.until else ""
        lines = [f"{one.name}: {one.person or 'nobody'} is on call{until}"]
        shifts = ((person, stamp(begins), stamp(ends)) for person, begins, ends in one.then[:NEXT])
        lines += [f"  then {person} from {begins} until {ends}" for person, begins, ends in shifts]
        lines += [f"  read {since_words(one.read, now)} from {one.source}"]
        lines += [f"  the last try failed: {one.error}"] if one.error else []
        say_lines(lines)
    return Exit.OK if one.person else Exit.PROBLEM
