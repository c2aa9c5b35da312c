"""Runs that take or cost more than their owner allows: agents and models are steps like others, and are paid by use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from console.control.rules.look import Look
from console.control.words import moment
from console.durations import duration_words
from console.model.findings import Evidence, Finding, Rule
from console.model.values import RunFacts

_DECLARED = "declared in config, the job's budget"


def over_budget(look: Look) -> Iterator[Finding]:
    """The newest run has cost, or taken, more than its budget. What it costs is what its source tells, all attempts
    together."""
    run = look.latest
    if run is not None:
        yield from list(_cost(look, run)) or _time(look, run)


def _cost(look: Look, run: RunFacts) -> Iterator[Finding]:
    most, cost = look.job.budget_cost, look.picture.estate.costs.get(run.id)
    if most is None or cost is None or cost <= most:
        return
    since = run.ended_at or run.observed_at or look.now
    words = f"has cost {cost:,.2f}, more than {most:,.2f}"
    yield look.of_run(Rule.OVER_BUDGET, run, since, words, Evidence(f"{cost:,.2f}", f"{most:,.2f}", _DECLARED))


def _time(look: Look, run: RunFacts) -> Iterator[Finding]:
    most, began = look.job.budget_time, run.first_started_at or run.started_at
    if most is None or began is None:
        return
    rested = _rested(run)
    spent = began + rested + most
    if run.ended_at is not None and run.ended_at <= spent:
        return
    if run.ended_at is None and not run.state.is_open:
        return
    words = f"has gone on since {moment(began, look.job.zone, spent)}, longer than its budget of {_words(most)}"
    if run.ended_at is not None:
        words = f"took {_words(run.ended_at - began - rested)}, longer than its budget of {_words(most)}"
    yield look.of_run(Rule.OVER_BUDGET, run, spent, words, Evidence(words, _words(most), _DECLARED))


def _rested(run: RunFacts) -> timedelta:
    """How long nothing of it was at work before its latest attempt: it may have waited all night for its repair. What
    lies between earlier attempts is counted, for nobody keeps when these began."""
    before = [ended for ended, _ in run.ends if run.started_at is not None and ended <= run.started_at]
    return run.started_at - max(before) if before and run.started_at is not None else timedelta(0)


def _words(taken: timedelta) -> str:
    return duration_words(taken.total_seconds())
