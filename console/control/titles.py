"""What an incident is called and why it is so: the words of its root, from names and what its source said."""

from __future__ import annotations

from connectors.contract import State
from console.clean import clean_line, one_line
from console.control.cases import Case
from console.control.causes import failed_tasks
from console.control.fingerprint import told_before
from console.control.picture import CLOCKS, Picture
from console.control.sight import UNSEEN
from console.control.signatures import blame_of, name_of, title_of
from console.model.values import RunFacts
from console.model.words import UNDELIVERED

REASON_LIMIT = 200
TITLE_LIMIT = 80
_FAILED = {
    State.FAILED: "failed",
    State.TIMED_OUT: "timed out",
    State.LOST: "was lost while it ran",
    State.MISSED: "was missed",
    State.CANCELLED: "was cancelled",
    State.BLOCKED: "was blocked by its upstream",
}


def cause_name(picture: Picture, case: Case) -> str:
    """Cleaned name of the root's job or target."""
    if case.group.root is not None:
        return clean_line(picture.job(case.group.root.job_id).name)
    if case.group.target is not None:
        return clean_line(f"{case.group.target.system}/{case.group.target.name}")
    if case.group.check:
        return f"check {case.group.check}"
    if case.group.shared:
        return name_of(case.group.shared)
    return told.root if (told := told_before(case)) else ""


def blamed_name(picture: Picture, case: Case) -> str:
    """The cause as services tell it: of days that are lost though nothing failed the job that loses the minutes."""
    lost_by = case.group.lost_by
    return cause_name(picture, case) if lost_by is None else clean_line(picture.job(lost_by).name)


def told_cause(picture: Picture, case: Case) -> str:
    """The cause as a fingerprint has it: what turns red after a rule found it is told as something new."""
    finding = case.group.finding
    if finding is not None:
        return f"{cause_name(picture, case)}: {finding.rule.words}"
    if case.group.awaits:
        return f"{cause_name(picture, case)}: {UNDELIVERED}"
    before = told_before(case) if rule_of(case) else None
    return before.root if before is not None else cause_name(picture, case)


def rule_of(case: Case) -> str:
    """The rule whose finding is its cause, or was until it ended; empty for other causes, and once its root is red."""
    root = case.group.root
    if case.group.rule:
        return case.group.rule
    is_red = root is not None and root.state.is_red
    return case.incident.rule if case.incident is not None and not is_red else ""


def title(picture: Picture, case: Case) -> str:
    name, root, target = cause_name(picture, case), case.group.root, case.group.target
    if case.group.finding is not None:
        return f"{name} {case.group.finding.rule.words}: {case.group.finding.words}"
    if target is not None and target.failing_since is not None:
        return f"{name} {UNSEEN.get(target.error_kind, 'does not answer')}"
    if case.group.shared:
        return title_of(case.group.shared)
    if root is not None and root.state.is_red:
        if by := cancelled_by(picture, root):
            return clean_line(f"{name} was {by}")
        why = _why(picture, root)
        return f"{name} {_FAILED[root.state]}{f': {why}' if why else ''}"
    if case.group.words:
        return clean_line(case.group.words, REASON_LIMIT)
    return (case.incident.title if case.incident else "") or name


def plain_title(picture: Picture, case: Case) -> str:
    """The title without a word from outside but the names: what a message, a task or a native state says stays here."""
    name, root, target = cause_name(picture, case), case.group.root, case.group.target
    if case.group.finding is not None:
        return f"{name} {case.group.finding.rule.words}"
    if target is not None and target.failing_since is not None:
        return f"{name} {UNSEEN.get(target.error_kind, 'does not answer')}"
    if case.group.awaits:
        blamed = blamed_name(picture, case)
        because = f" because of {blamed}" if blamed != name else ""
        return f"{name} is not done in time{because}, and nothing failed"
    if case.group.words:
        return f"{name} does not pass"
    if case.group.shared:
        return f"many jobs blame one {blame_of(case.group.shared)}"
    if root is None or not root.state.is_red:
        return name
    if cancelled_by(picture, root):
        return f"{name} was cancelled by {clean_line(picture.estate.cancels[root.id].by)} through Headway"
    known = root.exit_code is not None and root.state is not State.MISSED
    return f"{name} {_FAILED[root.state]}{f': exit {root.exit_code}' if known else ''}"


