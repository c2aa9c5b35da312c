"""Titles and reasons of incidents, from names and what the source reported."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.sdk.states import ProofLevel, RunState
from console.control.incidents.correlation import IncidentMatch, KnownFailure, last_notification_of
from console.control.incidents.root_cause import failed_tasks, is_lost_out_of_reach
from console.control.snapshot.downstream import bad_inputs
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.failures import identity_blame, identity_name, identity_title
from console.control.snapshot.reachability import OUTAGES, OUTAGES_PAST, outage_text
from console.control.snapshot.runs import CLOCK_SKEW, red_since
from console.domain.estate import IncidentFacts, RunFacts, TargetFacts
from console.domain.finding import DetectionRule, Finding, drift_fix
from console.domain.service import UNMET_PROMISE, limit_instances
from console.text.cleaning import clean_line, one_line
from console.text.normalize import error_line
from console.timing.formats import in_zone, zoned_time

REASON_LIMIT = 200
TITLE_LIMIT = 80
_FAILED = {
    RunState.FAILED: "failed",
    RunState.TIMED_OUT: "timed out",
    RunState.LOST: "was lost while it ran",
    RunState.MISSED: "did not start",
    RunState.CANCELLED: "was cancelled",
    RunState.BLOCKED: "was blocked by its upstream",
}


def cause_name(index: EstateIndex, match: IncidentMatch) -> str:
    """Cleaned name of the target, or of the job to repair."""
    if match.to_repair is not None:
        return index.name(match.to_repair.job_id)
    if match.group.target is not None:
        return clean_line(f"{match.group.target.system}/{match.group.target.name}")
    if match.group.check:
        return f"check {match.group.check}"
    if match.group.shared:
        return identity_name(match.group.shared)
    return before.root if (before := last_notification_of(match)) else ""


def blamed_name(index: EstateIndex, match: IncidentMatch) -> str:
    """The cause as services show it: for days lost without a failure the job that loses the time."""
    lost_by = match.group.lost_by
    return cause_name(index, match) if lost_by is None else index.name(lost_by)


def notified_cause(index: EstateIndex, match: IncidentMatch) -> str:
    """The cause as in a fingerprint: a root that turns red after a finding is notified as news."""
    finding = match.group.finding
    if finding is not None:
        return f"{cause_name(index, match)}: {finding.rule.text}"
    if match.group.awaits:
        return f"{cause_name(index, match)}: {UNMET_PROMISE}"
    is_same = cause_rule(match) or match.unrepaired is not None or match.stays_with_endpoint
    before = last_notification_of(match) if is_same else None
    return before.root if before is not None else cause_name(index, match)


def cause_rule(match: IncidentMatch) -> str:
    """Rule whose finding is or was its cause; empty for other causes, and once its root is red."""
    root = match.group.root
    if match.group.rule:
        return match.group.rule
    is_red = root is not None and root.state.is_red
    return match.incident.rule if match.incident is not None and not is_red else ""


def incident_title(index: EstateIndex, match: IncidentMatch, zone: str) -> str:
    name, root, target = cause_name(index, match), match.to_repair, match.group.target
    if match.group.finding is not None:
        return f"{name} {match.group.finding.rule.predicate}: {finding_text(index, match.group.finding, zone)}"
    if target is not None and target.failing_since is not None:
        return f"{name} {outage_text(target)}"
    if match.group.shared and match.unrepaired is None:
        return identity_title(match.group.shared, is_past=bool(match.close_reason))
    if root is not None and root.state.is_red and not index.is_superseded(root):
        if by := cancelled_by(index, root):
            return clean_line(f"{name} was {by}{_green_upstream(index, match, zone)}")
        why = _why(index, root, zone)
        return f"{name} {_FAILED[root.state]}{f': {why}' if why else ''}{_green_upstream(index, match, zone)}"
    if match.unrepaired is not None and index.is_stale(match.unrepaired):
        return f"{name} ran on bad data{_green_upstream(index, match, zone)}"
    if match.group.text:
        return match.group.text
    if root is not None and is_stale_success(index, root):
        return f"{name} {stale_text(index, root)}"
    if (failure := _failure_of_root(index, match)) is not None:
        return f"{name} {_FAILED[RunState(failure.state)]}{f': {why}' if (why := _exit_text(failure)) else ''}"
    if match.incident is None:
        return name
    return (_past_title(match.incident, name) if match.close_reason else match.incident.title) or name


_PAST = (
    *((rule.predicate, rule.past_predicate) for rule in DetectionRule),
    *((present, OUTAGES_PAST[kind]) for kind, present in OUTAGES.items()),
)
_UNMET_PAST = (
    (" is expected after its deadline", " was expected after its deadline"),
    (" may be delivered after its deadline", " was at risk of being delivered after its deadline"),
    ("; it waits for ", "; it waited for "),
)


def _past_title(incident: IncidentFacts, name: str) -> str:
    """ "hosts/db07 did not answer" of "hosts/db07 does not answer", "etl/load was overdue" of "etl/load is overdue: it
    starts at 04:00 and has not started": a resolved incident is no longer so."""
    pasts = (past for present, past in _PAST if f"{incident.title}: ".startswith(f"{name} {present}: "))
    past = next(pasts, "")
    return f"{name} {past}" if past else _unmet_past(incident, incident.title)


