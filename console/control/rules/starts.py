"""Starts that did not come, or came late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from connectors.contract import Evidence as Proved
from connectors.contract import State
from console.control.maintenance import starts_later
from console.control.rules.look import Look
from console.control.rules.thresholds import Threshold, at_most
from console.control.words import dated, moment
from console.durations import duration_words
from console.model.findings import Evidence, Finding, Rule


def not_started(look: Look) -> Iterator[Finding]:
    """What is MISSED, as `control.expected` decided it, and neither excused nor overtaken by a later success."""
    for run in look.due:
        if run.state is State.MISSED and run.period_at is not None and look.picture.is_red_now(run):
            since = run.period_at + look.job.grace
            words = f"was due {moment(run.period_at, look.job.zone, since)} and did not start: {run.reason}"
            grace = duration_words(look.job.grace.total_seconds())
            evidence = Evidence(run.reason, grace, "the job's grace")
            yield look.of_run(Rule.NOT_STARTED, run, since, words, evidence)


def late_start(look: Look) -> Iterator[Finding]:
    """The newest run began, or did not yet begin, later after its instant than it usually does. What our own hold kept
    back is not late."""
    yield from _not_yet(look)
    run = look.latest
    if run is None or run.period_at is None or run.first_started_at is None:
        return
    delay = (run.first_started_at - run.period_at).total_seconds()
    threshold = _usual(look, run.period_at, delay, run.id)
    if threshold is not None and delay > threshold.value and not look.is_held(run):
        zone, late, most = look.job.zone, duration_words(delay), duration_words(threshold.value)
        since = _after(run.period_at, threshold)
        began = moment(run.first_started_at, zone, since)
        words = f"began {began}, {late} after it was due; usually at most {most} after"
        evidence = threshold.evidence(f"{late} after {dated(run.period_at, zone)}")
        yield look.of_run(Rule.LATE_START, run, since, words, evidence)


def _not_yet(look: Look) -> Iterator[Finding]:
    """The first run that is due and has not begun, unless it is held, missed, or out of sight."""
    run = next((each for each in look.due if each.state is State.PLANNED), None)
    if run is None or run.period_at is None or run.period_at >= look.now or run.evidence is Proved.STALE:
        return
    if look.is_held(run):
        return
    threshold = _usual(look, run.period_at, (look.now - run.period_at).total_seconds())
    if threshold is None or threshold.value >= look.job.grace.total_seconds():
        return
    since = _after(run.period_at, threshold)
    if look.is_proved(since):
        zone, most = look.job.zone, duration_words(threshold.value)
        words = f"was due {moment(run.period_at, zone, since)} and has not begun; usually it does at most {most} after"
        evidence = threshold.evidence(f"not begun; due {dated(run.period_at, zone)}")
        yield look.of_run(Rule.LATE_START, run, since, words, evidence)


def _usual(look: Look, at: datetime, delay: float, without: int = 0) -> Threshold | None:
    """How late a start may be; None too where this delay is below all that could come out."""
    wish = look.wish(Rule.LATE_START)
    if delay <= (wish.floor if wish.declared is None else wish.declared):
        return None
    found = at_most(look, Rule.LATE_START, look.history.delays, at, without)
    return found and found.later(*starts_later(look.picture.estate.declared, look.job.name, look.date_of(at)))


def _after(due: datetime, threshold: Threshold) -> datetime:
    return due + timedelta(seconds=threshold.value)
