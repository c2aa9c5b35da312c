"""An incident as a page: what happened, for those who were asleep, and for who takes over. Views in, sections out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from console.control.pages import Section
from console.control.stamps import stamp
from console.durations import duration_words
from console.model.carried import PlanView
from console.model.ids import incident_name
from console.model.views import ActionView, IncidentView
from console.model.views.handover import ServiceNight

LOG_LINES = 20
_NO_CHANGES = ("not asked: its root is no run of a job", "not looked up")


Wall = Callable[[datetime | None], str]
"""An instant on somebody's wall, with its zone's label."""


def end_words(view: IncidentView, now: datetime, at: Wall = stamp) -> str:
    """ "closed …", or "open, as of …"."""
    return f"closed {at(view.row.closed)}" if view.row.closed else f"open, as of {at(now)}"


def sections(
    view: IncidentView, nights: Sequence[ServiceNight], plans: Sequence[PlanView], end: str, at: Wall = stamp
) -> list[Section]:
    """Summary, cause, impact, timeline, what was done and proved, what is not known; instants as `at` tells them."""
    return [
        Section("Summary", _summary(view, nights, end, at)),
        Section("Root cause", _cause(view), block="\n".join(view.log.splitlines()[-LOG_LINES:])),
        Section(
            "What changed since it was last green",
            view.row.changes,
            empty=_NO_CHANGES[view.row.cause in ("run", "shared")],
        ),
        Section("Impact", [_impact(one, at) for one in nights], empty="no service"),
        Section("Runs", [f"{one.role}: {one.job} {one.period_key}, {one.state}" for one in view.members]),
        Section("Timeline", [_event(one.words, at(one.at), one.actor) for one in view.events]),
        Section("What was done, and its proof", _done(view, plans, at)),
        Section("Who was told", _told(view, at)),
        Section("What worked before", [f"{at(when)} {words}" for when, words in view.seen_before]),
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


def _summary(view: IncidentView, nights: Sequence[ServiceNight], end: str, at: Wall) -> list[str]:
    row = view.row
    missed, saved = sum(one.is_missed for one in nights), sum(one.is_saved for one in nights)
    lines = [f"Failed since {at(row.failed_since)}; {end}"]
    if row.closed is not None:
        took = duration_words((row.closed - row.failed_since).total_seconds())
        lines.append(f"Lasted {took}; {view.row.hurt} runs red or stale at its end")
    else:
        lines.append(f"Recoverable until {at(row.act_by)}" if row.act_by else "No act-by: no service has one")
        lines.append(f"{row.taken_by} is on it until {at(row.taken_until)}" if row.taken_by else "Nobody is on it")
    lines.append(f"Services hurt: {len(nights)}, of them missed {missed}, saved {saved}")
    lines.append(f"Business date {row.bd}; owner {row.owner or 'nobody is named'}; runbook {row.runbook or 'none'}")
    return lines


def _cause(view: IncidentView) -> list[str]:
    row = view.row
    lines = [row.title] + ([row.reason] if row.reason and row.reason not in row.title else [])
    lines += [f"Split from {incident_name(row.split_from)}"] if row.split_from is not None else []
    lines += [f"Merged into {incident_name(row.merged_into)}"] if row.merged_into is not None else []
    return [*lines, *([] if view.log else [f"Log: {view.log_error or 'none was kept'}"])]


def _impact(one: ServiceNight, at: Wall) -> str:
    return f"{one.title} (tier {one.tier}, {one.bd}), due {at(one.deadline)}: {service_words(one, at)}"


def _done(view: IncidentView, plans: Sequence[PlanView], at: Wall) -> list[str]:
    return [*(action_line(one, at) for one in reversed(view.actions)), *map(_plan, plans)]


def _event(words: str, at: str, actor: str) -> str:
    return f"{at} {words}{f' ({actor})' if actor else ''}"


def _plan(plan: PlanView) -> str:
    return f"plan {plan.id} of {plan.requested_by}: {plan.state}, {plan.done} of {len(plan.steps)} steps over"


def _told(view: IncidentView, at: Wall) -> list[str]:
    return [
        f"{one.kind} to {one.route} ({one.url_words}): {f'sent {at(one.sent)}' if one.sent else one.state}"
        for one in view.deliveries
    ]


def action_line(one: ActionView, at: Wall = stamp) -> str:
    """Who asked for what, and its proof."""
    proof = f": {one.words}" if one.words else ""
    return f"{at(one.requested)} {one.requested_by}: {one.verb} {one.job}, {one.state}{proof}"


def service_words(one: ServiceNight, at: Wall) -> str:
    """ "delivered 07:41 CET, 11m late", or how it stands."""
    if one.delivered is None:
        return one.timeliness.replace("_", " ")
    late = (one.delivered - one.deadline).total_seconds()
    how = f"{duration_words(late)} late" if late > 0 else f"{duration_words(-late)} before its deadline"
    return f"delivered {at(one.delivered)}, {how}"
