"""Explain why a job is not running."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from console.cli.arguments import JOB_HELP, business_date
from console.cli.clock_format import clocked, timestamp, until_text
from console.cli.commands import JSON, Handler, option
from console.cli.exits import CommandError, Exit
from console.cli.output import print_result
from console.cli.reader import fresh_store_reader, store_reader, store_url_of
from console.cli.runs import named_job
from console.store.errors import AmbiguousName, NotFound
from console.text.cleaning import clean_line
from console.text.suggestions import suggest_names
from console.timing.formats import age_text

if TYPE_CHECKING:
    from console.domain.job import ExplanationStep
    from console.engine.api.explain import JobExplanation


def run_why(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        services = [service.name for service in reads.services.list_services()]
    if arguments.name in services:
        from console.cli.service_delay import explain_service

        return explain_service(arguments)
    if arguments.business_date is not None:
        near = suggest_names(arguments.name, services)
        hint = f"did you mean {' or '.join(near)}?" if near else "headway service lists them"
        problem = f'--date needs a service, and "{clean_line(arguments.name)}" is not one'
        raise CommandError(Exit.USAGE, f"{problem}: {hint}")
    return _explain_job(arguments, services)


def _explain_job(arguments: argparse.Namespace, services: Sequence[str]) -> int:
    from console.engine.api.documents import fields_of
    from console.engine.api.explain import why_job

    with fresh_store_reader(arguments) as reads:
        try:
            job = named_job(reads, arguments.name).row  # its near misses, before the heavy libraries are loaded
        except AmbiguousName:
            raise
        except NotFound as missed:
            near = (*suggest_names(arguments.name, services), *missed.near)
            raise NotFound(arguments.name, near, "headway job list") from None
        now = reads.now()
    explanation = why_job(store_url_of(arguments), job.id)
    return print_result(arguments, {**fields_of(explanation), "at": now}, reason_lines(explanation, now))


def reason_lines(explanation: JobExplanation, now: datetime) -> Iterator[str]:
    """The chain of reasons, each job once; upstream jobs are indented."""
    previous = ""
    for reason in explanation.reasons:
        indent = "  " * reason.depth
        if reason.job != previous:
            yield f"{indent}{reason.job}"
            previous = reason.job
        yield f"{indent}  {reason.kind:<11} {clocked(reason.text, now)}"
        if facts := "; ".join(_reason_facts(reason, now)):
            yield f"{indent}  {'':<11} {facts}"
    if explanation.act_on is not None:
        yield ""
        yield f"next step: {explanation.act_on.job}, {explanation.act_on.kind}: {explanation.act_on.act}"


def _reason_facts(step: ExplanationStep, now: datetime) -> Iterator[str]:
    if step.since is not None:
        yield f"since {timestamp(step.since)} ({age_text(step.since, now)})"
    if step.until is not None:
        yield f"until {timestamp(step.until)} ({until_text(step.until, now)})"
    if step.by:
        yield f"by {step.by}"
    if step.evidence:
        yield clocked(step.evidence, now)


HANDLERS = {
    "why": Handler(
        run_why,
        option("name", f"a service, or a job: {JOB_HELP}", "JOB|SERVICE"),
        option("--date", "service: business date", "DATE", dest="business_date", type=business_date),
        JSON,
    )
}
