"""An engine's parts on a real SQLite store, a fake scheduler and a sender that keeps what it is given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from connectors.sdk.secrets import SecretRef, SecretStore
from console.config.alerts import RouteSettings
from console.config.sections import (
    AlertSettings,
    Config,
    DependencySettings,
    EstateSection,
    SystemConfig,
    SystemSettings,
)
from console.domain.ids import micros
from console.domain.job import Safety
from console.domain.message import Message, body_text, title_text
from console.domain.settings import JobSetting, ServiceSetting
from console.engine.api import queue
from console.engine.api.client import EngineClient
from console.engine.notify.outbox import Outbox
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.senders import SendResult
from console.engine.polling.poller import TargetPoller
from console.engine.supervisor.assembly import EngineAssembly
from console.store import approvals, meta
from console.store.db import lease
from console.store.db.database import Database
from console.store.db.lease import HeldLease
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from console.timing.clock import ClockSetting, real_now, wait_seconds
from tests.fakes.scheduler import FakeScheduler, NoOptions
from tests.store.ready import open_ready


@dataclass
class Sink:
    """Where alerts arrive; `answer` is what the receiver says."""

    answer: SendResult = field(default_factory=lambda: SendResult(True))
    got: list[tuple[str, str, str]] = field(default_factory=list)
    """(url, title, body)."""
    actions: list[PageAction] = field(default_factory=list)
    """What each meant, from the first on."""

    def __call__(self, url: str, message: Message, page: Page) -> SendResult:
        self.actions.append(page.action)
        self.got.append((url, title_text(message.title), body_text(message.blocks)))
        return self.answer


def wait_until_sent(outbox: Outbox) -> None:
    """Waits until nothing is being sent."""
    while outbox.hanging(-1):
        wait_seconds(0.001)


def poll_all(parts: EngineAssembly, fence: int) -> None:
    """Polls each target once, on either database."""
    for place in parts.connectors.places.values():
        TargetPoller(parts.polling, place).poll_once(fence)


@dataclass
class Bench:
    """One engine, step by step."""

    folder: Path
    scheduler: FakeScheduler
    sink: Sink
    config: Config
    store: Database
    parts: EngineAssembly
    fence: int

    @property
    def url(self) -> str:
        return str(self.folder / "headway.db")

    @property
    def poller(self) -> TargetPoller:
        return next(iter(self.parts.pollers.values()))

    def one_round(self) -> None:
        """A poll as the poller's own thread makes it, without its pause."""
        self.poller.step(self.fence)

    def turn(self) -> None:
        """Polls, evaluates, and sends what is due, waiting for the senders."""
        self.poller.poll_once(self.fence)
        self.parts.evaluator.step(self.fence)
        self.send()

    def send(self) -> None:
        while self.parts.outbox.step(self.fence):
            wait_until_sent(self.parts.outbox)

    def restart(self, dead: bool = False) -> None:
        """A new engine on the same store: the old one's lease is over. `dead`: so is its process, and nobody knows any
        more what it was sending."""
        tomorrow = micros(datetime.now(UTC) + timedelta(days=1))
        got = lease.acquire_lease(self.store, "after the crash", 60, now_us=tomorrow)
        assert isinstance(got, HeldLease)
        self.fence, before = got.fence, self.parts
        self.parts = EngineAssembly(self.config, self.store, SecretStore(), self.sink)
        if not dead:
            self.parts.follow(before)
        self.parts.begin(self.fence)

    def stop_clock(self) -> None:
        """Two commands show the same ages from now on."""
        now = real_now()
        with self.store.write(None) as session:
            meta.set_clock(session, ClockSetting(now, now, paused=True))

    def reads(self) -> Queries:
        return open_queries(self.url)

    def digest(self, key: str) -> str:
        """Of what an approver of the action is shown."""
        with self.store.read() as session:
            return approvals.approval_digest(session, key)

    def requests(self) -> EngineClient:
        return EngineClient(self.url)


UNHURRIED = timedelta(minutes=1)
"""Between polls that the test makes itself: on no machine does anything go stale from one step to the next."""


def estate_config(
    folder: Path, scheduler: FakeScheduler, poll_every: timedelta = UNHURRIED, cutoff: time | None = None
) -> Config:
    """Two jobs, one feeding the other, one service on the second, one route with one URL. `cutoff`: when a business
    date ends in UTC; half a day from now, where a test does not say it."""
    now = datetime.now(UTC).replace(microsecond=0)
    os.environ["BENCH_URL"] = "json://sink.example/SECRET-TOKEN"
    far = (now + timedelta(hours=12)).time()
    settings = SystemSettings(kind="fake", cutoff=cutoff or far, poll_every=poll_every)
    deadline = (now + timedelta(hours=2)).time()
    return Config(
        path=folder / "headway.toml",
        digest="digest",
        estate=EstateSection(name="bench", starts_in="live"),
        systems={"fake": SystemConfig("fake", settings, scheduler.kind(), NoOptions())},
        jobs={
            name: JobSetting(name, owner="team", expected=timedelta(minutes=10), rerun=Safety.SAFE)
            for name in ("fake/extract", "fake/load")
        },
        dependencies=(DependencySettings(upstream="fake/extract", downstream="fake/load"),),
        services={"supply": ServiceSetting("supply", "Supply plan", ("fake/load",), deadline, "UTC", cutoff=far)},
        routes={"oncall": RouteSettings(urls=(SecretRef(env="BENCH_URL"),))},
        alerts=AlertSettings(default_route="oncall"),
    )


@contextmanager
def running_bench(folder: Path, scheduler: FakeScheduler, config: Config) -> Iterator[Bench]:
    """An engine that holds the lease of a new store in `folder`, for as long as the context lasts. Waiting clients
    poll often."""
    sink = Sink()
    store = open_ready(str(folder / "headway.db"))
    got = lease.acquire_lease(store, "test", 600)
    assert isinstance(got, HeldLease)
    parts = EngineAssembly(config, store, SecretStore(), sink)
    parts.begin(got.fence)
    made = Bench(folder, scheduler, sink, config, store, parts, got.fence)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "ANSWER_CHECK_SECONDS", 0.005)
        try:
            yield made
        finally:
            made.parts.finish()
            store.close()
