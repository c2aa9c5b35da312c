"""`headway incident INC-0001`: cause, two clocks, what it hurts, the log, what was told and done.

At a terminal it opens the console there; `--plain`, `--json` and whatever reads its output get lines.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime
from operator import attrgetter

from console.cli.common import (
    Stop,
    clock_words,
    now_of,
    print_json,
    reading,
    since_words,
    stamp,
    until,
    watched,
)
from console.cli.console import add_place, open_at, opens
from console.cli.exits import Exit
from console.cli.plain import tell
from console.durations import duration_words
from console.model.carried import PlanView
from console.model.ids import incident_id, incident_name
from console.model.promises import not_too_many
from console.model.views import DeliveryView, FindingView, HurtService, IncidentView, MemberView, TargetView
from console.model.views.repairs import Repair

LOG_LINES = 15
NONE = "  (none)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="INCIDENT", help="INC-0001")
    add_place(parser)


def number_of(name: str) -> int:
    """The incident's id. Raises Stop for a word that is none."""
    try:
        return incident_id(name)
    except ValueError as error:
        raise Stop(Exit.USAGE, str(error)) from None


def run(arguments: argparse.Namespace) -> int:
    number = number_of(arguments.name)
    if opens(arguments):
        with reading(arguments) as reads:
            reads.incident(number)  # one that there is not is told here, not behind a screen
        return open_at(arguments, ("incident", number))
    with watched(arguments) as reads:
        view = reads.incident(number)
        now = now_of(reads)
        target = next((one for one in reads.systems() if f"{one.system}/{one.name}" == view.row.root_job), None)
        plans = reads.plans(incident_id=number)
    if arguments.json:
        print_json(arguments, view)
    else:
        tell(arguments, [*incident_lines(view, now, target), *map(_plan, plans)])
    return Exit.OK


def _plan(plan: PlanView) -> str:
    steps = f"{plan.done} of {len(plan.steps)} steps over"
    return f"plan {plan.id} is {plan.state}, {steps}: headway recovery {plan.id}"


def incident_lines(view: IncidentView, now: datetime, target: TargetView | None = None) -> list[str]:
    """The incident as lines of text, outside text behind `| `; `target`: its cause, where that is one."""
    row = view.row
    closed = f"closed {stamp(row.closed)}" if row.closed else f"act by {until(row.act_by, now)}"
    lines = [f"{incident_name(row.id)}  {row.title}", f"failed {since_words(row.failed_since, now)} · {closed}"]
    lines += [f"business date {row.bd} · owner {row.owner or '–'} · runbook {row.runbook or '–'}"]
    if row.taken_by:
        lines += [f"{row.taken_by} is on it until {stamp(row.taken_until)}"]
    lines += [f"{one.person} looks at it in a console since {stamp(one.since)}" for one in row.lookers]
    lines += [*_why(view, target), *_kin(view), ""]
    lines += ["changed since it was last green", *(f"  | {one}" for one in row.changes), ""] if row.changes else []
    lines += ["services hurt"] + ([*_services(view, now)] or [NONE]) + [""]
    if view.findings:
        lines += ["what rules found"] + [_finding(one) for one in view.findings] + [""]
    lines += ["runs"] + [line for one in view.members for line in _member(one, now)] + [""]
    tail = view.log.splitlines()[-LOG_LINES:] or [f"no log: {view.log_error or 'none was kept'}"]
    lines += ["log"] + [f"  | {line}" for line in tail] + [""]
    lines += ["told"] + ([_told(one) for one in view.deliveries] or [NONE]) + _held(view) + [""]
    lines += ["timeline"] + [f"  {stamp(one.at)}  {one.words}" + _by(one.actor) for one in view.events]
    before = [line for one in view.repairs for line in _repair(one)]
    before = before or [f"  {stamp(at)}  {words}" for at, words in view.seen_before]  # of a cause that is no run
    return lines + (["", _heading(view), *before] if before else [])


