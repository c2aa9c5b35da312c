"""Plans: recover an incident, backfill past dates, watch and steer plans that were started."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from connectors.sdk import registry
from connectors.sdk.states import Verb
from console.cli.actions import send_step
from console.cli.arguments import JOB_HELP, business_date, positive_number, timeout, whole_number
from console.cli.clock_format import clock_text, share_service_zone, stamp, timestamp
from console.cli.commands import JSON, Handler, flag, one_of, option
from console.cli.exits import CommandError, Exit
from console.cli.incidents import incident_number
from console.cli.output import PLAIN, ValueColumn, print_message, print_page, print_result, set_document, table
from console.cli.plan_draft import (
    LEAVING_OUT,
    PLAN_EXITS,
    draft_lines,
    execute_plan,
    follow_up_text,
    left_out_steps,
    plan_document,
    propose_plan,
    watch_plan,
)
from console.cli.prompts import require_confirmation
from console.cli.reader import fresh_store_reader, store_reader, store_url_of
from console.cli.requests import ANSWER_SECONDS, AT_ONCE, SENDING, engine_problem, require_engine, wait_for_answer
from console.cli.runs import job_to_change, named_job
from console.domain.action import preview_notes
from console.domain.filter import JobFilter
from console.domain.ids import incident_name
from console.domain.incident import blocked_text, open_steps
from console.domain.plan import (
    RESUME,
    WAIT,
    PlanDraft,
    PlanRefused,
    PlanStepView,
    PlanView,
    StepKey,
    after_text,
    unpolled_warning,
)
from console.domain.request import RequestKind
from console.domain.text import render
from console.engine.api.action_request import ActionRequest
from console.engine.api.client import EngineClient
from console.engine.api.requests import ProposeBackfill, ProposeRecovery
from console.timing.durations import format_duration
from console.timing.formats import age_text

if TYPE_CHECKING:
    from console.store.queries import Queries


def run_recover(arguments: argparse.Namespace) -> int:
    number = incident_number(arguments.name)
    with store_reader(arguments) as reads:
        view, now = reads.incidents.incident(number), reads.now()
    if view.row.closed is not None:
        closed = blocked_text(view, clock_text)
        return print_result(arguments, {"steps": [], "closed": closed}, [closed])

    def propose(leave_out: Collection[StepKey] = ()) -> PlanDraft:
        request = ProposeRecovery(number, arguments.all, tuple(sorted(leave_out)))
        return propose_plan(arguments, lambda requests: requests.ask(request))

    try:
        proposed = propose()
        left_out = left_out_steps(arguments, proposed)
        draft = propose(left_out) if left_out else proposed
    except CommandError:
        set_document(arguments, {"steps": open_steps(view), "number": None})
        raise
    if all(step.verb == WAIT for step in proposed.steps) and not arguments.dry_run:
        set_document(arguments, plan_document(draft, None))
        raise CommandError(Exit.PROBLEM, blocked_text(view, clock_text))
    return execute_plan(arguments, draft, now, incident_name(number), lambda: propose(left_out))


WATCHING = (
    flag("--watch", "watch the plan until it ends"),
    timeout("how long to watch", 3600),
    JSON,
)


def run_plan(arguments: argparse.Namespace) -> int:
    if arguments.number is not None:
        return _show_plan(arguments)
    if arguments.watch:
        raise CommandError(Exit.USAGE, "--watch needs a plan: headway plan ID --watch; headway plan lists plans")
    with fresh_store_reader(arguments) as reads:
        plans, now = reads.plans.list_plans(ended=arguments.all), reads.now()
    rows = table(
        plans,
        ValueColumn("id", lambda plan: str(plan.id)),
        ValueColumn("kind", lambda plan: plan.kind, drop=1),
        ValueColumn("state", lambda plan: plan.status),
        ValueColumn("steps", lambda plan: f"{plan.done}/{len(plan.steps)}"),
        ValueColumn("requested", lambda plan: age_text(plan.requested, now)),
        ValueColumn("by", lambda plan: plan.requester, drop=2),
        ValueColumn("title", lambda plan: plan.title, 16, middle=True),
    )
    print_result(arguments, plans, rows)
    if not plans and not arguments.all and not arguments.json:
        print_message("no open plan; headway plan --all includes ended ones")
    return Exit.OK


_STEERING = {
    "plan pause": RequestKind.PAUSE_PLAN, "plan resume": RequestKind.RESUME_PLAN, "plan abort": RequestKind.ABORT_PLAN
}  # fmt: skip


def steer_plan(arguments: argparse.Namespace) -> int:
    """`plan pause`, `plan resume` and `plan abort`."""
    if arguments.command == "plan resume":
        with store_reader(arguments) as reads:
            plan, paused = reads.plans.plan(arguments.number), reads.estate.header().paused
        if warning := unpolled_warning(plan, [pause.system for pause in paused]):
            print_message(warning)
        nothing = f"plan {plan.id} was not resumed"
        require_confirmation(arguments, f"resume plan {plan.id}: {plan.title}?", nothing, "resume it")
    try:
        how = _STEERING[arguments.command]
        state = EngineClient(store_url_of(arguments)).steer_plan(arguments.number, how, arguments.why)
    except PlanRefused as error:
        raise CommandError(Exit.REFUSED, str(error)) from None
    print_message(f"plan {arguments.number} is {state}")
    return _show_plan(arguments)


def _show_plan(arguments: argparse.Namespace) -> int:
    code = watch_plan(arguments, arguments.number) if arguments.watch else None
    if code is not None and not arguments.json:
        return code
    with store_reader(arguments) as reads:
        plan = reads.plans.plan(arguments.number)
        incident = reads.incidents.incident(plan.incident_id) if plan.incident_id is not None else None
    if incident is not None and incident.zone:
        share_service_zone({incident.zone})
    print_page(arguments, plan, plan_lines(plan), follow_up_text(arguments, plan))
    if not arguments.json and plan.state == "running" and (problem := engine_problem(arguments)) is not None:
        print_message(f"{problem}; the plan continues when one is. Fix: headway engine")
    shown = PLAN_EXITS[plan.state] if plan.state == "stopped" else Exit.OK
    return shown if code is None else code


def plan_lines(plan: PlanView) -> list[str]:
    """The plan with its steps."""
    incident = f"  {incident_name(plan.incident_id)}" if plan.incident_id is not None else ""
    verb = "approve" if plan.awaits_approval else "continue"
    resume = f"  {verb}: {RESUME} {plan.id}, or headway plan abort {plan.id}"
    return [
        f"plan {plan.id} {plan.predicate}: {plan.title}{incident}",
        *([f"  {plan.status_text}"] if plan.text else []),
        *([resume] if plan.state == "paused" else []),
        f"  requested by {plan.requester}{f': {plan.why}' if plan.why else ''}",
        *(line for step in plan.steps for line in _plan_step_lines(plan, step)),
    ]


def _plan_step_lines(plan: PlanView, step: PlanStepView) -> list[str]:
    after = f"  {after_text(step.after)}" if step.after else ""
    wait = f"  waits {format_duration(step.wait_s)}" if step.wait_s else ""
    run = f"  run {step.run_id}" if step.run_id is not None else ""
    verb = step.verb.replace("_", " ")
    line = f"{step.place:>3} {step.status:<9} {verb} {step.job}{run}  {render(step.period.text, stamp)}{after}{wait}"
    until = f"waits until {timestamp(step.due)}" if step.due and step.state == "planned" else ""
    may_start = plan.state == "aborted" and step.may_still_start
    sent = f"it was sent at {timestamp(step.started)} and may still start" if may_start else ""
    notes = dict.fromkeys((step.text, plan.waits_for(step) or until, sent))
    return [line, *(f"      {note}" for note in notes if note)]


def list_native_backfills(arguments: argparse.Namespace) -> int:
    """Lists the schedulers' own backfills, of a job or of all systems that have them; the exit code."""
    with store_reader(arguments) as reads:
        if arguments.name:
            row = named_job(reads, arguments.name).row
            targets = [(row.system, row.id, "job")]
        else:
            targets = list(_systems_with_backfills(reads))
    requests, backfills, code = require_engine(arguments), list[dict[str, Any]](), Exit.OK
    seconds = min(ANSWER_SECONDS, arguments.timeout or ANSWER_SECONDS)
    for system, job_id, scope in targets:
        request = ActionRequest(Verb.BACKFILL, job_id=job_id, parameters={"do": "list", "of": scope})
        try:
            data = wait_for_answer(arguments, requests, requests.preview(request), seconds)
            if data["verb"] != "list":
                raise CommandError(Exit.REFUSED, f"{system}: {data.get('refused') or 'cannot list its backfills'}")
        except CommandError as error:
            if arguments.name or error.code != Exit.REFUSED:
                raise
            print_message(str(error))
            code = Exit.PROBLEM
            continue
        for note in preview_notes(data):
            print_message(f"{system}: {render(note, stamp)}")
        backfills += [{"system": system, **backfill} for backfill in data.get("backfills", ())]
    rows = table(
        backfills,
        ValueColumn("job", lambda backfill: f"{backfill['system']}/{backfill['job']}", 18, middle=True),
        ValueColumn("backfill", lambda backfill: str(backfill["number"])),
        ValueColumn("state", lambda backfill: "paused" if backfill["paused"] else "running"),
        ValueColumn("from", lambda backfill: backfill["first"][:10]),
        ValueColumn("to", lambda backfill: backfill["last"][:10]),
        ValueColumn("parallel", lambda backfill: str(backfill["at_once"]), drop=1),
        ValueColumn("created", lambda backfill: backfill["created_at"][:16].replace("T", " "), drop=2),
    )
    print_result(arguments, backfills, *([rows] if backfills else []))
    if not arguments.json:
        change = "headway plan backfill JOB --pause N, --resume N or --cancel N changes one"
        print_message(change if backfills else "no native backfill in progress")
    return code


