"""A night with two schedulers that support holds: their own starts, the decisions, and the outcomes.

Time goes in steps. In each the world moves (the upstream ends, a clock starts what is neither held nor paused), action
requests arrive, a poll reports it, unless it is late, and an evaluation is stored whole or, at a crash, not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import RunState, Verb
from console.control.evaluate import evaluate
from console.control.expectations.expected_runs import expect_runs
from console.control.holds.starts import may_have_run, start_refusal
from console.control.holds.state_machine import decide_holds
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import without_own_pauses
from console.domain.decision import Decisions, HoldDecision, PolicyAction
from console.domain.dependency import DependencyMode, DependencyOrigin
from console.domain.estate import DependencyFacts, Estate, JobFacts
from console.domain.hold import HoldActionFacts, HoldFacts, HoldReason, HoldState
from console.domain.switches import Modes
from tests.control.ledger import Ledger
from tests.factories import at, estate, job, target
from tests.properties import PROFILE
from tests.reasons import zoned

WHOLE_PROFILES = {"deep", "search"}
STEP = timedelta(seconds=30)
TWICE_EVERY = 10
"""In minutes: a second decision is the same, and in a deep run that of a whole evaluation. Also checked whenever a hold
is decided about."""
EXTRACT = job(1, "etl-hosts/db07:extract", "03:10")
LOAD = job(2, "warehouse/load", "04:00", target_id=2)
TAKES = timedelta(minutes=5)
"""How long the downstream runs."""
DUE = at("04:00")
PERIOD = instant_key(DUE)


def hold_edge(
    mode: DependencyMode = DependencyMode.HOLD, up: JobFacts = EXTRACT, down: JobFacts = LOAD, **more: object
) -> DependencyFacts:
    return replace(DependencyFacts(up.id, down.id, DependencyOrigin.DECLARED, mode), **more)  # type: ignore[arg-type]


@dataclass
class StagedAction:
    """One action on its way."""

    action: PolicyAction
    at: datetime
    state: str = "requested"
    text: str = ""
    ended_at: datetime | None = None


@dataclass
class Source:
    """The runs and marks at the downstream's scheduler."""

    mark: str | None = None
    undone: bool = False
    """A person enabled it, and left the mark."""
    paused: bool = False
    """By a person."""
    starts: list[tuple[datetime, str]] = field(default_factory=list)
    """When it really started, and by whom: "clock" or an action's key."""

    @property
    def asleep(self) -> bool:
        return self.paused or (self.mark is not None and not self.undone)


