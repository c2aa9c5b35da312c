"""Canary secrets in every place of a config, and everything goes wrong with them: none reaches the store, a log, an
alert, an answer or what a command prints, in any usual spelling (I6, F58)."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import structlog

from connectors.sdk.contract import (
    ActionSpec,
    LookUpResult,
    NativeHold,
    Preview,
    Probe,
    Receipt,
    SecretResolver,
    SourcePermission,
)
from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import LogChunk, Poll, RunRecord, RunRef, SkippedRecord
from connectors.sdk.secrets import SecretRef, SecretStore
from console.cli.main import main
from console.config.alerts import RouteSettings
from console.config.sections import AlertSettings, Config
from console.domain.ids import new_action_key
from console.domain.message import Message, body_text, title_text
from console.engine.api.client import EngineClient
from console.engine.api.requests import ReadLog
from console.engine.notify.paging import Page
from console.engine.notify.senders import SendResult
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.log_setup import set_up_logs
from console.store.db import lease
from console.store.db.lease import HeldLease
from console.store.queries import open_queries
from tests.action_requests import rerun_of
from tests.engine.bench import wait_until_sent
from tests.invariants.worlds import ROUTE, Trouble, World, WorldConnector, config_of
from tests.lab.process import HANGS_SECONDS
from tests.store.ready import open_ready

PASSWORD = 'CANARY-p@ss w/"quote"-é'
TOKEN = "CANARYTOKEN0123456789"
ACCOUNT = "CANARY-sink-password"
CANARIES = (PASSWORD, TOKEN, ACCOUNT)


def spellings(secret: str) -> set[bytes]:
    """In plain, quoted for URLs and JSON, and in base64 at any offset of a longer text."""
    plain = secret.encode()
    results = {plain, quote(secret).encode(), quote(secret, safe="").encode(), quote_plus(secret).encode()}
    results |= {json.dumps(secret).strip('"').encode(), json.dumps(secret, ensure_ascii=False).strip('"').encode()}
    return results | {b64encode(b"x" * lead + plain)[4 if lead else 0 : -4] for lead in range(3)}


def hits(*texts: bytes) -> list[bytes]:
    return [form for text in texts for secret in CANARIES for form in spellings(secret) if form in text]


def test_the_search_finds_every_spelling() -> None:
    assert [] != hits(b64encode(f"headway:{PASSWORD}".encode()))
    assert [] != hits(json.dumps({"error": PASSWORD}).encode())
    assert [] != hits(f"https://x/{quote(PASSWORD)}".encode())


class Leaky(WorldConnector):
    """Lets its password slip wherever it says anything."""

    def __init__(self, world: World, secrets: SecretResolver) -> None:
        super().__init__(world, secrets)
        self.password = secrets(SecretRef(env="CANARY_PASSWORD"))

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        poll = super().poll(cursor, open_runs, timeout_seconds)
        slips = tuple(replace(run, message=f"login {self.password} failed", exit_code=1) for run in poll.runs)
        skipped = (SkippedRecord("row 3", f"no date after {self.password}", f"sample {self.password}"),)
        return replace(poll, runs=slips, warnings=(f"odd: {self.password}",), skipped=skipped)

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        return LogChunk(f"mysql --password={self.password}\nno space\n")

    def preview(self, ask: ActionSpec, timeout_seconds: float) -> Preview:
        message = f"run with {self.password}"
        return Preview("run", message, message, (message,), message, (message,), (message,), plan={"job": ask.run.job})

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        self._world.act(key)
        raise OutcomeUnknown(f"POST /run?password={self.password}: connection reset")

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported("this world: holds are not kept by this kind")

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        raise SystemUnreachable(f"GET /run?password={quote(self.password)}: 503")

    def probe(self, timeout_seconds: float) -> Probe:
        return Probe(
            True, f"1 {self.password}", (SourcePermission("view", False, self.password, f"try {self.password}"),)
        )


def refused(password: str) -> Exception:
    return AccessRefused(f"password {password} was refused")


def broken(password: str) -> Exception:
    return ValueError(f"Authorization: Basic {b64encode(password.encode()).decode()}")


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_PASSWORD", PASSWORD)


class Night:
    """An engine, step by step, whose connector and receiver let slip what they can."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, str(folder / "headway.db")
        self.world = World(folder, "good")
        self.secrets = SecretStore()
        self.texts: list[str] = []
        set_up_logs(self.secrets, folder / "engine.log", "debug")
        self.store = open_ready(self.url)
        got = lease.acquire_lease(self.store, "test", 600)
        assert isinstance(got, HeldLease)
        self.fence = got.fence
        self.parts = EngineAssembly(self.config(), self.store, self.secrets, self.send)
        self.parts.begin(self.fence)
        [self.poller] = self.parts.pollers.values()

    def config(self) -> Config:
        config = config_of(self.folder, self.world)
        os.environ[ROUTE] = f"json://headway:{ACCOUNT}@sink.example/{TOKEN}?key={TOKEN}"
        system = config.systems["good"]
        kind = replace(system.kind, open=lambda _options, _target, secrets: Leaky(self.world, secrets))
        os.environ["CANARY_SHADOW"] = f"json://headway:{quote(PASSWORD)}@127.0.0.1:1/{TOKEN}"
        routes = {"oncall": RouteSettings(urls=(SecretRef(env=ROUTE),))}
        routes["shadow"] = RouteSettings(urls=(SecretRef(env="CANARY_SHADOW"),))
        os.environ["CANARY_PING"] = f"http://127.0.0.1:1/{TOKEN}?key={quote(PASSWORD)}"
        alerts = AlertSettings(default_route="oncall", ping=SecretRef(env="CANARY_PING"), shadow_route="shadow")
        return replace(config, systems={"good": replace(system, kind=kind)}, routes=routes, alerts=alerts)

    def send(self, url: str, message: Message, page: Page) -> SendResult:
        self.texts += [title_text(message.title), body_text(message.blocks)]
        if len(self.texts) == 2:
            return SendResult(False, f"POST {url} answered 500 to {ACCOUNT} with {TOKEN} error=500")
        raise ValueError(f"cannot parse {url}")

    def play(self) -> None:
        """A failure, an alert that the receiver refuses, a rerun whose answer is lost, a source that refuses."""
        self.world.fail("extract")
        self.turn()
        assert self.parts.ping is not None
        self.parts.ping.step()
        self.texts.append(self.parts.trouble(""))
        self.rerun()
        with self.store.write(None) as connection:
            connection.rows("UPDATE delivery SET next_us = 0")
        self.turn()
        for error in (refused(PASSWORD), broken(PASSWORD)):
            self.world.trouble = raising(error)
            self.poll_whatever_comes()

    def turn(self) -> None:
        self.poller.poll_once(self.fence)
        self.parts.evaluator.step(self.fence)
        self.parts.outbox.step(self.fence)
        wait_until_sent(self.parts.outbox)

    def poll_whatever_comes(self) -> None:
        self.poller.step(self.fence)

    def rerun(self) -> None:
        requests = EngineClient(self.url)
        with open_queries(self.url) as reads:
            run_id = reads.incidents.incident(1).row.root_run_id
        assert run_id is not None
        for question in (requests.preview(rerun_of(run_id)), requests.ask(ReadLog(run_id))):
            self.parts.answers.step(self.fence)
            answer = requests.wait(question, HANGS_SECONDS)
            assert answer.ok, answer.error
            self.texts.append(json.dumps(answer.data, ensure_ascii=False))
        preview = json.loads(self.texts[-2])
        requests.act(rerun_of(run_id, preview, "because"), new_action_key())
        for _ in range(2):
            self.parts.actions.step(self.fence)

    def end(self) -> None:
        self.parts.finish()
        self.store.close()
        set_up_logs(SecretStore())
        structlog.reset_defaults()


