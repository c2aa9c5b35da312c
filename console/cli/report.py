"""`headway report INC-0001`: what happened, for those who were asleep: a page of Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from console.cli.common import Stop, now_of, print_json, say_lines, stamp, watched
from console.cli.exits import Exit
from console.cli.handover import action_line, service_words
from console.cli.incident import number_of
from console.cli.markdown import Section, as_markdown
from console.cli.noise import add_noise_arguments, run_noise
from console.durations import duration_words
from console.model.carried import PlanView
from console.model.ids import incident_name
from console.model.views import IncidentView
from console.model.views.handover import ServiceNight

LOG_LINES = 20


_NO_CHANGES = ("not asked: its root is no run of a job", "not looked up")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="INCIDENT", nargs="?", help="INC-0001")
    add_noise_arguments(parser)
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.noise == bool(arguments.name):
        raise Stop(Exit.USAGE, "which report: INC-0001 for an incident, or --noise for the alerts?")
    if arguments.noise:
        return run_noise(arguments)
    number = number_of(arguments.name)
    with watched(arguments) as reads:
        view, nights, plans = reads.incident(number), reads.nights_of(number), reads.plans(incident_id=number)
        now = now_of(reads)
    if arguments.json:
        document = {"incident": view, "services": nights, "plans": plans, "open_questions": open_questions(view)}
        print_json(arguments, document)
        return Exit.OK
    end = f"closed {stamp(view.row.closed)}" if view.row.closed else f"open, as of {stamp(now)}"
    say_lines(as_markdown(f"{incident_name(number)}: {view.row.title}", sections(view, nights, plans, end)))
    return Exit.OK


def sections(view: IncidentView, nights: Sequence[ServiceNight], plans: Sequence[PlanView], end: str) -> list[Section]:
    """Summary, cause, impact, timeline, what was done and proved, what is not known."""
    return [
        Section("Summary", _summary(view, nights, end)),
        Section("Root cause", _cause(view), block="\n".join(view.log.splitlines()[-LOG_LINES:])),
        Section(
            "What changed since it was last green",
            view.row.changes,
            empty=_NO_CHANGES[view.row.cause in ("run", "shared")],
        ),
        Section("Impact", [_impact(one) for one in nights], empty="no service"),
        Section("Runs", [f"{one.role}: {one.job} {one.period_key}, {one.state}" for one in view.members]),
        Section("Timeline", [_event(one.words, stamp(one.at), one.actor) for one in view.events]),
        Section("What was done, and its proof", [*map(action_line, reversed(view.actions)), *map(_plan, plans)]),
        Section("Who was told", _told(view)),
        Section("Seen before", [f"{stamp(at)} {words}" for at, words in view.seen_before]),
        Section("Open questions", open_questions(view)),
    ]


def open_questions(view: IncidentView) -> list[str]:
    """What the record does not answer, each with where an answer would stand."""
    row, name = view.row, incident_name(view.row.id)
    notes = [one for one in view.events if one.kind == "note"]
    unsure = [one for one in view.actions if one.state == "unknown"]
    found = [f"Why did it happen? Nobody has written it down: headway note {name} …"] if not notes else []
    found += ["Who answers for it? No owner is named."] if not row.owner else []
    found += ["What should a person do first? No runbook is named."] if not row.runbook else []
    found += [f"Did {one.verb} {one.job} arrive? Its outcome is unknown ({one.key})." for one in unsure]
    found += [
        f"Why does {one.job} read what was not good? It is stale still." for one in view.members if one.stale_read
    ]
    found += ["How does it end? It is open still."] if row.closed is None else []
    again = f"{row.reopened} times" if row.reopened > 1 else "once"
    return found + ([f"Why did it come back? It was reopened {again}."] if row.reopened else [])


def _summary(view: IncidentView, nights: Sequence[ServiceNight], end: str) -> list[str]:
    row = view.row
    missed, saved = sum(one.is_missed for one in nights), sum(one.is_saved for one in nights)
    lines = [f"Failed since {stamp(row.failed_since)}; {end}"]
    if row.closed is not None:
        took = duration_words((row.closed - row.failed_since).total_seconds())
        lines.append(f"Lasted {took}; {view.row.hurt} runs red or stale at its end")
    lines.append(f"Services hurt: {len(nights)}, of them missed {missed}, saved {saved}")
    lines.append(f"Business date {row.bd}; owner {row.owner or 'nobody is named'}; runbook {row.runbook or 'none'}")
    return lines


def _cause(view: IncidentView) -> list[str]:
    row = view.row
    lines = [row.title] + ([row.reason] if row.reason and row.reason not in row.title else [])
    lines += [f"Split from {incident_name(row.split_from)}"] if row.split_from is not None else []
    lines += [f"Merged into {incident_name(row.merged_into)}"] if row.merged_into is not None else []
    return [*lines, *([] if view.log else [f"Log: {view.log_error or 'none was kept'}"])]


def _impact(one: ServiceNight) -> str:
    return f"{one.title} (tier {one.tier}, {one.bd}), due {stamp(one.deadline)}: {service_words(one)}"


def _event(words: str, at: str, actor: str) -> str:
    return f"{at} {words}{f' ({actor})' if actor else ''}"


def _plan(plan: PlanView) -> str:
    return f"plan {plan.id} of {plan.requested_by}: {plan.state}, {plan.done} of {len(plan.steps)} steps over"


def _told(view: IncidentView) -> list[str]:
    return [
        f"{one.kind} to {one.route} ({one.url_words}): {f'sent {stamp(one.sent)}' if one.sent else one.state}"
        for one in view.deliveries
    ]
