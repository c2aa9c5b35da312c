"""Incidents: list, show, acknowledge, note, handover and report."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from console.cli.arguments import duration
from console.cli.clock_format import (
    act_by_text,
    clock_text,
    clocked,
    dated_clock_text,
    display_zone,
    instant_of_clock,
    share_service_zone,
    timestamp,
)
from console.cli.commands import JSON, Handler, flag, one_of, option
from console.cli.console import PLACE_OPTIONS, open_console_at, opens_console
from console.cli.exits import CommandError, Exit
from console.cli.output import PLAIN, Table, ValueColumn, print_page, print_result, table
from console.cli.reader import fresh_store_reader, store_reader, store_url_of
from console.cli.requests import request_answer
from console.cli.services import acknowledged_text
from console.control.explain.incident_report import (
    ReportSection,
    action_line,
    as_markdown,
    as_text,
    end_text,
    open_questions,
    report_sections,
    service_line,
)
from console.control.incidents.verdict.decision import incident_verdict, unsafe_services
from console.control.incidents.verdict.text import verdict_text
from console.domain.alert import DeliveryView
from console.domain.finding import FindingView, rule_text
from console.domain.handover import ActiveOverride, HandoverView, ServiceNight, SwitchChange
from console.domain.header import HeaderView
from console.domain.ids import incident_id, incident_name
from console.domain.incident import (
    ACKNOWLEDGE_FOR,
    AffectedServiceView,
    EventView,
    IncidentRow,
    IncidentView,
    MemberView,
    PastRepair,
    member_errors,
    members_by_time,
    sort_by_impact,
)
from console.domain.incident_record import CauseKind
from console.domain.plan import PlanView
from console.domain.run import evidence_text
from console.domain.service import timeliness_label
from console.domain.system import TargetView
from console.domain.text import Clock, render
from console.engine.api.client import EngineClient
from console.engine.api.documents import fields_of, incidents_list, verdict_document
from console.engine.api.requests import Acknowledge, Unacknowledge
from console.timing.durations import format_duration, parse_duration, time_of_day
from console.timing.formats import age_text

if TYPE_CHECKING:
    from console.store.queries import Queries


def run_incidents(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        incidents, now = incidents_list(reads, arguments.all), reads.now()
    return print_result(arguments, incidents, incident_table(incidents, now))


def incident_table(incidents: Sequence[IncidentRow], now: datetime) -> Table:
    """The most harmful incidents first, closed ones last."""
    return table(
        sort_by_impact(incidents),
        ValueColumn("incident", lambda incident: incident_name(incident.id)),
        ValueColumn("cause", lambda incident: incident.title.text(partial(clock_text, near=now)), 24),
        ValueColumn("failed", lambda incident: age_text(incident.failed_since, now), drop=3),
        ValueColumn("act by", lambda row: "closed" if row.closed else act_by_text(row.act_by, now)),
        ValueColumn("services", lambda incident: str(incident.services)),
        ValueColumn("red or stale", lambda row: str(row.affected_runs) if row.closed is None else "–", drop=2),
        ValueColumn("owner", lambda incident: incident.owner or "–", drop=1),
        ValueColumn("acknowledged by", lambda incident: acknowledged_text(incident, now), drop=4),
    )


def acknowledged_until(incident: IncidentRow) -> str:
    """ "mara until 2026-11-20 04:15:00 CET"; empty if it is unacknowledged."""
    return (
        f"{incident.acknowledged_by} until {timestamp(incident.acknowledged_until)}" if incident.acknowledged_by else ""
    )


def present_verdict(
    view: IncidentView,
    plans: Sequence[PlanView],
    header: HeaderView,
    now: datetime,
    clock: Callable[[datetime], str] | None = None,
    *,
    countdown: bool = True,
) -> str:
    """The verdict in one line, without an engine "as of" its last heartbeat; `plans`: those in progress. `clock`: text
    of a time, by default without today's date. `countdown`: with the time left."""
    clock = clock or (lambda at: clock_text(at, now))
    stopped = header.engine.stopped_at
    stale = f"as of {clock(stopped)}: " if stopped is not None else ""
    verdict = incident_verdict(view, plans, now, is_frozen=header.frozen is not None)
    return stale + verdict_text(verdict, now, clock, countdown=countdown)


LOG_LINES = 15
NONE_TEXT = "  (none)"


def incident_number(name: str) -> int:
    """The incident's id. Raises CommandError for an invalid name."""
    try:
        return incident_id(name)
    except ValueError as error:
        raise CommandError(Exit.USAGE, str(error)) from None


