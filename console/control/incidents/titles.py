"""Titles and reasons of incidents, from names and what the source reported."""

from __future__ import annotations

from connectors.sdk.states import RunState
from console.control.incidents.causes import FailedRun
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.run_effects import is_lost_out_of_reach
from console.control.incidents.run_titles import (
    FAILED,
    REASON_LIMIT,
    awaited_inputs,
    cancelled_by,
    failed_task_names,
    failure_text,
    is_stale_success,
    of_period,
    stale_text,
    why_failed,
)
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import cleaned, red_since
from console.domain.incident_record import KnownFailure
from console.domain.text import At, Part, Text, Title, joined
from console.text.cleaning import clean_line, one_line


def cause_name(index: EstateIndex, match: IncidentMatch) -> str:
    """Cleaned name of the job to repair, or of the cause; as last notified once that is out of view."""
    name = index.name(match.unrepaired.job_id) if match.unrepaired is not None else match.cause.name(index)
    return name or (before.notified.cause if (before := match.before) else "")


def blamed_name(index: EstateIndex, match: IncidentMatch) -> str:
    """The cause as services show it: for days lost without a failure the job that loses the time."""
    lost_by = match.cause.lost_by
    return cause_name(index, match) if lost_by is None else index.name(lost_by)


def notified_cause(index: EstateIndex, match: IncidentMatch) -> str:
    """The cause as in a fingerprint: a root that turns red after a finding is notified as news."""
    if match.cause.rule:
        return f"{cause_name(index, match)}: {match.cause.rule_text}"
    is_same = cause_rule(match) or match.unrepaired is not None or match.stays_with_endpoint
    before = match.before if is_same else None
    return before.notified.cause if before is not None else cause_name(index, match)


def cause_rule(match: IncidentMatch) -> str:
    """Rule whose finding is or was its cause; empty for other causes, and once its root is red."""
    root = match.cause.root
    if match.cause.rule or not isinstance(match.cause, FailedRun):
        return match.cause.rule
    is_red = root is not None and root.state.is_red
    return match.incident.cause.rule if match.incident is not None and not is_red else ""


def incident_title(index: EstateIndex, match: IncidentMatch) -> Title:
    return Title(_title_parts(index, match), bool(match.ended))


def _title_parts(index: EstateIndex, match: IncidentMatch) -> tuple[Part, ...]:
    if match.unrepaired is None and (own := match.cause.title(index)):
        return own
    name, root = cause_name(index, match), match.to_repair
    if root is not None and root.state.is_red and not index.is_superseded(root):
        if by := cancelled_by(index, root):
            return name, " was ", by, *_green_upstream(index, match)
        why = why_failed(index, root)
        failed = f"{of_period(root)} {FAILED[root.state]}"
        return name, failed, *((": ", *why) if why else ()), *_green_upstream(index, match)
    if match.unrepaired is not None and index.is_stale(match.unrepaired):
        return name, " ran on bad data", *_green_upstream(index, match)
    if root is not None and is_stale_success(index, root):
        return name, f" {stale_text(index, root)}"
    if (failure := _failure_of_root(index, match)) is not None:
        status = _exit_text(failure)
        return name, f" {FAILED[RunState(failure.state)]}", *((": ", *status) if status else ())
    return match.incident.title.parts if match.incident is not None and match.incident.title.parts else (name,)


def _failure_of_root(index: EstateIndex, match: IncidentMatch) -> KnownFailure | None:
    """The last notified failure of the root job, for the title of a resolved incident that was last about another job;
    else None."""
    name, incident, before = cause_name(index, match), match.incident, match.before
    if not match.ended or match.cause.root is None or incident is None or before is None or incident.cause.rule:
        return None
    if incident.title.subject == name:
        return None
    return next((failure for failure in reversed(before.failures) if failure.job == name), None)


def _exit_text(failure: KnownFailure) -> Text:
    return (f"exit {failure.exit_code}",) if failure.exit_code is not None else ()


