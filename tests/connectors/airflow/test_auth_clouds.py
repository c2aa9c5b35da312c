"""Sign-in to managed Airflows. No request leaves for Google, AWS or Astronomer: fakes answer as documented."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from connectors.airflow import auth
from connectors.airflow.connector import AirflowConnector
from connectors.airflow.options import AirflowOptions
from connectors.sdk.errors import AccessRefused
from connectors.sdk.google import GOOGLE_SCOPE, JWT_GRANT, GoogleAccount, GoogleIdentity, GoogleOptions
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint
from connectors.sdk.transport.sign_in import RENEWED_EARLY_SECONDS
from tests.fakes.airflow import FakeAirflow
from tests.rows import each_row

URL = "https://abc.c1.eu-central-1.airflow.amazonaws.com"
PRIVATE = rsa.generate_private_key(65537, 1024)
PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
KEY = json.dumps({"client_email": "headway@p.iam.gserviceaccount.com", "private_key_id": "k1", "private_key": PEM})
POLL_SECONDS = 120.0
"""No test is about the deadline: a busy machine takes seconds to load the libraries of a cloud."""
Answer = Callable[[httpx.Request], httpx.Response]


def behind(guard: Callable[[httpx.Request], bool], login: Answer | None = None) -> httpx.MockTransport:
    """An Airflow 3 behind a proxy that rejects everybody whom `guard` does not know."""
    fake = FakeAirflow(load=("extract",))
    fake.tokens = {"inner"}

    def handle(request: httpx.Request) -> httpx.Response:
        if login is not None and "aws_mwaa" in request.url.path:
            return login(request)
        if not guard(request):
            return httpx.Response(403, json={"detail": "who are you"})
        inner = httpx.Request(request.method, request.url, content=request.content)
        inner.headers["authorization"] = "Bearer inner"
        return fake.handle(inner)

    return httpx.MockTransport(handle)


def opened(transport: httpx.BaseTransport, outside: Answer, url: str = URL, **options: Any) -> AirflowConnector:
    secret = options.pop("secret", "")
    chosen = AirflowOptions.model_validate({"url": url, **options})
    return AirflowConnector(chosen, lambda _: secret, transport, 0.0, httpx.MockTransport(outside))


# -- Astronomer -------------------------------------------------------------------------------------------------------
def test_astronomer_uses_the_token_of_a_deployment_at_its_host_and_under_its_path() -> None:
    def known(request: httpx.Request) -> bool:
        assert request.url.path.startswith("/d123/api/")
        return str(request.headers.get("authorization")) == "Bearer astro-token"

    fake = FakeAirflow(load=("extract",))
    fake.tokens = {"astro-token"}

    def handle(request: httpx.Request) -> httpx.Response:
        if not known(request):
            return httpx.Response(401, json={"detail": "no"})
        inner = httpx.Request(request.method, str(request.url).replace("/d123", ""), content=request.content)
        inner.headers["authorization"] = request.headers["authorization"]
        return fake.handle(inner)

    where, token = "https://org.astronomer.run/d123", {"env": "T"}
    connector = opened(httpx.MockTransport(handle), _no_server, where, token=token, secret="astro-token\n")
    assert connector.probe(5).version == "3.3.2"
    assert connector.poll("", (), POLL_SECONDS).complete
    unknown_user = opened(httpx.MockTransport(handle), _no_server, where, token=token, secret="other")
    with pytest.raises(AccessRefused, match="401"):
        unknown_user.poll("", (), POLL_SECONDS)


def _no_server(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"nobody should ask {request.url}")


# -- Composer ---------------------------------------------------------------------------------------------------------
def google(requests: list[httpx.Request], **answer: Any) -> Answer:
    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        token = {"access_token": f"ya29.{len(requests)}", "expires_in": 3599, "token_type": "Bearer"}
        return httpx.Response(answer.get("status", 200), json=answer.get("body", token))

    return handle


def test_composer_exchanges_a_signed_assertion_for_a_token_and_caches_it() -> None:
    requests: list[httpx.Request] = []
    seen: list[str] = []

    def known(request: httpx.Request) -> bool:
        seen.append(request.headers.get("authorization", ""))
        return seen[-1] == "Bearer ya29.1"

    connector = opened(behind(known), google(requests), google={"key": {"env": "K"}}, secret=KEY)
    assert connector.poll("", (), POLL_SECONDS).complete
    connector.poll("", (), POLL_SECONDS)
    assert [("POST", "https://oauth2.googleapis.com/token")] == [
        (request.method, str(request.url)) for request in requests
    ]
    form = parse_qs(requests[0].content.decode())
    assert [JWT_GRANT] == form["grant_type"]
    head, claims, signature = form["assertion"][0].split(".")
    PRIVATE.public_key().verify(_bytes(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    document = json.loads(_bytes(claims))
    assert ("headway@p.iam.gserviceaccount.com", GOOGLE_SCOPE, "https://oauth2.googleapis.com/token") == (
        document["iss"],
        document["scope"],
        document["aud"],
    )
    assert 3600 == document["exp"] - document["iat"]


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_composer_without_a_key_queries_the_metadata_of_its_machine() -> None:
    requests: list[httpx.Request] = []
    connector = opened(
        behind(lambda request: request.headers["authorization"] == "Bearer ya29.1"), google(requests), google={}
    )
    assert connector.poll("", (), POLL_SECONDS).complete
    assert ("metadata.google.internal", "Google") == (requests[0].url.host, requests[0].headers["metadata-flavor"])


def test_a_token_is_renewed_before_its_end_and_after_a_refusal() -> None:
    requests: list[httpx.Request] = []
    now = [1000.0]
    identity = GoogleIdentity(
        GoogleOptions.model_validate({"key": {"env": "K"}}), lambda _: KEY, httpx.MockTransport(google(requests))
    )
    token = GoogleAccount(identity, lambda _: KEY, lambda: now[0])
    token.deadline = Deadline(5)
    assert [token.headers() for _ in range(2)] == [{"Authorization": "Bearer ya29.1"}] * 2
    now[0] += 3599 - RENEWED_EARLY_SECONDS + 1
    assert {"Authorization": "Bearer ya29.2"} == token.headers()
    token.forget()
    assert {"Authorization": "Bearer ya29.3"} == token.headers()


def test_dots_that_fill_a_token_up_are_no_part_of_it() -> None:
    padded = {"access_token": "ya29.c.b0Aa.........", "expires_in": 3599}
    identity = GoogleIdentity(GoogleOptions(), lambda _: "", httpx.MockTransport(google([], body=padded)))
    token = GoogleAccount(identity, lambda _: "")
    token.deadline = Deadline(5)
    assert {"Authorization": "Bearer ya29.c.b0Aa"} == token.headers()


@each_row("key", ["", "[]", "{}", json.dumps({**json.loads(KEY), "private_key": "hunter2"})])
def test_an_invalid_key_is_refused_without_printing_it(key: str) -> None:
    connector = opened(behind(lambda _: False), _no_server, google={"key": {"env": "K"}}, secret=key)
    with pytest.raises(AccessRefused, match="does not refer to the key of a service account") as caught:
        connector.poll("", (), POLL_SECONDS)
    assert "hunter2" not in str(caught.value)


def test_a_key_that_google_refuses_says_why() -> None:
    body = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    connector = opened(
        behind(lambda _: False), google([], status=400, body=body), google={"key": {"env": "K"}}, secret=KEY
    )
    with pytest.raises(AccessRefused, match=r"invalid_grant: Invalid JWT Signature\."):
        connector.poll("", (), POLL_SECONDS)


# -- MWAA -------------------------------------------------------------------------------------------------------------
def aws(requests: list[httpx.Request], host: str = URL.removeprefix("https://")) -> Answer:
    """CreateWebLoginToken, parsed by botocore's own model."""

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        data = json.dumps({"WebToken": f"web-{len(requests)}", "WebServerHostname": host}).encode()
        return httpx.Response(200, stream=httpx.ByteStream(data))

    return handle