def _unmet_past(incident: IncidentFacts, text: str) -> str:
    """The past form of a title or reason about an unmet promise; other texts unchanged."""
    for present, past in _UNMET_PAST if incident.rule == UNMET_PROMISE else ():
        text = text.replace(present, past)
    return text


def is_stale_success(index: EstateIndex, run: RunFacts) -> bool:
    """True if it ended well on data that was not finished: only a rerun after that repairs it."""
    return not run.state.is_red and not run.state.is_open and index.is_stale(run)


MAX_INPUTS = 2
"""Upstreams that a title names."""


def awaited_inputs(index: EstateIndex, run: RunFacts) -> list[RunFacts]:
    """The latest runs of the upstreams that must finish before a stale success is rerun."""
    inputs, are_good = bad_inputs(index, run) if is_stale_success(index, run) else ([], True)
    runs = (index.of_day(job_id, run.business_date)[-1:] for job_id in inputs)
    return [known for latest in runs for known in latest] if not are_good else []


def stale_text(index: EstateIndex, run: RunFacts) -> str:
    """ "read data before warehouse/load_orders finished", of a stale success."""
    names = list(dict.fromkeys(map(index.name, bad_inputs(index, run)[0])))
    shown = " and ".join(names[:MAX_INPUTS]) or "its upstream"
    shown += f" and {len(names) - MAX_INPUTS} more" if len(names) > MAX_INPUTS else ""
    return f"read data before {shown} finished"


def _failure_of_root(index: EstateIndex, match: IncidentMatch) -> KnownFailure | None:
    """The last notified failure of the root job, for the title of a resolved incident that was last about another job;
    else None."""
    name, incident, before = cause_name(index, match), match.incident, last_notification_of(match)
    if not match.close_reason or match.group.root is None or incident is None or before is None or incident.rule:
        return None
    if f"{incident.title} ".startswith(f"{name} "):
        return None
    return next((failure for failure in reversed(before.failures) if failure.job == name), None)


def _exit_text(failure: KnownFailure) -> str:
    return f"exit {failure.exit_code}" if failure.exit_code is not None else ""


MAX_SUPERSEDED = 20
"""Superseded failures that are named."""


def superseded_lines(index: EstateIndex, match: IncidentMatch, zone: str) -> tuple[str, ...]:
    """One line for each failure repaired before its target was seen again; beyond the limit their number."""
    lines = []
    for run in match.superseded[:MAX_SUPERSEDED]:
        why, at = _why(index, run, zone), zoned_time(red_since(run), zone, index.now)
        what = f"{index.name(run.job_id)} {_FAILED[run.state]} at {at}{f': {why}' if why else ''}"
        lines.append(f"not notified: {what}; a later run succeeded before its target was reachable again")
    omitted = len(match.superseded) - MAX_SUPERSEDED
    return (*lines, *([f"not notified: {omitted} more superseded failures"] if omitted > 0 else []))