def raising(error: Exception) -> Trouble:
    def trouble(_: float) -> Sequence[RunRecord]:
        raise error

    return trouble


COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("service",),
    (
        "job",
        "list",
    ),
    ("job", "good/extract"),
    ("run", "good/extract"),
    (
        "incident",
        "list",
    ),
    ("incident", "1"),
    ("incident", "1", "--json"),
    (
        "system",
        "drift",
    ),
    ("alert", "--json"),
    ("audit", "--json"),
    ("hold", "--all", "--json"),
    ("plan", "--all"),
    (
        "action",
        "approvals",
    ),
    ("freeze", "--why", "the network is moved"),
    ("freeze", "--off"),
    ("shadow", "on", "--why", "we try"),
    ("shadow", "report"),
    ("store", "backup"),
)


def test_f58_no_secret_reaches_store_log_alert_answer_or_command(
    tmp_path: Path, canaries: None, capsys: pytest.CaptureFixture[str]
) -> None:
    night = Night(tmp_path)
    night.play()
    printed = []
    for command in COMMANDS:
        more = [str(tmp_path / "copy.db")] if command == ("store", "backup") else []
        assert main(["--store", night.url, *command, *more]) in (0, 1)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        printed += [out, err]
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    night.end()
    assert {"headway.db", "headway.db-wal", "engine.log", "copy.db"} <= set(files)
    assert (True, True) == (len(night.texts) > 3, "good/extract" in "".join(printed))
    assert {} == {name: hits(content) for name, content in files.items() if hits(content)}
    assert [] == hits(*(text.encode() for text in [*night.texts, *printed]))
    assert "•••" in "".join(night.texts)


