"""The text of the verdict of an incident, and the sentences about restarts that notifications share with it.

The clock of the reader, the present, and how short it has to be are arguments: the time left, the name of the next
start and the restart that follows may be left out.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from console.control.incidents.verdict.decision import (
    LEADERS,
    ActBy,
    Blocked,
    Closed,
    ClosesItself,
    ContinuePlan,
    FixCause,
    GreenBy,
    Instruction,
    JobStep,
    NextStart,
    Now,
    Outlook,
    Overrunning,
    PlanUnderWay,
    Queued,
    RepairByPolicy,
    Rerun,
    Rerunning,
    Restart,
    Restore,
    ResumePlan,
    StartOffered,
    Step,
    StillRunning,
    Unfinished,
    Verdict,
    cause_label,
    job_label,
    planned_end,
)
from console.domain.incident import IncidentView, RepairStep
from console.domain.message import Countdown, Headline
from console.domain.plan import RESUME, PlanView
from console.domain.reason import Repetition
from console.domain.service import RepairCase, timeliness_label
from console.domain.text import Clock, render
from console.text.lists import listed
from console.timing.durations import format_duration, rough_duration

LATE_MINUTES = 15
"""The minutes before an act-by in which it is urgent."""
UPSTREAM_FIRST = " once its upstream has finished"


# -- the verdict ------------------------------------------------------------------------------------------------------
def verdict_text(verdict: Verdict, now: datetime, clock: Clock, *, countdown: bool = True) -> str:
    """The verdict in one line. `countdown`: with the time left."""
    (_, _), *further = verdict_parts(verdict, now, clock, countdown=countdown)
    first = "".join(verdict_action(verdict, now, clock, countdown=countdown))
    text = "".join([first, later_text(verdict, clock), *(text for text, _ in further)])
    text = ", ".join(filter(None, [text, saved_text(verdict.saves)]))
    return "; ".join(filter(None, [text, remark_text(verdict, clock)]))


def remark_text(verdict: Verdict, clock: Clock, *, is_short: bool = False) -> str:
    """The results of the repair in earlier incidents, the repetition of the job to restart, and the plan that awaits
    approval, with its requester and the command that approves it; empty without them."""
    record = _record_text(verdict.step) if isinstance(verdict.step, Restart) else ""
    repeated = repetition_text(verdict.repeated, clock, is_short=is_short) if verdict.repeated is not None else ""
    return "; ".join(filter(None, [record, repeated, _proposal_text(verdict)]))


def _record_text(step: Restart) -> str:
    """ "rerun worked 9 of 10 times"; "rerun all worked 9 of 10 times: headway rerun etl/load --scope all" for a repair
    that is not the usual one."""
    if (record := step.record) is None:
        return ""
    job, scope = shlex.quote(step.instruction.jobs[0].job), record.scope
    return record.outcome_text + (f": headway rerun {job} --scope {scope}" if scope and not record.is_poor else "")


def repetition_text(repeated: Repetition, clock: Clock, *, is_short: bool = False) -> str:
    """ "load starts by itself 10:34, failed 7 times in a row: a restart alone has not helped", or only the facts."""
    return f"{job_label(repeated.job)} {render(repeated.facts if is_short else repeated.predicate, clock)}"


def _proposal_text(verdict: Verdict) -> str:
    if verdict.proposal is None:
        return ""
    plan, requester = verdict.proposal.plan, verdict.proposal.requester
    return f"plan {plan} of {requester} awaits approval: {RESUME} {plan}"


def later_text(verdict: Verdict, clock: Clock) -> str:
    """ ", after 03:50 also load", ", then load" of a job that has read stale data; empty without a later restart."""
    if verdict.then is None:
        return ""
    job, at = verdict.then.job, verdict.then.at
    return f", after {clock(at)} also {job}" if at is not None else f", then {job}"


def verdict_action(
    verdict: Verdict, now: datetime, clock: Clock, *, countdown: bool = True, names_start: bool = True
) -> tuple[str, str]:
    """The first part of the verdict in two texts: the second one, which stays where the first is cut, has the act-by,
    the next start or the deadline. `countdown`: with the time left; `names_start`: with the job of the next start."""
    step, until, outlook = verdict.step, verdict.until, verdict.outlook
    text, end = _step_text(step, now, clock), ""
    condition = UPSTREAM_FIRST if isinstance(step, Restart) and step.awaits_upstream else ""
    match until:
        case ActBy():
            end = until_text(until.at, now, clock, countdown=countdown) + (f",{condition}" if condition else "")
        case NextStart():
            end = _before_text(until, clock, names_start=names_start)
        case Now():
            text += f"{condition or ' now'}{passed_text(until.passed, now, clock)}"
            end = f", {_promise(outlook, ' due ', clock)}" if _is_due(outlook) and outlook is not None else ""
        case None:
            text += condition
            end = f"; stop it: headway policy pause {step.policy}" if isinstance(step, RepairByPolicy) else ""
    if not verdict.affects_services:
        text += ", affects no service"
    if outlook is not None and _leads(verdict):
        text = f"{_outlook_text(outlook, clock)}: {text}"
    elif isinstance(step, Restart | Restore | FixCause | RepairByPolicy | ContinuePlan):
        text = _capital(text)
    return f"Frozen, thaw first: {text}" if verdict.is_frozen else text, end


def verdict_parts(verdict: Verdict, now: datetime, clock: Clock, *, countdown: bool = True) -> list[tuple[str, str]]:
    """The verdict as (text, style) parts, without what it saves, the restart that follows and the plan that awaits
    approval; they are left out from the last to the first where the line has no room."""
    step, until, outlook = verdict.step, verdict.until, verdict.outlook
    parts = [("".join(verdict_action(verdict, now, clock, countdown=countdown)), _style(verdict, now))]
    if isinstance(step, Restart) and step.read_stale:
        parts.append((f": {render(step.read_stale, clock)}", "plain"))
    if isinstance(until, GreenBy):
        parts.append((f", must succeed{until_text(until.at, now, clock, countdown=countdown)}", "plain"))
    if outlook is not None and not _is_due(outlook):
        if not _leads(verdict):
            parts.append((f", {_outlook_text(outlook, clock)}", _outlook_style(outlook)))
        end = late_text(outlook.expected, outlook.deadline, now, clock, outlook.repair_case)
        parts += [(end, "plain")] if end else []
    elif outlook is not None and isinstance(until, NextStart):
        parts.append((f", {_promise(outlook, ' due ', clock)}", "plain"))
    if isinstance(step, PlanUnderWay):
        if step.end is not None and outlook is None:
            parts.append((f", {_done_text(step.end, clock)}", "plain"))
        if step.may_save:
            parts.append((f", {saved_text(step.may_save, verb='may save')}", "warn"))
    return parts


def _leads(verdict: Verdict) -> bool:
    """True for services that are lost already: they come before the step."""
    is_late = verdict.outlook is not None and not _is_due(verdict.outlook)
    return is_late and isinstance(verdict.step, LEADERS) and verdict.until in (None, Now())


def _is_due(outlook: Outlook | None) -> bool:
    return outlook is not None and outlook.timeliness is None


def _style(verdict: Verdict, now: datetime) -> str:
    if verdict.outlook is not None and _leads(verdict):
        return _outlook_style(verdict.outlook)
    match verdict.step:
        case Closed(has_recovered=is_good):
            return "ok" if is_good else "plain"
        case Queued() | StillRunning() | ClosesItself() | RepairByPolicy() | PlanUnderWay(waits_for=""):
            return "run"
        case Rerunning(rerun=rerun):
            return "warn" if rerun.unknown and rerun.started is None else "run"
        case ResumePlan() | ContinuePlan(state="stopped"):
            return "bad"
        case Restart() | Restore() | FixCause():
            match verdict.until:
                case ActBy(at) if (at - now).total_seconds() < LATE_MINUTES * 60:
                    return "bad"
                case Now(passed) if passed is not None:
                    return "bad"
    return "warn"


def _outlook_style(outlook: Outlook) -> str:
    return "bad" if outlook.is_late else "warn"


def _outlook_text(outlook: Outlook, clock: Clock) -> str:
    """ "Daily revenue 07:30 and 1 more will miss"."""
    timeliness = timeliness_label(outlook.timeliness) if outlook.timeliness is not None else "due"
    return f"{_promise(outlook, ' ', clock)} {timeliness}"


def _promise(outlook: Outlook, separator: str, clock: Clock) -> str:
    """ "Daily revenue due 07:30 and 1 more"; `separator`: between the title and the deadline."""
    suffix = f" and {outlook.further} more" if outlook.further else ""
    return f"{outlook.title}{separator}{clock(outlook.deadline)}{suffix}"


def _step_text(step: Step, now: datetime, clock: Clock) -> str:
    match step:
        case Restart(instruction):
            return instruction_text(instruction)
        case Restore(target):
            return f"restore {target}"
        case FixCause(name):
            return f"fix {cause_label(name)}"
        case Unfinished():
            return f"{''.join(job_step_text(step, now, clock))}, nothing to restart"
        case ResumePlan() | Overrunning() | StartOffered() | StillRunning():
            return "".join(job_step_text(step, now, clock))
        case Queued(job, state):
            return f"{job_label(job)} is {state}"
        case Rerunning(rerun=rerun):
            text = "".join(job_step_text(step, now, clock))
            return text if rerun.started is not None else _capital(text)
        case RepairByPolicy():
            return in_progress_text(step, now, clock)
        case ClosesItself(job, at):
            return f"{_capital(closing_text(job, at, now, clock))}: nothing to restart"
        case Blocked(why):
            return _capital(render(why.text, clock))
        case Closed(at, why, has_recovered):
            return f"{'Resolved' if has_recovered else 'Closed'} {clock(at)}: {render(why.text, clock)}"
        case PlanUnderWay():
            progress = f"{step.done} of {step.steps} step{'s' * (step.steps != 1)}"
            if step.waits_for:
                return f"Plan {step.plan} waits: {step.waits_for}, {progress}"
            return f"Plan {step.plan} running: {progress}"
        case ContinuePlan():
            return f"plan {step.plan} {step.state}: {_continue_text(step)}"
    raise TypeError(f"a step without a text: {step}")


def _continue_text(step: ContinuePlan) -> str:
    """ "restart load, then resume it", "fix load, then resume it", "abort it, then restart extract"."""
    if step.is_outdated:
        return f"abort it, then {instruction_text(step.again)}" if step.again is not None else "abort it"
    before = f"restart {' and '.join(map(job_label, step.restarts))}, then " if step.restarts else ""
    if step.broken:
        before = f"fix {job_label(step.broken)}, then "
    return f"{before}resume it{_then(step.held)}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- restarts ---------------------------------------------------------------------------------------------------------
def instruction_text(instruction: Instruction) -> str:
    return step_text(*instruction.jobs) + _then(instruction.held)


def _then(held: Sequence[RepairStep]) -> str:
    return f", then {step_text(*held)}" if held else ""


MAX_STEPS = 2
"""Jobs that one instruction names."""


def step_text(*steps: RepairStep) -> str:
    """ "restart extract_orders", "start extract_orders" if it did not start; "run extract_orders by hand in etl-hosts"
    where Headway cannot rerun jobs of its system; "restore etl-hosts/db07, then restart extract_orders" while its host
    does not answer; "approve the rerun of extract_orders" once that is requested; "restart extract and refund and 2
    more" for different jobs, with full names where the short ones are equal."""
    unique = list({step.job: step for step in steps}.values())
    labels = Counter(job_label(step.job) for step in unique)
    names: dict[tuple[str, str], list[str]] = {}
    for step in unique[:MAX_STEPS]:
        label = job_label(step.job)
        names.setdefault((step.verb, step.place), []).append(label if labels[label] == 1 else step.job)
    text = ", ".join(f"{verb} {' and '.join(jobs)}{place}" for (verb, place), jobs in names.items())
    if hosts := list(dict.fromkeys(step.unreachable for step in unique if step.unreachable)):
        text = f"restore {' and '.join(hosts)}, then {text}"
    return f"{text} and {len(unique) - MAX_STEPS} more" if len(unique) > MAX_STEPS else text