def _green_upstream(index: EstateIndex, match: IncidentMatch, zone: str) -> str:
    """ "; its upstream etl/extract is green again since 03:31 CET", once the roots are repaired; else empty."""
    if match.unrepaired is None:
        return ""
    above = index.graph.ancestors(index.graph.unit(match.unrepaired.job_id))
    roots = [root for root in match.group.roots() if index.graph.unit(root.job_id) in above]
    at = max((at for root in roots if (at := index.repaired_at(root)) is not None), default=None)
    if at is None:
        return ""
    names = limit_instances(dict.fromkeys(index.name(root.job_id) for root in roots), str)
    shown = ", ".join(f"{name} and {hidden} more" if hidden else name for name, hidden in names)
    are = "upstreams {} are" if len(roots) > 1 else "upstream {} is"
    return f"; its {are.format(shown)} green again since {zoned_time(at, zone, index.now)}"


def plain_title(index: EstateIndex, match: IncidentMatch) -> str:
    """The title with nothing from outside but names: no message, task or native state."""
    name, root, target = cause_name(index, match), match.to_repair, match.group.target
    if match.group.finding is not None:
        return f"{name} {match.group.finding.rule.predicate}"
    if target is not None and target.failing_since is not None:
        return f"{name} {outage_text(target)}"
    if match.group.awaits:
        blamed = blamed_name(index, match)
        because = f" because of {blamed}" if blamed != name else ""
        return f"{name} did not finish in time{because} (no failed run)"
    if match.group.text:
        return f"{name} does not pass"
    if match.group.shared and match.unrepaired is None:
        return f"many jobs blame one {identity_blame(match.group.shared)}"
    if root is None or not root.state.is_red:
        if root is None or not is_stale_success(index, root):
            return name
        advice = "" if match.closing else f": rerun it{' after that' if awaited_inputs(index, root) else ''}"
        return f"{name} {stale_text(index, root)}{advice}"
    if cancelled_by(index, root):
        return f"{name} was cancelled by {clean_line(index.estate.cancels[root.id].by)} through Headway"
    known = root.exit_code is not None and root.state is not RunState.MISSED
    return f"{name} {_FAILED[root.state]}{f': exit {root.exit_code}' if known else ''}"


def cancelled_by(index: EstateIndex, run: RunFacts) -> str:
    """ "cancelled by root through Headway: stuck", if its latest attempt ended red after such a cancel; else empty.
    Some schedulers report that as failed."""
    cancel = index.estate.cancels.get(run.id)
    if cancel is None or run.state not in (RunState.CANCELLED, RunState.FAILED, RunState.LOST):
        return ""
    began, ended = run.started_at or cancel.sent_at, run.ended_at or cancel.sent_at
    if not began - CLOCK_SKEW <= cancel.sent_at <= ended + CLOCK_SKEW:
        return ""
    why = clean_line(cancel.why, TITLE_LIMIT)
    return f"cancelled by {clean_line(cancel.by)} through Headway{f': {why}' if why else ''}"


def is_cancelled(index: EstateIndex, run: RunFacts) -> bool:
    """True if a person cancelled its latest ended attempt through Headway; a retry that runs does not change that."""
    cancel, last = index.estate.cancels.get(run.id), max(run.ends, default=None)
    if run.state.is_red or cancel is None or last is None:
        return bool(cancelled_by(index, run))
    ended_since = [ended for ended, _ in run.ends if ended >= cancel.sent_at - CLOCK_SKEW]
    return [last[0]] == ended_since and last[1].is_red


def _why(index: EstateIndex, run: RunFacts, zone: str) -> str:
    """Shortest explanation: its reason, exit status, failed task, message, or the source's own state."""
    if run.state is RunState.MISSED:
        return clean_line(_reason_of(index, run, zone), REASON_LIMIT)
    if run.exit_code is not None:
        return f"exit {run.exit_code}"
    tasks = _failed_task_names(index, run)
    first_line = next(iter(run.message.strip().splitlines()), "")
    text = f"task {tasks[0]}" if tasks else clean_line(first_line, TITLE_LIMIT)
    return text or clean_line("" if run.native_state.lower() == run.state.value else run.native_state, TITLE_LIMIT)


def _reason_of(index: EstateIndex, run: RunFacts, zone: str) -> str:
    """Its reason; of a missed run Headway's own, with its times in that zone."""
    is_own = run.state is RunState.MISSED
    return in_zone(run.reason, index.job(run.job_id).zone, zone, index.now) if is_own else run.reason


