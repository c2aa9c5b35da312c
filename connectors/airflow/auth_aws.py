"""The web login token of an MWAA environment, from AWS itself. Imported only where mwaa is set: boto3 is an extra."""

from __future__ import annotations

import httpx

from connectors.airflow.options import MwaaOptions
from connectors.aws.door import AwsDoor
from connectors.contract import Secrets
from connectors.transport.http import Deadline


class AwsWebLogin:
    """airflow:CreateWebLoginToken, as the identity that the options name."""

    def __init__(self, options: MwaaOptions, secrets: Secrets, transport: httpx.BaseTransport | None = None) -> None:
        self._environment = options.environment
        self._door = AwsDoor("MWAA", options, secrets, transport)

    def token(self, deadline: Deadline) -> tuple[str, str]:
        self._door.deadline = deadline
        reply = self._door.call("mwaa", "create_web_login_token", "WebToken", Name=self._environment)
        return str(reply["WebToken"]), str(reply.get("WebServerHostname") or "")