def _heading(view: IncidentView) -> str:
    """Of what became of it before."""
    stayed = view.repairs and not any(one.how for one in view.repairs)
    return "nothing worked before" if stayed else "what worked before"


def _why(view: IncidentView, target: TargetView | None) -> list[str]:
    """What keeps a target out of sight, and since when; for a run the reason, where the title does not hold it."""
    if view.row.cause != "target":
        return [f"reason {view.row.reason}"] if view.row.reason and view.row.reason not in view.row.title else []
    name = view.row.root_job
    if target is None:
        return [f"{name}: no longer watched"]
    if target.failing_since is None:
        return [f"{name}: answers again, last seen {stamp(target.last_ok)}"]
    return [f"{name}: {target.error_kind}: {target.error} (since {stamp(target.failing_since)})"]


def _kin(view: IncidentView) -> list[str]:
    """What it was a part of, or is by now, and how often it came back."""
    row = view.row
    words = [f"split from {incident_name(row.split_from)}"] if row.split_from is not None else []
    words += [f"merged into {incident_name(row.merged_into)}"] if row.merged_into is not None else []
    words += [f"reopened {'once' if row.reopened == 1 else f'{row.reopened} times'}"] if row.reopened else []
    return [" · ".join(words)] if words else []


def _finding(one: FindingView) -> str:
    over = f" (over {stamp(one.closed)})" if one.closed else ""
    return f"  {one.rule.replace('_', ' '):<11} {one.job}: {one.with_source}{over}"


def _services(view: IncidentView, now: datetime) -> Iterator[str]:
    for one, more in not_too_many(view.services, attrgetter("name")):
        yield _service(one, now)
        yield from [f"  and {more} more of {one.name}: headway services {one.name}"] if more else []


def _member(one: MemberView, now: datetime) -> list[str]:
    """A run, and what its verdict rests on: its source's own word, and how old that is."""
    native = f'it says "{one.native_state}"' if one.native_state else ""
    heard = f"heard {since_words(one.observed, now)}" if one.observed is not None else ""
    facts = " · ".join(words for words in (native, heard, one.reason) if words)
    first = f"  {one.role:<11} {one.job}  {one.state} ({one.evidence})"
    return [first, *([f"{'':<14}| {facts}"] if facts else [])]


def _repair(one: Repair) -> list[str]:
    """An earlier failure of the root: what it said, and how it became green."""
    took = f", green after {duration_words(one.took_s)}" if one.took_s is not None else ""
    done = f"{one.done}{took}" if one.how else "it stayed red"
    note = [f"{'':<6}note: {one.note}"] if one.note else []
    return [f"  {stamp(one.at)}  {done}{'  (failed as now)' * one.is_alike}", f"{'':<6}| {one.said or 'failed'}", *note]


def _service(one: HurtService, now: datetime) -> str:
    zone, act_by, deadline = one.zone, one.act_by, one.deadline
    title, timeliness = one.title, one.timeliness.replace("_", " ")
    source = f" · {one.source}" if one.source else ""
    act = "no act-by" if act_by is None else f"act by {clock_words(act_by, zone, now)} ({until(act_by, now)})"
    return f"  {title:<20} {timeliness:<11} deadline {clock_words(deadline, zone, now)}  {act}{source}"


def _told(one: DeliveryView) -> str:
    sent = one.sent
    route, kind, words = one.route, one.kind, one.url_words
    state, error = one.state, one.error
    how = " in a digest" if state == "digested" else ""
    when = f"sent {stamp(sent)}{how}" if sent else f"{state} {error}".strip()
    return f"  {kind:<10} {route} ({words}): {when}"


def _held(view: IncidentView) -> list[str]:
    """What is held back, and what was and never told: why, and until when."""
    return [
        f"  {one.kind:<10} {one.route}: held back by {one.stage}: {one.ended_why or one.why}"
        for one in view.held
        if one.ended is None or one.ended_why not in ("", "told")
    ]


def _by(actor: str) -> str:
    return f" ({actor})" if actor else ""
