"""Runs that take longer, or end sooner, than the job's own successes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from connectors.contract import Evidence as Proved
from connectors.contract import State
from console.control.maintenance import takes_longer
from console.control.picture import when
from console.control.rules.look import Look
from console.control.rules.thresholds import Threshold, at_least, at_most
from console.control.words import dated, moment
from console.durations import duration_words
from console.model.findings import Finding, Rule
from console.model.values import RunFacts

_RUNNING = (State.RUNNING, State.CANCELLING)


def too_long(look: Look) -> Iterator[Finding]:
    """What runs longer than usual: it may hang, and nothing is red before it ends."""
    for run in look.open:
        if run.state not in _RUNNING or run.started_at is None:
            continue
        threshold = at_most(look, Rule.TOO_LONG, look.history.takes, when(run)) or _expected(look)
        if threshold is not None:
            threshold = threshold.later(*takes_longer(look.picture.estate.declared, look.job.name, run.bd))
            since = run.started_at + timedelta(seconds=threshold.value)
            began, most = moment(run.started_at, look.job.zone, since), duration_words(threshold.value)
            words = f"has run since {began}, longer than {most}"
            seen = f"running since {dated(run.started_at, look.job.zone)}"
            yield look.of_run(Rule.TOO_LONG, run, since, words, threshold.evidence(seen))


def too_short(look: Look) -> Iterator[Finding]:
    """The newest run succeeded sooner than usual: it may have found nothing to do. What was tried again may have had
    less to do."""
    run = look.latest
    if run is None or run.state is not State.SUCCEEDED or run.evidence is not Proved.NATIVE or run.attempt > 1:
        return
    if run.started_at is None or run.ended_at is None:
        return
    took = (run.ended_at - run.started_at).total_seconds()
    if took >= _most(look):
        return
    threshold = at_least(look, Rule.TOO_SHORT, look.history.takes, when(run), without=run.id)
    if threshold is not None and took < threshold.value:
        least = duration_words(threshold.value)
        words = f"ended {moment(run.ended_at, look.job.zone)} after {duration_words(took)}, sooner than {least}"
        yield look.of_run(Rule.TOO_SHORT, run, run.ended_at, words, threshold.evidence(duration_words(took)))


def _expected(look: Look) -> Threshold | None:
    """From what the job's owner declared, where there is no history."""
    if look.job.expected is None:
        return None
    wish, usual = look.wish(Rule.TOO_LONG), look.job.expected.total_seconds()
    return Threshold(max(usual * wish.factor, usual + wish.floor), "declared in config, the job's expected")


def _most(look: Look) -> float:
    """No threshold is above this: the cheap question before the dear one."""
    wish = look.wish(Rule.TOO_SHORT)
    return wish.declared if wish.declared is not None else wish.factor * max(look.history.takes, default=0.0)


def is_running(run: RunFacts) -> bool:
    """True for what its source says is at work now."""
    return run.state in _RUNNING and run.started_at is not None
