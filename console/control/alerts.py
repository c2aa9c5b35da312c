"""What is told to whom: plain text, ready to be sent. Outside text stands in its own bordered block, cleaned.

`PLACEHOLDER` stands for the incident's number: a new one gets it from the store, which puts it in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from console.clean import clean, clean_line
from console.control.cases import Case
from console.control.causes import failed_tasks
from console.control.fingerprint import Told
from console.control.picture import Picture, when
from console.control.titles import cause_name, is_own_matter, plain_title
from console.control.words import dated, moment
from console.model.decisions import HurtServiceVerdict, IncidentDecision, Notice
from console.model.values import AlertKind, ServiceFacts, Timeliness

PLACEHOLDER = "{incident}"
TAIL_LINES = 20
TAIL_WIDTH = 160
_STANDS = {
    Timeliness.NO_ESTIMATE: "no estimate",
    Timeliness.ON_TIME: "on time",
    Timeliness.AT_RISK: "at risk",
    Timeliness.WILL_MISS: "will miss",
    Timeliness.BREACHED: "breached",
    Timeliness.MET_LATE: "delivered late",
    Timeliness.MET: "delivered",
}


def kind_of(picture: Picture, case: Case, decision: IncidentDecision, before: Told | None) -> AlertKind | None:
    """What is to be told now; None when nothing changed that is told. The first word waits for nothing, but for what
    somebody cancelled by our own hand and nobody needs: that is told once it turns out to be more."""
    if is_own_matter(picture, case, decision.title):
        return None
    if case.incident is not None and is_own_matter(picture, case, case.incident.title) and not decision.closed:
        return AlertKind.OPENED
    if before is None:
        return AlertKind.OPENED
    if decision.closed:
        return AlertKind.RECOVERED if case.recovered else AlertKind.UPDATED
    return AlertKind.UPDATED if case.incident and case.incident.fingerprint != decision.fingerprint else None


def notices(
    picture: Picture,
    case: Case,
    decision: IncidentDecision,
    before: Told | None,
    log_tails: Mapping[int, str],
    changes: str,
) -> tuple[Notice, ...]:
    """One notice for each route; none when there is nothing new to tell. `changes`: the update in words."""
    kind = kind_of(picture, case, decision, before)
    if kind is None:
        return ()
    title = _title(picture, decision, kind, decision.title)
    body = "\n".join(_body(picture, case, decision, kind, log_tails, changes)) + "\n"
    bare = plain_title(picture, case)
    plain = "\n".join(_plain_body(picture, decision, bare)) + "\n"
    short = _title(picture, decision, kind, bare)
    urgent = _is_urgent(picture, decision, before)
    live, _ = routes(picture, case, decision)
    told = [Notice(kind, route, title, body, short, plain, urgent) for route in live]
    if decision.in_shadow and (route := picture.estate.settings.shadow_route):
        words = f"In shadow: this would have gone to {', '.join(decision.in_shadow)}.\n\n"
        told.append(Notice(kind, route, f"[shadow] {title}", words + body, f"[shadow] {short}", words + plain))
    return tuple(told)


def _is_urgent(picture: Picture, decision: IncidentDecision, before: Told | None) -> bool:
    """The first word about a tier-1 service: no rate limit delays it."""
    told = before.services if before is not None else frozenset()
    new = {each.service for each in decision.services if (each.service, each.bd) not in told}
    return any(service.tier == 1 for service in picture.estate.services if service.name in new)


def first_words(
    picture: Picture, before: Sequence[Told | None], incidents: Sequence[IncidentDecision]
) -> tuple[IncidentDecision, ...]:
    """The incidents; of many that hurt one tier-1 service on one day only the first is urgent, or each of a flood would
    be. `before`: what was told of each."""
    tier_1 = {service.name for service in picture.estate.services if service.tier == 1}
    told = {day for one in before if one is not None for day in one.services}
    found = []
    for one in incidents:
        days = {(each.service, each.bd) for each in one.services if each.service in tier_1}
        first = bool(days - told) or not one.notices
        told |= days
        found.append(one if first else replace(one, notices=tuple(replace(each, urgent=False) for each in one.notices)))
    return tuple(found)


def routes(picture: Picture, case: Case, decision: IncidentDecision) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The routes that are told, and those that would be if nothing were in shadow, each once: of the root's job where
    its system is live, of the hurt services that are; the default route where nobody else is named."""
    modes, hurt = picture.estate.modes, {each.service for each in decision.services}
    root = picture.job(case.group.root.job_id) if case.group.root is not None else None
    target = case.group.target
    system = root.system if root is not None else target.system if target is not None else ""
    is_live = modes.system_is_live(system)
    wanted = [(name, is_live) for name in (root.notify if root is not None else ())]
    for service in picture.estate.services:
        if service.name in hurt:
            wanted += [(name, modes.service_is_live(service.name)) for name in service.notify]
            is_live = is_live or modes.service_is_live(service.name)
    wanted = wanted or [(name, is_live) for name in picture.estate.settings.default_route]
    live = dict.fromkeys(name for name, told in wanted if told)
    return tuple(live), tuple(dict.fromkeys(name for name, told in wanted if not told and name not in live))


