"""What screens and commands read: frozen rows from `store.reads`, cleaned, instants as aware UTC datetimes.

Imports nothing heavy: the console's first paint goes through here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class EngineView:
    """Who holds the engine's lease. `alive` is judged on real time, not on a replay's clock."""

    holder: str
    since: datetime | None
    heartbeat: datetime | None
    alive: bool
    trouble: str = ""
    """Which of its parts broke lately and why, though it works; empty when all is well."""
    stuck: str = ""
    """Why another engine would help nothing though this one does not work: its process lives and cannot write, or the
    store's disk is full. Empty where one may be started."""


@dataclass(frozen=True, slots=True)
class HeaderView:
    """The one line above every screen."""

    estate: str
    engine: EngineView
    open_incidents: int
    at_risk: int
    """Services of the current business dates that are AT_RISK, WILL_MISS or BREACHED and not delivered."""
    sick_targets: tuple[tuple[str, datetime | None], ...]
    """("etl-hosts/db07", last ok), worst first."""
    jobs: int
    replay: bool
    """True when the store has a clock row: a replay, not the present."""
    late: int = 0
    """How many of `at_risk` are BREACHED: their deadline has passed."""
    frozen: str = ""
    """Since when, by whom and why nothing is sent; empty when it is."""
    in_shadow: tuple[str, ...] = ()
    """What is watched only: "the estate", or scoped names ("system etl-hosts"); empty when all is live."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service on its current business date: the promise and how it stands."""

    id: int
    name: str
    title: str
    tier: int
    owner: str
    runbook: str
    zone: str
    bd: str
    deadline: datetime
    timeliness: str
    data_state: str
    delivered: datetime | None
    expected: datetime | None
    late: datetime | None
    act_by: datetime | None
    green_by: datetime | None
    cause: str
    incident_id: int | None
    reason: str
    sources: tuple[dict[str, object], ...] = ()
    path: tuple[str, ...] = ()
    """Names of the jobs along the critical path, first to last."""


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """One line of the incidents."""

    id: int
    title: str
    cause: str
    """"run" or "target"."""
    bd: str
    reason: str
    owner: str
    failed_since: datetime
    opened: datetime
    act_by: datetime | None
    closed: datetime | None
    services: int
    hurt: int
    """Runs left red or stale."""
    root_run_id: int | None
    root_job: str
    runbook: str = ""


@dataclass(frozen=True, slots=True)
class HurtService:
    """A service that an incident hurts, with its clocks."""

    name: str
    title: str
    tier: int
    zone: str
    deadline: datetime
    act_by: datetime | None
    green_by: datetime | None
    expected: datetime | None
    timeliness: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class MemberView:
    """A run that belongs to an incident, and as what."""

    role: str
    job: str
    job_id: int
    run_id: int | None
    period_key: str
    state: str
    evidence: str
    stale_read: bool
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class EventView:
    """One line of an incident's story."""

    at: datetime
    kind: str
    words: str
    actor: str


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One notice to one address."""

    route: str
    kind: str
    url_words: str
    state: str
    tries: int
    repeats: int
    sent: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """One alert to one address, with the number by which `headway alert` knows it."""

    id: int
    route: str
    kind: str
    title: str
    url_words: str
    state: str
    tries: int
    repeats: int
    made: datetime
    sent: datetime | None
    error: str

    @property
    def is_over(self) -> bool:
        """True where nothing more becomes of it by itself."""
        return self.state in ("sent", "parked", "digested", "shadow")


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident with everything that hangs on it."""

    row: IncidentRow
    services: tuple[HurtService, ...]
    members: tuple[MemberView, ...]
    events: tuple[EventView, ...]
    deliveries: tuple[DeliveryView, ...]
    log: str
    """The root attempt's log tail; empty with `log_error` when there is none."""
    log_error: str
    actions: tuple[ActionView, ...] = ()
    seen_before: tuple[tuple[datetime, str], ...] = ()
    """Earlier incidents with the same root job, newest first: (opened, close reason)."""


@dataclass(frozen=True, slots=True)
class ActionView:
    """What a person asked for, and how far it has come."""

    key: str
    verb: str
    job: str
    job_id: int
    run_id: int | None
    """None where a verb is about the job (hold, release)."""
    incident_id: int | None
    state: str
    requested_by: str
    requested: datetime
    sent: datetime | None
    ended: datetime | None
    words: str
    preview: dict[str, object]


