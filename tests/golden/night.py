"""The demo's recorded night in one store, played step by step by an engine in this process; its clock is fixed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from unittest import mock

import structlog

from connectors.sdk.secrets import SecretStore
from console.config.loading import load_config
from console.demo import playback as plays
from console.demo.playback import SINK, moment
from console.engine.notify.senders import SendResult
from console.engine.supervisor.assembly import EngineAssembly
from console.store.db import lease
from console.store.db.database import Database
from console.timing.clock import ClockSetting, real_now
from tests.engine.bench import wait_until_sent
from tests.golden.command_line import Result, fixed_environment, headway
from tests.store.ready import place_ready

T = TypeVar("T")
BEFORE, FAILED, NOW = "03:11", "03:13", "03:40"
EXTRACT = "etl-hosts/db07:extract_orders"
LOAD = "warehouse-airflow/load_orders"
PLAN = "warehouse-airflow/supply_plan"
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
USER_ACTIONS = (
    ("incident", "note", "1", "the disk of db07 is full"),
    ("ack", "1", "--for", "1h"),
    ("silence", "add", "--system", "payments-aws", "--for", "2h", "--why", "bank holiday"),
    ("service", "extend", "stock-cover", "--until", "08:00", "--why", "the planners agreed"),
    ("system", "pause", "warehouse-pg", "--why", "new disk", "--for", "3h"),
    ("rerun", "etl-hosts/etl02:fetch_fx", "--yes", "--why", "late rates", "--timeout", "0"),
)
"""What a user does at FAILED, so that lists are not empty."""
COMMANDS: Sequence[Sequence[str]] = (
    ("status",),
    ("system",),
    ("service",),
    ("service", "--attainment"),
    ("report",),
    ("report", "supply-plan"),
    ("service", "review", "supply-plan"),
    ("forecast",),
    ("forecast", "supply-plan"),
    ("forecast", "score"),
    ("forecast", "tonight"),
    ("job", "list"),
    ("job", "list", "--problems"),
    ("job", EXTRACT),
    ("job", PLAN),
    ("run", EXTRACT),
    ("run", "state:failed"),
    ("lineage", LOAD),
    ("blast", EXTRACT),
    ("log", EXTRACT),
    ("failure", "list"),
    ("incident", "list", "--all"),
    ("incident", "1"),
    ("incident", "1", "--plain"),
    ("incident", "report", "1"),
    ("incident", "handover"),
    ("plan",),
    ("action", "complete"),
    ("hold",),
    ("job", "findings"),
    ("system", "drift"),
    ("calendar",),
    ("why", LOAD),
    ("why", "supply-plan"),
    ("silence",),
    ("oncall",),
    ("alert",),
    ("alert", "--suppressed"),
    ("action",),
    ("action", "approvals"),
    ("action", "withdraw"),
    ("audit",),
    ("audit", "verify"),
    ("freeze", "--status"),
    ("shadow",),
    ("shadow", "report"),
    ("datacheck",),
    ("check", "--no-probe"),
    ("connector", "list"),
    ("forecast", "what-if", "--restart", LOAD),
    ("recover", "1", "--dry-run"),
    ("rerun", PLAN, "--dry-run"),
    ("hold", "add", PLAN, "--dry-run"),
    ("job", "start", PLAN, "--dry-run"),
    ("plan", "backfill", PLAN, "--from", "2026-11-01", "--to", "2026-11-03", "--dry-run"),
    ("alert", "test", "oncall"),
)
"""Each is run twice, as text and with --json."""
ERRORS: Sequence[Sequence[str]] = (
    ("nope",),
    ("trigger",),
    ("job", "list", "--odd"),
    ("job", "list", "state:odd"),
    ("job", "list", "tier:9"),
    ("job", "list", "stat:failed"),
    ("job", "list", "--limit", "0"),
    ("job", "list", "--view", "none"),
    ("job", "list", "-x"),
    ("job", "none"),
    ("job", "orders"),
    ("job",),
    ("job", EXTRACT, "--date", "2020-01-01"),
    ("run", "since:odd"),
    ("log", EXTRACT, "--run", "9999"),
    ("lineage", LOAD, "--up", "odd"),
    ("incident", "99"),
    ("incident", "odd"),
    ("incident", "note", "1", " "),
    (
        "incident",
        "report",
    ),
    ("incident", "handover", "--since", "odd"),
    ("ack", "99"),
    ("ack", "1", "--for", "odd"),
    ("silence", "add", "--for", "1h", "--why", "x"),
    ("silence", "end", "99"),
    ("service", "extend", "supply-plan", "--until", "odd", "--why", "x"),
    ("service", "extend", "none", "--until", "08:00", "--why", "x"),
    ("service", "none"),
    ("service", "--date", "odd"),
    ("forecast", "none"),
    ("why", "none"),
    ("forecast", "tonight", "--at", "odd"),
    ("forecast", "what-if", "--restart", "none"),
    ("rerun", "none"),
    ("hold", "add", LOAD, "--for", "odd"),
    ("hold", "release", LOAD),
    ("plan", "backfill", LOAD, "--from", "odd", "--to", "2026-01-02"),
    ("recover", "99"),
    ("plan", "99"),
    ("action", "approve", "none"),
    ("action", "withdraw", "none"),
    ("system", "drift", "accept", LOAD),
    ("system", "drift", "accept"),
    ("calendar", "none"),
    ("datacheck", "none"),
    ("oncall", "none"),
    ("action", "complete", "none"),
    ("alert", "test", "none"),
    ("alert", "retry"),
    ("audit", "--since", "odd"),
    ("shadow", "off", "--system", "none"),
    ("system", "pause", "none", "--why", "x"),
    ("system", "probe", "none"),
    ("connector", "list", "corn"),
    ("connector", "try", "none"),
    ("job", "findings", "--rule", "odd"),
    ("store", "restore", "/nowhere/none.db"),
    ("system", "pause", "--why", "x", "warehouse-pg", "--for", "odd"),
)


@dataclass
class Night:
    """The engine's parts and the store they work on."""

    play: plays.DemoPlayback
    store: Database
    parts: EngineAssembly
    fence: int

    @property
    def store_path(self) -> Path:
        return self.play.store

    def at(self, clock: str) -> None:
        """Set the clock, poll every target, evaluate, and send."""
        plays.set_clock(self.play, self.store, ClockSetting(moment(clock), real_now(), 1.0, True))
        self._poll()
        self.parts.actions.step(self.fence)
        self.parts.evaluator.step(self.fence)
        self._send()

    def _send(self) -> None:
        while self.parts.outbox.step(self.fence):
            wait_until_sent(self.parts.outbox)

    def _poll(self) -> None:
        for _, poller in sorted(self.parts.pollers.items()):
            poller.poll_once(self.fence)

    def run(self, *line: str) -> Result:
        """Run a command while the engine answers it."""
        return self.while_answering(lambda: self._headway(*line))

    def while_answering(self, ask: Callable[[], T]) -> T:
        """What `ask` returns, called while the engine answers requests and sends."""
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ask)
            wait([answer], 0.05)  # most commands ask the engine nothing
            while not answer.done():
                self.parts.answers.step(self.fence)
                self.parts.actions.step(self.fence)
                self._send()
                wait([answer], 0.01)
            return answer.result()

    def _headway(self, *line: str) -> Result:
        return headway("--config", str(self.play.config), "--store", str(self.store_path), *line)

    def outputs(self) -> Iterator[str]:
        """Lines: how each command ends, then the fields of its JSON with their types."""
        for line in ERRORS:
            yield f"$ headway {' '.join(line)}: exit {self.run(*line).code}"
        for line in COMMANDS:
            text, document = self.run(*line), self.run(*line, "--json")
            yield f"\n$ headway {' '.join(line)}: exit {text.code}, with --json {document.code}"
            yield from shape(json.loads(document.out or "null"))


