"""One hold that is not over, at one moment: what its steps have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from connectors.contract import Evidence, State, Verb, instant_key
from console.clean import clean_line
from console.control.conditions import Policy, awaited, live_edges, spared, unmet_words
from console.control.expected import expects_nothing, has_started
from console.control.periods import business_date
from console.control.picture import Picture
from console.control.sight import out_of_sight
from console.model.decisions import HoldDecision, NewAction
from console.model.holds import ActionFacts, HoldFacts
from console.model.ids import derived_key
from console.model.values import DependencyFacts, JobFacts, RunFacts, Settings, TargetFacts
from console.model.words import NOT_NEEDED, HoldState, Mode

NEAR = timedelta(minutes=2)
"""What is let go closer to its instant than this is watched: its scheduler may have missed it."""
ASK_AGAIN = timedelta(minutes=5)
"""Until a release that was refused is asked for again; from then on the pause doubles."""
SELDOM = timedelta(hours=1)
"""The longest pause between two of them."""
LATE = timedelta(minutes=5)
"""What was let go in time is started so long after its time was over, and no later: an engine may have been away."""
TOO_LATE = "it was too late to start it"
HAS_RUN = "its run has started"
FOREVER = datetime.max.replace(tzinfo=UTC)


def has_run(runs: Iterable[RunFacts], hold: HoldFacts) -> bool:
    """True when the start that it kept back came all the same, by whoever made it; a skipped run needs none. `runs`:
    of its job. A trigger without a clock keeps none back: there it is any run of its business date."""
    if hold.kind == "trigger":
        return ran_on(runs, hold.bd)
    since = hold.placed_at or FOREVER
    for run in runs:
        if not has_started(run):
            continue
        if hold.period_key and run.period_key == hold.period_key:
            return True
        started = run.first_started_at
        if started is not None and started >= since and (run.period_at or FOREVER) >= (hold.due_at or FOREVER):
            return run.period_at is not None or run.bd == hold.bd
    return False


def ran_on(runs: Iterable[RunFacts], bd: date | None) -> bool:
    """True when one of them is of that business date, and has started."""
    return any(run.bd == bd and has_started(run) for run in runs)


def named_run(job: JobFacts, at: datetime) -> RunFacts:
    """The start that its source only names: no run is expected by it, so it has no row."""
    bd = business_date(at, None, job.zone, job.cutoff)
    return RunFacts(0, job.id, instant_key(at), at, bd, State.PLANNED, Evidence.INFERRED)


def next_start(picture: Picture, job: JobFacts, since: datetime) -> RunFacts | None:
    """The first start after `since` by its accepted schedule that has not come; of a source that only names it (no run
    is expected by it), without a row."""
    if expects_nothing(job):
        named = job.schedule.next_at
        return named_run(job, named) if named is not None and named > picture.now else None
    ahead = (
        run
        for run in picture.runs.get(job.id, ())
        if run.state in (State.PLANNED, State.HELD) and not has_started(run)
        if run.period_at is not None and run.period_at > since
    )
    return min(ahead, key=lambda run: run.period_at or since, default=None)


def is_too_late(hold: HoldFacts, now: datetime) -> bool:
    """True when it is not started any more."""
    return now >= max(hold.until, hold.released_at or hold.until) + LATE


def not_owed(hold: HoldFacts, runs: Iterable[RunFacts], now: datetime) -> str:
    """Why the start that was asked for it is not made any more, in words; empty while it is owed. `runs`: of its job.
    Asked right before the start leaves, too: it may have waited for hours."""
    if hold.state.is_over or hold.state is HoldState.CLEARING:
        return hold.words or "the hold is over"
    if has_run(runs, hold):
        return HAS_RUN
    return TOO_LATE if is_too_late(hold, now) else ""


def may_have_run(target: TargetFacts | None, now: datetime) -> bool:
    """True where nobody has looked lately whether it ran by itself: first its source is seen again."""
    return target is None or target.failing_since is not None or out_of_sight(target, now, Settings())


class OpenHold:
    """What is known of it, and what any of its steps may do."""

    def __init__(self, picture: Picture, hold: HoldFacts, job: JobFacts, policy: Policy | None) -> None:
        self._picture = picture
        self._now = picture.now
        self._hold = hold
        self._job = job
        self._policy = policy
        self._name = clean_line(job.name)

    def _to(
        self, state: HoldState, event: str = "", action: NewAction | None = None, **changes: object
    ) -> HoldDecision:
        if state.is_over:
            changes["ended_at"] = self._now
        hold = replace(self._hold, state=state, **changes)  # type: ignore[arg-type]  # by field name
        start = self._hold.start
        waits = state.is_over and start is not None and start.state == "requested"
        return HoldDecision(hold, self._hold.state, action, hold.start_key or "" if waits else "", event)

    def _runs(self) -> Iterable[RunFacts]:
        return self._picture.runs.get(self._hold.job_id, ())

    def _kept_back(self, until: datetime) -> RunFacts | None:
        """The last run whose instant lies between its placing and `until`: one start stands for all of them."""
        since = self._hold.placed_at or until
        late = [
            run
            for run in self._runs()
            if not has_started(run) and run.period_at is not None and since <= run.period_at <= until
        ]
        if late or self._hold.due_at is None or not expects_nothing(self._job):
            return late[-1] if late else None
        return named_run(self._job, self._hold.due_at) if self._hold.due_at <= until else None

    def _may_not_send(self) -> bool:
        modes = self._picture.estate.modes
        if modes.frozen is not None:
            return True
        return not modes.system_is_live(self._job.system) and not self._live_edges()

    def _live_edges(self) -> list[DependencyFacts]:
        return live_edges(self._picture, self._policy) if self._policy is not None else []

    def _rests(self, last: ActionFacts, since: datetime, pause: timedelta = ASK_AGAIN) -> bool:
        """True while it is too early to ask once more for what ended unfulfilled; the first time it did so `since`."""
        if last.ended_at is None:
            return False
        return self._now - last.ended_at < min(SELDOM, max(pause, last.ended_at - since))

    def _still_awaited(self) -> str:
        """What its dependencies wait for, behind why something is done or not; empty where that is good."""
        return self._not_good(self._policy.edges if self._policy is not None else ())

    def _not_needed(self) -> str:
        """Why its job need not run, in words: what it waits to see failed is good; empty where it may have to."""
        hold = self._hold
        if self._policy is None or hold.bd is None or hold.kind == "person":
            return ""
        found = spared(self._picture, self._policy.edges, hold.bd, hold.due_at or self._now)
        return f"{NOT_NEEDED}{unmet_words(self._picture, found)}" if found else ""

    def _passed(self) -> bool:
        """True when the clock's own start can come no more."""
        return self._hold.due_at is None or self._now >= self._hold.due_at + NEAR

    def _reads(self) -> str:
        """The same of all that it reads, whether a dependency holds it for that or only watches."""
        of, job_id, edges = self._picture.graph.unit, self._job.id, self._picture.estate.dependencies
        return self._not_good(each for each in edges if of(each.downstream_id) == job_id != of(each.upstream_id))

    def _not_good(self, edges: Iterable[DependencyFacts]) -> str:
        hold = self._hold
        left = awaited(self._picture, edges, hold.bd, hold.due_at or self._now) if hold.bd is not None else ()
        return f"; {unmet_words(self._picture, left)}" if left else ""

    def _start(self, why: str, overlap: str = "queue") -> NewAction:
        hold = self._hold
        key = derived_key(hold.start_key or hold.key, "start")
        parameters = {} if hold.due_at is None else {"period_at": instant_key(hold.due_at)}
        origin = "trigger" if hold.mode is Mode.TRIGGER else "hold"
        return NewAction(key, Verb.START, self._job.id, hold.period_key, parameters, why, origin, overlap)
