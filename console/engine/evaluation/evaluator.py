"""The evaluator: turns new facts and passed time into decisions, and decisions into rows. One thread, one
transaction per round.

While an incident is open, the definition of its root job is compared again with the last good one: a scheduler's
inventory is read less often than its runs.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf

import structlog

from console.control.alerts.notice import with_comparison, with_memory
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import EvaluationCache, TimeSlices, build_cache, part_to_evaluate
from console.domain.decision import Decisions, IncidentDecision, KnownIncident
from console.domain.estate import Estate, EvaluationSettings, JobFacts
from console.engine.evaluation.forecaster import ServiceForecaster
from console.engine.evaluation.quarantine import Quarantine
from console.engine.worker import Pulse
from console.failpoints import failpoint
from console.store.alerts import AlertRouting
from console.store.db.database import Database
from console.store.db.session import Session
from console.store.decisions import apply_decisions
from console.store.errors import StoreError
from console.store.failures import load_earlier
from console.store.snapshot.estate import load_estate, refresh_estate, with_notifications
from console.store.snapshot.history import PastVersion, last_good_of_runs, past_versions
from console.timing.clock import Clock, wait_seconds


class DefinitionChanges:
    """Caches the versions that each open incident's definitions were compared with; a new engine compares all once."""

    def __init__(self, store: Database) -> None:
        self._store = store
        self._compared_with: dict[str, dict[int, PastVersion]] = {}
        self._next = self._compared_with
        """The cache including this evaluation, kept once it is written."""

    def again(self, decisions: Decisions, jobs: Mapping[int, JobFacts]) -> Decisions:
        """The decisions with the changes of incidents that notify, or whose definitions changed since they were
        compared. The cache is updated by `keep`, once they are written."""
        known = self._compared_with
        closed = {incident.key for incident in decisions.incidents if incident.closed}
        self._next = {key: versions for key, versions in known.items() if key not in closed}
        still_open = [incident for incident in decisions.incidents if incident.changes.run_ids and not incident.closed]
        if not still_open:
            return decisions
        run_ids = (run_id for incident in still_open for run_id in incident.changes.run_ids)
        versions = past_versions(self._store, run_ids)
        now = {
            incident.key: {run_id: versions[run_id] for run_id in incident.changes.run_ids if run_id in versions}
            for incident in still_open
        }
        due = {
            incident.key
            for incident in still_open
            if incident.notices or incident.event or known.get(incident.key) != now[incident.key]
        }
        self._next |= now
        if not due:
            return decisions
        runs = [run_id for incident in still_open if incident.key in due for run_id in incident.changes.run_ids]
        pasts = last_good_of_runs(self._store, runs)
        incidents = (
            with_comparison(incident, jobs, pasts) if incident.key in due else incident
            for incident in decisions.incidents
        )
        return replace(decisions, incidents=tuple(incidents))

    def keep(self) -> None:
        """Adopts the cache of the last decisions, as they are written."""
        self._compared_with = self._next


log = structlog.get_logger("headway.evaluate")

MAX_INTERVAL_SECONDS = 5.0
"""Maximum real seconds between evaluations by time alone, unless a factor allows more; and until changes that another
engine has polled are evaluated."""
PARTIAL_ROUNDS_FACTOR = 3.0
"""For this multiple of a full evaluation's duration only changes are evaluated, so that a change never waits long."""
SLICES_FACTOR, WHOLE_FACTOR = 15.0, 100.0
"""The same for an estate of several slices: until a slice is evaluated again, and until a full evaluation."""
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.05, 0.5
"""Changes within this time are evaluated together. The pause is as long as the last evaluation took, within these
limits, so that a flood of changes leaves half of the interpreter's time to the polls while an evaluation takes at most
MAX_PAUSE_SECONDS."""


@contextmanager
def gc_disabled(is_large: bool) -> Iterator[None]:
    """No garbage collection while many objects are created."""
    pauses = is_large and gc.isenabled()
    if pauses:
        gc.disable()
    try:
        yield
    finally:
        if pauses:
            gc.enable()