MAX_SUPERSEDED = 20
"""Superseded failures that are named."""


def superseded_lines(index: EstateIndex, match: IncidentMatch) -> tuple[Text, ...]:
    """One line for each failure repaired before its target was seen again; beyond the limit their number."""
    lines, superseded = list[Text](), match.ended.superseded if match.ended is not None else ()
    for run in superseded[:MAX_SUPERSEDED]:
        failed = f"not notified: {index.name(run.job_id)} {FAILED[run.state]} at ", At(red_since(run))
        why = (": ", *text) if (text := why_failed(index, run)) else ()
        lines.append((*failed, *why, "; a later run succeeded before its target was reachable again"))
    omitted = len(superseded) - MAX_SUPERSEDED
    return (*lines, *([(f"not notified: {omitted} more superseded failures",)] if omitted > 0 else []))


def _green_upstream(index: EstateIndex, match: IncidentMatch) -> tuple[Part, ...]:
    """ "; its upstream etl/extract is green again since 03:31 CET", once the roots are repaired; else empty."""
    if match.unrepaired is None:
        return ()
    above = index.graph.ancestors(index.graph.unit(match.unrepaired.job_id))
    roots = [root for root in match.cause.roots() if index.graph.unit(root.job_id) in above]
    at = max((at for root in roots if (at := index.repaired_at(root)) is not None), default=None)
    if at is None:
        return ()
    text = ", ".join(dict.fromkeys(index.name(root.job_id) for root in roots))
    are = "upstreams {} are" if len(roots) > 1 else "upstream {} is"
    return f"; its {are.format(text)} green again since ", At(at)


def plain_title(index: EstateIndex, match: IncidentMatch) -> tuple[str, str]:
    """The title with nothing from outside but names, no message, task or native state; then its detail: ": exit 1"."""
    if match.unrepaired is None and (own := match.cause.plain_title(index)):
        return own, ""
    name, root = cause_name(index, match), match.to_repair
    if root is None or not root.state.is_red:
        if root is None or not is_stale_success(index, root):
            return name, ""
        advice = "" if match.closing else f": rerun it{' after that' if awaited_inputs(index, root) else ''}"
        return f"{name} {stale_text(index, root)}", advice
    if cancelled_by(index, root):
        return f"{name} was cancelled by {clean_line(index.estate.cancels[root.id].by)} through Headway", ""
    known = root.exit_code is not None and root.state is not RunState.MISSED
    return f"{name}{of_period(root)} {FAILED[root.state]}", f": exit {root.exit_code}" if known else ""


def incident_reason(index: EstateIndex, match: IncidentMatch) -> Text:
    if match.unrepaired is None and (own := match.cause.reason(index)):
        return own
    root = match.to_repair
    if root is not None and not match.ended and is_stale_success(index, root):
        return (f"it {stale_text(index, root)}",)
    if (failure := _failure_of_root(index, match)) is not None:
        return _exit_text(failure)
    if root is None or not root.state.is_red:
        return () if match.incident is None or match.cause.awaits else match.incident.reason
    tasks = failed_task_names(index, root)
    by = cancelled_by(index, root)
    texts = [by, f"failed task{'s' if len(tasks) > 1 else ''}: {', '.join(tasks[:5])}" if tasks else "", root.reason]
    reasons: list[Text] = [(one_line(text, REASON_LIMIT),) for text in texts if text]
    reasons += [cleaned(root.why, REASON_LIMIT)] if root.why else []
    reasons += [(one_line(root.message, REASON_LIMIT),)] if root.message else []
    reasons = reasons or [failure_text(index, root)]
    earlier = [run for run in match.cause.red if run.job_id == root.job_id and not is_lost_out_of_reach(index, run)]
    if earlier and is_lost_out_of_reach(index, root):
        why = failure_text(index, earlier[-1])
        reasons.append((f"before that it {FAILED[earlier[-1].state]}", *((": ", *why) if why else ())))
    return joined(filter(None, reasons), "; ")
