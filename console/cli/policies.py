"""Policies: the repairs that each sent, or would have in shadow; policies proposed for what people repaired."""

from __future__ import annotations

import argparse
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from console.cli.arguments import whole_number
from console.cli.clock_format import time_ago, timestamp
from console.cli.commands import JSON, Handler, option
from console.cli.exits import CommandError, Exit
from console.cli.output import PLAIN, Part, ValueColumn, counted, print_page, print_result, table
from console.cli.reader import fresh_store_reader
from console.cli.requests import request_answer
from console.domain.ids import incident_name
from console.domain.policy_report import PolicyReport, ReportedRepair, counts_text
from console.engine.api.requests import CloseBreaker, PausePolicy, ResumePolicy
from console.onboarding.config_writer import toml
from console.store.errors import NotFound
from console.timing.durations import format_duration

if TYPE_CHECKING:
    from console.control.policies.proposals import ProposedPolicy
    from console.store.queries import Queries


def run_policies(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        reports = reads.policies.reports(time_ago(arguments.since, reads.now()))
    if arguments.policy is not None:
        report = next((report for report in reports if report.policy == arguments.policy), None)
        if report is None:
            raise _not_found(arguments.policy, [report.policy for report in reports])
        stop = [report.stop] if report.stop else []
        lines = [f"policy {report.policy}: {report.text}", *stop, "", *map(_repair_line, report.repairs)]
        return print_page(arguments, _document(report), lines)
    rows = table(
        reports,
        ValueColumn("policy", lambda report: report.policy + " (not configured)" * (not report.is_configured)),
        ValueColumn("mode", lambda report: "stopped" if report.stop else report.mode or "–"),
        _counts_column("sent", "repaired", sent=True),
        _counts_column("in shadow", "right", sent=False),
        ValueColumn("saved", lambda report: format_duration(report.saved)),
    )
    stops = [report.stop for report in reports if report.stop]
    parts: list[Part] = [rows, stops] if reports else [["no policy is configured: add [[policies]]"]]
    return print_result(arguments, [*map(_document, reports)], *parts)


def _counts_column(name: str, verb: str, *, sent: bool) -> ValueColumn[PolicyReport]:
    def text(report: PolicyReport) -> str:
        counts = report.counts(sent=sent)
        return counts_text(verb, counts) if any(counts.values()) else "–"

    return ValueColumn(name, text)


def _repair_line(reported: ReportedRepair) -> str:
    repair, result, sent = reported.repair, str(reported.result), ""
    if repair.action is not None:
        result, sent = f"sent: {repair.action.state}", f"; headway action {repair.action.key}"
    elif reported.sent is not None:
        sent = f"; {repair.method} by {reported.by} after {format_duration(reported.sent - repair.at)}"
    about = f"{timestamp(repair.at)}  {incident_name(reported.incident_id)}  {reported.job}"
    return f"  {about}: {repair.method} of attempt {repair.attempt}, {result}{sent}"


def _document(report: PolicyReport) -> dict[str, Any]:
    counts = {result.value: number for result, number in report.counts(sent=False).items()}
    return {
        "policy": report.policy, "mode": report.mode, "is_configured": report.is_configured, "stop": report.stop,
        "text": report.text, "sent": report.counts(sent=True), **counts,
        "saved_s": report.saved.total_seconds(), "repairs": report.repairs,
    }  # fmt: skip


def run_policy_test(arguments: argparse.Namespace) -> int:
    """Exit code 1 if more repairs would have been wrong than the budget has."""
    from console.control.policies.replay import replay

    with fresh_store_reader(arguments) as reads:
        since, policies = time_ago(arguments.since, reads.now()), reads.declared().policies
        policy = next((policy for policy in policies if policy.name == arguments.policy), None)
        if policy is None:
            raise _not_found(arguments.policy, [policy.name for policy in policies])
        failures = reads.policies.past_failures(since)
        jobs = reads.jobs.repaired_jobs(failure.reported.job for failure in failures)
    if not failures:
        text = f"no failed run of a watched job is kept since {timestamp(since)}; a longer --since may have some"
        raise CommandError(Exit.NOT_FOUND, text)
    budget = policy.breaker - 1 if arguments.budget is None else arguments.budget
    result = replay(policy, policies, failures, jobs, budget)
    lines = [
        f"policy {policy.name}: {result.text}",
        f"{counted(len(failures), 'failure')} since {timestamp(since)}; budget: {budget} wrong",
        "",
        *map(_repair_line, result.report.repairs),
    ]
    counts = {kind.value: number for kind, number in result.report.counts(sent=False).items()}
    document = {
        "policy": policy.name, "since": since, "failures": len(failures), "text": result.text, **counts,
        "saved_s": result.report.saved.total_seconds(), "stopped": result.stopped, "budget": budget,
        "is_over_budget": result.is_over, "repairs": result.report.repairs,
    }  # fmt: skip
    print_page(arguments, document, lines)
    return Exit.PROBLEM if result.is_over else Exit.OK


def _not_found(policy: str, known: list[str]) -> NotFound:
    return NotFound(policy, tuple(get_close_matches(policy, known, n=1)), "headway policy list")


def run_policy_suggest(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        proposals = proposed_policies(reads)
    nothing = ["No policy to propose. `headway failure list` shows how often each repair succeeded."]
    return print_result(arguments, proposals, *proposal_parts(proposals) or [nothing])


_SWITCHES: dict[str, tuple[type[PausePolicy], str, str]] = {
    "policy pause": (PausePolicy, "paused", "; actions that it has sent go on"),
    "policy resume": (ResumePolicy, "resumed", ""),
    "policy close": (CloseBreaker, "closed", ": repairs that failed so far do not count any more"),
}


def switch_policy(arguments: argparse.Namespace) -> int:
    request, state, effect = _SWITCHES[arguments.command]
    answer = request_answer(arguments, request(arguments.policy, arguments.why))
    text = effect if answer["changed"] else " already"
    return print_result(arguments, answer, [f"policy {arguments.policy}: {state}{text}"])


def proposed_policies(reads: Queries) -> list[ProposedPolicy]:
    """The policies proposed for the failures that the store has, the newest failure first."""
    from console.control.policies.proposals import propose_policies

    memories = reads.failures.list_failures()
    jobs = reads.jobs.repaired_jobs(past.job for memory in memories for past in memory.incidents if past.tries)
    return propose_policies(memories, jobs, reads.declared().policies)


def proposal_parts(proposals: list[ProposedPolicy]) -> list[Part]:
    """The failures with their repairs, and the TOML of each proposed policy; empty without a failure."""
    rows = table(
        proposals,
        ValueColumn("failure", lambda known: known.failure.id),
        ValueColumn("repair", lambda known: f"{known.policy.do} {known.successes} of {known.tries} by people"),
        ValueColumn("by", lambda known: "; ".join(f"{person} {tries}" for person, tries in known.by.items()), 14, 1),
        ValueColumn("error", lambda known: known.failure.text, 24),
    )
    return [rows, [line for proposal in proposals for line in _proposal_lines(proposal)]] if proposals else []


def _proposal_lines(proposal: ProposedPolicy) -> list[str]:
    policy, match = proposal.policy, toml({"signatures": proposal.policy.match.signatures})
    if not proposal.unsafe:
        lines = f"match = {match}", f"do = {toml(policy.do)}", f"mode = {toml(policy.mode)}"
        return ["", "[[policies]]", f"name = {toml(policy.name)}", *lines]
    cards = ", ".join(f'{job} (rerun = "{safety}")' for job, safety in proposal.unsafe.items())
    command = shlex.join(("headway", "job", next(iter(proposal.unsafe)), "--set", "rerun=safe"))
    return ["", f"{proposal.failure.id}: not proposed, as no policy reruns {cards}. If a rerun is safe: {command}"]


HANDLERS = {
    "policy": Handler(
        run_policies,
        option("policy", "show one policy with its repairs; default: list all", "POLICY", nargs="?"),
        option("--since", "how far to look back (60d)", "TIME", default="60d"),
        PLAIN,
        JSON,
    ),
    "policy test": Handler(
        run_policy_test,
        option("policy", "name of the policy in the config", "POLICY"),
        option("--since", "how far to look back (60d)", "TIME", default="60d"),
        option("--budget", "most wrong repairs (fewer than its breaker)", "N", type=whole_number),
        PLAIN,
        JSON,
    ),
    "policy suggest": Handler(run_policy_suggest, PLAIN, JSON),
    **{
        name: Handler(
            switch_policy,
            option("policy", "name of the policy in the config", "POLICY"),
            option("--why", "reason for the audit log", "TEXT", default=""),
            JSON,
        )
        for name in _SWITCHES
    },
}