def run_incident(arguments: argparse.Namespace) -> int:
    number = incident_number(arguments.name)
    if opens_console(arguments):
        with store_reader(arguments) as reads:
            reads.incidents.incident(number)  # an unknown incident is reported before the console opens
        return open_console_at(arguments, ("incident", number))
    with fresh_store_reader(arguments) as reads:
        view, now = reads.incidents.incident(number), reads.now()
        targets = {f"{target.system}/{target.name}": target for target in reads.estate.systems()}
        plans, header = reads.plans.list_plans(incident_id=number), reads.estate.header()
    if view.zone:
        share_service_zone({view.zone})
    open_plans = [plan for plan in plans if plan.ended is None]
    target = targets.get(view.row.root_job)
    lines = [present_verdict(view, open_plans, header, now), *incident_lines(view, now, target)]
    lines += [
        f"plan {plan.id} {plan.predicate}, {plan.done} of {len(plan.steps)} steps done: headway plan {plan.id}"
        for plan in plans
    ]
    verdict = incident_verdict(view, open_plans, now, is_frozen=header.frozen is not None)
    return print_page(arguments, {**fields_of(view), "verdict": verdict_document(verdict, now)}, lines)


def _failed_text(row: IncidentRow, now: datetime) -> str:
    age = age_text(row.failed_since, now)
    if row.did_not_start:
        return f"due {age}, did not start"
    repaired = f", repaired {age_text(row.root_good, now)}" if row.root_good is not None and row.closed is None else ""
    return f"failed {age}{repaired}"


def incident_lines(view: IncidentView, now: datetime, target: TargetView | None = None) -> list[str]:
    """The incident as lines of text, outside text behind `| `; `target`: its cause, if that is a target."""
    row = view.row
    without = "act-by unknown" if unsafe_services(view.services) else "no act-by"
    act_by = f"act by {act_by_text(row.act_by, now)}" if row.act_by else without
    closed = f"closed {timestamp(row.closed)}" if row.closed else act_by
    clock = partial(clock_text, near=now)
    lines = [
        f"{incident_name(row.id)}  {row.title.text(clock)}",
        f"{_failed_text(row, now)} · {closed}",
        f"business date {row.business_date} · owner {row.owner or '–'} · runbook {row.runbook or '–'}",
        *([f"acknowledged by {acknowledged_until(row)}"] if row.acknowledged_by else []),
        *_cause_lines(view, clock, target),
        *([" · ".join(row.origins)] if row.origins else []),
        *([f"failure {view.memory.id} · {view.memory.text}"] if view.memory is not None else []),
    ]
    log = view.log.splitlines()[-LOG_LINES:]
    history = [line for repair in view.repairs for line in _past_repair_lines(repair)]
    history = history or [
        f"  {timestamp(at)}  {clocked(why.text, at)}" for at, why in view.seen_before
    ]  # a cause that is not a run
    history = [*(f"  {record.text}" for record in (view.memory.repairs if view.memory is not None else ())), *history]
    has_repair = any(repair.how for repair in view.repairs) or bool(view.memory and view.memory.repairs)
    past = "past repairs" if has_repair or not view.repairs else "past failures"
    suppressed = [
        f"  {notice.kind:<10} {notice.route}: suppressed by {notice.stage}: {notice.reason}"
        for notice in view.suppressed
        if notice.is_listed
    ]
    services = [_affected_service_line(service, now, is_over=row.closed is not None) for service in view.services]
    errors = member_errors(view)
    members = ((member, errors.get((member.job_id, member.period_key), "")) for member in members_by_time(view))
    runs = [line for member, error in members for line in _member_lines(member, error, now)]
    events = [
        f"  {timestamp(event.at)}  {clocked(event.text, event.at)}" + f" ({event.actor})" * bool(event.actor)
        for event in view.events
    ]
    sections = [
        ("changes since the last success", [f"  | {clocked(change, now)}" for change in row.changes]),
        ("affected services", services or [NONE_TEXT]),
        ("alerts of other monitors", _external_alert_lines(view)),
        ("findings", [_finding_line(finding) for finding in view.findings]),
        ("runs", runs),
        ("log", [f"  | {line}" for line in log or [f"no log: {view.log_error or 'not available'}"]]),
        ("notified", [*(map(_notification_line, view.deliveries) if view.deliveries else [NONE_TEXT]), *suppressed]),
        ("timeline", events),
    ]
    for title, body in sections:
        lines += ["", title, *body] if body or title in ("runs", "timeline") else []
    return lines + (["", past, *history] if history else [])