def cancelled_by(picture: Picture, run: RunFacts) -> str:
    """ "cancelled by root through Headway: stuck", where its latest attempt ended red after such a cancel; else empty.
    Some schedulers call that failed."""
    cancel = picture.estate.cancels.get(run.id)
    if cancel is None or run.state not in (State.CANCELLED, State.FAILED, State.LOST):
        return ""
    began, ended = run.started_at or cancel.sent_at, run.ended_at or cancel.sent_at
    if not began - CLOCKS <= cancel.sent_at <= ended + CLOCKS:
        return ""
    why = clean_line(cancel.why, TITLE_LIMIT)
    return f"cancelled by {clean_line(cancel.by)} through Headway{f': {why}' if why else ''}"


def is_told_cancelled(picture: Picture, case: Case, title: str) -> bool:
    """True for what a person cancelled through Headway. `title`: now, or as last told, because a root that is tried
    again does not tell any more what it was."""
    return case.group.root is not None and title.startswith(f"{cause_name(picture, case)} was cancelled by ")


def is_own_matter(picture: Picture, case: Case, title: str) -> bool:
    """True for what `is_told_cancelled`, and nothing hangs on: no downstream, no service."""
    root = case.group.root
    if root is None or not is_told_cancelled(picture, case, title):
        return False
    if picture.graph.out_of(root.job_id) or {run.job_id for run in case.broken()} - {root.job_id}:
        return False
    ends = {picture.graph.unit(each) for service in picture.estate.services for each in service.terminals}
    return picture.graph.unit(root.job_id) not in ends


def _why(picture: Picture, run: RunFacts) -> str:
    """The shortest word on why it is red: its reason, exit status, failed task, message, or the source's own state."""
    if run.state is State.MISSED:
        return clean_line(run.reason, REASON_LIMIT)
    if run.exit_code is not None:
        return f"exit {run.exit_code}"
    tasks = _failed_task_names(picture, run)
    first_line = next(iter(run.message.strip().splitlines()), "")
    said = f"task {tasks[0]}" if tasks else clean_line(first_line, TITLE_LIMIT)
    return said or clean_line("" if run.native_state.lower() == run.state.value else run.native_state, TITLE_LIMIT)


def _failed_task_names(picture: Picture, run: RunFacts) -> list[str]:
    dag = f"{picture.job(run.job_id).native_id}."
    return [clean_line(task.native_id.removeprefix(dag), REASON_LIMIT) for task in failed_tasks(picture, run)]


def reason(picture: Picture, case: Case) -> str:
    root, target = case.group.root, case.group.target
    if case.group.finding is not None:
        return case.group.finding.with_source
    if target is not None and target.failing_since is not None:
        return one_line(target.error, REASON_LIMIT)
    if case.group.words:
        return clean_line(case.group.words, REASON_LIMIT)
    if case.awaits:
        return clean_line(case.awaits_words, REASON_LIMIT)
    if case.group.evidence:
        return case.group.evidence
    if root is None or not root.state.is_red:
        return case.incident.reason if case.incident else ""
    tasks = _failed_task_names(picture, root)
    by = cancelled_by(picture, root)
    words = [by] if by else []
    words += [f"failed task{'s' if len(tasks) > 1 else ''}: {', '.join(tasks[:5])}"] if tasks else []
    words += [one_line(each, REASON_LIMIT) for each in (root.reason, root.message) if each]
    return "; ".join(words) or _why(picture, root)
