"""The notice of a notification that no stage suppresses: its text and what its route knows after it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial

from console.control.alerts import suppression
from console.control.alerts.business_message import business_message
from console.control.alerts.context import AlertContext, Notification
from console.control.alerts.headline import headline, most_urgent
from console.control.alerts.service_stream import content_of
from console.control.alerts.services_table import service_title
from console.control.alerts.technical_message import technical_message, with_changes, with_earlier_repairs
from console.control.incidents.changes import compare_runs
from console.control.incidents.news import Change, EarlierActBy, Missed, NewDay, change_texts, left_to_people
from console.domain.alert import BUSINESS, SHADOW, SHADOW_LABEL
from console.domain.decision import IncidentDecision, Notice
from console.domain.estate import JobFacts
from console.domain.failure import FailureMemory
from console.domain.history import LastGoodRun
from console.domain.message import Lines, title_text
from console.domain.text import render
from console.timing.formats import dated_time, local_time


def notice_of(context: AlertContext, notification: Notification, technical: Collection[str]) -> Notice:
    """The notice to write. `technical`: the routes to which technical text is sent in the same evaluation."""
    if notification.style == BUSINESS:
        message = plain = business_message(context, notification, technical)
    else:
        title, plain_title = (headline(context, notification, plain=is_plain) for is_plain in (False, True))
        changes = _changes(context, notification, title_text(title))
        message = technical_message(context, notification, title, changes)
        plain = technical_message(context, notification, plain_title, changes, plain=True)
    if notification.style == SHADOW:
        routes = ", ".join(notification.subject.decision.suppressions.in_shadow)
        first = f"Shadow mode: this would have been sent to {routes}."
        message, plain = (text.titled(SHADOW_LABEL).below(Lines((first,))) for text in (message, plain))
    return Notice(
        notification.kind,
        notification.route,
        message,
        plain,
        style=notification.style,
        content=content_of(context, notification),
    )


def with_comparison(
    decision: IncidentDecision, jobs: Mapping[int, JobFacts], pasts: Mapping[int, LastGoodRun]
) -> IncidentDecision:
    """The decision with the changes since the last good runs of its roots, `pasts` by run id. Its technical notices
    have them too, but for drift, which is a finding there."""
    job_of = {member.run_id: member.job_id for member in decision.members if member.run_id is not None}
    roots = [(run_id, job_of[run_id]) for run_id in decision.changes.run_ids if job_of.get(run_id) in jobs]
    clock = partial(dated_time, zone=decision.zone)
    without_drift = {run_id: replace(pasts[run_id], drift=()) for run_id, _ in roots if run_id in pasts}
    notified = compare_runs(jobs, without_drift, roots)

    def with_lines(notice: Notice) -> Notice:
        if notice.style == BUSINESS or not notified.has_changes:
            return notice
        return replace(notice, message=with_changes(notice.message, [render(line, clock) for line in notified.lines]))

    changes = replace(compare_runs(jobs, pasts, roots), run_ids=decision.changes.run_ids)
    return replace(decision, changes=changes, notices=tuple(map(with_lines, decision.notices)))


def with_memory(decision: IncidentDecision, memory: FailureMemory) -> IncidentDecision:
    """The decision with what repaired its failure before, in its technical notices."""

    def with_earlier(notice: Notice) -> Notice:
        if notice.style == BUSINESS or not memory.seen:
            return notice
        return replace(notice, message=with_earlier_repairs(notice.message, memory))

    return replace(decision, notices=tuple(map(with_earlier, decision.notices)))


def _changes(context: AlertContext, notification: Notification, title: str) -> str:
    """News for the route, or why it is notified now. `title`: that of the message."""
    subject, first = notification.subject, most_urgent(context, notification)
    current = subject.decision.fingerprint
    if notification.because:
        return notification.because
    is_left = current.left_by and not subject.decision.closed
    changes: Iterable[Change] = [left_to_people(current)] if is_left else []
    if notification.before is None:
        return "; ".join(change_texts(changes))
    titled, zone = first.service if first is not None else "", subject.decision.zone
    if not (subject.decision.closed or subject.match.reopened):
        changes = (_as_written(context, change, titled, zone) for change in notification.changes)
    return "; ".join(
        filter(None, [*change_texts(changes, title), suppression.flapping_note(context, subject.decision)])
    )


def _as_written(context: AlertContext, change: Change, titled: str, zone: str) -> Change:
    """The change, its subject as the message has it: a service by its title, but for the one that is titled."""
    if isinstance(change, EarlierActBy):
        was, act_by = (local_time(at, zone, context.now) for at in (change.was, change.act_by))
        passed = "" if change.act_by > context.now else ", which has passed"
        return replace(change, subject=f"from {was} to {act_by}{passed}")
    if not isinstance(change, NewDay | Missed):
        return change
    return replace(change, subject="" if change.subject == titled else service_title(context.index, change.subject))
