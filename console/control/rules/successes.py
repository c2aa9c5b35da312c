"""Jobs that have not succeeded for a while, and those that fail each time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from connectors.contract import State
from console.control.picture import red_since, when
from console.control.rules.look import Look
from console.control.rules.thresholds import Threshold, usual
from console.control.words import dated
from console.durations import duration_words
from console.model.findings import Finding, Rule
from console.model.values import RunFacts


def too_long_since_success(look: Look) -> Iterator[Finding]:
    """No success for longer than its successes usually lie apart: no run came, or none ended well, and nothing need be
    red. Where the clock demands runs, only after one came due: what rests over a holiday is not late."""
    if look.job.paused_since is not None or not _may_want(look):
        return
    last = _last_success(look)
    if last is None or not _was_wanted_since(look, last):
        return
    ends = sorted(look.history.ended)
    gaps = [float(after - before) for before, after in pairwise(ends)]
    threshold = usual(look, Rule.TOO_LONG_SINCE_SUCCESS, gaps, "gaps between successes")
    if threshold is None:
        return
    since = last + timedelta(seconds=threshold.value)
    if look.is_proved(since):  # while a source's past is still being read, its newest success is not
        at, most = dated(last, look.job.zone), duration_words(threshold.value)
        words = f"has had no success since {at}, longer than {most}"
        yield look.of_job(Rule.TOO_LONG_SINCE_SUCCESS, since, words, threshold.evidence(f"last success {at}"))


def n_in_a_row(look: Look) -> Iterator[Finding]:
    """Its latest runs are all red: no bad night, but something that stays so until a person looks."""
    ended = [run for run in _in_order(look) if not run.state.is_open]
    if not ended or not look.picture.is_red_now(ended[-1]):
        return
    row = _trailing_reds(look, ended)
    count, first = len(row), red_since(row[0])
    if look.history.failures > count and look.history.failing_since is not None:
        count, first = look.history.failures, look.history.failing_since
    wish = look.wish(Rule.N_IN_A_ROW)
    least = wish.declared if wish.declared is not None else wish.default
    if least is not None and count >= least:
        threshold = Threshold(least, f"declared in config, {wish.place}" if wish.declared is not None else "default")
        words = f"failed {count} times, since {dated(first, look.job.zone)}"
        seen = threshold.evidence(f"{count} red runs", lambda number: f"{number:.0f} in a row")
        yield look.of_job(Rule.N_IN_A_ROW, first, words, seen)


def _last_success(look: Look) -> datetime | None:
    """The end of its newest success, within view or before."""
    ends = [run.ended_at for run in look.started if run.state is State.SUCCEEDED and run.ended_at is not None]
    if len(look.history):
        ends.append(datetime.fromtimestamp(max(look.history.ended), UTC))
    return max(ends, default=None)


def _may_want(look: Look) -> bool:
    """False where the newest run went well and nothing came due after it: the cheap question before the dear one."""
    latest = look.latest
    if latest is None or latest.state is not State.SUCCEEDED or not _by_the_clock(look):
        return True
    return any(when(latest) < when(run) <= look.now for run in look.due)


def _by_the_clock(look: Look) -> bool:
    return look.job.schedule.dialect != "none" and look.job.accepted_at is not None


def _was_wanted_since(look: Look, last: datetime) -> bool:
    """Whether a run came due or began after that; always true of what no clock starts."""
    if not _by_the_clock(look):
        return True
    later = (run for run in _in_order(look) if when(run) > last and run.state is not State.SKIPPED)
    return any(run.state is not State.HELD and when(run) <= look.now for run in later)


def _in_order(look: Look) -> list[RunFacts]:
    return sorted((*look.started, *look.due), key=when) if look.due else list(look.started)


def _trailing_reds(look: Look, ended: list[RunFacts]) -> list[RunFacts]:
    """The red ones at the end, oldest first; what a person or a new schedule excused does not count."""
    row: list[RunFacts] = []
    for run in reversed(ended):
        if not run.state.is_red or look.picture.is_excused(run):
            break
        row.append(run)
    return row[::-1]
