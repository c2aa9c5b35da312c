"""Dependencies: requirements on an upstream, gates, the graph around a job, and cycles."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from console.domain.check import CheckHistory
from console.domain.text import Text


class DependencyOrigin(StrEnum):
    NATIVE = "native"
    DECLARED = "declared"


class DependencyMode(StrEnum):
    """The effect of a dependency while the upstream is not good."""

    OBSERVE = "observe"
    """Warns only."""
    HOLD = "hold"
    """Holds the downstream."""
    TRIGGER = "trigger"
    """Holds the downstream and starts it when the upstream is good."""


class EngineDown(StrEnum):
    """The behavior of a hold dependency without a running engine."""

    OPEN = "open"
    """The downstream starts by its schedule: it is held only while the upstream is not good."""
    CLOSED = "closed"
    """The downstream stays held: it is released only for a permitted run."""


class UpstreamCondition(StrEnum):
    """The required state of the upstream's run."""

    SUCCESS = "success"
    """Succeeded, without stale input."""
    COMPLETION = "completion"
    """Ended, in whatever state."""
    FAILURE = "failure"
    """Failed: the downstream repairs or reports, and reads no data."""
    READY = "ready"
    """A data check passes, whatever the run's state."""


class UpstreamPeriod(StrEnum):
    """The required run of the upstream."""

    SAME = "same"
    """The last before the downstream on its business date, else the first of that date."""
    PREVIOUS = "previous"
    """The one before that. If the upstream itself waits for the downstream, or is the same job: the last before it."""
    BUSINESS_DAY = "previous business day"
    """The last of the nearest date before that counts in the calendar."""
    MONTH_END = "last of month"
    """The last of the past month, or of one that ends with the downstream's date; with a calendar, of its last counted
    day."""
    LATEST = "latest before"
    """The last before the downstream, whatever its date."""
    WINDOW = "window"
    """The last good one that is due within this time before the downstream."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """The requirement of one dependency."""

    condition: UpstreamCondition = UpstreamCondition.SUCCESS
    check: str = ""
    """Name of the check, with READY."""
    period: UpstreamPeriod = UpstreamPeriod.SAME
    calendar: str = ""
    """Name of the calendar that says which days count; empty: Monday to Friday with BUSINESS_DAY, else every day."""
    within: timedelta | None = None
    """With WINDOW."""
    gate: str = ""
    """Shared by dependencies of a downstream of which `need` must hold; empty: it must hold alone."""
    need: int = 0
    """0 without a gate."""

    @property
    def is_plain(self) -> bool:
        """True for success on the same business date, by itself."""
        return self is PLAIN_REQUIREMENT or self == PLAIN_REQUIREMENT

    @property
    def is_simple(self) -> bool:
        """True for success on the same business date, also as one of a gate."""
        return self.condition is UpstreamCondition.SUCCESS and self.period is UpstreamPeriod.SAME

    @property
    def text(self) -> str:
        """ "completion, the previous business day"; empty if plain."""
        condition = "" if self.condition is UpstreamCondition.SUCCESS else self.condition.value
        if self.condition is UpstreamCondition.READY:
            condition = f"ready by check {self.check}"
        return ", ".join(filter(None, (condition, self.period_text)))

    @property
    def period_text(self) -> str:
        """The required run as text; empty for the same business date."""
        if self.period is UpstreamPeriod.SAME:
            return ""
        days = f" by calendar {self.calendar}" if self.calendar else ""
        if self.period is UpstreamPeriod.WINDOW:
            minutes = int((self.within or timedelta(0)).total_seconds() // 60)
            return f"within {f'{minutes // 60} h' if minutes % 60 == 0 else f'{minutes} min'} before"
        if self.period is UpstreamPeriod.LATEST:
            return "the latest before"
        return f"the {self.period}{days}"


PLAIN_REQUIREMENT = Requirement()


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """The accepted schedule of a job, with the zone and cutoff of its business dates."""

    dialect: str
    expression: str
    schedule_zone: str
    next_at: datetime | None
    accepted_at: datetime
    """Nothing before it is expected."""
    zone: str
    """The system's, for business dates."""
    cutoff: str


@dataclass(frozen=True, slots=True)
class UpstreamRun:
    """One run of an upstream that is required for another period than the same date."""

    period_key: str
    business_date: str
    at: datetime
    """The period's instant, else the first start."""
    state: str
    reason: Text
    stale_read: bool


@dataclass(frozen=True, slots=True)
class UpstreamView:
    """One upstream of a job with its run of one business date."""

    job_id: int
    job: str
    clock: ScheduleView | None
    """None if only events or people start it: then a missing run is awaited."""
    period_key: str
    state: str
    """Empty without a required run."""
    reason: Text
    stale_read: bool
    unseen: bool = False
    """True if the last successful poll is too long ago."""
    wants: Requirement = PLAIN_REQUIREMENT
    past: tuple[UpstreamRun, ...] = ()
    """For another period than the same date: its latest runs before the gate's instant, oldest first."""
    loops: bool = False
    """With "previous": True if it waits for the gate's own job, or is it."""
    check_history: CheckHistory | None = None
    """With "ready": results of its check on the gate's date."""


@dataclass(frozen=True, slots=True)
class GateView:
    """A gate: a job, its requested run, and its upstreams."""

    job_id: int
    business_date: str
    at: datetime
    """The instant as of which upstreams are judged."""
    upstreams: tuple[UpstreamView, ...]


