"""An open hold, with the helpers that the steps of all its states share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import Verb
from console.control.holds.conditions import (
    HoldPolicy,
    awaited_edges,
    edges_never_met,
    live_edges,
    unmet_condition_text,
)
from console.control.holds.starts import named_run
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import has_no_clock, has_started
from console.domain.decision import HoldDecision, PolicyAction
from console.domain.dependency import DependencyMode
from console.domain.estate import DependencyFacts, JobFacts, RunFacts
from console.domain.hold import HoldActionFacts, HoldFacts, HoldReason, HoldState
from console.domain.ids import derived_key
from console.domain.text import Text
from console.text.cleaning import clean_line

NEAR = timedelta(minutes=2)
"""A hold released closer to its start than this is watched: the scheduler may have missed it."""
RETRY_PAUSE = timedelta(seconds=30)
"""Pause before an undelivered or refused request is repeated."""
RELEASE_RETRY_PAUSE = timedelta(minutes=5)
"""First pause before a refused release is requested again; then it doubles."""
MAX_RELEASE_PAUSE = timedelta(hours=1)


def never_arrived(action: HoldActionFacts | None, now: datetime) -> bool:
    """True if an action ended without arriving, long enough ago to repeat it."""
    if action is None:
        return True
    return action.unsent and action.ended_at is not None and now - action.ended_at >= RETRY_PAUSE


class OpenHold:
    """An open hold, and the helpers of its steps."""

    def __init__(self, index: EstateIndex, hold: HoldFacts, job: JobFacts, policy: HoldPolicy | None) -> None:
        self._index = index
        self._now = index.now
        self._hold = hold
        self._job = job
        self._policy = policy
        self._name = clean_line(job.name)

    def _to(
        self, state: HoldState, event: Text = (), action: PolicyAction | None = None, **changes: object
    ) -> HoldDecision:
        """The decision that moves the hold; it keeps its reason and detail if neither is given."""
        if state.is_over:
            changes["ended_at"] = self._now
        if "reason" in changes or "detail" in changes:
            changes = {"reason": HoldReason.OTHER, "detail": (), **changes}
        hold = replace(self._hold, state=state, **changes)  # type: ignore[arg-type]  # by field name
        start = self._hold.start
        waits = state.is_over and start is not None and start.state == "requested"
        return HoldDecision(hold, self._hold.state, action, hold.start_key or "" if waits else "", event)

    def _runs(self) -> Iterable[RunFacts]:
        return self._index.runs.get(self._hold.job_id, ())

    def _prevented_run(self, until: datetime) -> RunFacts | None:
        """The last run whose instant lies between its placing and `until`; one start replaces all of them."""
        since = self._hold.placed_at or until
        waiting = (run for run in self._runs() if not has_started(run) and run.period_at is not None)
        late = [run for run in waiting if since <= (run.period_at or until) <= until]
        if late or self._hold.due_at is None or not has_no_clock(self._job):
            return late[-1] if late else None
        return named_run(self._job, self._hold.due_at) if self._hold.due_at <= until else None

    def _may_not_send(self) -> bool:
        modes = self._index.estate.modes
        if modes.frozen is not None:
            return True
        return not modes.system_is_live(self._job.system) and not self._live_edges()

    def _live_edges(self) -> list[DependencyFacts]:
        return live_edges(self._index, self._policy) if self._policy is not None else []

    def _is_retry_early(self, last: HoldActionFacts, since: datetime, pause: timedelta = RELEASE_RETRY_PAUSE) -> bool:
        if last.ended_at is None:
            return False
        return self._now - last.ended_at < min(MAX_RELEASE_PAUSE, max(pause, last.ended_at - since))

    def _still_awaited(self) -> str:
        return self._not_good(self._policy.edges if self._policy is not None else ())

    def _never_met(self) -> str:
        """The failure of an upstream that the hold waits for and that will not happen; empty without one."""
        hold = self._hold
        if self._policy is None or hold.business_date is None or hold.kind == "person":
            return ""
        edges = edges_never_met(self._index, self._policy.edges, hold.business_date, hold.due_at or self._now)
        return unmet_condition_text(self._index.estate.jobs, edges)

    def _passed(self) -> bool:
        return self._hold.due_at is None or self._now >= self._hold.due_at + NEAR

    def _not_good(self, edges: Iterable[DependencyFacts]) -> str:
        hold = self._hold
        if hold.business_date is None:
            return ""
        awaited = awaited_edges(self._index, edges, hold.business_date, hold.due_at or self._now)
        return f"; {unmet_condition_text(self._index.estate.jobs, awaited)}" if awaited else ""

    def _start(self, why: str, overlap: str = "queue") -> PolicyAction:
        hold = self._hold
        key = derived_key(hold.start_key or hold.key, "start")
        parameters = {} if hold.due_at is None else {"period_at": instant_key(hold.due_at)}
        origin = "trigger" if hold.mode is DependencyMode.TRIGGER else "hold"
        return PolicyAction(key, Verb.START, self._job.id, hold.period_key, parameters, (why,), origin, overlap)