@dataclass(frozen=True, slots=True)
class JobRow:
    """One line of the big table."""

    id: int
    name: str
    system: str
    kind: str
    state: str
    evidence: str
    native_state: str
    timeliness: str
    bd: str
    run_id: int | None
    started: datetime | None
    ended: datetime | None
    next: datetime | None
    schedule: str
    owner: str
    paused: bool
    gone: bool
    is_task: bool
    stale_since: datetime | None
    """Its target's last good poll, when that target is out of reach; None when fresh."""
    stale_read: bool = False
    attempts: int = 0
    held_by: str = ""
    """Who holds it through Headway, "headway" for a policy; empty where nobody does. What is held is not `paused`, and
    has no `next`."""
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """One job with its surroundings."""

    row: JobRow
    title: str
    definition: str
    run_as: str
    proof: str
    runbook: str
    rerun: str
    expected_s: float | None
    history_runs: int
    p50_s: float | None
    p90_s: float | None
    native_url: str
    upstreams: tuple[tuple[str, str], ...]
    """(job name, origin)."""
    downstreams: tuple[tuple[str, str], ...]
    services: tuple[str, ...]
    drift: tuple[DriftView, ...] = ()
    runs: tuple[RunRow, ...] = ()
    """Newest first, at most 60."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of a job's runs."""

    id: int
    job_id: int
    job: str
    period_key: str
    bd: str
    state: str
    evidence: str
    native_state: str
    timeliness: str
    attempts: int
    period: datetime | None
    first_started: datetime | None
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    message: str
    expected: bool
    stale_read: bool
    stale_since: datetime | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One try of a run."""

    id: int
    number: int
    state: str
    evidence: str
    native_state: str
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    message: str
    action_key: str | None
    native_ref: str
    native_url: str


@dataclass(frozen=True, slots=True)
class RunView:
    """One run with its attempts and the kept end of its log."""

    row: RunRow
    attempts: tuple[AttemptView, ...]
    log: str
    log_error: str
    log_cut: bool
    zone: str
    rerun: str
    capabilities: tuple[str, ...]
    missing: dict[str, str]
    incident_id: int | None
    actions: tuple[ActionView, ...] = ()
    proof: str = "full"
    tasks: tuple[RunRow, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetView:
    """What is polled on its own, and how it is."""

    system: str
    kind: str
    name: str
    last_ok: datetime | None
    failing_since: datetime | None
    error: str
    error_kind: str
    skew_s: float | None
    zone: str
    poll_ms: float | None
    poll_every_s: float
    skipped: int
    skipped_words: tuple[str, ...]
    warnings: tuple[str, ...]
    version: str
    rights: tuple[dict[str, object], ...]
    """As the last probe told them: {"name", "held", "why", "mend", "needed_for"}."""
    jobs: int
    capabilities: tuple[str, ...]
    missing: dict[str, str]
    lost: tuple[datetime, datetime] | None = None
    """The last window whose evidence is lost for good."""


@dataclass(frozen=True, slots=True)
class HoldView:
    """A job that is held, is about to be, or was."""

    key: str
    """Also the id of its mark at the source."""
    job_id: int
    job: str
    system: str
    state: str
    kind: str
    """"reactive", "standing", "person", "trigger" (started on completion), "found" (a mark that we did not make)."""
    mode: str
    upstream: str
    """The job that it waits for; empty where a person holds it."""
    held_by: str
    why: str
    words: str
    """Why it is where it is."""
    placed: datetime | None
    until: datetime
    due: datetime | None
    """The start that it keeps back."""
    period_key: str
    ended: datetime | None
    release_key: str | None = None
    start_key: str | None = None

    @property
    def told(self) -> str:
        """Why it is held, in the words of the person who holds it, then why it is where it is."""
        if self.kind != "person" or not self.why:
            return self.words or self.why
        return self.why if self.words in ("", self.why, f"by {self.held_by}") else f"{self.why}; {self.words}"


@dataclass(frozen=True, slots=True)
class UpstreamView:
    """One upstream of a job, as its run of one business date stands."""

    job_id: int
    job: str
    mode: str
    by_clock: bool
    """False where only events or people start it: without a run one must be waited for."""
    run_id: int | None
    period_key: str
    state: str
    """Of the run that is read; empty where there is none."""
    evidence: str
    reason: str
    stale_read: bool
    stale_since: datetime | None
    """When its source was last seen, where that is too long ago."""
    unseen: bool = False


@dataclass(frozen=True, slots=True)
class GateView:
    """What a gate looks at: a job, the run it is asked for, and its upstreams."""

    job_id: int
    job: str
    bd: str
    at: datetime
    """The instant from which it looks back at its upstreams."""
    period_key: str
    upstreams: tuple[UpstreamView, ...]


@dataclass(frozen=True, slots=True)
class DriftView:
    """A definition that changed at its source."""

    id: int
    job: str
    what: str
    words: str
    seen: datetime


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What `/` means: words that must stand in the name, and fields. Empty: everything."""

    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    problems_only: bool = False
    extras: dict[str, str] = field(default_factory=dict)