class Evaluator:
    """Evaluates on every change, and when time alone changes a decision."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        settings: EvaluationSettings,
        audience: AlertRouting,
        alerts_made: Callable[[], None],
    ) -> None:
        self._store, self._clock, self._settings, self._audience = store, clock, settings, audience
        self._alerts_made = alerts_made
        self._cycles: tuple[tuple[str, ...], ...] = ()
        self._before: Estate | None = None
        """The estate of the last evaluation."""
        self._cache: EvaluationCache | None = None
        """Cache passed from one evaluation to the next."""
        self._seen = 0
        """Number of that snapshot."""
        self._whole_at = 0.0
        """time.monotonic() of the next full evaluation."""
        self._whole_took = 0.0
        """Real seconds of the last one."""
        self._slices: TimeSlices | None = None
        self._quarantine = Quarantine()
        self._compared = DefinitionChanges(store)
        self._forecaster = ServiceForecaster()
        self.wake = threading.Event()
        self.pulse = Pulse()

    @property
    def seen(self) -> EvaluationCache | None:
        """The cache of the last evaluation, for other threads. None before the first."""
        return self._cache if self._before is not None else None

    @property
    def trouble(self) -> str:
        """Jobs that fail evaluation, as text; empty if none."""
        return self._quarantine.trouble

    @property
    def unforeseen(self) -> str:
        """Services that are forecast by sums of usual durations, as text; empty if all are simulated."""
        return self._forecaster.trouble

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Runs until `stopping`. Errors are raised: the supervisor restarts the worker and reports them."""
        while not stopping():
            self.wake.clear()
            self.pulse.beat()
            begun = time.monotonic()
            pause = self.step(fence)
            took = time.monotonic() - begun
            if not self._store.is_sqlite:  # another engine's pollers do not wake this one
                pause = min(pause, MAX_INTERVAL_SECONDS)
            self.pulse.beat(pause)
            if self.wake.wait(pause):
                wait_seconds(min(max(PAUSE_SECONDS, took), MAX_PAUSE_SECONDS))

    def step(self, fence: int) -> float:
        """Evaluates once; real seconds until time alone may change a decision."""
        failpoint("evaluate.before")
        begun = time.monotonic()
        now = self._clock.now()
        seq = self._store.changed_seq()
        seen = refresh_estate(self._store, now, self._settings, self._seen)
        estate = self._quarantine.without(seen.estate)
        self._cache = build_cache(estate, self._cache, seen.changed)
        slices = self._slices
        if slices is None or slices.shape is not self._cache.shape:
            slices = TimeSlices(self._cache.shape)
        part, due = estate, slices.due_jobs(begun)
        is_whole_due = self._before is None or begun >= self._whole_at
        # with another number of jobs, quarantined ones are back: no change reports that
        if not is_whole_due and self._before is not None and len(estate.jobs) == len(self._before.jobs):
            part = part_to_evaluate(self._before, estate, seen.changed, self._cache, due)
        with gc_disabled(part is estate):
            decisions = self._evaluated(with_notifications(self._store, part), now)
        if decisions is None:
            return PAUSE_SECONDS
        if part is not estate:
            decisions = replace(decisions, cycles=self._cycles)  # only a full evaluation decides it
        applied = apply_decisions(self._store, decisions, now, seq, fence, self._audience.routes, self._audience)
        failpoint("evaluate.after_commit")
        self._compared.keep()
        if decisions.cycles != self._cycles:
            self._cycles = decisions.cycles
            write = log.warning if decisions.cycles else log.info
            write("dependencies that lead back to themselves; none of them counts", paths=decisions.cycles)
        is_first = self._before is None  # alerts that waited for it are due
        self._before, self._seen = estate, seen.number
        if applied.alerts or is_first:
            self._alerts_made()
        ahead = inf  # real seconds until time alone may change a decision
        if decisions.next_at is not None:
            ahead = max((decisions.next_at - now) / timedelta(seconds=1) / max(self._clock.rate, 0.01), 0.2)
        ended = time.monotonic()
        if part is estate:
            self._whole_took = ended - begun
        is_sliced = slices is self._slices and slices.is_several and self._cache.links.incidents.are_all_placed
        self._slices, took = slices, self._whole_took
        change_at, soonest = ended + ahead, ended + MAX_INTERVAL_SECONDS
        slices.evaluated(part, due, change_at, max(soonest, ended + took * SLICES_FACTOR), part is estate)
        if not is_sliced:
            whole_at = max(min(change_at, soonest), ended + took * PARTIAL_ROUNDS_FACTOR if part is estate else 0.0)
            if part is estate:
                self._whole_at = whole_at
            elif part.jobs:
                self._whole_at = min(self._whole_at, whole_at)
        elif part is estate:
            self._whole_at = max(soonest, ended + took * WHOLE_FACTOR)
        next_at = min(self._whole_at, slices.next_at, soonest if is_sliced else inf)  # polls wake it for changes only
        return max(next_at - time.monotonic(), 0.05)

    def _evaluated(self, estate: Estate, now: datetime) -> Decisions | None:
        """The decisions; None if part of the estate fails, which the next step leaves out."""
        try:
            decisions = self._decide(estate, now)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - the others are evaluated nevertheless
            self._quarantine.find(estate, lambda part: evaluate(part, now), error)
            self._before = None
            return None
        self._quarantine.clear_if_empty()
        return decisions

    def _decide(self, estate: Estate, now: datetime) -> Decisions:
        """The decisions, with the changes since the last good runs of their causes, and what repaired them before."""
        decisions = evaluate(estate, now, cache=self._cache, foresee=self._forecaster)
        return self._with_memories(self._compared.again(decisions, estate.jobs))

    def _with_memories(self, decisions: Decisions) -> Decisions:
        """The decisions, with the earlier repairs of the failures that they notify."""
        notified = [incident for incident in decisions.incidents if incident.notices and not incident.closed]
        if not notified:
            return decisions
        with self._store.read() as session:
            changed = {incident.key: _with_memory(session, incident) for incident in notified}
        return replace(decisions, incidents=tuple(changed.get(same.key, same) for same in decisions.incidents))

    def estate(self) -> Estate:
        """The estate as an evaluation would see it now, for other threads."""
        return load_estate(self._store, self._clock.now(), self._settings)


def _with_memory(session: Session, incident: IncidentDecision) -> IncidentDecision:
    failure = incident.cause.failure
    known = incident.incident.id if isinstance(incident.incident, KnownIncident) else None
    return incident if failure is None else with_memory(incident, load_earlier(session, failure, known))
