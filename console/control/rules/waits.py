"""Runs that wait for longer than they usually do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from connectors.contract import State
from console.control.picture import when
from console.control.rules.look import Look
from console.control.rules.thresholds import Threshold, at_most
from console.control.words import dated, moment
from console.durations import duration_words
from console.model.findings import Finding, Rule
from console.model.values import RunFacts

_OWN_AFFAIR = ("time", "approval", "calendar")
"""Waits that somebody wanted so."""
_FOR_A_PLACE = ("resource", "slot")


def stuck_waiting(look: Look) -> Iterator[Finding]:
    """What is queued or waits, and gets no turn: no worker, no slot, no upstream that will ever come."""
    for run in look.open:
        since = _waits_since(run)
        if not may_be_stuck(run) or since is None or run.reason in _OWN_AFFAIR:
            continue
        threshold = at_most(look, Rule.STUCK_WAITING, look.history.waits, when(run))
        if threshold is not None and not _is_guess(run, threshold):
            what = "queued" if run.state is State.QUEUED else f"waits for {run.reason}" if run.reason else "waits"
            at = since + timedelta(seconds=threshold.value)
            words = f"{what} since {moment(since, look.job.zone, at)}, longer than {duration_words(threshold.value)}"
            seen = f"{what} since {dated(since, look.job.zone)}"
            yield look.of_run(Rule.STUCK_WAITING, run, at, words, threshold.evidence(seen))


def may_be_stuck(run: RunFacts) -> bool:
    """The cheap question before the dear ones."""
    return run.state is State.QUEUED or run.state is State.WAITING


def _waits_since(run: RunFacts) -> datetime | None:
    """Since when its source has it waiting; a source that says nothing of that: since it was due."""
    return run.queued_at or run.period_at


def _is_guess(run: RunFacts, threshold: Threshold) -> bool:
    """True where only the default speaks, and the wait is for something that may well take its time."""
    return threshold.source == "default" and run.state is State.WAITING and run.reason not in _FOR_A_PLACE