def fix_text(verdict: Verdict, now: datetime, clock: Clock) -> Headline:
    """ "restart extract_orders by 04:07 (in 54 min)"; later "restart extract_orders now, act-by 04:07 has passed".
    Without an act-by "restart extract_orders before 04:30 (next start of load)", or "restart extract_orders now".
    """
    step, until, outlook = verdict.step, verdict.until, verdict.outlook
    text, late = _step_text(step, now, clock), lateness_text(outlook, now, clock)
    text = f"frozen, thaw first: {text}" if verdict.is_frozen else text
    condition = UPSTREAM_FIRST if isinstance(step, Restart) and step.awaits_upstream else ""
    match until:
        case ActBy(at):
            return text, *until_parts(at, now, clock), f",{condition}" if condition else "", late
        case NextStart():
            return text, _before_text(until, clock)
        case Now(passed):
            return text, condition or " now", late or passed_text(passed, now, clock)
    return text, condition or " now", late


def lateness_text(outlook: Outlook | None, now: datetime, clock: Clock) -> str:
    """`late_text` of services that are late whatever is done; empty for any other."""
    if outlook is None or not outlook.is_late:
        return ""
    return late_text(outlook.expected, outlook.deadline, now, clock, outlook.repair_case)


def saved_text(services: Sequence[str], at_most: int = 2, *, verb: str = "saves") -> str:
    """ "saves Supply plan, Daily revenue and 3 more"; empty without one."""
    return f"{verb} {listed(services, at_most)}" if services else ""


