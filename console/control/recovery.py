"""How long a broken job may stay broken: act-by and green-by for each service below it, and what must be rerun after.

Approximate, by quantiles: at the usual risk of 10 % green-by = deadline − p90 of the path after the job; act-by =
green-by − p90 of the job itself. A service that may be late more often counts with a lower quantile. A downstream that
starts by the clock must find it green, or be rerun after it, once its own start is through; a job that is never rerun
must find it green. The better of the two counts and is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from console.clean import clean_line
from console.control.cases import cases
from console.control.estimate import label
from console.control.forecast import Forecast, How, Node
from console.control.gated import look_at, suffices
from console.control.picture import Picture
from console.control.rules.telling import causes_of
from console.control.shared import root_causes
from console.control.words import moment
from console.model.decisions import Estimate
from console.model.values import Estate, IncidentFacts, JobFacts, RunFacts
from console.model.words import Safety

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Budget:
    """The two clocks of one broken job for one service."""

    job_id: int
    act_by: datetime | None
    green_by: datetime | None
    estimates: tuple[Estimate, ...]
    """Of the job and of the path after it."""
    reason: str

    @property
    def source(self) -> str:
        return label(self.estimates)


@dataclass(frozen=True, slots=True)
class _Limit:
    """The latest instant at which a job must be good."""

    at: datetime | None
    """None: nobody waits for it, or, where `known` is False, nobody knows."""
    known: bool
    towards: int | None
    """The downstream that sets it."""
    reason: str


class Budgets:
    """The limits of all jobs of one service day, from the terminals up."""

    def __init__(self, picture: Picture, day: Forecast) -> None:
        self._picture = picture
        self._day = day
        self._limits: dict[int, _Limit] = {}
        for job_id in reversed(day.nodes):
            self._limits[job_id] = self._limit(job_id)

    def of(self, job_id: int) -> Budget:
        """The clocks of a job that is broken now; without figures where nobody waits or an estimate is missing."""
        limit = self._limits[job_id]
        chain = self._chain(job_id)
        estimates = tuple(self._picture.estimate(each) for each in chain)
        takes = self._takes(job_id)
        reasons = [self._limits[each].reason for each in chain if self._limits[each].reason]
        if limit.at is None or takes is None:
            return Budget(job_id, None, None, estimates, "; ".join(reasons))
        return Budget(job_id, limit.at - takes, limit.at, estimates, "; ".join(reasons))

    def _takes(self, job_id: int) -> timedelta | None:
        return self._picture.takes(job_id, self._day.service.risk)

    def _chain(self, job_id: int) -> list[int]:
        chain = [job_id]
        while (towards := self._limits[chain[-1]].towards) is not None:
            chain.append(towards)
        return chain

    def _limit(self, job_id: int) -> _Limit:
        found = [_Limit(self._day.deadline, True, None, "")] if job_id in self._day.ends else []
        for edge in self._picture.graph.out_of(job_id):
            node = self._day.nodes.get(edge.downstream)
            if node is not None and node.how not in (How.DONE, How.OVER) and not self._spared(node, job_id):
                found.append(self._needed_by(node, edge.native))
        unknown = next((each for each in found if not each.known), None)
        if unknown is not None:
            return unknown
        timed = [each for each in found if each.at is not None]
        return min(timed, key=_at, default=_Limit(None, True, None, ""))

    def _spared(self, node: Node, job_id: int) -> bool:
        """True where the gates of this downstream open without the job."""
        if self._picture.graph.gates(node.job_id) is None:
            return False
        look = look_at(self._picture, self._day.bd, node)
        return suffices(self._picture, node.job_id, job_id, self._day.nodes, look)

    def _needed_by(self, node: Node, native: bool) -> _Limit:
        """When this downstream needs its upstream good."""
        own = self._limits[node.job_id]
        takes = self._takes(node.job_id)
        if own.known and own.at is None:
            return own
        if own.at is None or takes is None:
            return _Limit(None, False, node.job_id, "")
        rerun_at = own.at - takes
        if node.how is not How.CLOCK or native or node.starts_at is None:
            return _Limit(rerun_at, True, node.job_id, "")
        start = max(node.starts_at, self._picture.now)
        job = self._picture.job(node.job_id)
        starts = _starts(job, node.starts_at, self._picture.now)
        if job.rerun is not Safety.NEVER and max(rerun_at, start + takes) + takes <= own.at:
            return _Limit(rerun_at, True, node.job_id, f"{starts}: rerun it after")
        why = "it is never rerun" if job.rerun is Safety.NEVER else "a rerun after that would end too late"
        return _Limit(min(start, rerun_at), True, node.job_id, f"{starts} and must find it green: {why}")


def followers(estate: Estate, incident: IncidentFacts, now: datetime) -> list[RunFacts]:
    """What the incident's root leaves red or stale and must be rerun one by one after it: every run once, upstreams
    before their downstreams. Empty when nothing is, or the incident is over."""
    picture = Picture(estate, now)
    told = cases(picture, causes_of(picture, root_causes(picture)))
    case = next((each for each in told if each.incident == incident), None)
    if case is None or case.close_reason:
        return []
    root = case.group.root
    broken = {run.job_id: run for run in case.broken() if root is None or run.job_id != root.job_id}
    return [broken[job_id] for job_id in picture.graph.ordered(broken)]


def tightest(budgets: Iterable[Budget]) -> Budget | None:
    """The one that must be acted on first; one without figures only where all are so. None for no budgets."""
    found: Sequence[Budget] = list(budgets)
    timed = [each for each in found if each.act_by is not None]
    return (
        min(timed, key=lambda each: (each.act_by or each.green_by, each.job_id)) if timed else next(iter(found), None)
    )


def _at(limit: _Limit) -> datetime:
    return limit.at or _NEVER


def _starts(job: JobFacts, due: datetime, now: datetime) -> str:
    return f"{clean_line(job.native_id)} starts {moment(due, job.zone, now)} by the clock"
