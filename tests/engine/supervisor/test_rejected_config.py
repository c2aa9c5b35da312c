"""An exception while workers start never ends the watch: the last started config goes on, and somebody is notified."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState
from console.config.sections import Config
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.config_reload import ConfigWatcher
from console.engine.supervisor.engine import Engine
from console.store.db.database import Database
from console.store.queries import open_queries
from tests.engine.bench import Sink, estate_config
from tests.fakes.scheduler import FakeScheduler
from tests.invariants.engines import in_thread
from tests.lab.process import wait_until
from tests.store.ready import open_ready

REJECTED = "the changed config is invalid, the previous one stays in use: ValueError: this estate is odd"


@dataclass
class Files:
    """Replaces the config's files: the test sets their content."""

    config: Config

    def follow(self, ended: threading.Event) -> None:
        ended.wait()

    def trouble_text(self) -> str:
        return ""


@dataclass
class Watch:
    """An engine at work in a thread, and what can be seen of it."""

    files: Files
    scheduler: FakeScheduler
    sink: Sink
    store: Database
    thread: threading.Thread

    def wait(self, what: str, met: Any) -> None:
        wait_until(met, what)

    def header(self) -> Any:
        with open_queries(str(self.store.url)) as reads:
            return reads.estate.header()

    def fail(self, job: str) -> None:
        self.scheduler.attempt(job, f"{job}-1", RunState.FAILED, datetime.now(UTC))

    def runs(self, job: str) -> list[int]:
        with open_queries(str(self.store.url)) as reads:
            return [run.id for run in reads.jobs.job(f"fake/{job}").runs]

    def action(self, key: str) -> tuple[str, str]:
        with open_queries(str(self.store.url)) as reads:
            return next((action.state, action.text) for action in reads.actions.list_actions() if action.key == key)

    def has_notified(self, text: str) -> bool:
        return any(text in title for _, title, _ in self.sink.got)


@contextmanager
def watching(folder: Path, monkeypatch: pytest.MonkeyPatch, *odd: str) -> Iterator[Watch]:
    """An engine on which parts with the configs `odd` (digests) break as they begin, half of it done."""
    scheduler, sink = FakeScheduler(), Sink()
    for job in ("extract", "load"):
        scheduler.job(job)
    files = Files(estate_config(folder, scheduler, poll_every=timedelta(milliseconds=50)))
    store = open_ready(str(folder / "headway.db"))
    begins = EngineAssembly.recover

    def recover(self: EngineAssembly, fence: int) -> None:
        if self.config.digest in odd:
            raise ValueError("this estate is odd")
        begins(self, fence)

    monkeypatch.setattr(EngineAssembly, "recover", recover)

    def make() -> EngineAssembly:
        return EngineAssembly(files.config, store, SecretStore(), sink)

    engine = Engine(make, make(), lease_seconds=3.0, configs=cast(ConfigWatcher, files))
    try:
        with in_thread(engine) as thread:
            yield Watch(files, scheduler, sink, store, thread)
    finally:
        store.close()


@pytest.mark.deep
def test_a_config_without_a_usable_start_is_reported_and_the_previous_one_stays_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching(tmp_path, monkeypatch, "odd") as watch:
        watch.wait("the first poll", lambda: watch.scheduler.polls > 0)
        watch.files.config = replace(watch.files.config, digest="odd")
        watch.wait("the trouble in the banner", lambda: REJECTED in watch.header().engine.trouble)
        assert "digest" == watch.header().config
        watch.fail("extract")
        watch.wait("the alert", lambda: watch.has_notified("extract"))
        watch.files.config = replace(watch.files.config, digest="mended")
        watch.wait("the mended config", lambda: watch.header().config == "mended")
        watch.wait("the trouble's end", lambda: "cannot be used" not in watch.header().engine.trouble)


@pytest.mark.deep
def test_an_engine_that_cannot_start_notifies_somebody_and_starts_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching(tmp_path, monkeypatch, "digest") as watch:
        watch.wait("that somebody is told", lambda: watch.has_notified("engine workers keep failing"))
        watch.files.config = replace(watch.files.config, digest="mended")
        watch.wait("the mended config", lambda: watch.header().config == "mended")
        watch.fail("extract")
        watch.wait("the alert", lambda: watch.has_notified("extract"))
        assert watch.thread.is_alive()