def job_step_text(step: JobStep, now: datetime, clock: Clock) -> tuple[str, str]:
    """ "extract runs again since 03:15, done about 03:35", "load has not finished", "load is held by plan 1"; then what
    to do about it."""
    label = job_label(step.job)
    match step:
        case Unfinished(has_started=has_started):
            return f"{label} has not {'finished' if has_started else 'started'}", ""
        case StartOffered():
            return f"start {label} now", f": headway job start {shlex.quote(step.job)}"
        case StillRunning(since=since):
            return f"{label} is still running since {clock(since)}", ""
        case ResumePlan(plan=plan):
            return f"{label} is held by plan {plan}", f": {RESUME} {plan}"
        case Overrunning():
            repair = "cancel and restart it" if step.can_rerun else "cancel it"
            expected = format_duration(step.usual_s)
            return f"{label} runs since {clock(step.since)}, {expected} expected", f": if it hangs, {repair}"
        case Rerunning(rerun=rerun, usual_s=usual_s):
            return _rerun_text(label, rerun, usual_s, now, clock)


def _rerun_text(label: str, rerun: Rerun, usual_s: float | None, now: datetime, clock: Clock) -> tuple[str, str]:
    """ "extract runs again since 03:15, done about 03:35"; "rerun of extract sent 03:14" before it is seen to run; then
    what to do about it."""
    if rerun.started is None and rerun.unknown:
        check = f": check its scheduler, then headway action withdraw {rerun.unknown}"
        return f"outcome of the rerun of {label} unknown", check
    by, sent = f" by policy {rerun.policy}" if rerun.policy else "", rerun.sent
    if rerun.started is None:
        return f"rerun of {label} sent {clock(sent)}{by}" if sent is not None else f"{label} is queued again", ""
    done = rerun.started + timedelta(seconds=usual_s) if usual_s is not None else now
    finish = f", done about {clock(done)}" if done > now else ""
    return f"{label} runs again since {clock(rerun.started)}{by}{finish}", ""


