"""Suggested dependencies: pairs of jobs that today are joined by a time buffer only."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from datetime import UTC, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from console.cli.arguments import positive_number
from console.cli.clock_format import display_zone
from console.cli.commands import JSON, Handler, flag, option
from console.cli.engine_process import limit_array_threads
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, counted, print_result, table
from console.cli.reader import store_reader, valid_config
from console.config.paths import config_path
from console.domain.dependency import SuggestedDependency
from console.domain.service import format_percent
from console.onboarding.config_writer import replace_if_unchanged, toml, write_new
from console.timing.durations import format_duration

if TYPE_CHECKING:
    from console.store.queries import Queries

NIGHTS = 60
ACCEPTED_FILE = "dependencies.toml"
"""In a config folder."""


def run_suggest(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        if len(arguments.pair) != 2 and (arguments.pair or arguments.accept):
            problem = "--accept needs two jobs" if arguments.accept else "a pair is two jobs"
            raise CommandError(Exit.USAGE, f"{problem}. Fix: headway suggest UPSTREAM DOWNSTREAM")
        suggestions = _suggestions(reads, arguments.nights)
        if arguments.pair:
            upstream, downstream = (reads.jobs.job_named(name) for name in arguments.pair)
            return _run_pair(arguments, suggestions, upstream, downstream)
    if not suggestions:
        return print_result(arguments, [], [f"No time buffers found in the last {counted(arguments.nights, 'night')}."])
    rows = table(
        suggestions,
        ValueColumn("upstream", lambda pair: pair.upstream, 14, middle=True),
        ValueColumn("downstream", lambda pair: pair.downstream, 14, middle=True),
        ValueColumn("confidence", lambda pair: format_percent(pair.confidence)),
        ValueColumn("buffer", lambda pair: format_duration(pair.buffer), drop=1),
        ValueColumn("violated", lambda pair: f"{len(pair.violated)} of {pair.nights}"),
        ValueColumn("harmed", lambda pair: str(pair.harmed), drop=2),
        ValueColumn("evidence", lambda pair: "; ".join(pair.evidence), 20, drop=3),
    )
    best = suggestions[0]
    following = ["", f"Next: {_command(best)}"]
    return print_result(arguments, [_document(pair) for pair in suggestions], rows, following)


def _suggestions(reads: Queries, nights: int) -> list[SuggestedDependency]:
    limit_array_threads()
    from console.control.dependencies.time_buffers import suggest_dependencies

    now = reads.now()
    jobs, known = reads.lineage.nights(now - timedelta(days=nights))
    return suggest_dependencies(jobs, known, display_zone() or now.astimezone().tzinfo or UTC)


def _run_pair(
    arguments: argparse.Namespace, suggestions: Sequence[SuggestedDependency], upstream: str, downstream: str
) -> int:
    pair = next((pair for pair in suggestions if (pair.upstream, pair.downstream) == (upstream, downstream)), None)
    if pair is None:
        problem = f"no time buffer found from {upstream} to {downstream}"
        raise CommandError(Exit.NOT_FOUND, f"{problem}. Fix: list all pairs: headway suggest")
    block = f"[[dependencies]]\nupstream = {toml(upstream)}\ndownstream = {toml(downstream)}\n"
    if not arguments.accept:
        ending = ["", *block.splitlines(), "", f"Accept: {_command(pair)} --accept"]
        return print_result(arguments, _document(pair), [*_evidence_lines(pair), *ending])
    place = _accept(arguments, pair, block)
    return print_result(arguments, _document(pair) | {"accepted": str(place)}, [f"Added to {place}."])


def _command(pair: SuggestedDependency) -> str:
    return shlex.join(("headway", "suggest", pair.upstream, pair.downstream))


def _evidence_lines(pair: SuggestedDependency) -> list[str]:
    dates = ", ".join(day.isoformat() for day in pair.violated[-5:])
    last = f", the last on {dates}" if pair.violated else ""
    return [
        f"upstream    {pair.upstream}",
        f"downstream  {pair.downstream}",
        f"confidence  {format_percent(pair.confidence)}",
        f"buffer      {format_duration(pair.buffer)} between the end of the upstream and the start of the downstream",
        f"violated    {len(pair.violated)} of {counted(pair.nights, 'night')}{last}",
        f"harmed      {counted(pair.harmed, 'night')}: the downstream failed or was rerun",
        f"with a hold {_hold_text(pair)}",
        *(f"evidence    {text}" for text in pair.evidence),
    ]


def _hold_text(pair: SuggestedDependency) -> str:
    if not pair.violated:
        return "no start would have changed"
    later = f", {format_duration(pair.delay)} later in the median" if pair.delay else ""
    return f"{counted(pair.violated, 'start')} would have waited for the upstream{later}"


def _document(pair: SuggestedDependency) -> dict[str, object]:
    return {
        "upstream": pair.upstream,
        "downstream": pair.downstream,
        "confidence": pair.confidence,
        "nights": pair.nights,
        "buffer_s": pair.buffer.total_seconds(),
        "violated": [day.isoformat() for day in pair.violated],
        "harmed": pair.harmed,
        "delay_with_hold_s": pair.delay.total_seconds(),
        "evidence": pair.evidence,
    }


def _accept(arguments: argparse.Namespace, pair: SuggestedDependency, block: str) -> Path:
    """Adds the dependency to the config and returns the file. Raises CommandError, and changes nothing, for a config
    that is invalid with it."""
    config = config_path(arguments.config)
    path = config / ACCEPTED_FILE if config.is_dir() else config
    before = path.read_text("utf-8") if path.exists() else None
    nights = f"{pair.harmed} of {len(pair.violated)} nights with a violation"
    text = f"# from headway suggest: on {nights} the downstream failed or was rerun\n{block}"
    changed = f"{before.rstrip()}\n\n{text}" if before else text
    valid_config(config, {path: changed})
    if before is None:
        write_new(path, changed)
    elif not replace_if_unchanged(path, changed, before):
        raise CommandError(Exit.PROBLEM, f"{path} was edited meanwhile; nothing was added. Fix: try again")
    return path


HANDLERS = {
    "suggest": Handler(
        run_suggest,
        option("pair", "upstream and downstream: show this pair, and what a hold would have changed", "JOB", nargs="*"),
        flag("--accept", "add the pair to the config with mode observe: it warns only"),
        option("--nights", f"nights of history ({NIGHTS})", "N", type=positive_number, default=NIGHTS),
        JSON,
        epilog="violated: started before the upstream was good\nharmed: failed then, or was rerun",
    )
}
