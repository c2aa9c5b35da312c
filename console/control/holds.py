"""Which downstreams are held, let go and started, and when: rows and actions, decided from the picture and the time.

A hold goes placing → held → releasing → watching → (starting →) released; failed where it was never placed. Each move
follows the end of an action, or asks for one under a key that is made of what it is about: the same hold, asked for
twice, is one. One hold per job, however many upstreams, and one per period: what ended is not held again for it.

Placed: before a start by the clock, within the lead while an upstream is not good (reactive), or always (standing).
Not where a person paused the job, nor while a run of it goes on: Airflow schedules no further tasks of a paused DAG.
Let go: when every upstream that holds it is good, when no dependency wants it any more, when it started all the same,
or when its time is over. In that last case nothing is started, and it is said: what is so late is a person's matter.
Started: where the instant had passed before it was let go, and its source has been seen for WATCH after that without
a start: once. Where the instant is still ahead its own clock starts it; where its next one is so near that both would
start (`own_clock`), that one stands for what was kept back, and nothing is started.

Trigger: a job without a clock is started once for a business date, when all its upstreams are good. One with a clock
is started before its instant where its kind can start what is held (`starts_held`), and stays held until the instant
has passed, so that its clock cannot start it again; where the kind cannot, it waits for its clock. So a start is
neither lost nor doubled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from connectors.contract import Verb, instant_key
from console.clean import clean_line
from console.control.conditions import Policy, are_green, awaited, live_edges, names, policies
from console.control.expected import has_started
from console.control.own_clock import stands_in
from console.control.periods import business_date
from console.control.picture import Picture
from console.control.placing import AGAIN, New, never_arrived
from console.control.words import clock
from console.model.decisions import HoldDecision, NewAction
from console.model.ids import derived_key
from console.model.values import HoldFacts, HoldState, JobFacts, Mode, RunFacts

WATCH = timedelta(seconds=30)
"""A source that was seen for so long after a release, or after the instant, and shows no start, has made none."""
NEAR = timedelta(minutes=2)
"""What is let go closer to its instant than this is watched: its scheduler may have missed it."""
ASK_AGAIN = timedelta(minutes=5)
"""Until a release that was refused is asked for again."""
FOREVER = datetime.max.replace(tzinfo=UTC)
_UNDER_WAY = ("requested", "approved", "sending", "sent", "unknown")


@dataclass(slots=True)
class Holding:
    """All decisions of one evaluation, and the instants at which time alone makes others."""

    decisions: list[HoldDecision] = field(default_factory=list)
    turns: list[datetime] = field(default_factory=list)


def holding(picture: Picture) -> Holding:
    """What becomes of every open hold, then which jobs are held or started now; in the order of keys, then of jobs."""
    found = Holding()
    wanted = policies(picture)
    for hold in picture.estate.holds:
        job = picture.estate.jobs.get(hold.job_id)
        if job is None or hold.state.is_over or hold.state is HoldState.FOUND:
            continue
        one = _Open(picture, hold, job, wanted.get(hold.job_id)).step()
        found.decisions += [one] if one is not None else []
        found.turns += [at for at in _turns(hold) if at > picture.now]
    taken = {hold.job_id for hold in picture.estate.holds if not hold.state.is_over}
    for job_id, policy in wanted.items():
        if job_id not in taken:
            new = New(picture, policy)
            found.decisions += [one] if (one := new.decide()) is not None else []
            found.turns += [at for at in new.turns() if at > picture.now]
    return found


def has_run(picture: Picture, hold: HoldFacts) -> bool:
    """True when the start that it kept back came all the same, by whoever made it; a skipped run needs none."""
    since = hold.placed_at or FOREVER
    for run in picture.runs.get(hold.job_id, ()):
        if not has_started(run):
            continue
        if hold.period_key and run.period_key == hold.period_key:
            return True
        started = run.first_started_at
        if started is not None and started >= since and (run.period_at or FOREVER) >= (hold.due_at or FOREVER):
            return run.period_at is not None or run.bd == hold.bd
    return False


def _turns(hold: HoldFacts) -> Iterator[datetime]:
    yield hold.until
    if hold.due_at is not None:
        yield hold.due_at
        yield hold.due_at + WATCH
    if hold.released_at is not None:
        yield hold.released_at + WATCH


class _Open:
    """One hold that is not over, at one moment."""

    def __init__(self, picture: Picture, hold: HoldFacts, job: JobFacts, policy: Policy | None) -> None:
        self._picture = picture
        self._now = picture.now
        self._hold = hold
        self._job = job
        self._policy = policy
        self._name = clean_line(job.name)

    def step(self) -> HoldDecision | None:
        """What becomes of it now; None when nothing does."""
        steps = {
            HoldState.PLACING: self._placing,
            HoldState.HELD: self._held,
            HoldState.RELEASING: self._releasing,
            HoldState.WATCHING: self._watching,
            HoldState.STARTING: self._starting,
        }
        return steps[self._hold.state]()

    def _to(
        self, state: HoldState, event: str = "", action: NewAction | None = None, **changes: object
    ) -> HoldDecision:
        if state.is_over:
            changes["ended_at"] = self._now
        hold = replace(self._hold, state=state, **changes)  # type: ignore[arg-type]  # by field name
        return HoldDecision(hold, self._hold.state, action, event=event)

    # placing
    def _placing(self) -> HoldDecision | None:
        placed, due = self._hold.place, self._hold.due_at
        if placed is None or placed.state in ("refused", "failed"):
            words = placed.words if placed is not None else "it was never asked for"
            return self._to(HoldState.FAILED, f"{self._name} could not be held: {words}", words=words)
        if placed.state == "verified":
            event = f"{self._name} is held {self._hold.words}".rstrip()
            return self._to(HoldState.HELD, event, placed_at=placed.ended_at or self._now)
        if placed.state == "requested" and due is not None and due <= self._now:
            words = "nobody could send it before its start"
            given_up = self._to(HoldState.FAILED, f"{self._name} was not held: {words}", words=words)
            return replace(given_up, withdraws=self._hold.key)
        return None

    # held
    def _held(self) -> HoldDecision | None:
        if self._may_not_send():
            return None
        why = self._why_let_go()
        if not why:
            return self._started_early()
        last = self._hold.release
        if last is not None and last.ended_at is not None:
            pause = AGAIN if last.unsent else ASK_AGAIN
            if self._now - last.ended_at < pause:
                return None
        key = derived_key(self._hold.release_key or self._hold.key, "release")
        action = NewAction(key, Verb.RELEASE, self._job.id, parameters={"hold": self._hold.key}, why=why)
        return self._to(HoldState.RELEASING, f"{self._name} is let go: {why}", action, release_key=key, words=why)

    def _may_not_send(self) -> bool:
        modes = self._picture.estate.modes
        if modes.frozen is not None:
            return True
        return not modes.system_is_live(self._job.system) and not self._live_edge()

    def _live_edge(self) -> bool:
        return self._policy is not None and bool(live_edges(self._picture, self._policy))

    def _why_let_go(self) -> str:
        """Why it need not be held any more; empty while it must."""
        hold = self._hold
        if self._now >= hold.until:
            return f"its time is over{self._still_awaited()}"
        if hold.kind == "person":
            return ""
        if has_run(self._picture, hold):
            early = hold.start_key is not None
            return "" if early and not self._passed() else "its run has started"
        if self._policy is None:
            return "no dependency holds it any more"
        if self._waits() or self._now < (hold.due_at or self._now) - self._policy.lead:
            return ""
        if self._starts_early() and not self._passed():
            return ""
        return f"{names(self._picture, self._policy.edges)} is good"

    def _passed(self) -> bool:
        """True when the clock's own start can come no more."""
        return self._hold.due_at is None or self._now >= self._hold.due_at + NEAR

    def _waits(self) -> bool:
        hold, policy = self._hold, self._policy
        if policy is None or hold.bd is None:
            return False
        return bool(awaited(self._picture, policy.edges, hold.bd, hold.due_at or self._now))

    def _still_awaited(self) -> str:
        hold, policy = self._hold, self._policy
        if policy is None or hold.bd is None:
            return ""
        left = awaited(self._picture, policy.edges, hold.bd, hold.due_at or self._now)
        return f"; {names(self._picture, left)} is not good" if left else ""

    # started before its clock, and held on
    def _starts_early(self) -> bool:
        hold = self._hold
        if hold.mode is not Mode.TRIGGER or not self._job.starts_held or self._policy is None or hold.bd is None:
            return False
        return are_green(self._picture, self._policy.edges, hold.bd, hold.due_at or self._now)

    def _started_early(self) -> HoldDecision | None:
        hold = self._hold
        if hold.kind == "person" or hold.due_at is None or hold.due_at <= self._now or not self._starts_early():
            return None
        if hold.start_key is not None and not never_arrived(hold.start, self._now):
            return None
        why = f"{names(self._picture, self._policy.edges if self._policy else ())} is good"
        action = self._start(why, overlap="refuse")  # nothing ran when it was held: what runs was started by a person
        event = f"{self._name} is started before its clock, and held until its instant has passed: {why}"
        return self._to(HoldState.HELD, event, action, start_key=action.key)

    def _start(self, why: str, overlap: str = "queue") -> NewAction:
        hold = self._hold
        key = derived_key(hold.start_key or hold.key, "start")
        parameters = {} if hold.due_at is None else {"period_at": instant_key(hold.due_at)}
        origin = "trigger" if hold.mode is Mode.TRIGGER else "hold"
        return NewAction(key, Verb.START, self._job.id, hold.period_key, parameters, why, origin, overlap)

    # let go
    def _releasing(self) -> HoldDecision | None:
        release = self._hold.release
        if release is None or release.state in ("refused", "failed"):
            words = release.words if release is not None else "it was never asked for"
            return self._to(HoldState.HELD, f"{self._name} is still held: {words}", words=words)
        if release.state != "verified":
            return None
        released = release.ended_at or self._now
        kept_back = self._kept_back(released)
        if kept_back is None:
            return self._to(HoldState.WATCHING, released_at=released)
        return self._to(
            HoldState.WATCHING,
            released_at=released,
            due_at=kept_back.period_at,
            period_key=kept_back.period_key,
            bd=kept_back.bd,
        )

    def _kept_back(self, released: datetime) -> RunFacts | None:
        """The last run whose instant passed while it was held: one start stands for all of them."""
        since = self._hold.placed_at or released
        late = [
            run
            for run in self._picture.runs.get(self._job.id, ())
            if not has_started(run) and run.period_at is not None and since <= run.period_at <= released
        ]
        return late[-1] if late else None

    def _watching(self) -> HoldDecision | None:
        hold = self._hold
        released = hold.released_at or self._now
        if has_run(self._picture, hold):
            return self._to(HoldState.RELEASED, words="its run has started")
        if hold.due_at is None:
            return self._to(HoldState.RELEASED, words="nothing came due while it was held")
        if hold.due_at - released > NEAR:
            words = f"its own clock starts it at {clock(hold.due_at, self._job.zone, self._now)}"
            return self._to(HoldState.RELEASED, words=words)
        refused = hold.start is not None and hold.start.state == "refused"  # before its clock: nothing was started
        if hold.start_key is not None and not refused and not never_arrived(hold.start, self._now):
            return self._to(HoldState.STARTING)
        is_absent = self._start_is_absent(max(released, hold.due_at))
        own = stands_in(self._job, hold.due_at, released, self._now)
        if own is not None and (is_absent or hold.due_at <= released):
            return self._left_to_its_clock(own, released)
        if not is_absent:
            return None
        if hold.kind != "person" and released >= hold.until:
            why = self._still_awaited() or "; it was too late to start it"
            words = f"let go at {clock(released, self._job.zone, self._now)} and not started{why}"
            return self._to(HoldState.RELEASED, f"{self._name} was {words}", words=words)
        if self._may_not_send():
            return None
        action = self._start("its instant had passed while it was held, and no start came")
        event = f"{self._name} is started: no start of its own came after it was let go"
        return self._to(HoldState.STARTING, event, action, start_key=action.key)

    def _left_to_its_clock(self, own: datetime, released: datetime) -> HoldDecision:
        """Its next instant stands for what was kept back. One that is near is watched: its scheduler may miss it."""
        is_near = own - released <= NEAR and (self._hold.due_at or own) <= released
        words = f"nothing is started: its own clock starts it at {clock(own, self._job.zone, self._now)}"
        return self._to(
            HoldState.WATCHING if is_near else HoldState.RELEASED,
            f"{self._name} was let go, {words}",
            due_at=own,
            period_key=instant_key(own),
            bd=business_date(own, None, self._job.zone, self._job.cutoff),
            words=words,
        )

    def _start_is_absent(self, since: datetime) -> bool:
        """A source that proves no absence of starts (AWS) is believed when it answers."""
        target = self._picture.estate.targets.get(self._job.target_id)
        proved = since + WATCH
        if target is None or self._now < proved:
            return False
        return (target.seen_until or target.last_ok_at or _LONG_AGO) >= proved

    # started
    def _starting(self) -> HoldDecision | None:
        start = self._hold.start
        if has_run(self._picture, self._hold) or (start is not None and start.state in ("sent", "verified")):
            return self._to(HoldState.RELEASED, words="started by Headway")
        if start is None:
            return self._to(HoldState.RELEASED, f"{self._name} was not started: it was never asked for")
        if start.state in _UNDER_WAY:
            return None
        if not start.unsent or self._now >= self._hold.until:
            return self._to(HoldState.RELEASED, f"{self._name} was not started: {start.words}", words=start.words)
        if self._may_not_send() or not never_arrived(start, self._now):
            return None
        hold = self._hold
        if hold.due_at is not None and hold.released_at is not None:
            own = stands_in(self._job, hold.due_at, hold.released_at, self._now)
            if own is not None:
                return self._left_to_its_clock(own, hold.released_at)
        action = self._start("the first one never arrived")
        return self._to(HoldState.STARTING, f"{self._name} is started once more: {start.words}", action,
                        start_key=action.key)  # fmt: skip


_LONG_AGO = datetime.min.replace(tzinfo=UTC)
