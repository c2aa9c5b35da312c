"""`headway rerun SYSTEM/ID`: one run again, through its scheduler's own door, verified by its own word."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connectors import registry
from connectors.words import Verb
from console.cli.asking import (
    ANSWER_SECONDS,
    add_overlap_argument,
    add_sending_arguments,
    answered,
    confirmed,
    preview_lines,
    reason_first,
    refuse_overlap,
    require_engine,
    send,
)
from console.cli.common import JOB, Stop, print_json, reading, say_lines, whole_number
from console.cli.exits import Exit
from console.engine.wishes import Wish, overlap_shown
from console.model.steps import refusal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help=f"{JOB}; its latest run")
    parser.add_argument("--run", type=whole_number, metavar="ID", help="another run of it (headway runs)")
    parser.add_argument(
        "--scope",
        choices=("failed", "downstream", "all"),
        help="its failed tasks (default), those and what follows, or all; a system without tasks runs it all",
    )
    parser.add_argument("--code", choices=("pinned", "latest"), help="the run's own code (default) or the newest")
    add_overlap_argument(parser)
    add_sending_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        view = reads.job(arguments.name)
    run_id = arguments.run or view.row.run_id
    if run_id is None:
        raise Stop(Exit.NOT_FOUND, f"{view.row.name} has no run yet")
    if arguments.run is not None and arguments.run not in {one.id for one in view.runs}:
        raise Stop(Exit.NOT_FOUND, f"run {arguments.run} is none of the latest runs of {view.row.name}")
    return step(arguments, view.row.name, Wish(Verb.RERUN, run_id, parameters=chosen(arguments, view.row.kind)))


def chosen(arguments: argparse.Namespace, kind: str) -> dict[str, str]:
    """What of the run, and with which code. Stops where this kind of system knows no versions of its jobs' code."""
    found = {"scope": arguments.scope} if arguments.scope else {}
    if arguments.code is None:
        return found
    try:
        takes = registry.load(kind).takes.get(Verb.RERUN, frozenset())
    except registry.UnknownKind:
        takes = frozenset()
    if "version" not in takes:
        raise Stop(Exit.USAGE, f"--code: systems of kind {kind} know no versions of their jobs' code; leave it out")
    return {**found, "version": arguments.code}


def step(arguments: argparse.Namespace, job: str, wish: Wish, steps: Sequence[Any] | None = None) -> int:
    """Previews, asks and sends one action; the exit code. `steps`: beside the preview in the one JSON document."""
    try:
        requests = require_engine(arguments)
        seconds = min(ANSWER_SECONDS, arguments.timeout or ANSWER_SECONDS)
        data = answered(arguments, requests, requests.preview(wish), seconds)
    except Stop:
        if arguments.json and steps is not None:
            print_json(arguments, {"steps": steps, "preview": None})
        raise
    if arguments.json:
        preview = {key: value for key, value in data.items() if key != "plan"}
        print_json(arguments, preview if steps is None else {"steps": steps, "preview": preview})
    else:
        say_lines(preview_lines(job, data, wish.verb))
    why_not = refusal(data, wish.verb)
    if why_not:
        raise Stop(Exit.REFUSED, f"{job}: {why_not}; nothing was sent")
    reason_first(arguments, lambda: requests.check([wish]))
    if arguments.dry_run:
        return Exit.OK
    refuse_overlap(arguments, job, data, wish.verb)
    if not confirmed(arguments, job, data, wish.verb):
        raise Stop(Exit.REFUSED, "nothing was sent")
    overlap = getattr(arguments, "overlap", None) or overlap_shown(data)  # that one: refused above, or typed
    chosen = getattr(arguments, "overlap", None) in ("queue", "allow")
    beside = tuple(data.get("under_way", ())) if chosen else None
    wish = replace(wish, preview=data, why=arguments.why or "", overlap=overlap, beside=beside)
    return send(arguments, requests, wish)
