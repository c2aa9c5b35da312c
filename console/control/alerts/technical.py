"""An incident in technical words: plain text, ready to be sent; outside text in its own bordered block, cleaned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter

from console.clean import clean, clean_line
from console.control.alerts.scene import Wanted
from console.control.alerts.text import Text
from console.control.cases import Case
from console.control.causes import failed_tasks
from console.control.picture import Picture, when
from console.control.readiness import declared
from console.control.titles import cause_name, plain_title
from console.control.words import dated, moment
from console.model.decisions import ALERT, PLACEHOLDER, HurtServiceVerdict, IncidentDecision
from console.model.ids import incident_name
from console.model.promises import not_too_many, service_of
from console.model.values import ServiceFacts
from console.model.words import AlertKind, Timeliness

TAIL_LINES = 20
TAIL_WIDTH = 160
MOST_FOUND = 3
"""Lines for what rules found besides."""
_KINDS = {
    AlertKind.OPENED: "",
    AlertKind.UPDATED: " update",
    AlertKind.RECOVERED: " recovered",
    AlertKind.REPEATED: " still open",
    AlertKind.ESCALATED: " escalated",
}
_STANDS = {
    Timeliness.NO_ESTIMATE: "no estimate",
    Timeliness.ON_TIME: "on time",
    Timeliness.AT_RISK: "at risk",
    Timeliness.WILL_MISS: "will miss",
    Timeliness.BREACHED: "breached",
    Timeliness.MET_LATE: "delivered late",
    Timeliness.MET: "delivered",
}


def words(picture: Picture, wanted: Wanted, log_tails: Mapping[int, str], changes: str) -> Text:
    """What a route is told. `changes`: what is new to it, or why it is told again."""
    case, decision, kind = wanted.subject.case, wanted.subject.decision, wanted.kind
    bare = plain_title(picture, case)
    body = "\n".join(_body(picture, wanted, log_tails, changes)) + "\n"
    plain = "\n".join(_plain_body(picture, wanted, bare)) + "\n"
    return Text(_title(picture, decision, kind, decision.title), body, _title(picture, decision, kind, bare), plain)


def _title(picture: Picture, decision: IncidentDecision, kind: AlertKind, words: str) -> str:
    word = " again" if decision.reopened and kind is AlertKind.UPDATED else _KINDS[kind]
    act_by = ""
    if kind is not AlertKind.RECOVERED and not decision.closed and decision.act_by is not None:
        zone = next((_zone(picture, each) for each in decision.services if each.act_by == decision.act_by), "UTC")
        passed = decision.act_by < picture.now
        at = moment(decision.act_by, zone, picture.now)
        act_by = f"; act-by {at} has passed" if passed else f"; act by {at}"
    return f"[Headway] {PLACEHOLDER}{word}: {words}{act_by}"


def _body(picture: Picture, wanted: Wanted, log_tails: Mapping[int, str], changes: str) -> Iterator[str]:
    case, decision = wanted.subject.case, wanted.subject.decision
    yield decision.title
    if changes:
        yield changes[:1].upper() + changes[1:]
    yield from _taken(picture, wanted)
    yield ""
    yield from _facts(picture, case, decision)
    yield from _services(picture, decision)
    if wanted.kind is not AlertKind.RECOVERED:
        yield from _changed(decision)
        yield from _log(picture, case, log_tails)
    yield ""
    yield from _commands(wanted)


def _plain_body(picture: Picture, wanted: Wanted, title: str) -> Iterator[str]:
    """Title, services, clocks and the command; nothing that a job, a log or a scheduler said."""
    yield title
    yield from _services(picture, wanted.subject.decision, reasons=False)
    yield ""
    yield from _commands(wanted)


def _taken(picture: Picture, wanted: Wanted) -> Iterator[str]:
    ack = wanted.subject.ack
    if ack is not None and not wanted.subject.decision.closed:
        yield f"{clean_line(ack.by)} is on it until {moment(ack.until, 'UTC', picture.now)}."


def _commands(wanted: Wanted) -> Iterator[str]:
    """What a person does next: take it, say whether it was worth being told, look at it."""
    if not wanted.subject.decision.closed and wanted.subject.ack is None:
        yield f"Take it: headway ack {PLACEHOLDER}"
    yield f"Was this useful? headway alert useful {ALERT} yes|no"
    yield f"Open it: headway incident {PLACEHOLDER}"


def _facts(picture: Picture, case: Case, decision: IncidentDecision) -> Iterator[str]:
    zone, where = _place(picture, case)
    if where:
        yield f"Where:         {where}"
    root = case.group.root
    if root is not None:
        due = (
            dated(when(root), zone)
            if root.period_at is not None
            else f"not by the clock ({clean_line(root.period_key)})"
        )
        yield f"Period:        {due}"
    yield f"Business date: {decision.bd.isoformat()}"
    yield f"Failed since:  {dated(decision.failed_since, zone)}"
    if decision.reason:
        yield f"Reason:        {decision.reason}"
    if case.feeds and not decision.services:
        yield f"Feeds:         {clean_line(', '.join(case.feeds))}"
    if decision.split_from is not None:
        yield f"Split from:    {incident_name(decision.split_from)}, of which it was a part"
    for one in case.evidence[:MOST_FOUND]:
        name = clean_line(picture.job(one.job_id).name)
        yield f"Also found:    {name} {one.rule.words}: {one.with_source}"
    yield f"Owner:         {clean_line(decision.owner) or 'nobody is named'}"
    yield f"Runbook:       {clean_line(decision.runbook) or 'none is named'}"


def _place(picture: Picture, case: Case) -> tuple[str, str]:
    """The zone in which its times are told, and where it runs."""
    if case.group.root is not None:
        job = picture.job(case.group.root.job_id)
        target = picture.estate.targets.get(job.target_id)
        host = f"{target.system}/{target.name}" if target is not None else job.system
        return job.zone, clean_line(f"{host} ({job.kind})" if job.kind else host)
    if case.group.target is not None:
        zone = next((job.zone for job in picture.estate.jobs.values() if job.target_id == case.group.target.id), "UTC")
        return zone, cause_name(picture, case)
    if (check := declared(picture.estate, case.group.check)) is not None:
        return check.zone, check.about
    return "UTC", cause_name(picture, case)


def _services(picture: Picture, decision: IncidentDecision, reasons: bool = True) -> Iterator[str]:
    yield ""
    if not decision.services:
        yield "No service waits for it."
        return
    yield "Services:"
    for each, more in not_too_many(decision.services, attrgetter("service")):
        known = _service(picture, each)
        title = clean_line(known.title or each.service) if known else each.service
        tier = f" (tier {known.tier})" if known else ""
        yield f"  {title}{tier}, due {dated(each.deadline, _zone(picture, each))}: {_STANDS[each.timeliness]}"
        yield from (f"    {line}" for line in _clocks(picture, each, decision.closed, reasons))
        yield from [f"  and {more} more of {clean_line(service_of(each.service))}"] if more else []


def _clocks(picture: Picture, each: HurtServiceVerdict, closed: bool, reasons: bool) -> Iterator[str]:
    if each.act_by is not None and each.green_by is not None and not closed:
        act_by, green_by = (moment(at, _zone(picture, each), picture.now) for at in (each.act_by, each.green_by))
        yield f"act by {act_by}, green by {green_by} ({each.source})"
    if each.reason and reasons:
        yield each.reason


def _changed(decision: IncidentDecision) -> Iterator[str]:
    if decision.changes:
        yield ""
        yield "Changed since it was last green:"
        yield from (f"  | {line}" for line in decision.changes)


def _log(picture: Picture, case: Case, log_tails: Mapping[int, str]) -> Iterator[str]:
    if case.group.root is None:
        return
    tail = tail_lines(picture, case, log_tails)
    yield ""
    if not tail:
        yield "Its log is not at hand."
        return
    yield "Last lines of its log:"
    yield from (f"  | {line}" for line in tail)


def tail_lines(picture: Picture, case: Case, log_tails: Mapping[int, str]) -> list[str]:
    """The end of the root's log, or of its failed task's, cleaned; empty where none is at hand."""
    root = case.group.root
    if root is None:
        return []
    runs = [root.id]
    for task in failed_tasks(picture, root):
        runs += [run.id for run in picture.runs.get(task.id, ()) if run.period_key == root.period_key]
    tail = next((log_tails[each] for each in runs if log_tails.get(each, "").strip()), "")
    return [clean_line(line, TAIL_WIDTH) for line in clean(tail).rstrip().splitlines()[-TAIL_LINES:]]


def _service(picture: Picture, hurt: HurtServiceVerdict) -> ServiceFacts | None:
    return next((each for each in picture.estate.services if each.name == hurt.service), None)


def _zone(picture: Picture, hurt: HurtServiceVerdict) -> str:
    known = _service(picture, hurt)
    return known.zone if known else "UTC"
