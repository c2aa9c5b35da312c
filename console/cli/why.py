"""`headway why NAME`: why a job is not running or runs so late; why a service is late."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from console.clean import clean_line
from console.cli.common import (
    JOB,
    Stop,
    business_date,
    day_words,
    print_json,
    reading,
    say_lines,
    since_words,
    stamp,
    store_of,
    watched,
)
from console.cli.exits import Exit
from console.store.errors import Ambiguous, NotFound
from console.store.reads.near import near

if TYPE_CHECKING:
    from console.engine.explain import Explained
    from console.model.reasons import Reason


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB|SERVICE", help=f"a service, or a job: {JOB}")
    parser.add_argument("--bd", type=business_date, metavar="DATE", help="of a service: on that business date")
    parser.add_argument("--instance", metavar="KEY", help="of a service promised end to end: that submission")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        services = [one.name for one in reads.services()]
    if arguments.name in services:
        return _service(arguments)
    if arguments.bd is not None or arguments.instance is not None:
        words = f'--bd and --instance go with a service, and "{clean_line(arguments.name)}" is none'
        raise Stop(Exit.USAGE, f"{words}: {_hint(near(arguments.name, services))}")
    return _job(arguments, services)


def _hint(names: Sequence[str]) -> str:
    return f"did you mean {' or '.join(names)}?" if names else "headway services lists them"


def _service(arguments: argparse.Namespace) -> int:
    from console.cli import why_service

    return why_service.run(arguments)


def _job(arguments: argparse.Namespace, services: Sequence[str]) -> int:
    from console.engine.explain import why_job

    with watched(arguments) as reads:
        try:
            reads.job(arguments.name)  # its near misses, before the heavy libraries are loaded
        except Ambiguous:
            raise
        except NotFound as missed:
            raise NotFound(arguments.name, (*near(arguments.name, services), *missed.near), "headway jobs") from None
        now = reads.now()
    found = why_job(store_of(arguments), arguments.name)
    if arguments.json:
        print_json(arguments, {**asdict(found), "at": now})
    else:
        say_lines(lines(found, now))
    return Exit.OK


def lines(found: Explained, now: datetime) -> Iterator[str]:
    """The chain, each job once; what lies upstream is set in."""
    before = ""
    for one in found.reasons:
        inset = "  " * one.depth
        if one.job != before:
            yield f"{inset}{one.job}"
            before = one.job
        yield f"{inset}  {one.kind:<11} {one.words}"
        known = "; ".join(_facts(one, now))
        if known:
            yield f"{inset}  {'':<11} {known}"
    if found.act_on is not None:
        yield ""
        yield f"to act on: {found.act_on.job}, {found.act_on.kind}: {found.act_on.act}"


def _facts(one: Reason, now: datetime) -> Iterator[str]:
    if one.since is not None:
        yield f"since {stamp(one.since)} ({since_words(one.since, now)})"
    if one.until is not None:
        yield f"until {stamp(one.until)} ({day_words(one.until, now)})"
    if one.by:
        yield f"by {one.by}"
    if one.evidence:
        yield one.evidence
