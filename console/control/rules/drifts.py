"""Definitions that changed at their source."""

from __future__ import annotations

from collections.abc import Iterator

from console.control.rules.look import Look
from console.model.findings import Evidence, Finding, Rule


def drift(look: Look) -> Iterator[Finding]:
    """What the drift rows say: its schedule or definition is not the accepted one, it is paused or gone."""
    if look.job.drift_reason and look.job.drift_since is not None:
        words = f"differs from what was accepted: {look.job.drift_reason}"
        yield look.of_job(Rule.DRIFT, look.job.drift_since, words, Evidence(look.job.drift_reason))
