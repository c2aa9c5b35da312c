"""The report of an incident as sections of a page, for a terminal or as Markdown without outside markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from console.domain.action import ActionView
from console.domain.handover import ServiceNight
from console.domain.ids import incident_name
from console.domain.incident import EventView, IncidentView, members_by_time
from console.domain.incident_record import CauseKind
from console.domain.plan import PlanView
from console.domain.service import timeliness_label
from console.domain.text import key_text, render
from console.text.cleaning import clean, clean_line
from console.timing.durations import format_duration
from console.timing.formats import timestamp_text

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~&!@$]|:(?=//|[a-z+_-][\w+-]*:|100:|1234:)|(?<=www)\.", re.IGNORECASE)
"""A colon counts in an address and in the name of an emoji; in a time and after a job's host it does not."""
_BEGINS = re.compile(r"^([+\-=]|\d{1,9}[.)])")


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A heading with its lines, plain; `block`: outside text of several lines, shown as it is."""

    heading: str
    lines: Sequence[str] = ()
    block: str = ""
    empty: str = "none"


def escape_markdown(text: str) -> str:
    """One line that Markdown shows as it is."""
    escaped = _MARKUP.sub(lambda match: f"\\{match[0]}", clean_line(text))
    return _BEGINS.sub(lambda match: f"{match[1][:-1]}\\{match[1][-1]}", escaped)


def as_markdown(title: str, sections: Iterable[ReportSection]) -> list[str]:
    """A page: a title, then each section with its lines as a list."""
    lines = [f"# {escape_markdown(title)}"]
    for section in sections:
        lines += ["", f"## {escape_markdown(section.heading)}", ""]
        lines += [f"- {escape_markdown(line)}" for line in section.lines]
        if section.block:
            lines += [""] if section.lines else []
            lines += [f"    {line}".rstrip() for line in clean(section.block).splitlines()]
        elif not section.lines:
            lines.append(f"*{escape_markdown(section.empty)}*")
    return lines


def as_text(title: str, sections: Iterable[ReportSection]) -> list[str]:
    """The same for a terminal; a block behind `| `."""
    lines = [title]
    for section in sections:
        lines += ["", section.heading, *(f"  {line}" for line in section.lines)]
        lines += [f"  | {line}" for line in clean(section.block).splitlines()]
        if not section.lines and not section.block:
            lines.append(f"  ({section.empty})")
    return lines


LOG_LINES = 20


FormatInstant = Callable[[datetime | None], str]
"""Formats an instant in a zone, with the zone's label."""


def end_text(view: IncidentView, now: datetime, at: FormatInstant = timestamp_text) -> str:
    """ "closed …", or "open, as of …"."""
    return f"closed {at(view.row.closed)}" if view.row.closed else f"open, as of {at(now)}"


def report_sections(
    view: IncidentView,
    nights: Sequence[ServiceNight],
    plans: Sequence[PlanView],
    verdict: str,
    end: str,
    at: FormatInstant = timestamp_text,
) -> list[ReportSection]:
    """Summary, cause, impact, timeline, actions, open questions; instants as `at` shows them. `verdict`: the next step,
    or what the plan does."""
    row = view.row
    lines = [row.title.text(at), *([] if row.is_reason_in_title else [render(row.reason, at)])]
    lines += [f"Split from {incident_name(row.split_from)}"] if row.split_from is not None else []
    lines += [f"Merged into {incident_name(row.merged_into)}"] if row.merged_into is not None else []
    cause = [*lines, *([] if view.log else [f"Log: {view.log_error or 'none was kept'}"])]
    actions = [*(action_line(action, at) for action in reversed(view.actions)), *map(_plan, plans)]
    notifications = [
        f"{delivery.kind_label} to {delivery.route} ({delivery.receiver}): "
        f"{f'sent {at(delivery.sent)}' if delivery.sent else delivery.status}"
        for delivery in view.deliveries
    ]
    runs = [
        f"{member.state}: {f'{member.job} {render(key_text(member.period_key), at)}'.rstrip()}, {member.role_label}"
        for member in members_by_time(view)
    ]
    changes = [render(change, at) for change in view.row.changes]
    no_changes = (
        "unknown" if row.cause in (CauseKind.RUN, CauseKind.SHARED) else "not applicable: the root cause is not a run"
    )
    return [
        ReportSection("Summary", _summary(view, nights, verdict, end, at)),
        ReportSection("Root cause", cause, block="\n".join(view.log.splitlines()[-LOG_LINES:])),
        ReportSection("Changes since the last successful run", changes, empty=no_changes),
        ReportSection("Impact", [_impact(night, at) for night in nights], empty="no service"),
        ReportSection("Runs", runs),
        ReportSection("Timeline", [_event(event, at) for event in view.events]),
        ReportSection("Actions and outcomes", actions),
        ReportSection("Notifications", notifications),
        ReportSection("Past repairs", [f"{at(when)} {render(why.text, at)}" for when, why in view.seen_before]),
        ReportSection("Open questions", open_questions(view)),
    ]