def finding_text(index: EstateIndex, finding: Finding, zone: str, with_source: bool = False) -> str:
    """Its text, with its times in that zone; `with_source`: and with its threshold, or the fix for drift."""
    job = index.job(finding.job_id)
    text = in_zone(finding.with_source if with_source else finding.text, job.zone, zone, index.now)
    is_drift = with_source and finding.rule is DetectionRule.DRIFT
    return f"{text}. Fix: {drift_fix(index.name(finding.job_id), job.drift_change)}" if is_drift else text


def _failed_task_names(index: EstateIndex, run: RunFacts) -> list[str]:
    dag = f"{index.job(run.job_id).native_id}."
    return [clean_line(task.native_id.removeprefix(dag), REASON_LIMIT) for task in failed_tasks(index, run)]


MAX_TARGETS = 3
"""Targets at one endpoint that a sentence names."""
TARGETS_LIMIT = 150
"""Characters of their list: it is never cut in a reason, where the next evaluation seeks it."""


def also_unreachable(match: IncidentMatch) -> str:
    """ "also unreachable: cron-db07/db07"; empty if its target is the only one."""
    beside = match.group.beside
    return clean_line(f"also unreachable: {target_names(beside)}", TARGETS_LIMIT) if beside else ""


def target_names(targets: Sequence[TargetFacts]) -> str:
    """ "deliveries/db07, cron-db07/db07, … and 2 more"."""
    names = [clean_line(f"{target.system}/{target.name}") for target in targets]
    further = f" and {len(names) - MAX_TARGETS} more" if len(names) > MAX_TARGETS else ""
    return f"{', '.join(names[:MAX_TARGETS])}{further}"


def incident_reason(index: EstateIndex, match: IncidentMatch, zone: str) -> str:
    root, target = match.to_repair, match.group.target
    if match.group.finding is not None:
        return finding_text(index, match.group.finding, zone, with_source=True)
    if target is not None and target.failing_since is not None:
        also = also_unreachable(match)
        why, label, fix = target.error.partition(" Fix: ")
        return f"{one_line(f'{also}; {why}' if also else why, REASON_LIMIT)}{label}{one_line(fix)}"
    if match.group.text:
        return match.group.text
    if match.group.evidence and match.unrepaired is None:
        return match.group.evidence
    if root is not None and not match.close_reason and is_stale_success(index, root):
        return f"it {stale_text(index, root)}"
    if (failure := _failure_of_root(index, match)) is not None:
        return _exit_text(failure)
    if root is None or not root.state.is_red:
        if match.incident is None:
            return ""
        return _unmet_past(match.incident, match.incident.reason) if match.close_reason else match.incident.reason
    tasks = _failed_task_names(index, root)
    by = cancelled_by(index, root)
    reasons = [by] if by else []
    reasons += [f"failed task{'s' if len(tasks) > 1 else ''}: {', '.join(tasks[:5])}"] if tasks else []
    reasons += [one_line(text, REASON_LIMIT) for text in (_reason_of(index, root, zone), root.message) if text]
    reasons = reasons or [failure_text(index, root, zone)]
    earlier = [run for run in match.group.red if run.job_id == root.job_id and not is_lost_out_of_reach(index, run)]
    if earlier and is_lost_out_of_reach(index, root):
        why = failure_text(index, earlier[-1], zone)
        reasons.append(f"before that it {_FAILED[earlier[-1].state]}{f': {why}' if why else ''}")
    return "; ".join(filter(None, reasons))


def failure_text(index: EstateIndex, run: RunFacts, zone: str) -> str:
    """ "exit 3: could not connect to db07": why the run is red, with the error line of its log, else of its message."""
    log = run.tail or (run.message if run.exit_code is not None else "")
    return with_log_line(index, run, _why(index, run, zone), log)


def with_log_line(index: EstateIndex, run: RunFacts, why: str, log: str) -> str:
    """ "exit 3: could not connect to db07": with the error line of its log; of a job without one "exit 3, no log:
    install the wrapper"."""
    if line := error_line(log):
        return f"{why}: {clean_line(line, REASON_LIMIT)}" if why else clean_line(line, REASON_LIMIT)
    job = index.job(run.job_id)
    has_log = job.kind != "cron" or job.proof is ProofLevel.FULL
    return why if has_log or run.exit_code is None else f"{why}, no log: install the wrapper"
