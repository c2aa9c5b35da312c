"""Services that `headway init` proposes: of the history that was read the last job, with a deadline that it would have
met; of OpenLineage events each DAG for which Airflow has a deadline.

Values in, a proposal with its evidence out; a person decides whether it is a promise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from zoneinfo import ZoneInfo

from console.domain.service import MAX_DEADLINE_DAY, ReportedDeadline
from console.onboarding.config_writer import REPORTED_HEAD, SERVICE_HEAD, commented, toml
from console.timing.zones import date_in_window

MARGIN = timedelta(minutes=30)
"""Margin after the latest end in history; more if the ends vary widely."""
SPREAD_SHARE = 0.25
STEP_MINUTES = 15
MAX_ENDS_PER_NIGHT = 3
"""Jobs that end more often per night deliver nothing by a deadline."""
LEAST_GAP = timedelta(hours=24) / MAX_ENDS_PER_NIGHT
"""Jobs that start again sooner than this after their last end run more often than that."""
NOON = time(12, 0)
MAX_NIGHT = timedelta(hours=24) - timedelta(minutes=STEP_MINUTES)


@dataclass(frozen=True, slots=True)
class JobHistory:
    """One job and its good ends: business date and instant (aware)."""

    job: str
    upstreams: tuple[str, ...]
    """Direct ones."""
    ends: tuple[tuple[date, datetime], ...]
    next_start: datetime | None = None
    """By its schedule."""


@dataclass(frozen=True, slots=True)
class ServiceProposal:
    """A service that could be promised."""

    name: str
    title: str
    job: str
    deadline: str
    """ "06:30", inside of the business date's window."""
    zone: str
    reason: str
    day: int = 0
    """Days of the deadline after that window."""
    head: str = SERVICE_HEAD

    @property
    def due(self) -> str:
        """ "06:30", "06:30 a day later"."""
        return self.deadline + (f" {'a day' if self.day == 1 else f'{self.day} days'} later" if self.day else "")

    def lines(self, active: bool) -> list[str]:
        """Its block in the config, as a comment unless it was accepted."""
        lead = "" if active else "# "
        origin = "headway init proposed it" + (" and you accepted it" if active else "; remove the # to promise it")
        deadline = f"{{ time = {toml(self.deadline)}, day = {self.day} }}" if self.day else toml(self.deadline)
        return [
            self.head + "─" * (118 - len(self.head)),
            *commented(f"{origin}: {self.reason}."),
            f"{lead}[services.{self.name}]",
            f"{lead}title = {toml(self.title)}",
            f"{lead}delivered_by = [{toml(self.job)}]",
            f"{lead}deadline = {deadline}",
            f"{lead}timezone = {toml(self.zone)}",
            f'{lead}owner = ""    # the team that answers; a route of the same name is notified',
        ]


def propose(jobs: Sequence[JobHistory], zone: str) -> ServiceProposal | None:
    """The job with the most upstreams, among those the one that ends last; None where no end is known yet."""
    edges = {job.job: job.upstreams for job in jobs}
    nightly = {job.job: ends for job in jobs if (ends := _nightly(job, zone))}
    if not nightly:
        return None
    last = _last_of_each_night(nightly)
    above = {job: len(_upstreams(job, edges)) for job in nightly}
    chosen = max(nightly, key=lambda job: (above[job], last.get(job, 0), max(nightly[job].values()), job))
    ends = nightly[chosen]
    name, title = _name_and_title(chosen)
    deadline, why = _deadline(ends)
    reasons = (_reads_text(chosen, above[chosen]), _last_to_end_text(last.get(chosen, 0), len(ends)), why)
    return ServiceProposal(name, title, chosen, deadline, zone, ", ".join(filter(None, reasons)))


