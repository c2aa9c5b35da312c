"""What `headway check` calls a target that does not let it look: as its polls do."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from console.cli.configure import probe_target
from console.config.estate import SystemConfig, SystemSettings


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
