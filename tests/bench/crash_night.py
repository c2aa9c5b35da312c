"""One night with one crash, on a real clock: a failure that is notified and repaired, by a rerun or by a plan."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from connectors.sdk.states import Verb
from console.domain.alert import AlertKind
from console.domain.ids import new_action_key
from console.domain.plan import PlanRefused
from console.domain.request import RequestKind
from console.engine.api.action_request import ActionRequest, AlreadyRequested
from console.engine.api.client import EngineClient
from console.engine.supervisor.engine import WAITS_FOR_LEASE
from console.store.errors import StoreError
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from tests.bench.crash_checks import FAILED_JOB, WAITING, Broken, Limits, Patience, Seen, doubled
from tests.bench.crash_engine import SELDOM, hits, prepared, write_stacks
from tests.bench.crash_points import Point
from tests.bench.received import is_notified, received
from tests.invariants.engines import LEASE_SECONDS, Child, child, store_of
from tests.invariants.worlds import World

CHECK_SECONDS = 0.04
STOPPED_SECONDS = LEASE_SECONDS * 1.5
"""Beyond the lease. Stopped in a transaction, it keeps everybody from writing for as long."""


class Night:
    """`extract` fails; a person requests its rerun once somebody was notified, and again where it never arrived."""

    template = "empty"

    def __init__(self, folder: Path, store: str, point: Point, limits: Limits, broken: Broken | None = None) -> None:
        self.folder = folder
        self.seen = Seen(store, point)
        self.world = World(folder, "good")
        self.requested: list[str] = []
        self.limits = limits
        self._key = new_action_key()
        self._prepare: Callable[[], None] = prepared(folder, point.name, broken)
        self._reads: Queries | None = None
        self._patience: Patience
        self._living: list[Child] = []

    def live(self) -> Seen:
        self.begin()
        with ExitStack() as engines:
            try:
                first = self._engine(engines, self.seen.point.text)
                self._crash(engines, first)
                if first.ended(0) is not None:
                    self._engine(engines)
                self._until(self._is_over)
                self._verify()
            finally:
                self._close()
                engines.callback(partial(_kill_all, self._living))
        return self.seen

    def begin(self) -> None:
        self.world.fail("extract")
        if self.seen.point.name in SELDOM:
            self.world.fail("extract", "a2")  # two records: a long batch, where the transactions are small

    def _engine(self, engines: ExitStack, failpoint: str = "") -> Child:
        name = f"engine{len(self._living)}"
        made = engines.enter_context(child(self.folder, name, failpoint, prepare=self._prepare, lease=LEASE_SECONDS))
        self._living.append(made)
        return made

    # the crash

    def _crash(self, engines: ExitStack, engine: Child) -> None:
        """Goes on as a person would until the engine has crashed, or has passed the point for good."""
        point, began = self.seen.point, time.monotonic()
        patience = self._patience = Patience(self.limits, self.folder, CHECK_SECONDS)
        while patience.lasts(engine) and not self._is_over():
            lived = time.monotonic() - began
            if not point.name and lived >= point.after:
                _send_signal(engine, signal.SIGKILL)
            if point.name == "lease.lost" and "working" in engine.events():
                _send_signal(engine, signal.SIGSTOP)
            if engine.ended(CHECK_SECONDS) is not None:
                self.seen.crashed = not point.name or bool(hits(self.folder))
                return
            if engine.is_stopped:
                self._engine(engines)
                self._until(self._is_over, STOPPED_SECONDS, STOPPED_SECONDS)
                sent = len(self.world.sent)
                _send_signal(engine, signal.SIGCONT)
                self._until(partial(self._has_gone_on, engine, sent), STOPPED_SECONDS, STOPPED_SECONDS)
                break
            self._person()
        self.seen.crashed = bool(hits(self.folder))

    def _until(self, condition: Callable[[], bool], seconds: float = float("inf"), still: float = 0.0) -> None:
        """Waits for so long, of which nothing may move for `still` seconds, if that is more than the patience."""
        until = time.monotonic() + seconds
        limits = replace(self.limits, patience=max(still, self.limits.patience))
        patience = self._patience = Patience(limits, self.folder, CHECK_SECONDS)
        while time.monotonic() < until and patience.lasts(self._living[-1]) and not condition():
            self._person()
            time.sleep(CHECK_SECONDS)

    def _has_gone_on(self, engine: Child, sent: int) -> bool:
        """Whether the engine that was stopped ended or waits, as it should, or sent more than these as well."""
        is_out = engine.ended(0) is not None or WAITS_FOR_LEASE in engine.events()
        return is_out or len(self.world.sent) > sent

    # the person

    def _person(self) -> None:
        try:
            self.person(self.reads())
        except StoreError:
            self._close()
        except (AlreadyRequested, PlanRefused):
            return  # somebody was faster: the engine

    def person(self, reads: Queries) -> None:
        incidents = reads.incidents.list_incidents()
        if not incidents or incidents[0].root_run_id is None:
            return
        ended = [action for action in reads.actions.list_actions() if action.ended is not None]
        if len(ended) == len(self.requested):
            EngineClient(store_of(self.folder)).act(ActionRequest(Verb.RERUN, incidents[0].root_run_id), self._key)
            self.requested.append(self._key)  # where the answer was lost, the same key is requested again
            self._key = new_action_key()

    def reads(self) -> Queries:
        if self._reads is None:
            self._reads = open_queries(store_of(self.folder))
        return self._reads

    def _close(self) -> None:
        if self._reads is not None:
            self._reads.close()
            self._reads = None

    # what should have happened

    def _is_over(self) -> bool:
        try:
            reads = self.reads()
            return (
                is_notified(FAILED_JOB, AlertKind.RECOVERED, received(self.folder), reads)
                and reads.link.rows(WAITING)[0][0] == 0
                and all(action.ended is not None for action in reads.actions.list_actions())
                and self.is_done(reads)
            )
        except StoreError:
            self._close()
            return False

    def is_done(self, reads: Queries) -> bool:
        return True

    def _verify(self) -> None:
        is_over, seen = self._is_over(), self.seen
        seen.hits = hits(self.folder)
        seen.double_actions = doubled(self.world.sent)
        self._close()
        with open_queries(store_of(self.folder)) as reads:
            seen.verify_alerts(received(self.folder), (AlertKind.OPENED, AlertKind.RECOVERED), reads)
            self.verify_actions(reads)
        seen.texts.append(f"sent {self.world.sent}")
        seen.unjudged = ""
        if not is_over and self._patience.why:
            seen.leave(self._patience.why)
        newest = self._living[-1]
        if seen.is_bad and newest.ended(0) is None:
            seen.texts.append(f"worked {newest.cpu_seconds():.1f} s")
            write_stacks(self.folder, newest)
            seen.excuse(self.folder)

    def verify_actions(self, reads: Queries) -> None:
        """Each approval has ended, and is called verified if and only if its scheduler has it."""
        actions = {action.key: action for action in reads.actions.list_actions()}
        sent = set(self.world.sent)
        for key in self.requested:
            action = actions.get(key)
            self.seen.lost_actions += (
                action is None or action.ended is None or (action.state == "verified") != (key in sent)
            )
        self.seen.texts.append(f"requested {[(action.key, action.state) for action in actions.values()]}")


class PlanNight(Night):
    """`extract` and `load` have failed, a plan for both is approved; a person resumes it where it has stopped."""

    template = "planned"

    def begin(self) -> None:
        return

    def person(self, reads: Queries) -> None:
        if reads.plans.plan(1).state == "stopped":
            EngineClient(store_of(self.folder)).steer_plan(1, RequestKind.RESUME_PLAN)

    def is_done(self, reads: Queries) -> bool:
        return reads.plans.plan(1).state == "done"

    def verify_actions(self, reads: Queries) -> None:
        """The plan is done, and each of its jobs ran once, in order."""
        plan, jobs = reads.plans.plan(1), self.world.sent_jobs
        self.seen.double_actions += doubled(jobs) if not self.seen.double_actions else 0
        in_order = jobs == sorted(jobs)  # extract, then load
        self.seen.lost_actions = len({"extract", "load"} - {*jobs}) + (plan.state != "done" or not in_order)
        self.seen.texts.append(f"plan {plan.state}, {[(step.job, step.state) for step in plan.steps]}, jobs {jobs}")


def _kill_all(engines: list[Child]) -> None:
    """Nobody needs them any more, and an end in good order takes its time."""
    for process in engines:
        process.kill()


def _send_signal(engine: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        engine.signal(number)
