"""What `headway check` calls a target that does not let it look: as its polls do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.heartbeat.connector import CONNECTOR
from connectors.sdk.contract import Connector
from connectors.sdk.errors import (
    AccessRefused,
    ConnectorError,
    InvalidAnswer,
    NotSupported,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.secrets import SecretStore
from console.cli import configure
from console.cli.configure import ProbeResult, probe_target, weakened_transport
from console.cli.exits import Exit
from console.cli.main import main
from console.config.loading import load_config
from console.config.sections import SystemConfig, SystemSettings


@dataclass
class Refusing:
    error: ConnectorError

    def probe(self, timeout_seconds: float) -> Any:
        raise self.error

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "error, verdict",
    [
        (SystemUnreachable("no route"), "unreachable"),
        (AccessRefused("the password was refused"), "refused"),
        (PermissionMissing("SELECT on cron.job"), "missing rights"),
        (RateLimited("too many clients"), "limited"),
        (InvalidAnswer("(502)"), "failing"),
        (NotSupported("no pg_cron there"), "unsupported"),
    ],
)
def test_why_a_target_does_not_let_us_look_is_told_apart(error: ConnectorError, verdict: str) -> None:
    """All but a refusal was "unreachable"."""
    kind = replace(CONNECTOR, open=lambda *_: cast(Connector, Refusing(error)))
    found = probe_target(SystemConfig("dwh", SystemSettings(kind="heartbeat"), kind, None), "db", SecretStore(), 5)
    assert (verdict, (str(error),)) == (found.verdict, found.text)


CONFIG = """
[estate]
name = "night"

[systems.hooks]
kind = "heartbeat"
listen = "0.0.0.0:8787"
plain_http = true
[systems.hooks.jobs.load]
token = { env = "LOAD_TOKEN" }
"""


@pytest.mark.parametrize(
    "store, expected",
    [
        ("headway.db", ["system hooks: plain_http = true"]),
        ("postgresql://hw@db.example/hw?sslmode=require", ["system hooks: plain_http", 'store: sslmode = "req']),
        ("postgresql://hw@db.example/hw", ["system hooks: plain_http = true"]),
    ],
)
def test_check_names_each_setting_that_weakens_the_transport(tmp_path: Path, store: str, expected: list[str]) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG)
    texts = weakened_transport(load_config(path), store)
    assert len(expected) == len(texts)
    assert all(text.startswith(start) for text, start in zip(texts, expected, strict=True))


def test_the_config_is_counted_before_anything_is_probed_and_the_probes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG)
    monkeypatch.setenv("LOAD_TOKEN", "0123456789abcdef0123456789abcdef")
    before: list[str] = []

    def probed(*_: object) -> list[ProbeResult]:
        before.append(capsys.readouterr().err)
        return [ProbeResult("hooks/hooks", "unreachable", "", ("no route",))]

    monkeypatch.setattr(configure, "probe_systems", probed)
    assert Exit.PROBLEM == main(["--config", str(path), "--store", str(tmp_path / "headway.db"), "check"])
    assert f"config {path}: 1 system, 0 services, no fault\n" in before[0]
    assert "plain_http = true" in before[0]
    shown = capsys.readouterr()
    assert ("1 probe, 1 fault\n", True) == (shown.err, "hooks/hooks: no route" in shown.out)


def test_a_store_that_cannot_be_read_is_not_said_to_lack_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "headway.toml"
    path.write_text(f'{CONFIG}\n[jobs."hooks/load"]\nexpected = "5m"\n')
    (tmp_path / "headway.db-wal").write_bytes(b"rows")
    check = ["--config", str(path), "--store", str(tmp_path / "headway.db"), "check", "--no-probe"]
    assert Exit.PROBLEM == main(check)
    shown = capsys.readouterr()
    assert ("the store's file is gone" in shown.out, "job names not verified" in shown.err) == (True, False)
    (tmp_path / "headway.db-wal").unlink()
    assert Exit.OK == main(check)
    assert "job names not verified" in capsys.readouterr().err
