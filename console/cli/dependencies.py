"""Suggested dependencies: pairs of jobs that are joined by a time buffer, or by a dataset, and by no dependency."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from console.cli.arguments import positive_number
from console.cli.clock_format import display_zone
from console.cli.commands import JSON, Handler, flag, one_of, option
from console.cli.engine_process import limit_array_threads
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, counted, print_result, table
from console.cli.policies import proposal_parts, proposed_policies
from console.cli.reader import store_reader, store_url_of, valid_config
from console.config.paths import config_path
from console.domain.dependency import LearnedDependency, SharedDataset, SuggestedDependency
from console.onboarding.config_writer import replace_if_unchanged, toml, write_new
from console.timing.durations import format_duration
from console.timing.formats import relative_time_text

if TYPE_CHECKING:
    from console.store.queries import Queries

NIGHTS = 60
DECIDED_FILE = "dependencies.toml"
"""In a config folder."""


@dataclass(slots=True)
class _Suggestion:
    """A pair with its evidence: a time buffer, shared datasets, or both."""

    upstream: str
    downstream: str
    buffer: SuggestedDependency | None = None
    learned: LearnedDependency | None = None

    @property
    def datasets(self) -> tuple[SharedDataset, ...]:
        return self.learned.datasets if self.learned is not None else ()

    def evidence(self, now: datetime) -> list[str]:
        shared = [
            f"reads {dataset.name}, written {relative_time_text(dataset.written, now)}" for dataset in self.datasets
        ]
        return [*shared, *((_counts_text(self.buffer),) if self.buffer is not None else ())]


def run_suggest(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        decides = arguments.accept or arguments.reject
        if len(arguments.pair) != 2 and (arguments.pair or decides):
            problem = (
                f"--{'accept' if arguments.accept else 'reject'} needs two jobs" if decides else "a pair is two jobs"
            )
            raise CommandError(Exit.USAGE, f"{problem}. Fix: headway suggest UPSTREAM DOWNSTREAM")
        now, suggestions = reads.now(), _suggestions(reads, arguments.nights)
        if arguments.pair:
            upstream, downstream = (reads.jobs.job_named(name) for name in arguments.pair)
            return _run_pair(arguments, suggestions, upstream, downstream, now)
        proposals = proposal_parts(proposed_policies(reads))
    policies = [["", "Failures that people repaired often by a rerun:"], *proposals] if proposals else []
    if not suggestions:
        text = f"No time buffers found in the last {counted(arguments.nights, 'night')}, and no shared datasets."
        return print_result(arguments, [], [text], *policies)

    def of_buffer(text: Callable[[SuggestedDependency], str]) -> Callable[[_Suggestion], str]:
        return lambda pair: text(pair.buffer) if pair.buffer is not None else "–"

    rows = table(
        suggestions,
        ValueColumn("upstream", lambda pair: pair.upstream, 14, middle=True),
        ValueColumn("downstream", lambda pair: pair.downstream, 14, middle=True),
        ValueColumn("buffer", of_buffer(lambda buffer: format_duration(buffer.buffer)), drop=1),
        ValueColumn("violated", of_buffer(lambda buffer: f"{len(buffer.violated)} of {buffer.nights}")),
        ValueColumn("harmed", of_buffer(lambda buffer: str(buffer.harmed)), drop=2),
        ValueColumn("p", of_buffer(lambda buffer: _p_text(buffer.p))),
        ValueColumn("evidence", lambda pair: "; ".join(pair.evidence(now)), 20, drop=3),
    )
    following = ["", f"Next: {_command(suggestions[0])}"]
    return print_result(arguments, [_document(pair, now) for pair in suggestions], rows, following, *policies)


def _suggestions(reads: Queries, nights: int) -> list[_Suggestion]:
    """Pairs with shared datasets first, then by p; without those that a person has rejected."""
    limit_array_threads()
    from console.control.dependencies.datasets import learned_dependencies
    from console.control.dependencies.time_buffers import suggest_dependencies

    now = reads.now()
    jobs, known = reads.lineage.nights(now - timedelta(days=nights))
    pairs: dict[tuple[str, str], _Suggestion] = {}
    for learned in learned_dependencies(*reads.lineage.shared_datasets(), known):
        pair = _Suggestion(learned.upstream, learned.downstream, learned=learned)
        pairs[pair.upstream, pair.downstream] = pair
    for buffer in suggest_dependencies(jobs, known, display_zone() or now.astimezone().tzinfo or UTC):
        ends = buffer.upstream, buffer.downstream
        pairs.setdefault(ends, _Suggestion(*ends)).buffer = buffer
    rejected = reads.declared().rejected_dependencies
    return [pair for ends, pair in pairs.items() if ends not in rejected]


def _run_pair(
    arguments: argparse.Namespace, suggestions: Sequence[_Suggestion], upstream: str, downstream: str, now: datetime
) -> int:
    pair = next((pair for pair in suggestions if (pair.upstream, pair.downstream) == (upstream, downstream)), None)
    if pair is None:
        problem = f"no suggestion from {upstream} to {downstream}"
        raise CommandError(Exit.NOT_FOUND, f"{problem}. Fix: list all pairs: headway suggest")
    block = f"upstream = {toml(upstream)}\ndownstream = {toml(downstream)}\n"
    accepted, document = f"[[dependencies]]\n{block}", _document(pair, now)
    if arguments.accept:
        place = _decide(arguments, pair, f"# accepted with headway suggest: {'; '.join(_reasons(pair))}\n{accepted}")
        return print_result(arguments, document | {"accepted": str(place)}, [f"Added to {place}."])
    if arguments.reject:
        place = _decide(arguments, pair, f"# rejected with headway suggest\n[[rejected_dependencies]]\n{block}")
        text = f"Rejected in {place}. To list the pair again, remove it there."
        return print_result(arguments, document | {"rejected": str(place)}, [text])
    command = _command(pair)
    ending = ["", *accepted.splitlines(), "", f"Accept: {command} --accept", f"Reject: {command} --reject"]
    return print_result(arguments, document, [*_evidence_lines(pair, now), *ending])


def _command(pair: _Suggestion) -> str:
    return shlex.join(("headway", "suggest", pair.upstream, pair.downstream))


def _reasons(pair: _Suggestion) -> Iterator[str]:
    if pair.datasets:
        yield f"the downstream reads {pair.datasets[0].name}"
    if pair.buffer is not None:
        yield _counts_text(pair.buffer)


def _counts_text(pair: SuggestedDependency) -> str:
    ordinary = pair.nights - len(pair.violated)
    return (
        f"harmed on {pair.harmed} of {len(pair.violated)} violated nights"
        f" and on {pair.harmed_otherwise} of {ordinary} others"
    )


def _p_text(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "< 0.0001"


def _evidence_lines(pair: _Suggestion, now: datetime) -> Iterator[str]:
    yield f"upstream    {pair.upstream}"
    yield f"downstream  {pair.downstream}"
    for dataset in pair.datasets:
        written, read = (relative_time_text(at, now) for at in (dataset.written, dataset.read))
        yield f"dataset     {dataset.name}: written {written}, read {read}, reported by {dataset.producer}"
    if pair.buffer is not None:
        yield from _buffer_lines(pair.buffer)


def _buffer_lines(pair: SuggestedDependency) -> Iterator[str]:
    dates = ", ".join(day.isoformat() for day in [*dict.fromkeys(pair.violated)][-5:])
    yield f"buffer      {format_duration(pair.buffer)} between the end of the upstream and the start of the downstream"
    yield f"violated    {len(pair.violated)} of {counted(pair.nights, 'night')}, the last on {dates}"
    yield (
        f"harmed      {pair.harmed} of these, and {pair.harmed_otherwise} of the others:"
        " the downstream failed, was rerun, or took far less time than usual"
    )
    yield f"p           {_p_text(pair.p)} if the downstream waits for nothing (Fisher's exact test)"
    starts = f"{counted(pair.violated, 'start')} would have waited for the upstream"
    yield f"with a hold {starts}, {format_duration(pair.delay)} later in the median"


def _document(pair: _Suggestion, now: datetime) -> dict[str, object]:
    """null: without a time buffer."""
    buffer = pair.buffer
    return {
        "upstream": pair.upstream,
        "downstream": pair.downstream,
        "nights": buffer and buffer.nights,
        "buffer_s": buffer and buffer.buffer.total_seconds(),
        "violated": buffer and [day.isoformat() for day in buffer.violated],
        "harmed": buffer and buffer.harmed,
        "harmed_otherwise": buffer and buffer.harmed_otherwise,
        "p": buffer and buffer.p,
        "delay_with_hold_s": buffer and buffer.delay.total_seconds(),
        "evidence": pair.evidence(now),
        "datasets": pair.datasets,
    }


def _decide(arguments: argparse.Namespace, pair: _Suggestion, text: str) -> Path:
    """Adds the text to the config, and the decision to the audit; the file. Raises CommandError, and changes nothing,
    for a config that is invalid with it."""
    from console.engine.api.client import EngineClient
    from console.store.errors import NotAllowed, StoreError

    config = config_path(arguments.config)
    path = config / DECIDED_FILE if config.is_dir() else config
    before = path.read_text("utf-8") if path.exists() else None
    changed = f"{before.rstrip()}\n\n{text}" if before else text
    valid_config(config, {path: changed})

    def save() -> None:
        if before is None:
            write_new(path, changed)
        elif not replace_if_unchanged(path, changed, before):
            raise CommandError(Exit.PROBLEM, f"{path} was edited meanwhile; nothing was added. Fix: try again")

    verb = "accept" if arguments.accept else "reject"
    client = EngineClient(store_url_of(arguments))
    try:
        client.record_dependency_decision(verb, pair.upstream, pair.downstream, str(path), save)
    except NotAllowed as error:
        raise CommandError(Exit.REFUSED, f"nothing was added: {error}") from None
    except StoreError as error:
        raise CommandError(Exit.USAGE, f"nothing was added, as the audit log cannot be written: {error}") from None
    return path


HANDLERS = {
    "suggest": Handler(
        run_suggest,
        option("pair", "upstream and downstream: show this pair, and what a hold would have changed", "JOB", nargs="*"),
        one_of(
            flag("--accept", "add the pair to the config with mode observe: it warns only"),
            flag("--reject", "never suggest the pair again"),
        ),
        option("--nights", f"nights of history ({NIGHTS})", "N", type=positive_number, default=NIGHTS),
        JSON,
        epilog="violated: started before the upstream ended\nharmed: failed then, was rerun, or took far less time than"
        " usual\np: chance of so many harmed nights if the downstream waits for nothing",
    )
}