def _systems_with_backfills(reads: Queries) -> Iterator[tuple[str, int, str]]:
    for name, kind in sorted({(system.system, system.kind) for system in reads.estate.systems()}):
        try:
            has_backfills = Verb.BACKFILL in registry.load(kind).verbs
        except registry.UnknownKind:
            continue
        jobs = reads.jobs.jobs_first_page(JobFilter(systems=(name,)), "name") if has_backfills else ()
        first = next((row for row in jobs if row.system == name), None)
        if first is not None:
            yield name, first.id, "system"


NATIVE_CHANGES = ("pause", "resume", "cancel")
REPROCESS = ("none", "failed", "completed")
BACKFILL_USAGE = """%(prog)s JOB --from DATE --to DATE [options]
       %(prog)s JOB --from DATE --to DATE --native [options]
       %(prog)s JOB {--pause | --resume | --cancel} N [options]
       %(prog)s [JOB] --list [--json]"""


def run_backfill(arguments: argparse.Namespace) -> int:
    change = next((name for name in NATIVE_CHANGES if getattr(arguments, name) is not None), None)
    _refuse_unused_options(arguments, change)
    if arguments.list:
        return list_native_backfills(arguments)
    if arguments.name is None:
        raise CommandError(Exit.USAGE, "no job given: headway plan backfill JOB, or --list for all jobs")
    if change is None and (arguments.first is None or arguments.last is None):
        raise CommandError(Exit.USAGE, "--from DATE and --to DATE are required")
    if change is None and arguments.last < arguments.first:
        raise CommandError(Exit.USAGE, f"--to {arguments.last} is before --from {arguments.first}")
    with store_reader(arguments) as reads:
        row, now = job_to_change(reads, arguments.name, arguments).row, reads.now()
    if change is not None or arguments.native:
        request = ActionRequest(Verb.BACKFILL, job_id=row.id, parameters=_native_request(arguments, change))
        return send_step(arguments, row.name, request)

    def propose() -> PlanDraft:
        request = ProposeBackfill(row.id, arguments.first, arguments.last, arguments.limit, arguments.unseen)
        return propose_plan(arguments, lambda requests: requests.ask(request))

    draft = propose()
    if not draft.steps:
        code = Exit.PROBLEM if draft.notes else Exit.OK
        return print_result(arguments, plan_document(draft, None), draft_lines(draft, now), code=code)
    return execute_plan(arguments, draft, now, row.name.rpartition("/")[2], again=propose)


