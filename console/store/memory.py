"""What the looks at one store remember, so that the next one reads and makes anew only what changed (`changed_seq`).

Everything that an estate was given stays as it was: a dict is copied before it is changed, the runs of a job are one
tuple that is replaced. So the estates of all looks share what is the same, and may be used on any thread.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from threading import Lock

from console.model.forecasts import PastForecasts, Peak, Tally
from console.model.ids import instant
from console.model.layered import Layered
from console.model.values import DependencyFacts, IncidentFacts, JobFacts, ServiceFacts
from console.store import facts, incident_facts
from console.store.correlation import Contexts
from console.store.earlier import Earlier
from console.store.histories import Histories
from console.store.likes import Likes
from console.store.lookback import Lookback
from console.store.past_forecasts import DAILY_US, Reread, past_forecasts, peaks, tallies
from console.store.wire import Wire

_META = (
    "SELECT name, value FROM meta WHERE name IN"
    " ('changed_seq', 'runs_removed', 'config_digest', 'config_seq', 'edges_seq', 'back_tests')"
)
_JOBS_VERSION = (
    "SELECT (SELECT MAX(changed_seq) FROM job), (SELECT MAX(id) FROM job), (SELECT MAX(id) FROM schedule),"
    " (SELECT MAX(id) FROM drift), (SELECT count(*) FROM system WHERE NOT removed),"
    " (SELECT count(*) FROM target WHERE NOT removed)"
)
_SHAPE_VERSION = "SELECT (SELECT MAX(id) FROM dependency), (SELECT MAX(id) FROM service)"
_INCIDENTS_VERSION = (
    "SELECT (SELECT MAX(changed_seq) FROM incident), (SELECT value FROM meta WHERE name = 'members_seq')"
)
REMEMBERED = 1_000
"""Looks of which is known what each found changed."""


@dataclass(slots=True)
class Memory:
    """What the last look at a store saw."""

    jobs_version: tuple[object, ...] = ()
    jobs: dict[int, JobFacts] = field(default_factory=dict)
    """Every job that is watched, by id, in their order."""
    lookback: Lookback = field(default_factory=Lookback)
    shape_version: tuple[object, ...] = ()
    services: tuple[ServiceFacts, ...] = ()
    dependencies: tuple[DependencyFacts, ...] = ()
    """Between jobs that are watched."""
    members: frozenset[int] | None = None
    """Jobs whose durations matter; None: not known for these jobs, services and dependencies yet."""
    durations: Layered[Sequence[float]] = field(default_factory=Layered)
    """Of members: what estimates look at; empty for a job that never went well."""
    timed_for: frozenset[int] | None = None
    """The members of which all durations are known."""
    correlated: Contexts[dict[str, str]] = field(default_factory=Contexts)
    """Of the jobs of services that are promised end to end; made anew with `members`."""
    costs: Contexts[float] = field(default_factory=Contexts)
    """Of the jobs with a budget for what a run may cost; made anew with `members`."""
    histories: Histories = field(default_factory=Histories)
    earlier: Earlier = field(default_factory=Earlier)
    peaks: Reread[Mapping[str, Sequence[Peak]]] = field(default_factory=lambda: Reread(peaks))
    back_tests: str = ""
    """How often something was back-tested, by the store's count."""
    likes: Likes = field(default_factory=Likes)
    tallies: Reread[Mapping[str, Tally]] = field(default_factory=lambda: Reread(tallies, DAILY_US))
    forecasts: Reread[tuple[PastForecasts, ...]] = field(default_factory=lambda: Reread(past_forecasts))
    incidents_version: tuple[object, ...] = ()
    incidents: tuple[IncidentFacts, ...] = ()
    """The open ones."""
    closed: tuple[IncidentFacts, ...] = ()
    """Those that closed in the lookback of when they were read."""
    number: int = 0
    """Of the last look that found something changed."""
    journal: deque[tuple[int, frozenset[int]]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """(number, jobs with other facts, runs or durations than before), oldest first."""
    lock: Lock = field(default_factory=Lock)

    def changed_since(self, number: int) -> frozenset[int] | None:
        """Jobs with something new since the look of that number; None where that is not known any more."""
        if number == self.number:
            return frozenset()
        if not self.journal or number < self.journal[0][0] - 1:
            return None
        return frozenset().union(*(jobs for at, jobs in reversed(self.journal) if at > number))

    def look(self, lines: Wire, since_us: int) -> set[int]:
        """Brings jobs, services, dependencies and runs up to date; the jobs whose facts or runs are others now."""
        meta: dict[str, str] = dict(lines.rows(_META))
        self.back_tests = meta.get("back_tests", "")
        changed = self._look_at_jobs(lines, meta)
        self._look_at_shape(lines, meta)
        if self.lookback.begins_anew(since_us):
            self.durations, self.timed_for = Layered(), None
            self.histories.clear()
        return changed | self.lookback.look(lines, meta, self.jobs, since_us)

    def found(self, changed: Iterable[int]) -> None:
        """Keeps in mind what this look found."""
        jobs = frozenset(changed)
        if jobs and not self.number:  # nobody has asked before: everything is new to everybody
            self.number = 1
        elif jobs:
            self.number += 1
            self.journal.append((self.number, jobs))

    def forget(self) -> None:
        """All but the lock: the next look reads everything anew, and knows of no job that it is as it was."""
        anew = Memory(number=self.number + 1, lock=self.lock)
        for one in fields(self):
            setattr(self, one.name, getattr(anew, one.name))

    # jobs
    def _look_at_jobs(self, lines: Wire, meta: dict[str, str]) -> set[int]:
        config = (meta.get("config_digest"), meta.get("config_seq"))
        version = (*lines.rows(_JOBS_VERSION)[0], *config)
        if version == self.jobs_version and self.jobs:
            return set()
        was = self.jobs
        if was and self.jobs_version[4:] == version[4:] and self.jobs_version[0] != version[0]:
            jobs = self._with_changed_jobs(lines, self.jobs_version[0])
        else:
            jobs = _by_id(_job_facts(lines, facts.JOBS))
        self.jobs_version = version
        changed = {job_id for job_id in was.keys() | jobs.keys() if was.get(job_id) != jobs.get(job_id)}
        if changed:
            self.jobs = jobs
            self.shape_version = () if was.keys() != jobs.keys() else self.shape_version
            self.members = None
        return changed

    def _with_changed_jobs(self, lines: Wire, seq: object) -> dict[int, JobFacts]:
        found = _job_facts(lines, f"{facts.JOBS} AND j.changed_seq > ?", (seq,))
        gone = {row[0] for row in lines.rows("SELECT id FROM job WHERE changed_seq > ?", (seq,))} - found.keys()
        jobs = {job_id: job for job_id, job in self.jobs.items() if job_id not in gone} | found
        return _by_id(jobs)

    # services and dependencies
    def _look_at_shape(self, lines: Wire, meta: dict[str, str]) -> None:
        named = (meta.get("config_digest"), meta.get("config_seq"), meta.get("edges_seq"))
        version = (*lines.rows(_SHAPE_VERSION)[0], *named)
        if version == self.shape_version:
            return
        services = facts.services(lines)
        known = facts.dependencies(lines, self.jobs)
        self.services = services if services != self.services else self.services
        self.dependencies = known if known != self.dependencies else self.dependencies
        self.shape_version, self.members = version, None

    def look_at_incidents(self, lines: Wire, since_us: int) -> None:
        """They are read again where one of them, or what it hurts, is another."""
        version = lines.rows(_INCIDENTS_VERSION)[0]
        if version != self.incidents_version:
            self.incidents = incident_facts.incidents(lines)
            self.closed = incident_facts.incidents(lines, since_us)
            self.incidents_version = version
        since = instant(since_us)
        if any(one.closed_at is not None and one.closed_at < since for one in self.closed):
            self.closed = tuple(one for one in self.closed if one.closed_at is None or one.closed_at >= since)


def _job_facts(lines: Wire, query: str, values: Sequence[object] = ()) -> dict[int, JobFacts]:
    drift: dict[int, dict[str, tuple[str, int]]] = defaultdict(dict)
    for job_id, what, words, seen_us in lines.rows(facts.DRIFT):
        drift[job_id][what] = words, seen_us
    made = (facts.job(row, drift.get(row[0], {})) for row in lines.stream(query, values))
    return {job.id: job for job in made}


def _by_id(jobs: dict[int, JobFacts]) -> dict[int, JobFacts]:
    return {job_id: jobs[job_id] for job_id in sorted(jobs)}
