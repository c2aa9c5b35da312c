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
from console.cli.configure import probe_target, weakened_transport
from console.config.estate import SystemConfig, SystemSettings
from console.config.loading import load_config


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