def _refuse_unused_options(arguments: argparse.Namespace, change: str | None) -> None:
    mode = "list" if arguments.list else "native" if arguments.native else change
    if mode is None and arguments.reprocess:
        raise CommandError(Exit.USAGE, "--reprocess needs --native")
    unused = {"--limit": arguments.limit, "--unseen": arguments.unseen} if mode else {}
    if mode and mode != "native":
        unused |= {"--from": arguments.first, "--to": arguments.last, "--reprocess": arguments.reprocess}
    for name in (name for name, value in unused.items() if value):
        fix = "give the exact dates" if mode == "native" else "omit it"
        raise CommandError(Exit.USAGE, f"{name} has no effect with --{mode}. Fix: {fix}")


def _native_request(arguments: argparse.Namespace, change: str | None) -> dict[str, Any]:
    """Parameters for the scheduler's native backfill; its days begin at midnight UTC."""
    if change is not None:
        return {"do": change, "backfill": getattr(arguments, change)}
    span = {"from": f"{arguments.first}T00:00:00Z", "to": f"{arguments.last}T23:59:59Z"}
    return {"do": "create", **span, "reprocess": arguments.reprocess or "none", "at_once": arguments.at_once}


STEERING_ARGUMENTS = (
    option("number", "number of the plan", "ID", type=whole_number),
    option("--why", "reason, kept in the audit log", "TEXT", default=""),
    *WATCHING,
)
HANDLERS = {
    "recover": Handler(
        run_recover,
        option("name", "INC-0001", "INCIDENT"),
        flag("--all", "also rerun downstream jobs that no affected service needs"),
        *LEAVING_OUT,
        AT_ONCE,
        PLAIN,
        *SENDING,
    ),
    "plan": Handler(
        run_plan,
        option("number", "show this plan with its steps", "ID", nargs="?", type=whole_number),
        flag("--all", "include ended plans"),
        PLAIN,
        *WATCHING,
    ),
    "plan pause": Handler(steer_plan, *STEERING_ARGUMENTS),
    "plan resume": Handler(steer_plan, *STEERING_ARGUMENTS, flag("--yes", "resume without asking")),
    "plan abort": Handler(steer_plan, *STEERING_ARGUMENTS, flag("--yes", "no effect: abort does not ask")),
    "plan backfill": Handler(
        run_backfill,
        option("name", JOB_HELP, "JOB", nargs="?"),
        option(
            "--from", "first business date; with --native from midnight UTC", "DATE", dest="first", type=business_date
        ),
        option("--to", "last business date, inclusive", "DATE", dest="last", type=business_date),
        option("--limit", "only the oldest N periods (more than 31 need --limit)", "N", type=positive_number),
        flag("--unseen", "include periods before Headway had runs of the job"),
        one_of(
            flag("--native", "use the scheduler's native backfill (Airflow 3)"),
            flag("--list", "list native backfills in progress"),
            *(
                option(f"--{change}", f"{change} native backfill N", "N", type=positive_number)
                for change in NATIVE_CHANGES
            ),
        ),
        option("--reprocess", "with --native: existing runs to run again (none)", choices=REPROCESS),
        AT_ONCE,
        PLAIN,
        *SENDING,
        usage=BACKFILL_USAGE,
    ),
}
