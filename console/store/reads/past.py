"""What a gate reads of an upstream whose run of another period is meant, or of which a check must pass."""

from __future__ import annotations

from datetime import date, datetime

from console.model.checks import CheckFacts, CheckState, Stretch
from console.model.ids import instant, micros
from console.model.views import PastRun
from console.store.reads.base import visible
from console.store.reads.link import Link

RUNS = 400
"""So many of the latest are looked at: a month of what runs each hour would be more, and its last run is among them."""


def past_runs(link: Link, job_id: int, at: datetime) -> tuple[PastRun, ...]:
    """The job's latest runs before that instant, oldest first."""
    rows = link.rows(
        "SELECT id, period_key, bd, sort_us, state, evidence, reason, stale_read, ended_us FROM run WHERE job_id = ?"
        " AND sort_us < ? ORDER BY sort_us DESC LIMIT ?",
        (job_id, micros(at), RUNS),
    )
    return tuple(
        PastRun(number, visible(key), bd, instant(sort), state, evidence, reason, bool(stale),
                instant(ended) if ended is not None else None)
        for number, key, bd, sort, state, evidence, reason, stale, ended in reversed(rows)
    )  # fmt: skip


def looks(link: Link, check: str, bd: str) -> CheckFacts | None:
    """What the looks at a check came to on that date; None where nobody has looked."""
    rows = link.rows(
        "SELECT state, since_us, at_us, words FROM check_result WHERE name = ? AND bd = ? ORDER BY id", (check, bd)
    )
    if not rows:
        return None
    found = [Stretch(CheckState(state), instant(since), instant(last), words) for state, since, last, words in rows]
    return CheckFacts(check, date.fromisoformat(bd), tuple(found))