def propose_reported(job: str, reported: ReportedDeadline, zone: str, cutoff: time) -> ServiceProposal | None:
    """A service by the deadline that the job's scheduler reports; None for one that no config can have. `zone` and
    `cutoff`: of the job's business dates."""
    name, title = _name_and_title(job)
    local, at = ZoneInfo(zone), reported.deadline.astimezone(ZoneInfo(zone))
    of = reported.of.astimezone(local).date() if reported.is_interval else date_in_window(reported.of, local, cutoff)
    day = (date_in_window(reported.deadline, local, NOON) - of).days
    if not 0 <= day <= MAX_DEADLINE_DAY:
        return None
    reason = f"Airflow's deadline of its run of {of.isoformat()} was {at:%Y-%m-%d %H:%M}"
    return ServiceProposal(name, title, job, f"{at:%H:%M}", zone, reason, day, REPORTED_HEAD)


def _name_and_title(job: str) -> tuple[str, str]:
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", re.split(r"[/:]", job)[-1]) if part]
    return "-".join(parts).lower() or "first-service", " ".join(parts).capitalize() or "First service"


def with_deadline(proposal: ServiceProposal, text: str) -> ServiceProposal | None:
    """The proposal with the deadline that a person typed; None for an invalid one."""
    clock = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text.strip())
    if clock is None:
        return None
    deadline = f"{int(clock[1]):02}:{clock[2]}"
    return replace(proposal, deadline=deadline, reason=f"{proposal.reason}; you made it {deadline}")


def _nightly(history: JobHistory, zone: str) -> dict[date, timedelta]:
    """The last end per business date, as an offset from the noon before; empty for jobs that end all the time."""
    if len(history.ends) > MAX_ENDS_PER_NIGHT * len({business_date for business_date, _ in history.ends}):
        return {}
    if history.next_start is not None and any(history.next_start - end < LEAST_GAP for _, end in history.ends):
        return {}
    offsets: dict[date, timedelta] = {}
    for business_date, end in history.ends:
        offset = end.astimezone(UTC) - datetime.combine(business_date, NOON, ZoneInfo(zone)).astimezone(UTC)
        if timedelta(0) <= offset < MAX_NIGHT:
            offsets[business_date] = max(offset, offsets.get(business_date, offset))
    return offsets


def _last_of_each_night(nightly: Mapping[str, Mapping[date, timedelta]]) -> dict[str, int]:
    """Number of nights on which each job ended last of all."""
    latest: dict[date, tuple[timedelta, str]] = {}
    for job, ends in nightly.items():
        for business_date, end in ends.items():
            latest[business_date] = max(latest.get(business_date, (end, job)), (end, job))
    return Counter(job for _, job in latest.values())


def _upstreams(job: str, edges: Mapping[str, Sequence[str]]) -> set[str]:
    """All upstream jobs, at any depth; cycles are followed once."""
    upstreams: set[str] = set()
    stack = list(edges.get(job, ()))
    while stack:
        upstream = stack.pop()
        if upstream not in upstreams and upstream != job:
            upstreams.add(upstream)
            stack += edges.get(upstream, ())
    return upstreams


def _deadline(ends: Mapping[date, timedelta]) -> tuple[str, str]:
    latest, earliest = max(ends.values()), min(ends.values())
    margin = max(MARGIN, (latest - earliest) * SPREAD_SHARE)
    minutes = ceil((latest + margin) / timedelta(minutes=STEP_MINUTES)) * STEP_MINUTES
    shown = min(timedelta(minutes=minutes), MAX_NIGHT)
    nights = f"in {len(ends)} nights" if len(ends) > 1 else "in the one night that is known"
    why = f"it ended by {_clock(latest)} at the latest {nights}; {int((shown - latest).total_seconds() // 60)} min more"
    return _clock(shown), f"{why} make {_clock(shown)}"


def _clock(offset: timedelta) -> str:
    """ "06:30" for so long after noon."""
    minutes = (12 * 60 + int(offset.total_seconds() // 60)) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _reads_text(job: str, upstreams: int) -> str:
    if upstreams:
        return f"{job} builds on {upstreams} other job{'s' * (upstreams != 1)}, more than any other"
    return f"{job}: no dependency between the jobs is known yet"


def _last_to_end_text(nights: int, of: int) -> str:
    return f"it was the last of all to end on {nights} of {of} nights" if nights else ""
