"""What the tests of all kinds of AWS share: keys in the environment, and a connector at an address."""

from __future__ import annotations

from typing import ClassVar

import pytest

from connectors.sdk.contract import Connector, ConnectorKind
from connectors.sdk.secrets import SecretStore


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-aws-key")


class AwsWorld:
    """A conformance world whose server is at an address of its own."""

    kind: ClassVar[ConnectorKind]

    def connector_at(self, host: str, port: int) -> Connector:
        options = self.kind.options(region="eu-central-1", endpoint_url=f"http://{host}:{port}")
        return self.kind.open(options, "eu-central-1", SecretStore())