def _cause_lines(view: IncidentView, clock: Clock, target: TargetView | None) -> list[str]:
    if view.row.cause != CauseKind.TARGET:
        return [] if view.row.is_reason_in_title else [f"reason {render(view.row.reason, clock)}"]
    name = view.row.root_job
    if target is None:
        return [f"{name}: no longer watched"]
    if target.failing_since is None:
        return [f"{name}: reachable again, last seen {timestamp(target.last_ok)}"]
    return [f"{name}: {target.error_kind}: {target.whole_error} (since {timestamp(target.failing_since)})"]


def _external_alert_lines(view: IncidentView) -> list[str]:
    lines = [
        f"  {timestamp(alert.started)}  {alert.status(timestamp)}  | {alert.text}" for alert in view.external_alerts
    ]
    return lines + ([f"  and {view.external_alerts_left_out} more"] if view.external_alerts_left_out else [])


def _finding_line(finding: FindingView) -> str:
    resolved = f" (resolved {timestamp(finding.closed)})" if finding.closed else ""
    text = clocked(finding.with_source, finding.since)
    return f"  {rule_text(finding.rule):<11} {finding.job}: {text}{resolved}"


def _member_lines(member: MemberView, error: str, now: datetime) -> list[str]:
    native = f'native state "{member.native_state}"' if member.native_state else ""
    observed = f"{member.reported_text} {age_text(member.observed, now)}" if member.observed is not None else ""
    facts = " · ".join(filter(None, (native, observed, clocked(member.reason, now))))
    first = f"  {member.state:<11} {member.job}  {member.role_label} (evidence: {evidence_text(member.evidence)})"
    return [first, *(f"{'':<14}| {text}" for text in (facts, "" if error in facts else error) if text)]


def _past_repair_lines(repair: PastRepair) -> list[str]:
    took = f", succeeded after {format_duration(repair.took_s)}" if repair.took_s is not None else ""
    done = f"{repair.done}{took}" if repair.how else "not repaired"
    return [
        f"  {timestamp(repair.at)}  {done}{'  (same error)' * repair.same_error}",
        f"{'':<6}| {repair.error or 'failed'}",
        *([f"{'':<6}note: {repair.note}"] if repair.note else []),
    ]


def _affected_service_line(service: AffectedServiceView, now: datetime, *, is_over: bool) -> str:
    act_by, deadline = service.act_by, clock_text(service.deadline, now)
    act = "" if is_over else f"act by {act_by_text(act_by, now)}" if act_by else "no act-by"
    basis = f" · {service.basis.path_text}" if service.basis and not is_over else ""
    return (
        f"  {service.title:<20} {timeliness_label(service.timeliness):<14} deadline {deadline}  {act}{basis}".rstrip()
    )


def _notification_line(delivery: DeliveryView) -> str:
    digest = " in another alert" if delivery.state == "digested" else ""
    error = "" if delivery.is_replaced else delivery.error
    outcome = f"sent {timestamp(delivery.sent)}{digest}" if delivery.sent else f"{delivery.status} {error}".strip()
    return f"  {delivery.kind_label:<10} {delivery.route} ({delivery.receiver}): {outcome}"


