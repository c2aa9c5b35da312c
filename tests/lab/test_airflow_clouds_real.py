"""Sign-ins of managed Airflows on a real Airflow 3: only the cloud that gives the token is a fake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from connectors.airflow.connector import AirflowConnector
from connectors.airflow.options import AirflowOptions
from tests.connectors.airflow.test_auth_clouds import KEY
from tests.lab.airflow import AirflowServer


class Mwaa(httpx.BaseTransport):
    """The web server of an MWAA environment: it changes a web login token for Airflow's own session."""

    def __init__(self, airflow: AirflowServer) -> None:
        self._airflow, self._inner = airflow, httpx.HTTPTransport()
        self.logins: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/pluginsv2/aws_mwaa/login":
            return self._inner.handle_request(request)
        self.logins.append(request.read())
        cookie = f"_token={self._airflow.token()}; Path=/; HttpOnly"
        return httpx.Response(302, headers={"set-cookie": cookie}, stream=httpx.ByteStream(b""))

    def close(self) -> None:
        self._inner.close()


def cloud(airflow: AirflowServer) -> httpx.MockTransport:
    """AWS and Google, as their documentation has it."""

    def handle(request: httpx.Request) -> httpx.Response:
        host = urlsplit(airflow.url).hostname
        reply: dict[str, Any] = {"WebToken": "web-1", "WebServerHostname": host}
        if "google" in request.url.host:
            reply = {"access_token": airflow.token(), "expires_in": 3600}
        headers = {"content-type": "application/json"}
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(json.dumps(reply).encode()))

    return httpx.MockTransport(handle)


@pytest.fixture(params=["mwaa", "google", "astronomer"])
def connector(request: pytest.FixtureRequest, airflow: AirflowServer) -> Iterator[AirflowConnector]:
    keys = {"access_key_id": {"env": "A"}, "secret_access_key": {"env": "B"}}
    options: dict[str, dict[str, Any]] = {
        "mwaa": {"mwaa": {"region": "eu-central-1", "environment": "orders", **keys}},
        "google": {"google": {"key": {"env": "KEY"}}},
        "astronomer": {"token": {"env": "TOKEN"}},
    }
    secrets = {"A": "AKIAEXAMPLE", "B": "secret", "KEY": KEY, "TOKEN": airflow.token()}
    chosen = AirflowOptions.model_validate({"url": airflow.url, **options[request.param]})
    service = Mwaa(airflow) if request.param == "mwaa" else None
    opened = AirflowConnector(chosen, lambda reference: secrets[reference.env], service, outside=cloud(airflow))
    yield opened
    opened.close()
    assert service is None or [b"token=web-1"] == service.logins


def test_each_sign_in_reads_a_real_airflow(connector: AirflowConnector) -> None:
    assert "stock_count" in {job.native_id for job in connector.inventory("", 30).jobs}
    poll = connector.poll("", (), 30)
    assert poll.complete
    probe = connector.probe(30)
    assert (True, []) == (probe.reachable, [right.name for right in probe.rights if right.held is False])
