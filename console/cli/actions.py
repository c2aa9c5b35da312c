"""Actions on runs and jobs: rerun, start, cancel, skip, mark, manual steps; list, approve and withdraw them.

Each action is previewed, confirmed, sent once, and watched until the scheduler confirms its outcome.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from connectors.sdk.states import RunEvidence, RunState, Verb
from console.cli.arguments import JOB_HELP, business_date, positive_number, timeout, whole_number
from console.cli.clock_format import clock_text, in_display_zone, period, stamp, timestamp
from console.cli.commands import JSON, Handler, argument, flag, option
from console.cli.exits import CommandError, Exit
from console.cli.output import (
    PLAIN,
    ValueColumn,
    print_message,
    print_page,
    print_parts,
    print_result,
    set_document,
    table,
)
from console.cli.prompts import confirm, require_confirmation
from console.cli.reader import fresh_store_reader, store_reader
from console.cli.requests import (
    ANSWER_SECONDS,
    AT_ONCE,
    OVERLAP,
    SENDING,
    WHY_HELP,
    ask_reason_first,
    confirm_step,
    preview_lines,
    refuse_overlap,
    require_engine,
    require_reason,
    send_action,
    wait_for_answer,
)
from console.cli.runs import job_to_change
from console.domain.action import MANUAL_KIND, ActionDetailView, ActionHistoryEntry, ActionView, displayed_preview
from console.domain.conf import parse_conf
from console.domain.filter import JobFilter, matches_terms
from console.domain.ids import incident_name, is_suffix_of
from console.domain.incident import step_refusal
from console.domain.job import JobRow
from console.domain.plan import PlanDraft
from console.domain.run import RunRow
from console.domain.text import render
from console.engine.api.action_request import ActionRequest, overlap_choice
from console.engine.api.client import EngineClient
from console.engine.api.requests import ApproveAction, UndoCompletion, WithdrawAction
from console.store.errors import NotFound
from console.text.cleaning import clean_line
from console.text.suggestions import suggest_names
from console.timing.durations import format_duration
from console.timing.formats import age_text, relative_time_text

if TYPE_CHECKING:
    from console.store.queries import Queries
    from console.store.queries.audit import ApprovalView


def run_rerun(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        view = job_to_change(reads, arguments.name, arguments)
    run_id = arguments.run or view.row.run_id
    if run_id is None:
        raise CommandError(Exit.NOT_FOUND, f"{view.row.name} has no run yet")
    if arguments.run is not None and arguments.run not in {run.id for run in view.runs}:
        raise CommandError(Exit.NOT_FOUND, f"run {arguments.run} is not among the latest runs of {view.row.name}")
    return send_step(
        arguments, view.row.name, ActionRequest(Verb.RERUN, run_id, parameters=chosen_code(arguments, view.row.kind))
    )


def chosen_code(arguments: argparse.Namespace, kind: str) -> dict[str, str]:
    """The parameters of a rerun: tasks and code version. Raises CommandError if the kind has no code versions."""
    parameters = {"scope": arguments.scope} if arguments.scope else {}
    if arguments.code is None:
        return parameters
    if "version" not in _options_taken(kind, Verb.RERUN):
        raise CommandError(Exit.USAGE, f"--code: systems of kind {kind} have no code versions; omit --code")
    return {**parameters, "version": arguments.code}


def _options_taken(kind: str, verb: Verb) -> frozenset[str]:
    """The options that systems of this kind take with a verb; none for an unknown kind."""
    from connectors.sdk import registry  # local: start-up time

    try:
        return frozenset(registry.load(kind).takes.get(verb, ()))
    except registry.UnknownKind:
        return frozenset()


def send_step(arguments: argparse.Namespace, job: str, request: ActionRequest, notes: Sequence[str] = ()) -> int:
    """Previews, asks and sends one action; the exit code. `notes`: lines below the preview."""
    requests = require_engine(arguments)
    require_reason(arguments, lambda: requests.check([request]))
    seconds = min(ANSWER_SECONDS, arguments.timeout or ANSWER_SECONDS)
    data = wait_for_answer(arguments, requests, requests.preview(request), seconds)
    refusal = step_refusal(data, request.verb)
    set_document(arguments, displayed_preview(data))
    is_shown = not (refusal and request.verb in HOLD_VERBS)  # a refused hold is not shown as if it could be sent
    if is_shown and not arguments.json:
        print_parts([*preview_lines(job, data, request.verb), *notes])
    if refusal:
        raise CommandError(Exit.REFUSED, f"{job}: {refusal}; nothing was sent")
    ask_reason_first(arguments, lambda: requests.check([request]))
    if arguments.dry_run:
        return Exit.OK
    refuse_overlap(arguments, job, data, request.verb)
    if not confirm_step(arguments, job, data, request.verb):
        raise CommandError(Exit.REFUSED, "nothing was sent")
    why = arguments.why or ""
    if request.verb in HOLD_VERBS:
        return send_action(arguments, requests, replace(request, why=why))
    choice = getattr(arguments, "overlap", None)
    beside = tuple(data.get("in_progress", ())) if choice in ("queue", "allow") else None
    overlap = choice or overlap_choice(data)  # an overlap was refused above, or confirmed by typing
    return send_action(arguments, requests, replace(request, preview=data, why=why, overlap=overlap, beside=beside))


def run_start(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        job = job_to_change(reads, arguments.name, arguments).row
    return send_step(
        arguments, job.name, ActionRequest(Verb.START, job_id=job.id, parameters=start_conf(arguments, job.kind))
    )


def start_conf(arguments: argparse.Namespace, kind: str) -> dict[str, Any]:
    """The parameters of a start. Raises CommandError if they are invalid, or the kind takes none."""
    if not arguments.conf:
        return {}
    if "conf" not in _options_taken(kind, Verb.START):
        raise CommandError(Exit.USAGE, f"--conf: systems of kind {kind} take no parameters for a start; omit --conf")
    try:
        return {"conf": parse_conf(arguments.conf)}
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"--conf: {error}; nothing was sent") from None


HOLD_VERBS = (Verb.HOLD, Verb.RELEASE)
MAX_NEAR_RUNS = 5
RUNNING_STATES = ("running", "retrying", "queued")
RUN_VERBS = {"run cancel": Verb.CANCEL, "run skip": Verb.SKIP, "run mark-ok": Verb.MARK_OK}


def run_verb(arguments: argparse.Namespace) -> int:
    from console.cli.plan_draft import execute_plan, propose_plan  # local: start-up time

    verb = RUN_VERBS[arguments.command]
    with store_reader(arguments) as reads:
        runs = {run.id: run for run in (_run_named(reads, name, verb, arguments) for name in arguments.names)}
        now = reads.now()
    if len(runs) == 1:
        [run] = runs.values()
        return send_step(arguments, run.job, ActionRequest(verb, run.id))

    def propose() -> PlanDraft:
        return propose_plan(arguments, lambda requests: requests.propose_bulk(list(runs), verb))

    confirmation = f"{arguments.command.removeprefix('run ')} {len(runs)}"
    return execute_plan(arguments, propose(), now, confirmation, again=propose)


def _run_named(reads: Queries, name: str, verb: Verb, arguments: argparse.Namespace) -> RunRow:
    """Raises CommandError, NotFound."""
    if name.isascii() and name.isdigit():
        try:
            return reads.runs.run(whole_number(name)).row
        except (NotFound, argparse.ArgumentTypeError):
            raise CommandError(Exit.NOT_FOUND, _no_such_run(reads, name, verb)) from None
    view = job_to_change(reads, name, arguments)
    runs = [run for run in view.runs if run.attempts and run.ended is None] if verb is Verb.CANCEL else view.runs
    if not runs:
        what = "no active run" if verb is Verb.CANCEL else "no run yet"
        raise CommandError(Exit.NOT_FOUND, f"{view.row.name} has {what}")
    return next((run for run in runs if run.id == view.row.run_id), runs[0])


def _no_such_run(reads: Queries, name: str, verb: Verb) -> str:
    is_cancel = verb is Verb.CANCEL
    filters = JobFilter(states=RUNNING_STATES) if is_cancel else JobFilter()
    jobs = [job for job in reads.jobs.jobs_first_page(filters, "age", MAX_NEAR_RUNS) if job.run_id is not None]
    candidates = ", ".join(f"{job.run_id} ({job.name})" for job in jobs)
    label, none = ("active runs", "no run is active") if is_cancel else ("latest runs", "no job has run yet")
    return f"no run {clean_line(name[:40])}; {f'{label}: {candidates}' if candidates else none}; headway run lists them"


MAX_NEAR_STEPS = 8
OPEN_STEP_STATES = (RunState.WAITING, RunState.TIMED_OUT, RunState.MISSED)


def run_done(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        return _list_manual_steps(arguments)
    with store_reader(arguments) as reads:
        name, run = _step_run(arguments, reads)
    requests = require_engine(arguments)
    document = {"step": name, "business_date": run.business_date, "run": run.id}
    if arguments.undo:
        wait_for_answer(arguments, requests, requests.ask(UndoCompletion(run.id, arguments.why)))
        return print_result(arguments, {**document, "done": False}, [f"{name} {run.business_date}: reopened"])
    if not _confirm_on_bad_upstream(arguments, name, run):
        raise CommandError(Exit.REFUSED, f"{name} {run.business_date} was not completed; nothing was sent")
    arguments.yes = True  # completing a step is itself the confirmation
    code = send_action(arguments, requests, ActionRequest(Verb.MARK_OK, run.id, why=arguments.why))
    set_document(arguments, {**document, "done": code == Exit.OK})
    return code


def _confirm_on_bad_upstream(arguments: argparse.Namespace, name: str, run: RunRow) -> bool:
    """Asks for confirmation if an upstream failed or is stale. Raises CommandError without a terminal."""
    from console.control.holds.gate import GateStatus, judge_gate  # local: start-up time

    with store_reader(arguments) as reads:
        view = reads.holds.gate(name, run.period_key)
        verdict = judge_gate(view, reads.estate.engine().alive, reads.now(), reads.declared())
    if verdict.status is not GateStatus.RED:
        return True
    problem = f"{name} {run.business_date}: upstream not satisfied: {verdict.text}"
    if not arguments.anyway and not sys.stdin.isatty():
        raise CommandError(Exit.REFUSED, f"{problem}; nothing was sent. Fix: --anyway completes it regardless")
    print_message(problem)
    return arguments.anyway or confirm("complete it anyway?")


def _step_run(arguments: argparse.Namespace, reads: Queries) -> tuple[str, RunRow]:
    """The step's name, and its run to complete or to reopen. Raises CommandError, NotFound."""
    names = [row.name for row in _manual_steps(reads)]
    matches = [name for name in names if is_suffix_of(arguments.name, name)]
    is_short = "/" not in arguments.name and len(matches) == 1
    try:
        view = reads.jobs.job(matches[0] if is_short else arguments.name)
    except NotFound as error:
        if type(error) is not NotFound or (error.near and not suggest_names(arguments.name, names)):
            raise  # the name is ambiguous, or close to a job that is not a step
        raise CommandError(Exit.NOT_FOUND, _no_such_step(arguments.name, names)) from None
    if view.row.name not in names:
        raise CommandError(
            Exit.USAGE, f"{view.row.name} is not a manual step; headway run mark-ok marks a run of a job as succeeded"
        )
    on_date = [run for run in view.runs if arguments.business_date in (None, run.business_date)]
    runs = [run for run in on_date if _can_complete(run, arguments.undo)]
    if not runs:
        what = "has no completed run" if arguments.undo else "has no open run"
        date = f" on {arguments.business_date}" if arguments.business_date else ""
        is_done = not arguments.undo and any(_can_complete(run, undo=True) for run in on_date)
        fix = "; use --undo first to complete it again" if is_done else ""
        raise CommandError(Exit.NOT_FOUND, f"{view.row.name} {what}{date}{fix}")
    return view.row.name, runs[0]