def run_ack(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        if arguments.name is None:
            raise _unnamed(reads)
        number = incident_number(arguments.name)
        reads.incidents.incident(number)
    if arguments.off:
        request_answer(arguments, Unacknowledge(number, arguments.why))
    else:
        request_answer(arguments, Acknowledge(number, arguments.length.total_seconds(), arguments.why))
    with store_reader(arguments) as reads:
        row = reads.incidents.incident(number).row
    return print_result(arguments, row, [f"{incident_name(number)}: {_acknowledgement(row)}"])


def _unnamed(reads: Queries) -> CommandError:
    """The error that lists the open incidents."""
    incidents = sort_by_impact(incidents_list(reads, False))
    lines = [f"  {incident_name(incident.id)}  {incident.title.text(timestamp)}" for incident in incidents]
    problem = "name the incident" if lines else "name the incident; none is open"
    return CommandError(Exit.USAGE, "\n".join([problem, *lines]))


def _acknowledgement(incident: IncidentRow) -> str:
    return f"acknowledged by {acknowledged_until(incident)}" if incident.acknowledged_by else "unacknowledged"


MAX_NOTE_CHARS = 2000


def run_note(arguments: argparse.Namespace) -> int:
    number, note = incident_number(arguments.name), " ".join(arguments.text.split())
    if not note:
        raise CommandError(Exit.USAGE, "no note added: the text is empty")
    if len(note) > MAX_NOTE_CHARS:
        raise CommandError(Exit.USAGE, f"no note added: {len(note)} characters, at most {MAX_NOTE_CHARS}")
    EngineClient(store_url_of(arguments)).note(number, note)
    name = incident_name(number)
    return print_result(arguments, {"incident": name, "note": note}, [f"{name}: note added"])


SHIFT_HOURS = "12h"


def run_handover(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        view = reads.handover.handover_since(shift_start(arguments.since, reads.now()))
        verdicts = _plan_verdicts(reads, view)
    title = f"Handover, {timestamp(view.since)} to {timestamp(view.at)}"
    page = (as_markdown if arguments.markdown else as_text)(title, handover_sections(view, verdicts))
    return print_result(arguments, view, page)


def shift_start(text: str, now: datetime) -> datetime:
    """The instant that was typed; a time of day is the last one before `now`. Raises CommandError."""
    try:
        if text[-1:] in "dhms" and text[:1].isdigit():
            return now - parse_duration(text)
        if len(text) <= len("22:00:00"):
            today, clock = now.astimezone(display_zone()).date(), time_of_day(text)
            at = instant_of_clock(datetime.combine(today, clock))
            return at if at <= now else instant_of_clock(datetime.combine(today - timedelta(days=1), clock))
        typed = datetime.fromisoformat(text)
        return typed.astimezone(UTC) if typed.tzinfo else instant_of_clock(typed)
    except (ValueError, OverflowError):
        raise CommandError(Exit.USAGE, f'"{text[:40]}" is not a time; write 22:00, 8h or "2026-11-20 22:00"') from None


def _plan_verdicts(reads: Queries, view: HandoverView) -> dict[int, str]:
    """Per incident with a plan in progress what that does, and by when."""
    header, still_open = reads.estate.header(), {row.id for row in view.open}
    plans: dict[int, list[PlanView]] = {}
    for plan in reads.plans.list_plans(ended=False):
        is_needed = plan.incident_id in still_open or plan.state == "running"
        if plan.incident_id is not None and is_needed and not plan.awaits_approval:
            plans.setdefault(plan.incident_id, []).append(plan)
    return {
        number: present_verdict(reads.incidents.incident(number), of_incident, header, view.at, dated_clock_text)
        for number, of_incident in plans.items()
    }


def handover_sections(view: HandoverView, verdicts: Mapping[int, str]) -> list[ReportSection]:
    """Sections of the handover, what is open first. `verdicts`: per incident with a plan in progress."""
    services, now = view.services, view.at
    at_risk = [
        night
        for night in services
        if night.deadline > now and (night.timeliness in ("at_risk", "will_miss") or night.is_in_doubt)
    ]
    late = [night for night in services if night.is_late]
    saved = [night for night in services if night.is_saved and (night.deadline <= now or night.delivered is not None)]
    open_now, opened, closed = (
        [handover_incident_line(row, now, verdicts) for row in rows]
        for rows in (
            view.open,
            [row for row in view.opened if row.closed is not None],
            [row for row in view.closed if row not in view.opened],
        )
    )
    holds = [
        f"{hold.job}: {clocked(hold.explanation, now)}, by {hold.held_by}, until {timestamp(hold.until)}"
        for hold in view.holds
    ]
    stale = [f"{name}: {why}, last seen {timestamp(at)}" for name, at, why in view.stale]
    return [
        ReportSection("Open incidents", open_now),
        ReportSection(
            "Services at risk in the next 12 hours", [_handover_service_line(night, now) for night in at_risk]
        ),
        ReportSection("Services late", [_handover_service_line(night, now) for night in late]),
        ReportSection("Services saved", [_handover_service_line(night, now) for night in saved]),
        ReportSection("Opened and closed in this shift", opened),
        ReportSection("Opened before, closed in this shift", closed),
        ReportSection("Notes and acknowledgements", [_handover_note_line(note) for note in view.notes]),
        ReportSection("Actions", [action_line(action, timestamp) for action in view.actions]),
        ReportSection("Holds", holds),
        ReportSection(
            "Modes, pauses, silences and extensions",
            [*map(_handover_open_line, view.active_overrides), *map(_handover_mode_line, view.mode_changes)],
        ),
        ReportSection("Drift not accepted", [f"{change.job}: {change.text}" for change in view.drift]),
        ReportSection("Systems not reachable", stale),
    ]


def handover_incident_line(incident: IncidentRow, now: datetime, verdicts: Mapping[int, str]) -> str:
    """ "INC-0001 … · failed since … · act by … · acknowledged by …"; with a plan in progress its verdict as act-by."""
    title, since = incident.title.text(timestamp), timestamp(incident.failed_since)
    line = f"{incident_name(incident.id)} {title} · failed since {since}"
    verdict = verdicts.get(incident.id, "")
    if incident.closed is not None:
        took = format_duration((incident.closed - incident.failed_since).total_seconds())
        closed = f"{line} · closed {timestamp(incident.closed)} after {took}"
        return f"{closed} · {verdict}" if verdict else closed
    act_by = f"act by {act_by_text(incident.act_by, now)}" if incident.act_by else "no act-by"
    return f"{line} · {verdict or act_by} · {_acknowledgement(incident)}"


def _handover_service_line(night: ServiceNight, now: datetime) -> str:
    def delivered(at: datetime | None) -> str:
        return clock_text(at, near=night.deadline)

    due = clock_text(night.deadline, near=now)
    is_open = night.act_by is not None and night.delivered is None
    parts = [
        f"{night.title} (tier {night.tier}, {night.business_date}), due {due}: {service_line(night, delivered)}",
        f"act by {clock_text(night.act_by, near=now)}" if is_open else "",
        night.cause,
        incident_name(night.incident_id) if night.incident_id is not None else "",
    ]
    return " · ".join(filter(None, parts))


def _handover_note_line(note: EventView) -> str:
    text = render(note.text, timestamp)
    return f"{timestamp(note.at)} {incident_name(note.incident_id or 0)} {note.actor}: {text}"


def _handover_mode_line(change: SwitchChange) -> str:
    about = f" {change.about}" if change.about else ""
    return f"{timestamp(change.at)} {change.by}: {change.verb}{about}{f': {change.why}' if change.why else ''}"


def _handover_open_line(override: ActiveOverride) -> str:
    about = f": {override.about}" if override.about else ""
    by = f", by {override.by}" if override.by else ""
    since = f", since {timestamp(override.since)}" if override.since is not None else ""
    end = f", until {timestamp(override.until)}" if override.until is not None else ""
    return f"{override.kind}{about}{by}{since}{end}{f': {override.why}' if override.why else ''}"


def run_report(arguments: argparse.Namespace) -> int:
    number = incident_number(arguments.name)
    with fresh_store_reader(arguments) as reads:
        view, nights = reads.incidents.incident(number), reads.handover.nights_of_incident(number)
        plans, header, now = reads.plans.list_plans(incident_id=number), reads.estate.header(), reads.now()
    document = {"incident": view, "services": nights, "plans": plans, "open_questions": open_questions(view)}
    open_plans = [plan for plan in plans if plan.ended is None]
    verdict = present_verdict(view, open_plans, header, now, dated_clock_text, countdown=False)
    page = report_sections(view, nights, plans, verdict, end_text(view, now, timestamp), timestamp)
    return print_result(
        arguments, document, as_markdown(f"{incident_name(number)}: {view.row.title.text(timestamp)}", page)
    )


HANDLERS = {
    "incident list": Handler(run_incidents, flag("--all", "include closed incidents"), PLAIN, JSON),
    "incident": Handler(run_incident, option("name", "INC-0001", "INCIDENT"), *PLACE_OPTIONS),
    "incident note": Handler(
        run_note, option("name", "INC-0001", "INCIDENT"), option("text", "one line of text", "TEXT"), JSON
    ),
    "incident report": Handler(run_report, option("name", "INC-0001", "INCIDENT"), JSON),
    "incident handover": Handler(
        run_handover,
        option("--since", 'start of the shift: "22:00", "8h" or a date (12h)', "TIME", default=SHIFT_HOURS),
        one_of(flag("--markdown", "print Markdown"), JSON),
    ),
    "ack": Handler(
        run_ack,
        option("name", "INC-0001 (without: list the open ones)", "INCIDENT", nargs="?"),
        one_of(
            option("--for", "duration (1h)", "TIME", dest="length", type=duration, default=duration(ACKNOWLEDGE_FOR)),
            flag("--off", "unacknowledge: it repeats and escalates again"),
        ),
        option("--why", "reason, shown on the incident and kept in the audit log", "TEXT", default=""),
        JSON,
    ),
}
