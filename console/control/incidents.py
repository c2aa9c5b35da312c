"""Incidents as they are to be written: root cause, members, hurt services with their clocks, and what is told.

What is told is the root, the services and whether it is over: the fingerprint holds just these, so that passing time
tells nothing twice. A service that was told stays told until the incident closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from connectors.contract import instant_key
from console.control.cases import Case, hurt_runs
from console.control.causes import threatened_by, unfinished_on
from console.control.changes import MOST_ROOTS, changes
from console.control.fingerprint import Day, Told, read_told, told_before
from console.control.flaps import flaps
from console.control.forecast import Forecast, How, Node
from console.control.picture import Picture, key_of
from console.control.recovery import Budgets, tightest
from console.control.service_standing import Threat
from console.control.sight import UNSEEN
from console.control.titles import blamed_name, cause_name, reason, rule_of, title, told_cause
from console.control.words import unmistakable
from console.model.decisions import HurtServiceVerdict, IncidentDecision, Member, ServiceDayVerdict
from console.model.findings import Rule
from console.model.ids import incident_name
from console.model.promises import not_too_many
from console.model.values import RunFacts
from console.model.words import UNDELIVERED, Timeliness


def shaded(decision: IncidentDecision, routes: tuple[str, ...]) -> IncidentDecision:
    """The same, of which these routes are not told because of a shadow."""
    if not routes:
        return decision
    told = replace(read_told(decision.fingerprint), in_shadow=routes)
    return replace(decision, in_shadow=routes, fingerprint=told.text())


def key_of_case(picture: Picture, case: Case) -> str:
    """The dedup key: that of the open incident; of a new cause, its first run or the beginning of its outage."""
    if case.incident is not None:
        return case.incident.key
    root, target = case.group.root, case.group.target
    if root is not None and case.group.finding is not None:
        period = unmistakable(root.period_key) or instant_key(case.group.since)
        return f"rule:{case.group.finding.rule}:{unmistakable(picture.job(root.job_id).name)}@{period}"
    if root is not None and case.group.awaits:
        return f"{UNDELIVERED}:{unmistakable(picture.job(root.job_id).name)}@{case.group.bd.isoformat()}"
    if root is not None:
        again = f"#{root.attempt}" if root.attempt > 1 else ""
        return f"run:{unmistakable(picture.job(root.job_id).name)}@{unmistakable(root.period_key)}{again}"
    if case.group.check:
        return f"check:{unmistakable(case.group.check)}@{case.group.bd.isoformat()}"
    if case.group.shared:
        return f"shared:{unmistakable(case.group.shared)}@{instant_key(case.group.since)}"
    since = f"@{instant_key(target.failing_since)}" if target is not None and target.failing_since else ""
    name = unmistakable(f"{target.system}/{target.name}") if target is not None else cause_name(picture, case)
    return f"target:{name}{since}"


def threat(picture: Picture, case: Case, day: Forecast, nodes: Sequence[Node]) -> Threat:
    """What the cause means for one service day: the clocks of what must be restarted first."""
    target = case.group.target
    if target is not None and target.error_kind in UNSEEN:  # what it runs goes on, as far as anybody knows
        nodes = [node for node in nodes if node.run is not None and node.run.state.is_red]
    if not nodes:  # nothing is to be restarted: its forecast counts
        return Threat(key_of_case(picture, case), blamed_name(picture, case), None, waits_for_restart=False)
    budgets = Budgets(day.seen or picture, day)
    stopped = [node for node in nodes if node.how is not How.RUNNING]
    budget = tightest(budgets.of(node.job_id) for node in stopped or nodes)
    if budget is not None and day.odds is not None:
        clocks = day.odds.clocks(node.job_id for node in stopped or nodes)
        budget = replace(budget, act_by=clocks.act_by, green_by=clocks.green_by) if clocks is not None else budget
    hangs = case.group.finding is not None and case.group.finding.rule is Rule.TOO_LONG
    return Threat(key_of_case(picture, case), cause_name(picture, case), budget, bool(stopped), hangs)


def decide(
    picture: Picture, case: Case, threats: Mapping[Day, Threat], verdicts: Mapping[Day, ServiceDayVerdict]
) -> IncidentDecision:
    """The incident as it is to be written, without its notices. `threats`: of this case, by service day."""
    before = told_before(case)
    told = frozenset(threats) | (before.services if before else frozenset())
    services = tuple(_hurt(verdicts[day], threats.get(day)) for day in _in_order(told, verdicts))
    root = case.group.root
    owner, runbook = _owner(picture, case, services)
    flapped, flapping_since = flaps(picture, case)
    return IncidentDecision(
        incident_id=case.incident.id if case.incident else None,
        key=key_of_case(picture, case),
        title=title(picture, case),
        cause=_cause_word(case),
        cause_run_ids=tuple(run.id for run in case.group.roots()[:MOST_ROOTS] if run.id),
        rule=rule_of(case),
        root_job_id=root.job_id if root else None,
        root_run_id=(root.id or None) if root else None,
        root_period_key=root.period_key if root else "",
        root_target_id=case.group.target.id if case.group.target else None,
        bd=case.group.bd,
        reason=reason(picture, case),
        owner=owner,
        runbook=runbook,
        failed_since=_failed_since(case),
        act_by=_act_by(services, picture.now),
        members=_members(picture, case),
        services=services,
        fingerprint=Told(told_cause(picture, case), told, bool(case.close_reason)).text(),
        closed=bool(case.close_reason),
        close_reason=case.close_reason,
        root_shared=case.group.shared,
        split_from=case.split_from,
        reopened=case.reopened,
        changes=changes(picture, case.group.roots()) if not case.close_reason else (),
        flaps=flapped,
        flaps_since=flapping_since,
        merges=case.merges,
        root_check=case.group.check,
    )


def _cause_word(case: Case) -> str:
    if case.group.target is not None:
        return "target"
    if case.group.shared:
        return "shared"
    return "check" if case.group.check else "rule" if rule_of(case) else "run"


def event_words(decision: IncidentDecision, before: Told | None) -> str:
    """What the timeline says of a change; empty when nothing new is told."""
    if before is None:
        split = f"; split from {incident_name(decision.split_from)}" if decision.split_from is not None else ""
        return f"opened: {decision.title}{split}"
    if decision.reopened:
        return f"reopened, red again: {decision.title}"
    if decision.closed:
        return f"closed: {decision.close_reason}"
    now = read_told(decision.fingerprint)
    words = [f"root cause is {now.root}"] if now.root != before.root else []
    new = sorted({name for name, _ in now.services} - {name for name, _ in before.services})
    words += [f"hurts {listed(new)} as well"] if new else []
    merged = len(decision.merges)
    words += ["1 more incident turned out to be a symptom of it"] if merged == 1 else []
    words += [f"{merged} more incidents turned out to be symptoms of it"] if merged > 1 else []
    return "; ".join(words)


def listed(names: Iterable[str]) -> str:
    """ "supply, onboarding #1, … and 12 more"."""
    named = [f"{name} and {more} more" if more else name for name, more in not_too_many(names, str)]
    return ", ".join(named)


def _in_order(told: Iterable[Day], verdicts: Mapping[Day, ServiceDayVerdict]) -> list[Day]:
    return sorted((day for day in told if day in verdicts), key=lambda day: (verdicts[day].deadline, day))


def _hurt(verdict: ServiceDayVerdict, threatened: Threat | None) -> HurtServiceVerdict:
    budget = threatened.budget if threatened else None
    own = budget.reason if budget else ""
    return HurtServiceVerdict(
        service=verdict.service,
        bd=verdict.bd,
        deadline=verdict.deadline,
        act_by=_second(threatened.act_by) if threatened else None,
        green_by=_second(budget.green_by) if budget else None,
        expected_at=verdict.expected_at,
        timeliness=verdict.timeliness,
        source=budget.source if budget else "",
        reason="; ".join(filter(None, [verdict.given, own])) if own else verdict.reason,
        submission=verdict.submission,
    )


def _second(at: datetime | None) -> datetime | None:
    return at.replace(microsecond=0) if at is not None else None


def _act_by(services: Sequence[HurtServiceVerdict], now: datetime) -> datetime | None:
    """The first act-by that is still ahead, else the last that has passed."""
    known = [each.act_by for each in services if each.act_by is not None and each.timeliness is not Timeliness.BREACHED]
    return min((each for each in known if each >= now), default=max(known, default=None))


def _failed_since(case: Case) -> datetime:
    """Of one that came back, since it did."""
    if case.incident is None or case.reopened:
        return case.group.since
    return min(case.group.since, case.incident.failed_since)


def _owner(picture: Picture, case: Case, services: Sequence[HurtServiceVerdict]) -> tuple[str, str]:
    """Owner and runbook: of the job that is to be mended, or what all of several say; else of the service that is due
    first. A target that serves several owners is none of theirs."""
    jobs = [picture.job(each) for each in case.group.to_mend()]
    known = {each.name: each for each in picture.estate.services}
    hurt = [known[each.service] for each in services if each.service in known]
    whose = [each.owner for each in hurt]
    owners = [_said_by_all(each.owner for each in jobs), *(whose if jobs else [_said_by_all(whose)])]
    runbooks = [_said_by_all(each.runbook for each in jobs), *(each.runbook for each in hurt)]
    return next(filter(None, owners), ""), next(filter(None, runbooks), "")


def _said_by_all(words: Iterable[str]) -> str:
    """What is the same for each; else empty."""
    found = set(words)
    return found.pop() if len(found) == 1 else ""


def _members(picture: Picture, case: Case) -> tuple[Member, ...]:
    """The root; then what is red or stale, what it threatens, what is repaired: each run once, with the first role that
    fits, and upstreams before their downstreams."""
    found = _roles(picture, case)
    ranks = {job_id: rank for rank, job_id in enumerate(picture.graph.ordered({one.job_id for one in found}))}
    groups = {"root": 0, "red": 1, "stale": 1, "threatened": 2, "repaired": 3}
    return tuple(sorted(found, key=lambda one: (groups[one.role], ranks[one.job_id], one.period_key)))


def _roles(picture: Picture, case: Case) -> Sequence[Member]:
    found: dict[tuple[int, str], Member] = {}
    if case.group.root is not None:
        _add(found, case.group.root, "root")
    for run in case.group.red:
        _add(found, run, "red")
    for run in case.stale:
        _add(found, run, "stale")
    if case.incident is not None:
        for run in hurt_runs(picture, case.incident):
            if not picture.is_red_now(run):  # what is red by now without being told as red is another incident's
                _add(found, run, "repaired")
    if case.close_reason:
        return list(found.values())
    if case.group.target is not None:
        for run in unfinished_on(picture, case.group.target.id):
            _add(found, run, "threatened")
    broken = [run.job_id for run in case.broken() if _spoils(picture, case, run)]
    for bd in sorted({case.group.bd, *(run.bd for run in case.group.causes)}):
        for job_id, period_key, run_id in threatened_by(picture, dict.fromkeys(broken), bd):
            found.setdefault((job_id, period_key), Member(job_id, period_key, "threatened", run_id))
    return list(found.values())


def _spoils(picture: Picture, case: Case, run: RunFacts) -> bool:
    """True for what keeps its followers from reading good data."""
    return run.state.is_red or picture.is_stale(run) or (case.group.finding is not None and not picture.is_green(run))


def _add(found: dict[tuple[int, str], Member], run: RunFacts, role: str) -> None:
    found.setdefault(key_of(run), Member(run.job_id, run.period_key, role, run.id or None))
