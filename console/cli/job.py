"""`headway job SYSTEM/ID`: one job, all that is known of it."""

from __future__ import annotations

import argparse
from dataclasses import fields
from datetime import datetime

from console.cli.common import count, day_words, now_of, print_json, say_lines, watched
from console.cli.exits import Exit
from console.cli.jobs import state_words
from console.cli.runs import run_rows
from console.cli.table import print_table
from console.durations import duration_words, share_below
from console.model.views import JobView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="system/native-id")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        view = reads.job(arguments.name)
        starts = reads.unscheduled_starts(view.row.id)
        now = now_of(reads)
    usual = _usual(starts)
    if arguments.json:
        print_json(arguments, {**{one.name: getattr(view, one.name) for one in fields(view)}, "cadence": usual})
        return Exit.OK
    say_lines(job_lines(view, now))
    if usual:
        say_lines([f"cadence     {usual}"])
    coming = [day_words(at, now) for at in view.coming] or [day_words(view.row.next, now)]
    say_lines(["", f"next {', '.join(coming)}", ""])
    print_table(*run_rows(view.runs[:15], now))
    return Exit.OK


def _usual(starts: tuple[str, tuple[int, ...]] | None) -> str:
    """The cadence of a job whose schedule nobody can read, in words; empty where none was learned."""
    if starts is None:
        return ""
    from console.control.cadence import learned

    zone, seconds = starts
    found = learned(seconds, zone)
    if found is None:
        return ""
    return found.words if found.is_sure else f"{found.words}, too unsure to expect it"


def job_lines(view: JobView, now: datetime) -> list[str]:
    """The job as lines of text."""
    row = view.row
    lines = [
        f"{row.name}  {state_words(row, now)}",
        f"timeliness  {row.timeliness.replace('_', ' ')}" + (f", told {row.evidence}" if row.state else ""),
        f"schedule    {row.schedule or '–'}",
        f"runs        {view.definition or '–'}",
    ]
    lines += [f"run as      {view.run_as or '–'}", f"evidence    this source proves: {view.proof}"]
    lines += [
        f"takes       {_takes(view)}",
        *_last(view, now),
        f"owner       {row.owner or '–'}",
        f"runbook     {view.runbook or '–'}",
    ]
    lines += [f"rerun       {view.rerun}", f"services    {', '.join(view.services) or '–'}"]
    lines += [f"upstream    {name} ({origin})" for name, origin in view.upstreams]
    lines += [f"waits for   {words}" for words in view.waits]
    lines += [f"downstream  {name} ({origin})" for name, origin in view.downstreams]
    lines += [f"finding     {one.rule.replace('_', ' ')}: {one.with_source}" for one in view.findings]
    return lines + [f"drift       {one.what}: {one.words}" for one in view.drift]


def _last(view: JobView, now: datetime) -> list[str]:
    """How long the newest run took, and its place among the good ones before it."""
    timed = [(run, seconds) for run in view.runs if (seconds := run.lasted_s(now)) is not None]
    before = [seconds for run, seconds in timed[1:] if not run.is_red]
    if not before:
        return []
    words = f"{duration_words(timed[0][1])}{' so far' if timed[0][0].ended is None else ''}"
    longer = round(100 * share_below(timed[0][1], before))
    return [f"last        {words}: longer than {longer} % of {count(before, 'good run')} before it"]


def _takes(view: JobView) -> str:
    if view.p50_s is not None and view.p90_s is not None:
        return f"p50 {duration_words(view.p50_s)}, p90 {duration_words(view.p90_s)}: history ({view.history_runs} runs)"
    if view.expected_s is not None:
        return f"{duration_words(view.expected_s)}: declared"
    return f"no estimate ({view.history_runs} runs)"