def test_f58_what_a_process_shows_of_itself_and_hands_to_its_children_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file and from a command: `ps` shows neither, and the next secret command inherits neither."""
    for name in [name for name, value in os.environ.items() if hits(value.encode())]:
        monkeypatch.delenv(name)  # other tests' own
    file, secrets = tmp_path / "secret", SecretStore()
    for secret in (TOKEN, PASSWORD):
        file.touch(0o600)
        file.write_text(secret)
        assert secret == secrets(SecretRef(file=file))
        assert secret == secrets(SecretRef(command=("cat", str(file))))
    seen = secrets(SecretRef(command=("sh", "-c", "cat /proc/self/environ /proc/$PPID/cmdline /proc/$$/cmdline")))
    assert len(seen) > 20
    assert [] == hits(seen.encode(), Path("/proc/self/cmdline").read_bytes(), "\0".join(os.environ.values()).encode())


STORES = {
    "closed port": f"postgresql://headway:{TOKEN}@127.0.0.1:1/headway",
    "no port": f"postgresql://headway:{TOKEN}@127.0.0.1:port{TOKEN}/headway",
    "no host": f"postgresql://headway:{quote(PASSWORD)}@[::1/headway",
    "a word too much": f"postgresql://headway:{TOKEN}@127.0.0.1:1/headway?passwordd={TOKEN}",
}
CONFIG = """\
[estate]
store = { env = "CANARY_STORE" }
[systems.flow]
kind = "airflow"
url = "http://127.0.0.1:1"
username = "headway"
password = { env = "CANARY_PASSWORD" }
[routes.oncall]
urls = [{ env = "CANARY_ROUTE" }]
[alerts]
default_route = "oncall"
"""


@pytest.mark.parametrize("url", STORES.values(), ids=STORES)
@pytest.mark.parametrize("command", [("status",), ("engine",), ("check",), ("job", "list", "--json")], ids=" ".join)
def test_f58_an_unreachable_store_is_reported_in_one_message_without_its_password(
    tmp_path: Path,
    canaries: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    url: str,
    command: tuple[str, ...],
) -> None:
    config = tmp_path / "headway.toml"
    config.write_text(CONFIG)
    monkeypatch.setenv("CANARY_STORE", url)
    monkeypatch.setenv("CANARY_ROUTE", f"json://headway:{ACCOUNT}@127.0.0.1:1/{TOKEN}")
    code = main(["--config", str(config), *command])
    out, err = capfd.readouterr()
    assert [] == hits(out.encode(), err.encode())
    assert (True, False) == (code in (1, 2), "Traceback" in err)


LITERALS = {
    "a system's password": ('password = { env = "CANARY_PASSWORD" }', f'password = "{TOKEN}"'),
    "a store's": ('store = { env = "CANARY_STORE" }', f'store = "postgresql://headway:{TOKEN}@db/headway"'),
    "a route's": ('urls = [{ env = "CANARY_ROUTE" }]', f'urls = ["json://headway:{TOKEN}@sink/"]'),
    "in a system's address": ("http://127.0.0.1:1", f"http://headway:{TOKEN}@127.0.0.1:1"),
}


@pytest.mark.parametrize("written, literal", LITERALS.values(), ids=LITERALS)
def test_f58_a_secret_written_into_the_config_is_refused_and_not_repeated(
    tmp_path: Path, canaries: None, capfd: pytest.CaptureFixture[str], written: str, literal: str
) -> None:
    config = tmp_path / "headway.toml"
    config.write_text(CONFIG.replace(written, literal))
    code = main(["--config", str(config), "engine"])
    out, err = capfd.readouterr()
    assert (2, []) == (code, hits(out.encode(), err.encode()))
    assert "headway.toml:" in err
    assert ["headway.toml"] == [path.name for path in tmp_path.iterdir()]
