"""The demo's recorded night in one store, played step by step by an engine in this process; its clock is fixed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from unittest import mock
from zoneinfo import ZoneInfo

import structlog

from connectors.sdk.secrets import SecretStore
from console.config.loading import load_config
from console.demo import playback as plays
from console.demo.playback import SINK, ZONE, moment
from console.domain.message import Message, body_text, title_text
from console.engine.notify.paging import Page
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
USER_ACTIONS = (
    ("incident", "note", "1", "the disk of db07 is full"),
    ("ack", "1", "--for", "1h"),
    ("silence", "add", "--system", "payments-aws", "--for", "2h", "--why", "bank holiday"),
    ("service", "extend", "stock-cover", "--until", "08:00", "--why", "the planners agreed"),
    ("system", "pause", "warehouse-pg", "--why", "new disk", "--for", "3h"),
    ("rerun", "etl-hosts/etl02:fetch_fx", "--yes", "--why", "late rates", "--timeout", "0"),
)
"""What a user does at FAILED, so that lists are not empty."""
COMMANDS: Mapping[str, Sequence[str]] = {
    "status": ("status",),
    "systems": ("system",),
    "services": ("service",),
    "services-attainment": ("service", "--attainment"),
    "month": ("report",),
    "month-service": ("report", "supply-plan"),
    "review": ("service", "review", "supply-plan"),
    "forecast": ("forecast",),
    "forecast-service": ("forecast", "supply-plan"),
    "forecast-score": ("forecast", "score"),
    "tonight": (
        "forecast",
        "tonight",
    ),
    "jobs": (
        "job",
        "list",
    ),
    "jobs-problems": ("job", "list", "--problems"),
    "job": ("job", EXTRACT),
    "job-plan": ("job", PLAN),
    "runs": ("run", EXTRACT),
    "runs-failed": ("run", "state:failed"),
    "lineage": ("lineage", LOAD),
    "blast": ("blast", EXTRACT),
    "log": ("log", EXTRACT),
    "failures": ("failure", "list"),
    "incidents": ("incident", "list", "--all"),
    "incident": ("incident", "1"),
    "incident-plain": ("incident", "1", "--plain"),
    "report": ("incident", "report", "1"),
    "handover": (
        "incident",
        "handover",
    ),
    "recovery": ("plan",),
    "done": (
        "action",
        "complete",
    ),
    "holds": ("hold",),
    "findings": (
        "job",
        "findings",
    ),
    "drift": (
        "system",
        "drift",
    ),
    "calendar": ("calendar",),
    "why": ("why", LOAD),
    "why-service": ("why", "supply-plan"),
    "silence": ("silence",),
    "rota": ("oncall",),
    "alert": ("alert",),
    "alert-suppressed": ("alert", "--suppressed"),
    "actions": ("action",),
    "approvals": (
        "action",
        "approvals",
    ),
    "withdraw": (
        "action",
        "withdraw",
    ),
    "audit": ("audit",),
    "audit-verify": ("audit", "verify"),
    "freeze": ("freeze", "--status"),
    "shadow": ("shadow",),
    "shadow-report": ("shadow", "report"),
    "checks": ("datacheck",),
    "check": ("check", "--no-probe"),
    "connector-list": ("connector", "list"),
    "what-if": ("forecast", "what-if", "--restart", LOAD),
    "recover": ("recover", "1", "--dry-run"),
    "rerun": ("rerun", PLAN, "--dry-run"),
    "hold": ("hold", "add", PLAN, "--dry-run"),
    "start": ("job", "start", PLAN, "--dry-run"),
    "backfill": ("plan", "backfill", PLAN, "--from", "2026-11-01", "--to", "2026-11-03", "--dry-run"),
    "alert-test": ("alert", "test", "oncall"),
}
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
_MASKS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
    (re.compile(r"headway-[0-9a-z]{19}\b"), "headway-<key>"),
    (re.compile(r"\b(?:(?<=config )|(?=[a-f]*\d)(?=\d*[a-f]))[0-9a-f]{12}\b"), "<digest>"),
    (re.compile(r'(?<="poll_ms": )[\d.]+'), "0.0"),
    (re.compile(r"\b(?!2026-11-(?:19|20))\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d{6}Z"), "<real time>"),
)
_SECONDS = re.compile(r"\b(?P<at>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?: ?(?P<zone>[A-Z]+))?")


@dataclass
class Night:
    """The engine's parts and the store they work on."""

    play: plays.DemoPlayback
    store: Database
    parts: EngineAssembly
    fence: int
    began: datetime
    sent: list[tuple[str, str]] = field(default_factory=list)

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

    def outputs(self) -> Mapping[str, str]:
        """File name -> what the command prints."""
        texts = {"errors.txt": self._masked("\n".join(_transcript(line, self.run(*line)) for line in ERRORS))}
        for name, line in COMMANDS.items():
            texts[f"{name}.txt"] = self._masked(_transcript(line, self.run(*line)))
            document = self.run(*line, "--json").out
            texts[f"{name}.json"] = self._masked(
                f"{json.dumps(json.loads(document or 'null', parse_float=_rounded), indent=1, ensure_ascii=False)}\n"
            )
        return texts

    def sent_text(self) -> str:
        """The alerts that left."""
        return self._masked("".join(f"\n== sent\n{title}\n\n{body.rstrip()}\n" for title, body in self.sent))

    def _masked(self, text: str) -> str:
        for folder in {str(self.play.folder), os.path.realpath(self.play.folder)}:
            text = text.replace(folder, "<folder>")
        for pattern, mask in _MASKS:
            text = pattern.sub(mask, text)
        return _SECONDS.sub(lambda found: "<real time>" if self._is_real(found) else found[0], text)

    def _is_real(self, found: re.Match[str]) -> bool:
        """Whether the text is of a second since this night was begun; those of the night itself are a replay's."""
        zone = UTC if found["zone"] == "Z" else ZoneInfo(ZONE)
        at = datetime.fromisoformat(found["at"])
        return any(self.began <= at.replace(tzinfo=zone, fold=fold) <= real_now() for fold in (0, 1))


def _transcript(line: Sequence[str], done: Result) -> str:
    out = f"{done.out.rstrip()}\n" if done.out else ""
    errors = "".join(f"stderr: {line}\n" for line in done.err.rstrip().splitlines())
    return f"$ headway {' '.join(line)}\n{out}{errors}exit {done.code}\n"


@contextmanager
def recorded_night(folder: Path) -> Iterator[Night]:
    """The night at NOW, after a user has done USER_ACTIONS at FAILED."""
    structlog_before, began = structlog.get_config(), real_now().replace(microsecond=0)
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
        sent: list[tuple[str, str]] = []

        def send(url: str, message: Message, page: Page) -> SendResult:
            sent.append((title_text(message.title), body_text(message.blocks)))
            return SendResult(True)

        parts = EngineAssembly(load_config(play.config), store, SecretStore(), send)
        parts.begin(got.fence)
        night = Night(play, store, parts, got.fence, began, sent)
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


def _rounded(number: str) -> float:
    """The last digits of a probability differ between processors."""
    return round(float(number), 9)