def _can_complete(run: RunRow, undo: bool) -> bool:
    if undo:
        return run.evidence == RunEvidence.ASSERTED and not RunState(run.state).is_open
    is_unseen = run.evidence == RunEvidence.STALE  # it waits whether or not an engine has polled lately
    return (run.state in OPEN_STEP_STATES or is_unseen) and run.attempts > 0


def _no_such_step(step: str, names: list[str]) -> str:
    candidates = " or ".join(suggest_names(step, names))
    known = ", ".join(names[:MAX_NEAR_STEPS]) + ", …" * (len(names) > MAX_NEAR_STEPS)
    none = 'the config declares none (a system of kind "manual" does)'
    hint = f"did you mean {candidates}?" if candidates else f"known steps: {known}" if names else none
    return f'no manual step "{clean_line(step[:80])}"; {hint}'


def _manual_steps(reads: Queries) -> list[JobRow]:
    systems = tuple({system.system for system in reads.estate.systems() if system.kind == MANUAL_KIND})
    return reads.jobs.jobs_first_page(JobFilter(systems=systems), "name", 1000) if systems else []


def _list_manual_steps(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        steps = [(row, run) for row in _manual_steps(reads)
                 for run in reads.jobs.job(row.name).runs if _can_complete(run, undo=False)]  # fmt: skip
        now = reads.now()
    document = [
        {"step": row.name, "business_date": run.business_date, "run": run.id, "state": run.state, "owner": row.owner}
        for row, run in steps
    ]
    return print_result(
        arguments,
        document,
        table(
            steps,
            ValueColumn("step", lambda step: step[0].name, 16, middle=True),
            ValueColumn("date", lambda step: step[1].business_date),
            ValueColumn("status", lambda step: "overdue" if RunState(step[1].state).is_red else "open"),
            ValueColumn("since", lambda step: age_text(step[1].period, now), drop=1),
            ValueColumn("owner", lambda step: step[0].owner or "–", drop=2),
        ),
    )


def run_actions(arguments: argparse.Namespace) -> int:
    typed = " ".join(arguments.terms)
    with fresh_store_reader(arguments) as reads:
        if len(arguments.terms) == 1:
            with suppress(NotFound):
                action, history = reads.actions.history_of(typed)
                return _print_action(arguments, action, history)
        latest = reads.actions.list_details(arguments.limit)
        actions = [action for action in latest if matches_terms(action.search_text, typed)]
        if not actions and len(arguments.terms) == 1 and typed[:1] not in ("", "-", "!") and ":" not in typed:
            near = " or ".join(get_close_matches(typed, [action.key for action in latest], n=3, cutoff=0.8))
            hint = f"did you mean {near}?" if near else "headway action lists the latest actions"
            raise CommandError(Exit.NOT_FOUND, f'no action matches "{clean_line(typed)}"; {hint}')
        total, now = reads.actions.count(), reads.now()
    print_result(
        arguments,
        actions,
        table(
            actions,
            ValueColumn("requested", lambda action: clock_text(action.requested, near=now)),
            ValueColumn("state", _action_state),
            ValueColumn("verb", lambda action: action.verb_text, 8),
            ValueColumn("job", lambda action: action.job, 16, middle=True),
            ValueColumn("requested by", lambda action: action.requested_by, drop=1),
            ValueColumn("message", lambda action: action.outcome or "–", 16),
            ValueColumn("why", lambda action: action.why or "–", 10, drop=2),
            ValueColumn("key", lambda action: action.key, drop=3),
        ),
    )
    if total > arguments.limit and not arguments.json:
        print_message(f"searched the latest {arguments.limit} of {total} actions; --limit searches more")
    return Exit.OK


def _action_state(action: ActionDetailView) -> str:
    return "to approve" if action.waits_for_approval else action.state


def _print_action(arguments: argparse.Namespace, view: ActionDetailView, history: Sequence[ActionHistoryEntry]) -> int:
    lines = [f"{view.verb_text} {view.job}: {_action_state(view)}", *_action_facts(view), "", "history"]
    before = view.requested
    for entry in history:
        later = f"+{format_duration((entry.at - before).total_seconds())}" if entry.at > before else ""
        before = entry.at
        message = f"  {entry.text}" if entry.text else ""
        lines.append(f"  {timestamp(entry.at)} {later:>9}  {entry.verb}, {entry.actor}{message}")
    return print_page(arguments, {"action": view, "way": history}, lines)


def _action_facts(action: ActionDetailView) -> Iterator[str]:
    sent = "sent" if action.sent else "will send"
    part_of = [incident_name(action.incident_id)] if action.incident_id is not None else []
    part_of += [f"plan {action.plan}"] if action.plan is not None else []
    origin = f" from {action.requested_from}" if action.requested_from else ""
    proof = action.proof
    facts = (
        ("message", action.text),
        ("native", in_display_zone(action.native_summary)),
        ("scope", in_display_zone(action.scope)),
        ("period", period(action.period)),
        *((sent, call) for call in action.sends),
        (sent, "" if action.is_over or action.sends else "determined right before sending"),
        *(("note", render(note, stamp)) for note in action.notes),
        ("requested", f"by {action.requested_by}{origin}"),
        ("why", action.why or "no reason given"),
        ("approved", action.approvers and f"by {action.approvers}"),
        ("of", ", ".join(part_of)),
        ("answer", action.native_ref),
        ("proof", proof.text if proof else "none" if action.is_over or action.sent is None else "none yet"),
        ("ran", f"{timestamp(proof.started)} to {timestamp(proof.ended)}" if proof and proof.started else ""),
        ("key", action.key),
    )
    yield from (f"  {label:<10} {text}" for label, text in facts if text)


def list_approvals(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        approvals, now = reads.approvals.list_approvals(), reads.now()
    return print_result(
        arguments,
        approvals,
        table(
            approvals,
            ValueColumn("key", lambda approval: approval.key),
            ValueColumn("requested by", lambda approval: approval.requested_by, drop=4),
            ValueColumn("requested", lambda approval: age_text(approval.requested, now), drop=3),
            ValueColumn("act by", lambda approval: relative_time_text(approval.terms.act_by, now), drop=2),
            ValueColumn("until", lambda approval: relative_time_text(approval.until, now), drop=1),
            ValueColumn("verb", lambda approval: approval.verb),
            ValueColumn("job", lambda approval: approval.job, 16, middle=True),
            ValueColumn("worked", lambda approval: approval.terms.record_text or "–", 10, drop=5),
            ValueColumn("why", lambda approval: approval.why or "–", 10, drop=2),
        ),
    )


def approve_action(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        approvals, now = {approval.key: approval for approval in reads.approvals.list_approvals()}, reads.now()
    if arguments.key not in approvals:
        raise CommandError(
            Exit.NOT_FOUND, f'no action "{arguments.key}" waits for approval; headway action approvals lists them'
        )
    approval, requests = approvals[arguments.key], require_engine(arguments)
    if not approval.text:
        approval = _fetch_preview(arguments, requests, approval)
    lines = [
        f"{approval.verb.replace('_', ' ')} {approval.job}",
        *(f"  {label:<9} {text}" for label, text in approval.details),
        f"  requested {timestamp(approval.requested)}",
        *(f"  {label:<9} {text}" for label, text in approval.terms.facts(timestamp, now)),
    ]
    print_result(arguments, {"approval": approval, "approved": False}, lines)
    require_confirmation(arguments, "approve this action?", "nothing was approved", "approve")
    wait_for_answer(arguments, requests, requests.ask(ApproveAction(arguments.key, approval.digest)))
    message = f"{approval.key}: approved; the engine verifies and sends it"
    return print_result(arguments, {"approval": approval, "approved": True}, [message])


def _fetch_preview(arguments: argparse.Namespace, requests: EngineClient, approval: ApprovalView) -> ApprovalView:
    """The approval with a fresh preview of what its scheduler would be sent."""
    job_id = approval.job_id if approval.run_id is None else None
    request = ActionRequest(Verb(approval.verb), approval.run_id, job_id, parameters=approval.parameters)
    try:
        return approval.previewed(wait_for_answer(arguments, requests, requests.preview(request)))
    except CommandError as error:
        if error.code is not Exit.REFUSED:
            raise
        print_message(f"preview not available: {error}")
        return approval


def run_withdraw(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        actions, now = reads.actions.withdrawable(), reads.now()
    if arguments.key is not None:
        return _withdraw_action(arguments, next((action for action in actions if action.key == arguments.key), None))
    return print_result(
        arguments,
        actions,
        table(
            actions,
            ValueColumn("key", lambda action: action.key),
            ValueColumn("state", lambda action: action.state),
            ValueColumn("requested by", lambda action: action.requested_by, drop=2),
            ValueColumn("requested", lambda action: age_text(action.requested, now), drop=1),
            ValueColumn("verb", lambda action: action.verb),
            ValueColumn("job", lambda action: action.job, 16, middle=True),
            ValueColumn("waits for", lambda action: action.text, 16, drop=3),
        ),
    )


def _withdraw_action(arguments: argparse.Namespace, action: ActionView | None) -> int:
    if action is None:
        raise CommandError(
            Exit.NOT_FOUND,
            f'no action "{arguments.key}" can be withdrawn; headway action withdraw lists those that can',
        )
    requests = require_engine(arguments)
    if not arguments.json:
        lines = [f"{action.verb} {action.job}", f"  requested by {action.requested_by}", f"  state     {action.state}"]
        lines += [f"  message   {action.text}"] if action.text else []
        risk = (
            "  note      its outcome is unknown: if requested again, the job may run twice. Check the scheduler first"
        )
        print_parts([*lines, risk] if action.state == "unknown" else lines)
    require_confirmation(arguments, "withdraw this action?", "nothing was withdrawn", "withdraw")
    wait_for_answer(arguments, requests, requests.ask(WithdrawAction(action.key, arguments.why)))
    return print_result(arguments, {"action": action, "withdrawn": True}, [f"{action.key}: withdrawn"])


RUN_VERB_ARGUMENTS = (
    option("names", f"number of a run, or a job for its latest run: {JOB_HELP}", "RUN", nargs="+"),
    AT_ONCE,
    *SENDING,
)
HANDLERS = {
    "rerun": Handler(
        run_rerun,
        option("name", f"{JOB_HELP}; its latest run", "JOB"),
        option("--run", "run ID instead of the latest; list them: headway run JOB", "ID", type=whole_number),
        option(
            "--scope",
            "tasks to rerun: failed (default), failed and downstream, or all; without tasks, the whole run",
            choices=("failed", "downstream", "all"),
        ),
        option("--code", "code version: the run's own (default) or the latest", choices=("pinned", "latest")),
        OVERLAP,
        *SENDING,
    ),
    "job start": Handler(
        run_start,
        option("name", JOB_HELP, "JOB"),
        option(
            "--conf",
            "parameter for the run, not secret; repeatable. A VALUE that is JSON (5, true) is parsed as JSON",
            "NAME=VALUE|JSON",
            action="append",
            default=[],
        ),
        OVERLAP,
        *SENDING,
    ),
    "run cancel": Handler(run_verb, *RUN_VERB_ARGUMENTS),
    "run skip": Handler(run_verb, *RUN_VERB_ARGUMENTS),
    "run mark-ok": Handler(run_verb, *RUN_VERB_ARGUMENTS),
    "action complete": Handler(
        run_done,
        option("name", "system/step, or the name of the step", "STEP", nargs="?"),
        option("--date", "business date (latest)", "DATE", dest="business_date", type=business_date),
        argument("--note", "--why", dest="why", default="", metavar="TEXT", help=f"the work done; {WHY_HELP}"),
        flag("--undo", "undo the completion: the step is open again"),
        flag("--anyway", "complete although an upstream failed or is stale"),
        timeout("how long to watch the action", 60),
        JSON,
    ),
    "action": Handler(
        run_actions,
        option("terms", "words to match, !word to exclude: state:failed by:mara; or a KEY", "FILTER", nargs="*"),
        option("--limit", "search the latest N actions (500)", "N", type=positive_number, default=500),
        PLAIN,
        JSON,
        usage="%(prog)s [FILTER… | KEY] [options]",
    ),
    "action approvals": Handler(list_approvals, JSON),
    "action approve": Handler(
        approve_action,
        option("key", "key from `headway action approvals`", "KEY"),
        flag("--yes", "approve without asking"),
        JSON,
    ),
    "action withdraw": Handler(
        run_withdraw,
        option("key", "key from `headway action withdraw`", nargs="?"),
        option("--why", "reason, kept in the audit log", "TEXT", default=""),
        flag("--yes", "withdraw without asking"),
        JSON,
    ),
}