class Stage(Ledger):
    """The night over time. `latency`: how long an action takes; `reply`: what becomes of each (None: it arrives)."""

    def __init__(self, *edges: DependencyFacts, load: JobFacts = LOAD, extra: tuple[JobFacts, ...] = ()) -> None:
        jobs = (EXTRACT, load, *extra)
        hosts = [target(1), target(2, "warehouse", "warehouse")]
        super().__init__(estate(*jobs, feeds=edges or [hold_edge()], targets=hosts, services=[]))
        self.load = load
        self.has_rows = load.schedule.dialect != "none"
        """Whether runs are expected by its clock; of a clock that its source only names, none are."""
        self.now = at("03:00")
        self.source = Source()
        self.requested: dict[str, StagedAction] = {}
        self.held: dict[str, HoldFacts] = {}
        self.events: list[str] = []
        self.latency = timedelta(0)
        self.reply: Callable[[PolicyAction], str | None] = lambda _: None
        self.waits: Callable[[PolicyAction], bool] = lambda _: False
        """What cannot be sent now: it stays requested."""
        self.late: Callable[[datetime], bool] = lambda _: False
        self.crash: Callable[[datetime], bool] = lambda _: False
        self.script: dict[datetime, Callable[[], None]] = {}
        self.step = STEP
        self.reports_after = timedelta(0)
        """How long after a start its source tells of it."""
        self.whole = False
        """False: only what holds need is judged, which takes a tenth of the time. A test that asserts more sets it."""

    # queries of a test
    def until(self, clock: str) -> None:
        """Plays on to that time."""
        while self.now <= at(clock):
            self._world()
            self._arrive()
            if not self.late(self.now):
                self._polled()
            if not self.crash(self.now):
                self._evaluated()
            self.now += self.step

    def when(self, clock: str, do: Callable[[], None]) -> None:
        self.script[at(clock)] = do

    def extract_ends(self, state: RunState, started: str, ended: str) -> None:
        """The upstream's next attempt, with the given outcome."""
        end = at(ended) if not state.is_open else None
        self.run(EXTRACT, "03:10", state, started_at=at(started), ended_at=end)

    def hold(self) -> HoldFacts:
        """The only one."""
        (hold,) = self.held.values()
        return hold

    def started(self) -> list[tuple[datetime, str]]:
        return [(when, "clock" if by == "clock" else "headway") for when, by in self.source.starts]

    def sent(self) -> list[Verb]:
        return [action.action.verb for action in self.requested.values()]

    # the world
    def _world(self) -> None:
        if self.now in self.script:
            self.script[self.now]()
        if self.now == DUE and not self.source.asleep and (self.has_rows or self.load.schedule.next_at == DUE):
            self.source.starts.append((self.now, "clock"))

    def _arrive(self) -> None:
        for key, action in self.requested.items():
            if action.state not in ("requested", "sent") or self.now < action.at + self.latency:
                continue
            if action.state == "requested" and (self.waits(action.action) or self._stays(key, action)):
                continue
            answer = self.reply(action.action) if action.state == "requested" else None
            if answer is not None:
                action.state, action.text, action.ended_at = (
                    "failed" if "not sent" in answer else "refused",
                    answer,
                    self.now,
                )
            else:
                self._do(key, action)

    def _stays(self, key: str, action: StagedAction) -> bool:
        """The check right before a start is sent: is it pending, was its source seen, does it wait for its turn."""
        if action.action.verb is not Verb.START:
            return False
        hold = next(hold for hold in self._facts() if hold.start_key == key)
        runs = [run for run in self.estate.runs if run.job_id == self.load.id]
        if why := start_refusal(hold, runs, self.now):
            action.state, action.text, action.ended_at = "refused", why, self.now
        unseen = may_have_run(self.estate.targets[2], self.now)
        return bool(why) or unseen or any(self.now - TAKES < at <= self.now for at, _ in self.source.starts)

    def _do(self, key: str, action: StagedAction) -> None:
        """Compare-and-set, as every connector promises."""
        source, verb = self.source, action.action.verb
        if verb is Verb.START:
            if action.state == "requested":
                source.starts.append((self.now, key))
                action.state = "sent"
            elif self.now - action.at >= self.reports_after:
                action.state, action.ended_at = "verified", self.now
            return
        expected = None if verb is Verb.HOLD else action.action.parameters["hold"]
        if verb is Verb.RELEASE and action.action.parameters.get("enable") == "no" and source.mark == expected:
            source.mark, source.undone, action.state = None, False, "verified"
        elif source.mark != expected or (verb is Verb.HOLD and source.paused):
            action.state, action.text = "refused", "paused by a person" if source.paused else "that mark is not there"
        else:
            source.mark = key if verb is Verb.HOLD else None
            source.paused = False  # as Airflow: enabling knows of no second pause
            action.state = "verified"
        action.ended_at = self.now

    def _polled(self) -> None:
        seen = {1: self.now, 2: self.now if self.has_rows else None}
        targets = {
            number: replace(self.estate.targets[number], last_ok_at=self.now, seen_until=seen_until)
            for number, seen_until in seen.items()
        }
        asleep = self.now if self.source.asleep else None
        known = self.estate.jobs[self.load.id]
        since = (known.paused_since or asleep) if asleep else None
        self.estate = replace(
            self.estate,
            targets={**self.estate.targets, **targets},
            jobs={**self.estate.jobs, self.load.id: replace(known, paused_since=since)},
        )
        for number, (started, by) in enumerate(self.source.starts):
            if self.has_rows and started >= DUE - timedelta(hours=2):
                self._report_start(f"{DUE:%H:%M}", started, number)
            elif not self.has_rows:
                self._report_start(f"{started:%H:%M}", started, number)
            del by

    def _report_start(self, clock: str, started: datetime, number: int) -> None:
        is_notified = self.now - started >= self.reports_after
        if is_notified and number == 0:  # a second one is the test's finding, whatever its run would be called
            ended = started + TAKES
            state = RunState.SUCCEEDED if ended <= self.now else RunState.RUNNING
            done = {"ended_at": ended} if state is RunState.SUCCEEDED else {}
            self.run(
                self.load,
                clock,
                state,
                started_at=started,
                business_date=at("00:00").date() - timedelta(days=1),
                **done,
            )

    # the engine
    def _evaluated(self) -> None:
        observed = replace(self.estate, holds=self._facts())
        decisions = self._decided(observed)
        if decisions.holds or self.now.minute % TWICE_EVERY == 0:
            assert decisions == self._decided(observed)
            if PROFILE in WHOLE_PROFILES:
                assert decisions.holds == evaluate(observed, self.now).holds
        self.keep(decisions, self.now)
        for hold in decisions.holds:
            self._keep_hold(hold)

    def _decided(self, observed: Estate) -> Decisions:
        if self.whole:
            return evaluate(observed, self.now)
        observed = without_own_pauses(observed)
        due = expect_runs(observed, self.now)
        held = decide_holds(EstateIndex(observed, self.now, due.runs, due.withdrawn))
        return Decisions(expected=due.runs, withdrawn=due.withdrawn, holds=tuple(held.decisions))

    def _keep_hold(self, hold: HoldDecision) -> None:
        known = self.held.get(hold.hold.key)
        if (known.state if known is not None else None) is not hold.was:
            return
        self.held[hold.hold.key] = hold.hold
        self.events += [zoned(hold.event)] if hold.event else []
        if hold.withdraws and self.requested[hold.withdraws].state == "requested":
            self.requested[hold.withdraws].state = "refused"
        if hold.action is not None and hold.action.key not in self.requested:
            self.requested[hold.action.key] = StagedAction(hold.action, self.now)

    def _facts(self) -> tuple[HoldFacts, ...]:
        def facts(key: str | None) -> HoldActionFacts | None:
            action = self.requested.get(key or "")
            if action is None:
                return None
            return HoldActionFacts(
                action.state, action.text, action.ended_at, action.text.startswith("not sent"), action.action.origin
            )

        return tuple(
            replace(hold, place=facts(hold.key), release=facts(hold.release_key), start=facts(hold.start_key))
            for _, hold in sorted(self.held.items())
        )

    def reconciled(self) -> None:
        """As after two polls of the source: a job that is not held there was released by a person."""
        for key, hold in self.held.items():
            if hold.state is HoldState.HELD and self.source.mark != key:
                self.held[key] = replace(
                    hold, state=HoldState.RELEASED, ended_at=self.now, reason=HoldReason.MARK_GONE, detail=()
                )
            elif hold.state is HoldState.HELD and self.source.undone:
                self.held[key] = replace(
                    hold, state=HoldState.CLEARING, released_at=self.now, reason=HoldReason.ENABLED_AT_SOURCE, detail=()
                )

    def freeze(self, modes: Modes) -> None:
        self.estate = replace(self.estate, modes=modes)
