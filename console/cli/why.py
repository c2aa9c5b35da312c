"""`headway why NAME`: why a job is not running or runs so late; why a service is late."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from console.cli.common import business_date, day_words, print_json, reading, say_lines, since_words, store_of, watched
from console.cli.exits import Exit

if TYPE_CHECKING:
    from console.engine.explain import Explained
    from console.model.reasons import Reason


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a service, or a job: system/native-id")
    parser.add_argument("--bd", type=business_date, metavar="DATE", help="of a service: on that business date")
    parser.add_argument("--instance", metavar="KEY", help="of a service promised end to end: that submission")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        is_service = arguments.name in {one.name for one in reads.services()}
    return _service(arguments) if is_service else _job(arguments)


def _service(arguments: argparse.Namespace) -> int:
    from console.cli import why_service

    return why_service.run(arguments)


def _job(arguments: argparse.Namespace) -> int:
    from console.engine.explain import why_job

    with watched(arguments) as reads:
        reads.job(arguments.name)  # its near misses, before the heavy libraries are loaded
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
        yield f"since {one.since:%Y-%m-%d %H:%M:%SZ} ({since_words(one.since, now)})"
    if one.until is not None:
        yield f"until {one.until:%Y-%m-%d %H:%M:%SZ} ({day_words(one.until, now)})"
    if one.by:
        yield f"by {one.by}"
    if one.evidence:
        yield one.evidence
