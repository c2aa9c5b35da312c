"""The MWAA web login token from AWS.

A module of its own because it needs boto3, an optional dependency: `auth` imports it only when `mwaa` is configured.
"""

from __future__ import annotations

import httpx

from connectors.airflow.options import MwaaOptions
from connectors.sdk.aws.client import AwsClient
from connectors.sdk.contract import SecretResolver
from connectors.sdk.transport.budget import Deadline


class AwsWebLogin:
    """airflow:CreateWebLoginToken, as the identity that the options name."""

    def __init__(
        self, options: MwaaOptions, secrets: SecretResolver, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._environment = options.environment
        self._endpoint = AwsClient("MWAA", options, secrets, transport)

    def token(self, deadline: Deadline) -> tuple[str, str]:
        self._endpoint.deadline = deadline
        reply = self._endpoint.call("mwaa", "create_web_login_token", "WebToken", Name=self._environment)
        return str(reply["WebToken"]), str(reply.get("WebServerHostname") or "")