def _title(picture: Picture, decision: IncidentDecision, kind: AlertKind, words: str) -> str:
    word = {AlertKind.OPENED: "", AlertKind.UPDATED: " update", AlertKind.RECOVERED: " recovered"}[kind]
    act_by = ""
    if kind is not AlertKind.RECOVERED and not decision.closed and decision.act_by is not None:
        zone = next((_zone(picture, each) for each in decision.services if each.act_by == decision.act_by), "UTC")
        passed = decision.act_by < picture.now
        act_by = (
            f"; act-by {moment(decision.act_by, zone)} has passed"
            if passed
            else f"; act by {moment(decision.act_by, zone)}"
        )
    return f"[Headway] {PLACEHOLDER}{word}: {words}{act_by}"


def _body(
    picture: Picture,
    case: Case,
    decision: IncidentDecision,
    kind: AlertKind,
    log_tails: Mapping[int, str],
    changes: str,
) -> Iterator[str]:
    yield decision.title
    if kind is not AlertKind.OPENED and changes:
        yield changes[:1].upper() + changes[1:]
    yield ""
    yield from _facts(picture, case, decision)
    yield from _services(picture, decision)
    if kind is not AlertKind.RECOVERED:
        yield from _log(picture, case, log_tails)
    yield ""
    yield f"Open it: headway incident {PLACEHOLDER}"


def _plain_body(picture: Picture, decision: IncidentDecision, title: str) -> Iterator[str]:
    """Title, services, clocks and the command; nothing that a job, a log or a scheduler said."""
    yield title
    yield from _services(picture, decision, reasons=False)
    yield ""
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
    return "UTC", cause_name(picture, case)


def _services(picture: Picture, decision: IncidentDecision, reasons: bool = True) -> Iterator[str]:
    yield ""
    if not decision.services:
        yield "No service waits for it."
        return
    yield "Services:"
    for each in decision.services:
        known = _service(picture, each)
        title = clean_line(known.title or each.service) if known else each.service
        tier = f" (tier {known.tier})" if known else ""
        yield f"  {title}{tier}, due {dated(each.deadline, _zone(picture, each))}: {_STANDS[each.timeliness]}"
        yield from (f"    {line}" for line in _clocks(each, _zone(picture, each), decision.closed, reasons))


def _clocks(each: HurtServiceVerdict, zone: str, closed: bool, reasons: bool) -> Iterator[str]:
    if each.act_by is not None and each.green_by is not None and not closed:
        yield f"act by {moment(each.act_by, zone)}, green by {moment(each.green_by, zone)} ({each.source})"
    if each.reason and reasons:
        yield each.reason


def _log(picture: Picture, case: Case, log_tails: Mapping[int, str]) -> Iterator[str]:
    root = case.group.root
    if root is None:
        return
    runs = [root.id]
    for task in failed_tasks(picture, root):
        runs += [run.id for run in picture.runs.get(task.id, ()) if run.period_key == root.period_key]
    tail = next((log_tails[each] for each in runs if log_tails.get(each)), "")
    yield ""
    if not tail.strip():
        yield "Its log is not at hand."
        return
    yield "Last lines of its log:"
    for line in clean(tail).rstrip().splitlines()[-TAIL_LINES:]:
        yield f"  | {clean_line(line, TAIL_WIDTH)}"


def _service(picture: Picture, hurt: HurtServiceVerdict) -> ServiceFacts | None:
    return next((each for each in picture.estate.services if each.name == hurt.service), None)


def _zone(picture: Picture, hurt: HurtServiceVerdict) -> str:
    known = _service(picture, hurt)
    return known.zone if known else "UTC"