def in_progress_text(step: PlanUnderWay | RepairByPolicy, now: datetime, clock: Clock) -> str:
    """ "policy retry-refused reruns extract at 03:40"; without the time once that has come. "plan 1 is at 4 of 7
    steps"."""
    if isinstance(step, PlanUnderWay):
        return f"plan {step.plan} is at {step.done} of {step.steps} steps"
    when = f" at {clock(step.at)}" if step.at > now else ""
    return f"policy {step.policy} reruns {job_label(step.job)}{when}"


def closing_text(job: str, at: datetime, now: datetime, clock: Clock) -> str:
    """ "load starts next 03:16 and closes it": the start after which an incident needs no restart; "load was due 03:16
    and may still come" once it is late."""
    if at <= now:
        return f"{job_label(job)} was due {clock(at)} and may still come"
    return f"{job_label(job)} starts next {clock(at)} and closes it"


def delivery_estimate(plan: PlanView, view: IncidentView, clock: Clock) -> str:
    """ "services done about 06:16"; empty without an estimate, and while the plan does not run."""
    end = planned_end(plan, view)
    return _done_text(end, clock) if end is not None else ""


def _done_text(end: datetime, clock: Clock) -> str:
    return f"services done about {clock(end)}"


def until_text(act_by: datetime | None, now: datetime, clock: Clock, *, countdown: bool = True) -> str:
    """ " by 07:29 (in 8 min)"; empty without an act-by, and once it has passed."""
    if act_by is None or act_by <= now:
        return ""
    return f" by {clock(act_by)}{f' (in {rough_duration(act_by - now)})' if countdown else ''}"


def until_parts(act_by: datetime | None, now: datetime, clock: Clock) -> Headline:
    """ " by 07:29", and the time left; empty without an act-by, and once it has passed."""
    if act_by is None or act_by <= now:
        return ()
    return until_text(act_by, now, clock, countdown=False), Countdown(rough_duration(act_by - now))


def _before_text(start: NextStart, clock: Clock, *, names_start: bool = True) -> str:
    """ " before 04:30 (next start of load)"; "(last start of load in time)" if the job starts before that, too."""
    if not names_start:
        return f" before {clock(start.at)}"
    job = job_label(start.job)
    which = f"last start of {job} in time" if start.is_last else f"next start of {job}"
    return f" before {clock(start.at)} ({which})"


def passed_text(act_by: datetime | None, now: datetime, clock: Clock) -> str:
    """ ", act-by 07:29 has passed"; empty without one that has."""
    return f", act-by {clock(act_by)} has passed" if act_by is not None and act_by <= now else ""


IF_REPAIRED = "if repaired as usual"
"""The condition of a finish after the usual repair, next to the request for a restart."""


def late_text(
    expected: datetime | None, deadline: datetime, now: datetime, clock: Clock, case: RepairCase | None = None
) -> str:
    """ ", expected 07:40, 10 min late", after the usual repair ", expected 07:40 if repaired as usual, 10 min late";
    without an estimate of its end that is still to come ", 10 min late so far", empty before the deadline."""
    if expected is None or expected <= now:
        return f", {rough_duration(now - deadline)} late so far" if now > deadline else ""
    late = f", {rough_duration(expected - deadline)} late" if expected > deadline else ""
    return f", expected {clock(expected)}{f' {IF_REPAIRED}' if case is RepairCase.USUAL else ''}{late}"
