"""The parts of titles and reasons about one run or finding, from names and what the source reported."""

from __future__ import annotations

from connectors.sdk.states import ProofLevel, RunState
from console.control.incidents.run_effects import failed_tasks
from console.control.snapshot.downstream import bad_inputs
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import cleaned, known_period_name
from console.domain.estate import RunFacts
from console.domain.finding import DetectionRule, Finding, drift_fix
from console.domain.run import CLOCK_SKEW
from console.domain.text import Text
from console.text.cleaning import clean_line
from console.text.lists import listed
from console.text.normalize import error_line

REASON_LIMIT = 200
TITLE_LIMIT = 80
MAX_INPUTS = 2
"""Upstreams that a title names."""
FAILED = {
    RunState.FAILED: "failed",
    RunState.TIMED_OUT: "timed out",
    RunState.LOST: "was lost while it ran",
    RunState.MISSED: "did not start",
    RunState.CANCELLED: "was cancelled",
    RunState.BLOCKED: "was blocked by its upstream",
}


def is_stale_success(index: EstateIndex, run: RunFacts) -> bool:
    """True if it ended well on data that was not finished: only a rerun after that repairs it."""
    return not run.state.is_red and not run.state.is_open and index.is_stale(run)


def awaited_inputs(index: EstateIndex, run: RunFacts) -> list[RunFacts]:
    """The latest runs of the upstreams that must finish before a stale success is rerun."""
    inputs, are_good = bad_inputs(index, run) if is_stale_success(index, run) else ([], True)
    runs = (index.of_day(job_id, run.business_date)[-1:] for job_id in inputs)
    return [known for latest in runs for known in latest] if not are_good else []


def stale_text(index: EstateIndex, run: RunFacts) -> str:
    """ "read data before warehouse/load_orders finished", of a stale success."""
    names = list(dict.fromkeys(map(index.name, bad_inputs(index, run)[0])))
    return f"read data before {listed(names, MAX_INPUTS, ' and ') or 'its upstream'} finished"


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


def of_period(run: RunFacts) -> str:
    """ " eu", after the name of its job: the period as its source names it, empty without a name."""
    name = clean_line(known_period_name(run), TITLE_LIMIT)
    return f" {name}" if name else ""


def why_failed(index: EstateIndex, run: RunFacts) -> Text:
    """Shortest explanation: its reason, exit status, failed task, message, or the source's own state."""
    if run.state is RunState.MISSED:
        return cleaned(run.why or (run.reason,), REASON_LIMIT)
    if run.exit_code is not None:
        return (f"exit {run.exit_code}",)
    tasks = failed_task_names(index, run)
    first_line = next(iter(run.message.strip().splitlines()), "")
    text = f"task {tasks[0]}" if tasks else clean_line(first_line, TITLE_LIMIT)
    text = text or clean_line("" if run.native_state.lower() == run.state.value else run.native_state, TITLE_LIMIT)
    return (text,) if text else ()


def finding_text(index: EstateIndex, finding: Finding) -> Text:
    """Its text with its threshold, or with the fix for drift."""
    if finding.rule is not DetectionRule.DRIFT:
        return finding.with_source
    fix = drift_fix(index.name(finding.job_id), index.job(finding.job_id).drift_change)
    return *finding.with_source, f". Fix: {fix}"


def failed_task_names(index: EstateIndex, run: RunFacts) -> list[str]:
    dag = f"{index.job(run.job_id).native_id}."
    return [clean_line(task.native_id.removeprefix(dag), REASON_LIMIT) for task in failed_tasks(index, run)]


def failure_text(index: EstateIndex, run: RunFacts) -> Text:
    """ "exit 3: could not connect to db07": why the run is red, with the error line of its log, else of its message; of
    a cron job that keeps no log "exit 3, no log: install the wrapper"."""
    why = why_failed(index, run)
    if line := error_line(run.tail or (run.message if run.exit_code is not None else "")):
        return *why, f"{': ' if why else ''}{clean_line(line, REASON_LIMIT)}"
    job = index.job(run.job_id)
    has_log = job.kind != "cron" or job.proof is ProofLevel.FULL
    return why if has_log or run.exit_code is None else (*why, ", no log: install the wrapper")
