"""`headway systems [NAME]`: what is polled and how long ago; of one all that is known, with its mends."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from console.cli.common import now_of, print_json, since_words, stamp, watched
from console.cli.exits import Exit
from console.cli.plain import add_plain, tell
from console.cli.status import health_words
from console.cli.table import Col, print_table
from console.durations import duration_words
from console.model.views import DriftView, TargetView
from console.model.views.estate import right_words
from console.store.errors import NotFound

COLUMNS = (
    Col("system", 16, middle=True), Col("health", 10), Col("kind", drop=4), Col("polled"), Col("every", drop=2),
    Col("took", drop=1), Col("jobs", drop=3), Col("skipped", drop=1), Col("says", 12),
)  # fmt: skip
SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a system, or system/target: all that is known of it")
    add_plain(parser)
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        system = "" if arguments.name is None else reads.system_named(arguments.name.partition("/")[0])
        found = [one for one in reads.systems() if system in ("", one.system)]
        if arguments.name not in (None, system):
            found = [one for one in found if one.name == target_named(arguments.name, found)]
        drift, now = reads.drift(), now_of(reads)
    if arguments.json:
        print_json(arguments, [_json(one, drift, now) for one in found])
    elif arguments.name is None:
        print_table(COLUMNS, [_cells(one, now) for one in found])
    else:
        for number, one in enumerate(found):
            tell(arguments, [*([""] if number else []), *_lines(one, drift, now)])
    return Exit.PROBLEM if any(one.error_kind or one.pause or one.stands_still for one in found) else Exit.OK


def target_named(name: str, of_system: Sequence[TargetView]) -> str:
    """The target in "system/target". Raises NotFound with all that the system has, where it has no such one."""
    wanted = name.partition("/")[2]
    if wanted not in {one.name for one in of_system}:
        raise NotFound(name, tuple(f"{one.system}/{one.name}" for one in of_system))
    return wanted


def _json(one: TargetView, drift: Sequence[DriftView], now: datetime) -> dict[str, Any]:
    return {**asdict(one), "health": health_words(one, now), "drift": _drifts(one, drift)}


def _cells(one: TargetView, now: datetime) -> tuple[str, ...]:
    took = "–" if one.poll_ms is None else f"{one.poll_ms:.0f} ms"
    every = duration_words(one.poll_every_s)
    return (
        f"{one.system}/{one.name}", health_words(one, now), f"{one.kind} {one.version}".strip(),
        since_words(one.last_ok, now), every, took, f"{one.jobs:,}", str(one.skipped or "–"), one.says or "–",
    )  # fmt: skip


def _drifts(one: TargetView, drift: Sequence[DriftView]) -> list[DriftView]:
    return [each for each in drift if each.job.startswith(f"{one.system}/")]


def _lines(one: TargetView, drift: Sequence[DriftView], now: datetime) -> Iterator[str]:
    yield f"{one.system}/{one.name}: {health_words(one, now)}"
    for label, text in _facts(one, now):
        if text:
            yield f"  {label:<10} {text}"
    for right in one.rights:
        held, words = right_words(right)
        yield f"  {held:<10}{words}"
    yield from (f"  {'cannot':<10}{verb.replace('_', ' ')}: {why}" for verb, why in one.missing.items())
    yield from (f"  {'warning':<10}{words}" for words in one.warnings)
    yield from (f"  {'skipped':<10}{words}" for words in one.skipped_words)
    drifts = _drifts(one, drift)
    yield from (f"  {'drift':<10}{each.job}: {each.words or each.what}" for each in drifts[:SHOWN])
    if len(drifts) > SHOWN:
        yield f"  {'drift':<10}and {len(drifts) - SHOWN} more: headway drift"


def _facts(one: TargetView, now: datetime) -> Iterator[tuple[str, str]]:
    yield "kind", f"{one.kind} {one.version}".strip()
    yield "paused", one.pause.told(stamp(one.pause.until)) if one.pause else ""
    tried = one.last_ok if one.next_try is None else one.last_try
    answered = "" if one.next_try is None else f"; last answered {since_words(one.last_ok, now)}"
    yield "polled", f"{since_words(tried, now)}, every {duration_words(one.poll_every_s)}{answered}"
    yield "next", one.next_words(now)
    lag = now - one.last_ok - timedelta(seconds=one.poll_every_s) if one.last_ok else timedelta(0)
    yield "lag", duration_words(lag.total_seconds()) if lag > timedelta(seconds=one.poll_every_s) else ""
    yield "took", "" if one.poll_ms is None else f"{one.poll_ms:.0f} ms"
    yield "requests", one.budget
    yield "failing", f"since {stamp(one.failing_since)}, {one.failures} polls in a row" if one.failing_since else ""
    yield "error", one.error
    yield "mend", one.mend
    yield "seen", f"every start before {stamp(one.seen_until)}" if one.seen_until else ""
    yield "jobs", f"{one.jobs:,}, listed anew {since_words(one.inventory, now)}" if one.inventory else f"{one.jobs:,}"
    yield "clock", "" if one.skew_s is None else f"{one.skew_s:+.1f} s beside ours"
    yield "zone", one.zone
    yield "lost", f"evidence from {stamp(one.lost[0])} to {stamp(one.lost[1])} is lost for good" if one.lost else ""
    yield "skips", f"{one.skipped:,} records were not read" if one.skipped else ""
    yield "can", " ".join(verb.replace("_", " ") for verb in one.capabilities)
