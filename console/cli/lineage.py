"""`headway lineage JOB`: the jobs around one, over all systems, with their states; a graph in plain characters."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping

from console.cli.common import JOB, clock_words, print_json, say_lines, watched, whole_number
from console.cli.exits import Exit
from console.cli.reach import (
    as_json,
    by_system,
    cause_lines,
    reach,
    service_json,
    state_counts,
    state_of,
    summary,
)
from console.control.lineage import which_read
from console.control.reach import Reach
from console.model.views.lineage import LineageJob, Read

Reading = Mapping[tuple[int, int], Read]
"""As `which_read` tells it."""
DEPTH = 3
MOST = 40
"""Jobs above or below that are drawn one by one; more are counted by system, and only what matters is named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help=JOB)
    parser.add_argument("--up", type=whole_number, default=DEPTH, metavar="N", help=f"steps upstream ({DEPTH})")
    parser.add_argument("--down", type=whole_number, default=DEPTH, metavar="N", help=f"steps downstream ({DEPTH})")
    parser.add_argument("--run", default="", metavar="KEY", help="a period key or a run's number: its business date")
    parser.add_argument("--reads", action="store_true", help="which run read which, by the latest runs")
    parser.add_argument("--json", action="store_true")
    parser.epilog = "! root cause   x red   * on the critical path of a service"


def run(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        found = reach(reads, arguments.name, arguments.run)
        runs = reads.latest_runs(found.view.jobs) if arguments.reads else {}
    read = which_read(found.view.edges, runs, {job.id: job.name for job in found.view.jobs.values()})
    if arguments.json:
        more = {"reads": list(_reads_json(found, read))} if arguments.reads else {}
        print_json(arguments, {**document(found, arguments.up, arguments.down), **more})
    else:
        say_lines(lines(found, arguments.up, arguments.down))
        say_lines(_reads_lines(found, read) if arguments.reads else ())
    return Exit.OK


def _reads_json(found: Reach, read: Reading) -> Iterator[dict[str, object]]:
    for (upstream, downstream), (mine, other, is_told) in read.items():
        yield {
            "upstream": found.view.jobs[upstream].name,
            "downstream": found.view.jobs[downstream].name,
            "bd": mine.bd,
            "started": mine.started,
            "read_bd": other.bd if other else None,
            "read_ended": other.ended if other else None,
            "stale_read": mine.stale_read,
            "from": "source" if is_told else "times",
        }


def _reads_lines(found: Reach, read: Reading) -> Iterator[str]:
    """Each run that has begun, and the runs that it read, or that were there for it."""
    yield ""
    for (upstream, downstream), (mine, other, is_told) in read.items():
        of = (
            f"{found.view.jobs[upstream].name} of {other.bd}"
            if other
            else f"no run of {found.view.jobs[upstream].name}"
        )
        stale = "; too early: stale" if mine.stale_read else ""
        yield f"{found.view.jobs[downstream].name} of {mine.bd} read {of}{stale}{'' if is_told else ' (by the times)'}"


def document(found: Reach, up: int, down: int) -> dict[str, object]:
    """What `--json` prints: the jobs within so many steps, nearest first, and the edges between them."""
    above = {each: steps for each, steps in found.upstream.items() if steps <= up}
    below = {each: steps for each, steps in found.downstream.items() if steps <= down}
    shown, jobs = {found.view.job_id, *above, *below}, found.view.jobs
    return {
        **as_json(found, found.job, 0),
        "bd": found.view.bd or None,
        "root_causes": [as_json(found, one, found.upstream.get(one.id, 0)) for one in found.causes],
        "services": [service_json(one) for one in found.services],
        "upstream": [as_json(found, jobs[each], steps) for each, steps in above.items()],
        "downstream": [as_json(found, jobs[each], steps) for each, steps in below.items()],
        "edges": [
            {"upstream": jobs[one].name, "downstream": jobs[other].name}
            for one, other in found.view.edges
            if one in shown and other in shown
        ],
        "left_out": {"upstream": len(found.upstream) - len(above), "downstream": len(found.downstream) - len(below)},
    }


def lines(found: Reach, up: int, down: int) -> Iterator[str]:
    """Upstream as a tree that reads towards the job, the job, downstream as a tree."""
    if found.view.bd:
        yield f"business date {found.view.bd}"
    for one in found.services:
        act_by = f", act by {clock_words(one.act_by, one.zone, found.now)}" if one.act_by else ""
        due = f"due {clock_words(one.deadline, one.zone, found.now)}, " if one.is_promised else ""
        yield f"service     {one.name}  {due}{one.timeliness.replace('_', ' ')}{act_by}"
    yield from cause_lines(found)
    yield ""
    yield from _side(found, "upstream", found.upstream, found.above, up)
    yield _line(found, "> ", found.job)
    yield from _side(found, "downstream", found.downstream, found.below, down)


def _side(
    found: Reach, word: str, steps: dict[int, int], next_to: Callable[[int], list[int]], depth: int
) -> Iterator[str]:
    near = [each for each, away in steps.items() if away <= depth]
    if not steps:
        yield f"{word}: nothing"
        return
    yield f"{word}: {summary(found.jobs(steps))}"
    yield from _counted(found, near, steps) if len(near) > MOST else _tree(found, steps, next_to, depth)
    if len(steps) > len(near):
        yield f"  {len(steps) - len(near)} more beyond {depth} step{'s' * (depth != 1)}"


def _counted(found: Reach, near: list[int], steps: dict[int, int]) -> Iterator[str]:
    """By system; and by name what is red, the cause, or on a critical path."""
    jobs = found.jobs(near)
    for system, those in by_system(jobs):
        yield f"  {system}: {summary(those).partition(' on')[0]}: {state_counts(those)}"
    named = [one for one in jobs if _mark(found, one) != " "]
    for one in named[:MOST]:
        yield _line(found, f"  {steps[one.id]:>2} ", one)
    if len(named) > MOST:
        yield f"  and {len(named) - MOST} more of these: --json names them all"


def _tree(found: Reach, away: dict[int, int], next_to: Callable[[int], list[int]], depth: int) -> Iterator[str]:
    """Each job once, where it is nearest; elsewhere it is only named."""
    drawn: set[int] = set()
    ahead = [("", each, 1, last) for each, last in _with_last(next_to(found.view.job_id))] if depth else []
    while ahead:
        inset, each, steps, last = ahead.pop()
        one, branch = found.view.jobs[each], "`- " if last else "|- "
        if each in drawn or steps != away.get(each):
            yield f"  {inset}{branch}  {one.name} (see step {away.get(each, 0)})"
            continue
        drawn.add(each)
        yield _line(found, f"  {inset}{branch}", one)
        if steps < depth:
            under = inset + ("   " if last else "|  ")
            ahead += [(under, other, steps + 1, end) for other, end in _with_last(next_to(each))]


def _with_last(job_ids: list[int]) -> list[tuple[int, bool]]:
    """With whether it is the last of them; the last first, as a stack takes them."""
    return [(each, place == 0) for place, each in enumerate(reversed(job_ids))]


def _line(found: Reach, inset: str, one: LineageJob) -> str:
    return f"{inset}{_mark(found, one)} {one.name}  {state_of(one, found.now)}"


def _mark(found: Reach, one: LineageJob) -> str:
    if one in found.causes:
        return "!"
    if one.is_red:
        return "x"
    return "*" if one.name in found.critical else " "
