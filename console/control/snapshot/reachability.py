"""Reachability: whether what a target runs now is known."""

from __future__ import annotations

from datetime import datetime

from console.domain.estate import EvaluationSettings, TargetFacts

NO_STATUS_REASONS = {
    "refused": "refuses Headway",
    "forbidden": "does not let Headway read",
    "unsupported": "is not what its kind can read",
    "broken": "cannot be read",
    "failing": "answers with a fault",
    "limited": "limits our requests",
}
"""Why the runs of a target have no known status, by the kind of its poll error. It answers with these errors, so its
jobs may still run; with any other it does not answer."""


def is_out_of_reach(target: TargetFacts | None, now: datetime, settings: EvaluationSettings) -> bool:
    """True if what the target runs now is unknown: no poll succeeded for `settings.stale_polls` intervals, or polling
    is paused."""
    if target is None or target.last_ok_at is None or target.paused(now) is not None:
        return True
    return now - target.last_ok_at > settings.stale_polls * target.poll_every
