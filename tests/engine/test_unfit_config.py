"""A surprise while parts begin never ends the watch: the config that began last goes on, and somebody is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.contract import State
from connectors.secrets import SecretStore
from console.config import Config
from console.engine.config_file import ConfigFile
from console.engine.runner import Engine
from console.engine.wiring import Parts
from console.store.open import Store
from console.store.reads import open_reads
from tests.engine.bench import Sink, estate_config
from tests.fakes.scheduler import FakeScheduler
from tests.invariants.engines import in_thread
from tests.lab.process import wait_until
from tests.store.ready import open_ready

LIMIT_SECONDS = 30
WORDS = "cannot be used, the one before goes on: ValueError: this estate is odd"


@dataclass
class Files:
    """Stands for the config's files: what is in them is set by the test."""

    config: Config

    def follow(self, ended: threading.Event) -> None:
        ended.wait()

    def words(self) -> str:
        return ""


@dataclass
class Watch:
    """An engine at work in a thread, and what can be seen of it."""

    files: Files
    scheduler: FakeScheduler
    sink: Sink
    store: Store
    thread: threading.Thread

    def wait(self, what: str, met: Any) -> None:
        wait_until(met, what, LIMIT_SECONDS)

    def header(self) -> Any:
        with open_reads(str(self.store.url)) as reads:
            return reads.header()

    def fail(self, job: str) -> None:
        self.scheduler.attempt(job, f"{job}-1", State.FAILED, datetime.now(UTC))

    def runs(self, job: str) -> list[int]:
        with open_reads(str(self.store.url)) as reads:
            return [run.id for run in reads.job(f"fake/{job}").runs]

    def action(self, key: str) -> tuple[str, str]:
        with open_reads(str(self.store.url)) as reads:
            return next((one.state, one.words) for one in reads.actions() if one.key == key)

    def told(self, words: str) -> bool:
        return any(words in title for _, title, _ in self.sink.got)


@contextmanager
def watching(folder: Path, monkeypatch: pytest.MonkeyPatch, *odd: str) -> Iterator[Watch]:
    """An engine on which parts with the configs `odd` (digests) break as they begin, half of it done."""
    scheduler, sink = FakeScheduler(), Sink()
    for job in ("extract", "load"):
        scheduler.job(job)
    files = Files(estate_config(folder, scheduler, poll_every=timedelta(milliseconds=50)))
    store = open_ready(str(folder / "headway.db"))
    begins = Parts.recover

    def recover(self: Parts, fence: int) -> None:
        if self.config.digest in odd:
            raise ValueError("this estate is odd")
        begins(self, fence)

    monkeypatch.setattr(Parts, "recover", recover)

    def make() -> Parts:
        return Parts(files.config, store, SecretStore(), sink)

    engine = Engine(make, make(), lease_seconds=3.0, configs=cast(ConfigFile, files))
    try:
        with in_thread(engine) as thread:
            yield Watch(files, scheduler, sink, store, thread)
    finally:
        store.close()


def test_a_config_by_which_nothing_can_begin_is_told_and_the_one_before_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching(tmp_path, monkeypatch, "odd") as watch:
        watch.wait("the first poll", lambda: watch.scheduler.polls > 0)
        watch.files.config = replace(watch.files.config, digest="odd")
        watch.wait("the trouble in the banner", lambda: WORDS in watch.header().engine.trouble)
        assert "digest" == watch.header().config
        watch.fail("extract")
        watch.wait("the alert", lambda: watch.told("extract"))
        watch.files.config = replace(watch.files.config, digest="mended")
        watch.wait("the mended config", lambda: watch.header().config == "mended")
        watch.wait("the trouble's end", lambda: "cannot be used" not in watch.header().engine.trouble)


def test_an_engine_that_cannot_begin_at_all_tells_somebody_and_begins_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching(tmp_path, monkeypatch, "digest") as watch:
        watch.wait("that somebody is told", lambda: watch.told("parts of the engine keep breaking"))
        watch.files.config = replace(watch.files.config, digest="mended")
        watch.wait("the mended config", lambda: watch.header().config == "mended")
        watch.fail("extract")
        watch.wait("the alert", lambda: watch.told("extract"))
        assert watch.thread.is_alive()