def open_questions(view: IncidentView) -> list[str]:
    """Gaps in the record, each with the command that fills it, if there is one."""
    row, name = view.row, incident_name(view.row.id)
    notes = [event for event in view.events if event.kind == "note"]
    unsure = [action for action in view.actions if action.state == "unknown"]
    questions = [f"Why did it happen? Add a note: headway incident note {name} …"] if not notes else []
    questions += ["Who owns it? No owner is set."] if not row.owner else []
    questions += ["What is the first step? No runbook is set."] if not row.runbook else []
    questions += [
        f"Did {action.verb} {action.job} take effect? Its outcome is unknown ({action.key})." for action in unsure
    ]
    questions += [
        f"Why did {member.job} read failed data? It is still stale." for member in view.members if member.stale_read
    ]
    questions += ["How was it resolved? It is still open."] if row.closed is None else []
    how_often = f"{row.reopened} times" if row.reopened > 1 else "once"
    return questions + ([f"Why did it come back? It was reopened {how_often}."] if row.reopened else [])


def _summary(
    view: IncidentView, nights: Sequence[ServiceNight], verdict: str, end: str, at: FormatInstant
) -> list[str]:
    row = view.row
    late, saved = sum(night.is_late for night in nights), sum(night.is_saved for night in nights)
    pending = sum(night.is_pending for night in nights)
    lines = [verdict, f"Failed since {at(row.failed_since)}; {end}"]
    if row.closed is not None:
        took = format_duration(row.closed - row.failed_since)
        lines.append(f"Lasted {took}; {view.row.affected_runs or 'no'} runs red or stale at its end")
    else:
        lines.append(
            f"Acknowledged by {row.acknowledged_by} until {at(row.acknowledged_until)}"
            if row.acknowledged_by
            else "Unacknowledged"
        )
    not_yet = f", {pending} not delivered yet" if pending else ""
    lines.append(f"Affected services: {len(nights)}, of them {late} late, {saved} saved{not_yet}")
    lines.append(
        f"Business date {row.business_date}; owner {row.owner or 'not set'}; runbook {row.runbook or 'not set'}"
    )
    return lines


def _impact(night: ServiceNight, at: FormatInstant) -> str:
    return (
        f"{night.title} (tier {night.tier}, {night.business_date}), due {at(night.deadline)}: {service_line(night, at)}"
    )


def _event(event: EventView, at: FormatInstant) -> str:
    by = f" ({event.actor})" if event.actor else ""
    return f"{at(event.at)} {render(event.text, at)}{by}"


def _plan(plan: PlanView) -> str:
    return f"plan {plan.id}, requested by {plan.requester}: {plan.status}, {plan.done} of {len(plan.steps)} steps done"


def action_line(action: ActionView, at: FormatInstant = timestamp_text) -> str:
    """Time and requester, action, state and outcome, on one line."""
    detail = f": {action.text}" if action.text else ""
    return f"{at(action.requested)} {action.requested_by}: {action.verb} {action.job}, {action.state}{detail}"


def service_line(night: ServiceNight, at: FormatInstant) -> str:
    """ "delivered 07:41 CET, 11m late", or the status."""
    if night.delivered is None:
        return timeliness_label(night.timeliness)
    late = (night.delivered - night.deadline).total_seconds()
    how = f"{format_duration(late)} late" if late > 0 else f"{format_duration(-late)} before its deadline"
    return f"delivered {at(night.delivered)}, {how}"