def mwaa(transport: httpx.BaseTransport, outside: Answer) -> AirflowConnector:
    keys = {"access_key_id": {"env": "A"}, "secret_access_key": {"env": "B"}}
    options = {"region": "eu-central-1", "environment": "orders", **keys}
    return opened(transport, outside, mwaa=options, secret="AKIAEXAMPLE")


@pytest.mark.parametrize(
    "place, cookie, shown",
    [
        ("/pluginsv2/aws_mwaa/login", "_token=jwt-1; Path=/; HttpOnly", ("authorization", "Bearer jwt-1")),
        ("/aws_mwaa/login", "other=1; Path=/, session=s-1; HttpOnly; Path=/", ("cookie", "session=s-1")),
    ],
)
def test_mwaa_changes_a_web_login_token_for_a_session_of_either_airflow(
    place: str, cookie: str, shown: tuple[str, str]
) -> None:
    requests: list[httpx.Request] = []
    logins: list[tuple[str, str]] = []

    def login(request: httpx.Request) -> httpx.Response:
        logins.append((request.url.path, request.content.decode()))
        here = request.url.path == place
        return httpx.Response(302 if here else 404, headers={"set-cookie": cookie} if here else {})

    connector = mwaa(behind(lambda request: request.headers.get(shown[0]) == shown[1], login), aws(requests))
    assert connector.poll("", (), POLL_SECONDS).complete
    connector.poll("", (), POLL_SECONDS)
    assert (place, f"token=web-{len(logins)}") == logins[-1], "each login has a token of its own, which is good once"
    assert len(logins) == len(requests) <= 2
    assert "/webtoken/orders" in str(requests[0].url)
    assert "AWS4-HMAC-SHA256" in requests[0].headers["authorization"]