@dataclass(frozen=True, slots=True)
class LineageJob:
    """A job that a scheduler starts, with its latest run, or that of one business date."""

    id: int
    name: str
    system: str
    state: str
    """ "unknown" if unobserved; empty if it has not run."""
    is_red: bool
    period_key: str
    at: datetime | None
    """When that run ended, or started, or was due."""
    run_id: int | None = None
    """Of the latest run, also where the next one is shown."""
    before: str = ""
    """State of the latest run, where the next one is shown instead."""
    before_at: datetime | None = None
    waits_for: str = ""
    """The root of an open incident without which it does not start."""
    stale_since: datetime | None = None
    """Since when its target is unreachable."""
    stale_read: bool = False
    """The run read its upstream before that was good."""


@dataclass(frozen=True, slots=True)
class JobFacetView:
    """A property of a job or of its latest run, as its events last reported it."""

    name: str
    """As the OpenLineage specification names it: "sourceCodeLocation"."""
    text: str
    producer: str
    seen: datetime


@dataclass(frozen=True, slots=True)
class JobDatasetView:
    """A dataset that a job reads or writes."""

    dataset: str
    is_output: bool
    producer: str
    seen: datetime


@dataclass(frozen=True, slots=True)
class LineageView:
    """All jobs upstream and downstream of one job. A task counts as its DAG."""

    job_id: int
    """For a task, its DAG."""
    business_date: str
    """Business date of the requested run; empty: the latest runs."""
    jobs: dict[int, LineageJob]
    edges: tuple[tuple[int, int], ...]
    """(upstream, downstream), each once."""
    services: dict[str, tuple[int, ...]]
    """Service -> its terminals among these jobs."""
    datasets: tuple[JobDatasetView, ...] = ()
    """Of the requested job, inputs first."""
    facets: tuple[JobFacetView, ...] = ()
    """Of the requested job."""


@dataclass(frozen=True, slots=True)
class LineageRun:
    """One of the latest runs of a job, with its inputs."""

    id: int
    job_id: int
    business_date: str
    state: str
    started: datetime | None
    ended: datetime | None
    stale_read: bool
    period_key: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    """(job, period key) of the runs that it read, if its source reports them."""


class RunInput(NamedTuple):
    """The input of one run from one upstream."""

    reader: LineageRun
    read: LineageRun | None
    """None: no such run, or it is not among the latest."""
    is_reported: bool = False
    """True if reported by the source; else derived from start and end times."""


Node = TypeVar("Node", bound=Hashable)


def find_cycles(pairs: Iterable[tuple[Node, Node]]) -> list[tuple[Node, ...]]:
    """One closed path per strongly connected component: (a, b, a), or (a, a) for a self-loop, in the order of the
    pairs."""
    return [path for _, path in find_components(pairs)]


def find_components(pairs: Iterable[tuple[Node, Node]]) -> list[tuple[frozenset[Node], tuple[Node, ...]]]:
    """All nodes of each cycle component, with one closed path in it."""
    import rustworkx as rx  # noqa: PLC0415 - the first paint needs no graph

    unique = list(dict.fromkeys(pairs))
    graph: Any = rx.PyDiGraph(multigraph=False)
    nodes = list(dict.fromkeys(node for pair in unique for node in pair))
    index = dict(zip(nodes, graph.add_nodes_from(nodes), strict=True))
    graph.add_edges_from_no_data([(index[upstream], index[downstream]) for upstream, downstream in unique])
    loops = (upstream for upstream, downstream in unique if upstream == downstream)
    components: list[tuple[frozenset[Node], tuple[Node, ...]]] = [(frozenset({job}), (job, job)) for job in loops]
    for part in rx.strongly_connected_components(graph):
        if len(part) > 1:
            knot = graph.subgraph(sorted(part))
            steps = rx.digraph_find_cycle(knot, 0)
            path = (knot[steps[0][0]], *(knot[after] for _, after in steps))
            components.append((frozenset(graph[member] for member in part), path))
    return components


DAILY_RUNS = 1.5
"""Runs a night up to which a job is daily: the others are by hand."""


@dataclass(frozen=True, slots=True)
class NightRun:
    """One run of a job."""

    business_date: date
    started: datetime
    ended: datetime | None
    """None while it is open."""
    is_good: bool
    """Succeeded in the end, on fresh data."""
    attempts: int


@dataclass(frozen=True, slots=True)
class JobNights:
    """A job's recent runs, oldest first: of a daily job the first on each business date."""

    id: int
    name: str
    target_id: int
    """Jobs of one target share its load."""
    runs: tuple[NightRun, ...]


@dataclass(frozen=True, slots=True)
class SharedDataset:
    """A dataset that one job writes and another reads, as their events last reported it."""

    name: str
    producer: str
    """The program that reported the write."""
    written: datetime
    read: datetime


@dataclass(frozen=True, slots=True)
class LearnedDependency:
    """A pair of which the downstream reads what the upstream writes."""

    upstream: str
    downstream: str
    datasets: tuple[SharedDataset, ...]
    """The last written first."""


@dataclass(frozen=True, slots=True)
class SuggestedDependency:
    """Evidence that a job starts by its clock because another usually ends before."""

    upstream: str
    downstream: str
    nights: int
    """On which both ran, without those on which the upstream failed in time. Each run counts, of a job that runs
    several times a night."""
    violated: tuple[date, ...]
    """Nights on which the upstream ended after the downstream's start."""
    harmed: int
    """Of these: the downstream failed, was run again, or took far less time than usual."""
    harmed_otherwise: int
    """The same, of the other nights."""
    p: float
    """By Fisher's exact test: the chance of so many harmed nights if the downstream waits for nothing."""
    buffer: timedelta
    """Median time from the end of the upstream to the start of the downstream."""
    delay: timedelta
    """Median delay of the downstream on the violated nights, had it waited."""
