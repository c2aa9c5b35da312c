"""What `headway check` calls a target that does not let it look: as its polls do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from connectors.contract import (
    AccessRefused,
    AnswerUnfit,
    Connector,
    ConnectorError,
    NotSupported,
    RightMissing,
    SystemUnreachable,
    TooBusy,
)
from connectors.heartbeat.connector import CONNECTOR
from connectors.secrets import SecretStore
from console.cli.check import probe_one
from console.config.models import SystemConfig, SystemSettings


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
        (RightMissing("SELECT on cron.job"), "missing rights"),
        (TooBusy("too many clients"), "limited"),
        (AnswerUnfit("(502)"), "failing"),
        (NotSupported("no pg_cron there"), "unsupported"),
    ],
)
def test_why_a_target_does_not_let_us_look_is_told_apart(error: ConnectorError, verdict: str) -> None:
    """All but a refusal was "unreachable"."""
    kind = replace(CONNECTOR, open=lambda *_: cast(Connector, Refusing(error)))
    found = probe_one(SystemConfig("dwh", SystemSettings(kind="heartbeat"), kind, None), "db", SecretStore(), 5)
    assert (verdict, (str(error),)) == (found.verdict, found.words)