def test_the_token_goes_to_no_other_host_than_the_environment_s() -> None:
    def login(request: httpx.Request) -> httpx.Response:
        raise AssertionError("the token was sent")

    connector = mwaa(behind(lambda _: False, login), aws([], "evil.example"))
    with pytest.raises(AccessRefused, match=r"is at evil\.example, not at"):
        connector.poll("", (), POLL_SECONDS)


def test_an_environment_that_takes_no_token_says_what_was_tried() -> None:
    connector = mwaa(behind(lambda _: False, lambda _: httpx.Response(403)), aws([]))
    with pytest.raises(AccessRefused, match=r"/aws_mwaa/login answered 403.*airflow:CreateWebLoginToken"):
        connector.poll("", (), POLL_SECONDS)


def test_a_session_is_renewed_before_aws_ends_it() -> None:
    now, made = [0.0], list[int]()

    def log_in(deadline: Deadline) -> tuple[str, str]:
        made.append(1)
        return "web", "a.example"

    cookie = httpx.MockTransport(lambda _: httpx.Response(200, headers={"set-cookie": f"_token=j{len(made)}"}))
    endpoint = HttpEndpoint("Airflow", "https://A.example", transport=cookie)
    session = auth.MwaaAccount(lambda _: "", endpoint, log_in, lambda: now[0])
    session.deadline = Deadline(5)
    assert session.headers() == session.headers()
    now[0] = auth.MWAA_SESSION_SECONDS - 1
    assert {"Authorization": "Bearer j2"} == session.headers()


@pytest.mark.parametrize(
    "options, text",
    [
        ({"google": {}, "token": {"env": "T"}}, "token and google are two ways to sign in"),
        ({"google": {}, "username": "x"}, r"\(google\) needs no username"),
        ({"mwaa": {"region": "eu-central-1"}}, "environment"),
    ],
)
def test_two_sign_in_methods_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        AirflowOptions.model_validate({"url": URL, **options})
