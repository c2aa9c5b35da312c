"""`headway start JOB`: a job once, now, through its scheduler's own door; `--conf` goes along where that takes one."""

from __future__ import annotations

import argparse
from typing import Any

from connectors import registry
from connectors.words import Verb
from console.cli.asking import add_overlap_argument, add_sending_arguments
from console.cli.common import JOB, Stop, reading
from console.cli.exits import Exit
from console.cli.rerun import step
from console.engine.wishes import Wish
from console.model.conf import read_conf


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help=JOB)
    parser.add_argument(
        "--conf",
        action="append",
        default=[],
        metavar="NAME=VALUE|JSON",
        help="given along with the start, no secret; repeat it. A VALUE that is JSON (5, true) is read as it",
    )
    add_overlap_argument(parser)
    add_sending_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        job = reads.job(arguments.name).row
    return step(arguments, job.name, Wish(Verb.START, job_id=job.id, parameters=given(arguments, job.kind)))


def given(arguments: argparse.Namespace, kind: str) -> dict[str, Any]:
    """What is given along. Stops where it cannot be read, or this kind of system takes nothing."""
    if not arguments.conf:
        return {}
    try:
        takes = registry.load(kind).takes.get(Verb.START, frozenset())
    except registry.UnknownKind:
        takes = frozenset()
    if "conf" not in takes:
        raise Stop(Exit.USAGE, f"--conf: systems of kind {kind} take nothing along with a start; leave it out")
    try:
        return {"conf": read_conf(arguments.conf)}
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--conf: {error}; nothing was sent") from None