def shape(document: object) -> Iterator[str]:
    """A line per field of JSON, as `services[].due: null, time`: its types in all rows (list: an empty one)."""
    types: dict[str, set[str]] = {}
    _add_types(types, "", document)
    yield from (f"{path or 'all'}: {', '.join(sorted(names))}" for path, names in types.items())


def _add_types(types: dict[str, set[str]], path: str, value: object) -> None:
    match value:
        case {}:
            for name, inner in value.items():
                _add_types(types, f"{path}.{name}".lstrip("."), inner)
        case [_, *_]:
            for inner in value:
                _add_types(types, f"{path}[]", inner)
        case str() if TIME.fullmatch(value):
            types.setdefault(path, set()).add("time")
        case _:
            types.setdefault(path, set()).add("null" if value is None else type(value).__name__)


@contextmanager
def recorded_night(folder: Path) -> Iterator[Night]:
    """The night at NOW, after a user has done USER_ACTIONS at FAILED."""
    structlog_before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with (
        fixed_environment(),
        mock.patch.dict(os.environ, {SINK: "json://sink.example/"}),
        mock.patch("console.timing.clock.REFRESH_SECONDS", 0.0),
    ):
        play = plays.DemoPlayback(folder)
        place_ready(str(play.store))
        store = plays.set_up(play, moment(BEFORE), 1.0)
        plays.set_clock(play, store, ClockSetting(moment(BEFORE), real_now(), 1.0, True))
        got = lease.acquire_lease(store, "golden", 600)
        assert isinstance(got, lease.HeldLease)
        parts = EngineAssembly(load_config(play.config), store, SecretStore(), lambda *_: SendResult(True))
        parts.begin(got.fence)
        night = Night(play, store, parts, got.fence)
        try:
            for clock in (BEFORE, BEFORE, FAILED):
                night.at(clock)
            for line in USER_ACTIONS:
                night.run(*line)
                night.parts.actions.step(night.fence)
            night.at(NOW)
            night.at(NOW)
            yield night
        finally:
            parts.finish()
            store.close()
            structlog.configure(**structlog_before)
