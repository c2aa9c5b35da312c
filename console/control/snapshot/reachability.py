"""Reachability: whether what a target runs now is known."""

from __future__ import annotations

from datetime import datetime

from console.domain.estate import EvaluationSettings, TargetFacts

UNREACHABLE_REASONS = {
    "refused": "refuses Headway",
    "forbidden": "does not let Headway read",
    "unsupported": "is not what its kind can read",
    "broken": "cannot be read",
    "failing": "answers with a fault",
    "limited": "limits our requests",
}
"""Why a target is not seen, by the error of its polls: these answer, so their jobs may still run. With other errors
it does not answer."""


def is_out_of_reach(target: TargetFacts | None, now: datetime, settings: EvaluationSettings) -> bool:
    """True when the target has not answered for so many polls, or its polls are paused, so that what it runs now is
    not known."""
    if target is None or target.last_ok_at is None or target.paused(now) is not None:
        return True
    return now - target.last_ok_at > settings.stale_polls * target.poll_every
