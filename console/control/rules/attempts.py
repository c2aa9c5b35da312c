"""Runs that are tried again and again, and jobs that run beside themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from console.control.picture import when
from console.control.rules.lengths import is_running
from console.control.rules.look import Look
from console.control.rules.thresholds import at_most, usual
from console.control.words import moment
from console.model.findings import Finding, Rule
from console.model.history import History
from console.model.values import RunFacts


def retry_storm(look: Look) -> Iterator[Finding]:
    """A run is tried again and again, and is not good yet: each try costs, and hides that it never will be."""
    run = look.latest
    if run is None or run.attempt <= 1 or run.started_at is None or not (run.state.is_open or run.state.is_red):
        return
    threshold = at_most(look, Rule.RETRY_STORM, look.history.attempts, when(run), without=run.id)
    if threshold is not None and run.attempt > threshold.value:
        first = moment(run.first_started_at or run.started_at, look.job.zone, run.started_at)
        words = f"was tried {run.attempt} times since {first}, more than {threshold.value:.0f}"
        evidence = threshold.evidence(f"{run.attempt} attempts", lambda number: f"{number:.0f} attempts")
        yield look.of_run(Rule.RETRY_STORM, run, run.started_at, words, evidence)


def overlap(look: Look) -> Iterator[Finding]:
    """More runs of the job at once than usual: the one before is not over, and both may write the same data."""
    running = [run for run in look.open if is_running(run)]
    if len(running) < 2:
        return
    threshold = usual(look, Rule.OVERLAP, _at_once(look.history), "runs")
    if threshold is not None and len(running) > threshold.value:
        newest = max(running, key=_began)
        words = (
            f"{len(running)} runs at once since {moment(_began(newest), look.job.zone)}; usually {threshold.value:.0f}"
        )
        evidence = threshold.evidence(f"{len(running)} runs at once", lambda number: f"{number:.0f} at once")
        yield look.of_run(Rule.OVERLAP, newest, _began(newest), words, evidence)


def _began(run: RunFacts) -> datetime:
    return run.started_at or when(run)


def _at_once(history: History) -> Sequence[float]:
    """How many past successes were at work when each of them began."""
    spans = [(ended - takes, float(ended)) for ended, takes in zip(history.ended, history.takes, strict=True)]
    return [float(sum(other <= began < over for other, over in spans)) for began, over in spans if over > began]
