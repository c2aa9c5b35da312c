"""Runs that are green and brought much less than usual."""

from __future__ import annotations

from collections.abc import Iterator

from console.control.picture import when
from console.control.rules.look import Look
from console.control.rules.thresholds import at_least
from console.control.words import moment
from console.model.findings import Finding, Rule


def output_shrank(look: Look) -> Iterator[Finding]:
    """The newest success wrote fewer rows or bytes than usual: green, and yet half of the data is not there."""
    history = look.history
    if not history.output or history.output[0] < 0:
        return
    run = next((each for each in reversed(look.started) if each.id == history.run_ids[0]), None)
    if run is None or run.ended_at is None:
        return
    threshold = at_least(look, Rule.OUTPUT_SHRANK, history.output, when(run), without=run.id)
    wrote = history.output[0]
    if threshold is not None and wrote < threshold.value:
        unit = history.output_unit
        least = f"{threshold.value:,.0f} {unit}"
        words = f"ended {moment(run.ended_at, look.job.zone)} with {wrote:,.0f} {unit}, fewer than {least}"
        evidence = threshold.evidence(f"{wrote:,.0f} {unit}", lambda number: f"{number:,.0f} {unit}")
        yield look.of_run(Rule.OUTPUT_SHRANK, run, run.ended_at, words, evidence)
