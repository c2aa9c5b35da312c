"""An estate in which every writable field has hostile text: the corpus through every input."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from unittest.mock import patch

from connectors.sdk.contract import ConnectorKind
from connectors.sdk.records import JobRecord, Schedule, SkippedRecord
from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.config.alerts import RouteSettings
from console.config.sections import AlertSettings, Config, EstateSection, SystemConfig, SystemSettings
from console.domain.job import Safety
from console.domain.settings import JobSetting, ServiceSetting
from console.engine.notify import routing
from console.store.names import encode_name, is_too_long_name
from tests.corpus import ESC, HOSTILE
from tests.engine.bench import Bench, running_bench
from tests.fakes.scheduler import FakeScheduler, NoOptions

WORST = f"{ESC}[2J{ESC}]0;owned\x07\u202e[bold]\x9b31m\x00\r\n[/]"
"""Where there is room for one text only."""
TEXTS = list(dict.fromkeys(HOSTILE))
NAMES = [text for text in TEXTS if not is_too_long_name(encode_name(text))]
"""What can be the name of a job: at most 1,000 bytes."""
TWINS = ["same", f"{ESC}[31msame", f"same{ESC}[0m"]
"""Names that look alike once they are cleaned."""
HARMFUL = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
"""Unicode categories of what acts on a terminal or on the order of letters, or cannot be written at all."""


def harmful(text: str) -> list[str]:
    """Every character that must not reach a terminal, with the text before it. A newline is allowed."""
    if HARMFUL.isdisjoint(map(unicodedata.category, set(text) - {"\n"})):
        return []
    return [
        repr(text[max(0, at - 30) : at + 1])
        for at, letter in enumerate(text)
        if letter != "\n" and unicodedata.category(letter) in HARMFUL
    ]


def schedule_of(number: int, text: str) -> Schedule:
    """The text as the words, the expression or the zone of a schedule."""
    return [
        Schedule("none", text=text),
        Schedule("debian-cron", text),
        Schedule("debian-cron", "10 3 * * *", text),
        Schedule("debian-cron", "10 3 * * *"),
    ][number % 4]


def job(number: int, name: str, text: str) -> JobRecord:
    return JobRecord(
        name, title=text, schedule=schedule_of(number, text), definition=text, definition_hash=str(number),
        run_as=text, owner=text, native_url=text, match_keys=(text,),
    )  # fmt: skip


@dataclass
class World:
    """The estate after a bad night, and an engine that answers."""

    bench: Bench
    names: list[str]

    @property
    def url(self) -> str:
        return self.bench.url

    def turn(self) -> None:
        """A turn of the bench in which every alert leaves alone."""
        with patch.object(routing, "ALERTS_PER_MINUTE", 100_000):
            self.bench.turn()

    def drift(self) -> None:
        """Every job's schedule and definition become something else, as hostile as before."""
        scheduler = self.bench.scheduler
        for number, (name, known) in enumerate(scheduler.jobs.items()):
            text = TEXTS[(number + 7) % len(TEXTS)]
            changed = replace(known, schedule=Schedule("debian-cron", text, text, text), definition=text, paused=True)
            scheduler.jobs[name] = replace(changed, definition_hash=f"{number} changed")
        self.bench.poller._inventory_at = 0.0
        self.turn()


def scheduler_of(names: list[str], now: datetime) -> FakeScheduler:
    scheduler = FakeScheduler(
        warnings=tuple(TEXTS[:18]),
        skipped=(SkippedRecord(WORST, WORST, WORST),),
        unread=(SkippedRecord(WORST, WORST),),
        reply_text=WORST,
    )
    for number, name in enumerate(names):
        text = TEXTS[number % len(TEXTS)]
        scheduler.jobs[name] = job(number, name, text)
        key = f"{text}#{number}"
        state = RunState.FAILED if number % 2 else RunState.SUCCEEDED
        record = scheduler.attempt(name, key, state, now - timedelta(minutes=number % 50), period_key=text)
        scheduler.runs[key] = replace(
            record, native_state=text, message=text, reason=text, native_ref=text, native_url=text
        )
        scheduler.logs[key] = f"first\n{text}\n{text}"
    return scheduler


def kind_of(scheduler: FakeScheduler) -> ConnectorKind:
    return replace(scheduler.kind(), title=WORST, targets=lambda _: [WORST], missing={})


def config_of(folder: Path, scheduler: FakeScheduler, names: list[str]) -> Config:
    now = datetime.now(UTC).replace(microsecond=0)
    far, deadline = (now + timedelta(hours=12)).time(), (now + timedelta(hours=2)).time()
    settings = SystemSettings(kind="fake", cutoff=far, poll_every=timedelta(seconds=60))
    plain = [name for name in names if name and "*" not in name and not re.search("[\ud800-\udfff]", name)]
    return Config(
        path=folder / "headway.toml",
        digest="digest",
        estate=EstateSection(name=WORST, starts_in="live"),
        systems={"hostile": SystemConfig("hostile", settings, kind_of(scheduler), NoOptions())},
        jobs={
            f"hostile/{name}": JobSetting(f"hostile/{name}", owner=name, runbook=name, rerun=Safety.SAFE)
            for name in plain
        },
        dependencies=(),
        services={
            key: _service(key, name, deadline, far)
            for key, name in ((f"svc-{number}", name) for number, name in enumerate(plain[::6]))
        },
        routes={"oncall": RouteSettings(urls=(SecretRef(file=folder / "url"),))},
        alerts=AlertSettings(default_route="oncall"),
    )  # fmt: skip


def _service(key: str, name: str, deadline: time, cutoff: time) -> ServiceSetting:
    return ServiceSetting(key, name, (f"hostile/{name}",), deadline, "UTC", cutoff=cutoff, owner=name, runbook=name)


@contextmanager
def running_world(folder: Path, names: list[str]) -> Iterator[World]:
    """The estate, polled until everybody was notified; questions are answered for as long as the context lasts."""
    url = folder / "url"
    url.write_text("json://sink.example/token")
    url.chmod(0o600)
    scheduler = scheduler_of(names, datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5))
    with running_bench(folder, scheduler, config_of(folder, scheduler, names)) as bench:
        world = World(bench, names)
        world.turn()
        world.turn()
        world.drift()
        over = threading.Event()
        thread = threading.Thread(target=bench.parts.answers.run, args=(bench.fence, over.is_set))
        thread.start()
        try:
            yield world
        finally:
            over.set()
            bench.parts.answers.wake.set()
            thread.join()
