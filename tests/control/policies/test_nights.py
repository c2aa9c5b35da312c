"""Nights with repairs of every kind: no policy acts beyond a limit, on a job that a person decides about, after its
breaker has opened, or twice on an attempt; and no service is later than without policies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

import pytest

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.alert import AcknowledgementFacts
from console.domain.decision import Decisions
from console.domain.estate import Estate, JobFacts, RunFacts
from console.domain.job import Safety
from console.domain.policy import Policy, PolicyLimits, PolicyMatch, PolicyRepair, RepairAction
from console.domain.service import DELIVERED
from console.domain.settings import Declared
from console.domain.switches import SwitchState
from tests.control.ledger import Ledger
from tests.deep import few, some
from tests.factories import at, estate, feeds, job, minutes, service

SAFE = [job(number, f"hosts/safe{number}", rerun=Safety.SAFE, expected=minutes(10)) for number in range(1, 7)]
GUARDED = [job(7, "hosts/ask", rerun=Safety.ASK), job(8, "hosts/never", rerun=Safety.NEVER)]
FIRST = Policy("first", "rerun", PolicyMatch(jobs=tuple(job.name for job in SAFE[:4])), mode="active", breaker=3,
               limits=PolicyLimits(per_run=2, per_job_and_day=9, per_hour=5))  # fmt: skip
REST = Policy("rest", "rerun", mode="active", breaker=2, limits=PolicyLimits(per_run=9, per_job_and_day=2, per_hour=2))
POLICIES = {policy.name: policy for policy in (FIRST, REST)}
TICKS, TICK = 20, minutes(9)


@dataclass
class Scheduler:
    """A scheduler whose reruns end in one of several ways, some of which it does not report truly."""

    ledger: Ledger
    random: Random
    sent: list[PolicyRepair] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    ways: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """Action key -> how its rerun ends, and when it was sent."""
    waiting: list[PolicyRepair] = field(default_factory=list)
    """Requested, and not sent yet."""

    def accept(self, repair: PolicyRepair, now: datetime) -> None:
        """Sends it, or lets it wait."""
        assert repair.action is not None
        if repair not in self.sent:
            self.sent.append(repair)
        if self.random.random() < 0.3:
            self.waiting.append(repair)
            return
        way = self.random.choice(("good", "good", "bad", "bad", "flaps", "lies", "lost", "refused", "unsent"))
        self.results[way] += 1
        self.ways[repair.action.key] = way, now

    def advance(self, now: datetime) -> None:
        """What is known of each rerun after so much time."""
        for repair in self.ledger.estate.policy_repairs:
            if repair.action is not None and repair.action.key in self.ways:
                way, since = self.ways[repair.action.key]
                self._report(repair, way, round((now - since) / TICK), now)

    def _report(self, repair: PolicyRepair, way: str, ticks: int, now: datetime) -> None:
        state, attempt = {
            "good": ("sent", RunState.RUNNING) if ticks < 2 else ("verified", RunState.SUCCEEDED),
            "bad": ("sent", RunState.RUNNING) if ticks < 2 else ("failed", RunState.FAILED),
            "flaps": ("verified", RunState.SUCCEEDED if ticks < 3 else RunState.FAILED),
            "lies": ("verified", None),
            "lost": ("unknown", None) if ticks < 8 else ("failed", None),
            "refused": ("refused", None),
            "unsent": ("failed", None),
        }[way]
        if attempt is not None:
            self._run(repair, attempt, ticks, now)
        ended = None if state in ("sent", "unknown") else now
        assert repair.action is not None
        if repair.action.state != state:
            self._move(repair, RepairAction(repair.action.key, state, way == "unsent", ended))

    def withdraw(self, key: str, now: datetime) -> None:
        [repair] = [known for known in self.waiting if known.action and known.action.key == key]
        self.waiting.remove(repair)
        self.results["withdrawn"] += 1
        self._move(repair, RepairAction(key, "refused", ended_at=now))

    def _move(self, repair: PolicyRepair, action: RepairAction) -> None:
        repairs = self.ledger.estate.policy_repairs
        changed = tuple(replace(known, action=action) if known == repair else known for known in repairs)
        self.ledger.estate = replace(self.ledger.estate, policy_repairs=changed)

    def _run(self, repair: PolicyRepair, state: RunState, ticks: int, now: datetime) -> None:
        run = self.run(repair.run_id)
        if run is None or (run.state, run.attempt) == (state, repair.attempt + 1) or run.attempt > repair.attempt + 1:
            return
        ended = None if state.is_open else now
        changed = replace(
            run, state=state, attempt=repair.attempt + 1, started_at=now if ended is None else run.started_at,
            ended_at=ended, message="ERROR: Connection refused" if state.is_red else "",
        )  # fmt: skip
        runs = tuple(changed if known.id == run.id else known for known in self.ledger.estate.runs)
        self.ledger.estate = replace(self.ledger.estate, runs=runs)

    def run(self, run_id: int) -> RunFacts | None:
        return next((run for run in self.ledger.estate.runs if run.id == run_id), None)


def failures(repairs: tuple[PolicyRepair, ...], policy: str, closed: datetime | None) -> int:
    """Its repairs that were sent and failed since then."""
    ended = [
        repair.action.ended_at
        for repair in repairs
        if repair.policy == policy and repair.action and repair.action.state == "failed" and not repair.action.unsent
    ]
    return sum(at is not None and (closed is None or at > closed) for at in ended)


def assert_permitted(
    repair: PolicyRepair, sent: list[PolicyRepair], whole: Estate, closed: datetime | None, at_once: int
) -> None:
    """`sent`: before it; `whole`: the estate on which it was decided; `closed`: when its breaker was last closed;
    `at_once`: the repairs of its policy that the same evaluation requested before it."""
    policy, limits = POLICIES[repair.policy], POLICIES[repair.policy].limits
    own = [known for known in sent if known.policy == repair.policy]
    assert repair.job_id in {job.id for job in SAFE}
    assert policy is (FIRST if repair.job_id <= 4 else REST), "the first that matches"
    assert (repair.run_id, repair.attempt) not in {(known.run_id, known.attempt) for known in sent}
    assert len([known for known in own if known.run_id == repair.run_id]) < limits.per_run
    of_day = [known for known in own if (known.job_id, known.business_date) == (repair.job_id, repair.business_date)]
    assert len(of_day) < limits.per_job_and_day
    assert len([known for known in own if known.at > repair.at - minutes(60)]) < limits.per_hour
    in_flight = [known for known in whole.policy_repairs if known.policy == repair.policy and known.action
                 and known.action.in_flight]  # fmt: skip
    assert failures(whole.policy_repairs, repair.policy, closed) + len(in_flight) + at_once < policy.breaker
    of_run = [known.action for known in whole.policy_repairs if known.run_id == repair.run_id and known.action]
    assert not [action for action in of_run if action.state == "verified" or action.in_flight]
    assert_not_stopped(repair, whole, closed, repair.at)


def assert_not_stopped(repair: PolicyRepair, whole: Estate, closed: datetime | None, now: datetime) -> None:
    """No person has decided about it by now, and its breaker is closed."""
    assert failures(whole.policy_repairs, repair.policy, closed) < POLICIES[repair.policy].breaker
    assert whole.modes.frozen is None
    assert "paused" not in {state.value for name, state in whole.modes.policies.items() if name == repair.policy}
    assert repair.run_id not in whole.planned_repairs
    acknowledged = {number for number, ack in whole.notifications.acks.items() if ack.until > now}
    assert not [known for known in whole.incidents
                if known.id in acknowledged and repair.run_id in known.affected_run_ids]  # fmt: skip
    [run] = [run for run in whole.runs if run.id == repair.run_id]
    assert closed is None or (run.ended_at is not None and run.ended_at > closed)


def assert_notified(ledger: Ledger, decisions: Decisions, now: datetime) -> None:
    """Every open incident was notified by the act-by of a service that is not delivered, and each whose root is red and
    that no policy repairs."""
    state, days = ledger.estate.notifications, {incident.key: incident.services for incident in decisions.incidents}
    for known in ledger.estate.incidents:
        open_days = [day for day in days.get(known.key, ()) if day.timeliness not in DELIVERED]
        is_due = any((day.act_by or day.deadline) <= now for day in open_days)
        root_is_red = any(run.id in known.member_run_ids and run.job_id == known.cause.job_id and run.state.is_red
                          for run in ledger.estate.runs)  # fmt: skip
        if is_due or (root_is_red and known.pending_repair is None):
            stages = {fact.stage for fact in state.suppressions.get(known.id, ())}
            assert state.notified.get(known.id) or stages - {"repair"}, (known.key, open_days, now)


def people_at_work(ledger: Ledger, random: Random, now: datetime) -> None:
    """Somebody acknowledges some incidents, and has paused plans for some red runs, before a step of them was sent."""
    open_now = [known.id for known in ledger.estate.incidents if random.random() < 0.1]
    acks = {**ledger.estate.notifications.acks}
    acks |= {number: AcknowledgementFacts("mara", now + 3 * TICK, at=now) for number in open_now}
    planned = {run.id: run.job_id for run in ledger.estate.runs if run.state.is_red and random.random() < 0.1}
    notifications = replace(ledger.estate.notifications, acks=acks)
    ledger.estate = replace(ledger.estate, notifications=notifications, planned_repairs=planned)


@pytest.mark.parametrize("seed", few(range(8), 1))
def test_no_policy_acts_beyond_what_it_is_permitted(seed: int) -> None:
    random = Random(seed)
    ledger = Ledger(estate(*SAFE, *GUARDED, runs=[]))
    ledger.estate = replace(ledger.estate, declared=Declared(policies=(FIRST, REST)))
    scheduler, closed, opened = Scheduler(ledger, random), dict[str, datetime](), Counter[str]()
    for night in range(12):
        begin = at("00:10", day=night)
        recent = tuple(
            run for run in ledger.estate.runs if run.ended_at is None or run.ended_at > begin - minutes(1800)
        )
        paused = {name: SwitchState(random.choice(("paused", "resumed", "resumed")), "mara") for name in POLICIES}
        ledger.estate = replace(ledger.estate, runs=recent, modes=replace(ledger.estate.modes, policies=paused))
        waiting = [job for job in (*SAFE, *GUARDED) if random.random() < 0.9]
        for tick in range(TICKS):
            now, whole = begin + tick * TICK, ledger.estate
            frozen = SwitchState("on", "mara") if random.random() < 0.05 else None
            ledger.estate = whole = replace(whole, modes=replace(whole.modes, frozen=frozen))
            ledger.poll(now)
            at_once, again = Counter[str](), 0.5 if random.random() < 0.8 else 1
            while waiting and random.random() < again:
                due = now - minutes(2)
                ledger.run_at(waiting.pop(), due, RunState.FAILED, attempt=1, started_at=due, ended_at=now,
                              message="ERROR: Connection refused")  # fmt: skip
            scheduler.advance(now)
            people_at_work(ledger, random, now)
            whole = ledger.estate
            decisions = evaluate(whole, now)
            ledger.keep(decisions, now)
            assert_notified(ledger, decisions, now)
            for key in decisions.withdrawn_repairs:
                scheduler.withdraw(key, now)
            waiting_to_send, scheduler.waiting = scheduler.waiting, []
            for repair in waiting_to_send:
                assert_not_stopped(repair, whole, closed.get(repair.policy), now)
                scheduler.accept(repair, now)
            for repair in decisions.policy_repairs.values():
                assert_permitted(repair, scheduler.sent, whole, closed.get(repair.policy), at_once[repair.policy])
                at_once[repair.policy] += 1
                scheduler.accept(repair, now)
            breakers = dict(whole.modes.breakers)
            for policy, count in decisions.opened_breakers.items():
                assert count >= POLICIES[policy].breaker
                opened[policy] += 1
                breakers[policy] = SwitchState("open", "headway", at=now)
            if breakers and tick == TICKS - 1 and random.random() < 0.7:
                closed |= dict.fromkeys(breakers, now)
                breakers = {policy: SwitchState("closed", "mara", at=now) for policy in breakers}
            ledger.estate = replace(ledger.estate, modes=replace(ledger.estate.modes, breakers=breakers))
    assert {"good", "bad", "flaps", "lies", "lost", "refused", "unsent", "withdrawn"} == {*scheduler.results}
    assert len(scheduler.sent) >= 20
    assert {*POLICIES} == {*opened}, "each breaker opened at least once"
    assert any(repair.attempt > 1 for repair in scheduler.sent), "some runs were repaired again"


STEP = minutes(5)
FEEDS = {2: 1, 4: 3, 6: 5}
"""Job -> its upstream: it starts when that has succeeded."""
DEADLINES = ("01:00", "01:30", "02:00", "03:00")
SERVICES = {"orders": (2, 4), "stock": (6, 7), "books": (8,)}
MESSAGES = {
    "transient": "ERROR: Connection refused",
    "poisoned": "ValueError: invalid amount in row 17",
    "disk": "ERROR: No space left on device",
    "deploy": "ModuleNotFoundError: No module named 'pricing'",
    "flap": "ERROR: deadlock detected",
    "lie": "ERROR: Broken pipe",
    "lost": "ERROR: Connection timed out",
}
"""The kinds of failure. Poisoned input, a full disk and a wrong deploy last until a person has repaired them."""
LASTING = {"poisoned", "disk", "deploy"}


@dataclass
class Work:
    """A job in one night."""

    job: JobFacts
    kind: str
    """Empty: it succeeds."""
    delay: timedelta
    """A person repairs it so long after it failed."""
    state: RunState = RunState.PLANNED
    attempt: int = 0
    started: datetime | None = None
    since: datetime | None = None
    """When it came into its state."""
    results: dict[int, tuple[RunState, datetime]] = field(default_factory=dict)
    """Attempt -> how it ended first, and when."""
    red_since: datetime | None = None
    is_fixed: bool = False
    by_policy: bool = False

    def start(self, now: datetime, *, by_policy: bool = False) -> None:
        self.state, self.started, self.since = RunState.RUNNING, now, now
        self.attempt, self.by_policy = self.attempt + 1, by_policy

    @property
    def ends_well(self) -> bool:
        return not self.kind or (self.is_fixed if self.kind in LASTING else self.attempt > 1)

    def advance(self, now: datetime) -> None:
        """Ends its attempt; a success that flaps fails again later."""
        assert self.since is not None
        ran = now - self.since
        length = (3 if self.kind == "deploy" else 2) * STEP
        if self.state is RunState.RUNNING and ran >= length:
            self.state, self.since = RunState.SUCCEEDED if self.ends_well else RunState.FAILED, now
            self.results[self.attempt] = self.state, now
        elif self.state is RunState.SUCCEEDED and self.kind == "flap" and self.attempt == 2 and ran >= 2 * STEP:
            self.state, self.since = RunState.FAILED, now
        if self.state is RunState.FAILED:
            self.red_since = self.red_since or now
        elif self.state is RunState.SUCCEEDED:
            self.red_since = None


@dataclass
class ServiceNight:
    """The same failures with and without policies: jobs that follow each other, and a person who repairs them late."""

    seed: int
    with_policies: bool
    works: dict[int, Work] = field(default_factory=dict)
    sent: list[PolicyRepair] = field(default_factory=list)
    waiting: list[PolicyRepair] = field(default_factory=list)
    waited: dict[int, timedelta] = field(default_factory=dict)
    """Job -> how long the person waited for the end of a policy's run."""
    read: dict[int, datetime | None] = field(default_factory=dict)
    """Job -> the success of its upstream that it has read."""
    replies: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    """Key of a sent action -> the attempt that it would start, and when it was sent."""

    def __post_init__(self) -> None:
        random = Random(self.seed)
        full_disk = random.random() < 0.15
        for known in (*SAFE, *GUARDED):
            kind = random.choice((*MESSAGES, "", "", "")) if not full_disk else "disk"
            self.works[known.id] = Work(known, kind, random.randrange(3, 20) * STEP)
        self.random = Random(self.seed)
        services = [
            service(name, random.choice(DEADLINES), *(self.works[number].job for number in jobs))
            for name, jobs in SERVICES.items()
        ]
        fed = [
            dependency for down, up in FEEDS.items() for dependency in feeds(self.works[up].job, self.works[down].job)
        ]
        self.ledger = Ledger(estate(*SAFE, *GUARDED, runs=[], feeds=fed, services=services))
        self.ledger.estate = replace(self.ledger.estate, declared=Declared(policies=(FIRST, REST)))

    def play(self) -> dict[str, datetime]:
        """When each service was delivered."""
        begin = now = at("00:10")
        for work in self.works.values():
            if work.job.id not in FEEDS:
                work.start(now)
        while not self._is_over():
            now += STEP
            assert now < begin + timedelta(days=2)
            for work in self.works.values():
                if work.attempt:
                    work.advance(now)
            self._people(now)
            self._followers(now)
            if self.with_policies:
                self._policies(now)
        ends = {number: work.since for number, work in self.works.items() if work.since is not None}
        return {name: max(ends[number] for number in jobs) for name, jobs in SERVICES.items()}

    def _is_over(self) -> bool:
        return all(
            work.state is RunState.SUCCEEDED and (work.kind != "flap" or work.attempt > 2)
            for work in self.works.values()
        )

    def _people(self, now: datetime) -> None:
        for number, work in self.works.items():
            if work.red_since is None or now < work.red_since + work.delay:
                continue
            if work.state is RunState.FAILED:
                work.is_fixed = True
                work.start(now)
            elif work.by_policy:
                self.waited[number] = self.waited.get(number, timedelta(0)) + STEP

    def _followers(self, now: datetime) -> None:
        """Starts what has read nothing yet, or what was bad since."""
        for down, up in FEEDS.items():
            work, source = self.works[down], self.works[up]
            read = self.read.get(down)
            if source.state is RunState.SUCCEEDED and read != source.since and work.state is not RunState.RUNNING:
                self.read[down] = source.since
                work.start(now)

    def _policies(self, now: datetime) -> None:
        ledger = self.ledger
        self._report(now)
        if not any(work.red_since for work in self.works.values()):
            return
        ledger.poll(now)
        whole = ledger.estate
        decisions = evaluate(whole, now)
        ledger.keep(decisions, now)
        assert_notified(ledger, decisions, now)
        withdrawn = {*decisions.withdrawn_repairs}
        waiting, self.waiting = self.waiting, []
        for repair in waiting:
            assert repair.action is not None
            if repair.action.key in withdrawn:
                self._move(repair, "refused", now)
            else:
                assert_not_stopped(repair, whole, None, now)
                self._send(repair, now)
        at_once = Counter[str]()
        for repair in decisions.policy_repairs.values():
            assert_permitted(repair, self.sent, whole, None, at_once[repair.policy])
            at_once[repair.policy] += 1
            self.sent.append(repair)
            if self.random.random() < 0.3:
                self.waiting.append(repair)
            else:
                self._send(repair, now)
        breakers = dict(whole.modes.breakers)
        breakers |= {name: SwitchState("open", "headway", at=now) for name in decisions.opened_breakers}
        ledger.estate = replace(ledger.estate, modes=replace(ledger.estate.modes, breakers=breakers))

    def _report(self, now: datetime) -> None:
        """The state of each run, and of each repair that was sent."""
        for work in self.works.values():
            if work.since == now:
                self._report_run(work, now)
        for repair in self.ledger.estate.policy_repairs:
            if repair.action is not None and repair.action.key in self.replies and repair.action.in_flight:
                state = self._reply(self.works[repair.job_id], *self.replies[repair.action.key], now)
                if state != repair.action.state:
                    self._move(repair, state, now)

    def _report_run(self, work: Work, now: datetime) -> None:
        ended = None if work.state.is_open else now
        message = MESSAGES[work.kind] if work.state.is_red else ""
        self.ledger.run_at(work.job, at("00:08"), work.state, started_at=work.started, ended_at=ended, message=message)

    def _reply(self, work: Work, attempt: int, sent: datetime, now: datetime) -> str:
        if work.kind == "lie":
            return "verified"
        if work.kind == "lost":
            return "unknown" if now - sent < 8 * STEP else "failed"
        if attempt not in work.results:
            return "sent" if attempt == work.attempt else "refused"
        return "verified" if work.results[attempt][0] is RunState.SUCCEEDED else "failed"

    def _send(self, repair: PolicyRepair, now: datetime) -> None:
        """Starts the next attempt, unless the scheduler lies or does not answer."""
        work = self.works[repair.job_id]
        assert repair.action is not None
        assert work.state is RunState.FAILED
        self.replies[repair.action.key] = work.attempt + 1, now
        if work.kind not in ("lie", "lost"):
            work.start(now, by_policy=True)
            self._report_run(work, now)

    def _move(self, repair: PolicyRepair, state: str, now: datetime) -> None:
        assert repair.action is not None
        ended = None if state in ("sent", "unknown") else now
        action = RepairAction(repair.action.key, state, ended_at=ended)
        key = repair.action.key
        repairs = self.ledger.estate.policy_repairs
        changed = tuple(
            replace(known, action=action) if known.action is not None and known.action.key == key else known
            for known in repairs
        )
        self.ledger.estate = replace(self.ledger.estate, policy_repairs=changed)


def jobs_of(service_name: str) -> set[int]:
    return {number for terminal in SERVICES[service_name] for number in (terminal, FEEDS.get(terminal, terminal))}


@pytest.mark.parametrize(
    "nights", some([range(2), range(2, 250), range(250, 500), range(500, 750), range(750, 1000)], range(2))
)
def test_no_service_is_later_than_without_policies(nights: range) -> None:
    """By more than the runs of a policy for whose end a person waited."""
    repaired, earlier = Counter[str](), 0
    for seed in nights:
        alone, together = ServiceNight(seed, with_policies=False), ServiceNight(seed, with_policies=True)
        without, with_policies = alone.play(), together.play()
        repaired.update(together.works[repair.job_id].kind for repair in together.sent)
        for name, delivered in with_policies.items():
            waited = sum((together.waited.get(number, timedelta(0)) for number in jobs_of(name)), timedelta(0))
            assert delivered <= without[name] + waited, (seed, name)
            earlier += delivered < without[name]
    assert earlier
    if len(nights) > 2:
        assert {*MESSAGES} == {*repaired}
