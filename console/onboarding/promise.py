"""The first service, proposed from what was read back: what the night leads to, and a deadline that it would have kept.

Values in, a proposal with its reasons out; a person says whether it is a promise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from zoneinfo import ZoneInfo

from console.onboarding.writing import SERVICE_HEAD, commented, toml

MARGIN = timedelta(minutes=30)
"""Added to the latest end that history knows; more where the ends are far apart."""
SPREAD_SHARE = 0.25
STEP_MINUTES = 15
OFTEN = 3
"""What ends more often than this in a night delivers nothing by a deadline."""
NOON = time(12, 0)
LONGEST = timedelta(hours=24) - timedelta(minutes=STEP_MINUTES)


@dataclass(frozen=True, slots=True)
class Past:
    """One job and its good ends: business date and instant (aware)."""

    job: str
    upstreams: tuple[str, ...]
    """Direct ones."""
    ends: tuple[tuple[date, datetime], ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A service that could be promised."""

    name: str
    title: str
    job: str
    deadline: str
    """ "06:30", inside of the business date's window."""
    zone: str
    reason: str

    def lines(self, active: bool) -> list[str]:
        """Its block in the config, as a comment where nobody has accepted it."""
        lead = "" if active else "# "
        told = "headway init proposed it" + (" and you took it" if active else "; take the # away to promise it")
        return [
            SERVICE_HEAD + "─" * (118 - len(SERVICE_HEAD)),
            *commented(f"{told}: {self.reason}."),
            f"{lead}[services.{self.name}]",
            f"{lead}title = {toml(self.title)}",
            f"{lead}delivered_by = [{toml(self.job)}]",
            f"{lead}deadline = {toml(self.deadline)}",
            f"{lead}timezone = {toml(self.zone)}",
            f'{lead}owner = ""    # the team that answers; a route of the same name is told',
        ]


def propose(jobs: Sequence[Past], zone: str) -> Proposal | None:
    """The job with the most upstreams, among those the one that ends last; None where no end is known yet."""
    edges = {one.job: one.upstreams for one in jobs}
    nightly = {one.job: ends for one in jobs if (ends := _nightly(one, zone))}
    if not nightly:
        return None
    last = _last_of_each_night(nightly)
    above = {job: len(_above(job, edges)) for job in nightly}
    chosen = max(nightly, key=lambda job: (above[job], last.get(job, 0), max(nightly[job].values()), job))
    ends = nightly[chosen]
    plain = re.split(r"[/:]", chosen)[-1]
    words = [word for word in re.split(r"[^A-Za-z0-9]+", plain) if word]
    name = "-".join(words).lower() or "first-service"
    deadline, why = _deadline(ends)
    return Proposal(
        name=name,
        title=" ".join(words).capitalize() or "First service",
        job=chosen,
        deadline=deadline,
        zone=zone,
        reason=", ".join(filter(None, (_reads(chosen, above[chosen]), _lasts(last.get(chosen, 0), len(ends)), why))),
    )


def with_deadline(proposal: Proposal, text: str) -> Proposal | None:
    """The same with the time that a person typed; None for what is none."""
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text.strip())
    if found is None:
        return None
    deadline = f"{int(found[1]):02}:{found[2]}"
    reason = f"{proposal.reason}; you made it {deadline}"
    return Proposal(proposal.name, proposal.title, proposal.job, deadline, proposal.zone, reason)


def _nightly(one: Past, zone: str) -> dict[date, timedelta]:
    """When it ended last on each business date, from the noon before; nothing for what ends all the time."""
    if len(one.ends) > OFTEN * len({bd for bd, _ in one.ends}):
        return {}
    offsets: dict[date, timedelta] = {}
    for bd, end in one.ends:
        offset = end.astimezone(UTC) - datetime.combine(bd, NOON, ZoneInfo(zone)).astimezone(UTC)
        if timedelta(0) <= offset < LONGEST:
            offsets[bd] = max(offset, offsets.get(bd, offset))
    return offsets


def _last_of_each_night(nightly: Mapping[str, Mapping[date, timedelta]]) -> dict[str, int]:
    """On how many nights each job ended after all others."""
    latest: dict[date, tuple[timedelta, str]] = {}
    for job, ends in nightly.items():
        for bd, end in ends.items():
            latest[bd] = max(latest.get(bd, (end, job)), (end, job))
    found: dict[str, int] = {}
    for _, job in latest.values():
        found[job] = found.get(job, 0) + 1
    return found


def _above(job: str, edges: Mapping[str, Sequence[str]]) -> set[str]:
    """All that lies upstream, at any depth; loops end."""
    found: set[str] = set()
    left = list(edges.get(job, ()))
    while left:
        one = left.pop()
        if one not in found and one != job:
            found.add(one)
            left += edges.get(one, ())
    return found


def _deadline(ends: Mapping[date, timedelta]) -> tuple[str, str]:
    latest, earliest = max(ends.values()), min(ends.values())
    margin = max(MARGIN, (latest - earliest) * SPREAD_SHARE)
    minutes = ceil((latest + margin) / timedelta(minutes=STEP_MINUTES)) * STEP_MINUTES
    shown = min(timedelta(minutes=minutes), LONGEST)
    nights = f"in {len(ends)} nights" if len(ends) > 1 else "in the one night that is known"
    why = f"it ended by {_clock(latest)} at the latest {nights}; {int((shown - latest).total_seconds() // 60)} min more"
    return _clock(shown), f"{why} make {_clock(shown)}"


def _clock(offset: timedelta) -> str:
    """ "06:30" for so long after noon."""
    minutes = (12 * 60 + int(offset.total_seconds() // 60)) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _reads(job: str, upstreams: int) -> str:
    if upstreams:
        return f"{job} builds on {upstreams} other job{'s' * (upstreams != 1)}, more than any other"
    return f"{job}: no dependency between the jobs is known yet"


def _lasts(nights: int, of: int) -> str:
    return f"it was the last of all to end on {nights} of {of} nights" if nights else ""
