"""A target on which nearly everything fails at once, though it answers and its jobs blame nothing by name.

Conservative, because a host has many jobs and each its own reasons: at least five of its jobs turned red close
together, they are most of what ended there in that time, and before that next to nothing there was red, over enough
runs to say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.control.causes import Group
from console.control.picture import Picture, red_since
from console.durations import duration_words
from console.model.values import Estate, JobFacts, RunFacts

JOBS = 5
"""So many different jobs, or `shared_jobs` where that is more."""
MOST = 0.8
"""Share of what ended on the target meanwhile that is red."""
USUAL = 0.05
"""Share of what ended there before that may be red."""
KNOWN = 20
"""Runs that ended there before, at least: fewer say nothing of what is usual."""


@dataclass(frozen=True, slots=True)
class Burst:
    """One target's causes that belong together, and why, in words."""

    target_id: int
    groups: list[Group]
    evidence: str


def bursts(picture: Picture, groups: Sequence[Group]) -> list[Burst]:
    """The targets whose causes are one; in the order of their ids."""
    by_target: dict[int, list[Group]] = {}
    for one in groups:
        if one.root is not None and one.finding is None and one.root.ended_at is not None:
            by_target.setdefault(picture.job(one.root.job_id).target_id, []).append(one)
    found = (_burst(picture, target_id, by_target[target_id]) for target_id in sorted(by_target))
    return [one for one in found if one is not None]


def last_red(runs: Iterable[RunFacts]) -> datetime:
    """When the latest of these became red; one of them is."""
    return max(red_since(run) for run in runs if run.state.is_red)


def failing_targets(estate: Estate, red: Iterable[tuple[JobFacts, datetime]]) -> Iterator[int]:
    """Targets that may be one: enough of their jobs turned red close together; what else ran there counts as well.

    `red`: every red job, and `last_red` of its runs."""
    last: dict[int, list[datetime]] = {}
    for job, since in red:
        if job.parent_id is None:
            last.setdefault(job.target_id, []).append(since)
    rules = estate.declared.incidents
    for target_id, times in sorted(last.items()):
        begun = max(times) - rules.shared_within
        near = [at for at in times if at >= begun]
        if len(near) >= max(JOBS, rules.shared_jobs):
            yield target_id


def _burst(picture: Picture, target_id: int, groups: Sequence[Group]) -> Burst | None:
    rules = picture.estate.declared.incidents
    last = max(one.since for one in groups)
    near = [one for one in groups if last - one.since <= rules.shared_within]
    if len({one.root.job_id for one in near if one.root is not None}) < max(JOBS, rules.shared_jobs):
        return None
    first = min(one.since for one in near)
    ended = _ended_on(picture, target_id)
    meanwhile = [run for run in ended if first <= red_since(run) <= last]
    before = [run for run in ended if red_since(run) < first]
    red, red_before = _red(meanwhile), _red(before)
    if red < MOST * len(meanwhile) or len(before) < KNOWN or red_before > USUAL * len(before):
        return None
    span = duration_words(max(last - first, timedelta(seconds=1)).total_seconds())
    words = f"{red} of {len(meanwhile)} runs that ended there within {span} failed; of those before {red_before} of"
    words += f" {len(before)}"
    return Burst(target_id, near, words)


def _ended_on(picture: Picture, target_id: int) -> list[RunFacts]:
    """Runs of the target's own jobs, tasks left out, that have ended."""
    return [
        run
        for job_id, runs in picture.runs.items()
        if picture.job(job_id).target_id == target_id and picture.graph.unit(job_id) == job_id
        for run in runs
        if run.ended_at is not None and not run.state.is_open
    ]


def _red(runs: Sequence[RunFacts]) -> int:
    return sum(run.state.is_red for run in runs)
