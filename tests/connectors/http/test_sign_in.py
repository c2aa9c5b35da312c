"""Sign-ins of a profile: OAuth 2.0, sessions, keys in a query, Google and AWS; and token endpoints that misbehave."""

from __future__ import annotations

import json
import os
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import ValidationError

from connectors.http.connector import HttpConnector, HttpProfile
from connectors.http.sign_in import AwsAccount, SessionAccount
from connectors.sdk.aws.options import AwsIdentity
from connectors.sdk.errors import AccessRefused, ConnectorError, RateLimited, SystemUnreachable
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport import sign_in
from connectors.sdk.transport.sign_in import DEFAULT_LIFETIME_SECONDS, MAX_TOKEN_CHARACTERS, lifetime_of
from tests.connectors.http.test_mapped import settings
from tests.fakes.homegrown import HomeGrown
from tests.rows import each_row

TOKEN_URL = "https://login.example.com/{option.tenant}/oauth2/v2.0/token"
OAUTH2: dict[str, Any] = {
    "sign_in": "oauth2",
    "oauth2": {"token_url": TOKEN_URL, "scope": "api/.default", "client": "form"},
}
CLIENT = {"client_id": "headway", "client_secret": {"env": "S"}}
SESSION: dict[str, Any] = {
    "sign_in": "session",
    "session": {"path": "/login", "body": {"user": "{username}", "password": "{password}"}, "token": "session.token"},
}
PERSON = {"username": "ann", "password": {"env": "S"}}
SECRET = "correct horse battery"


def profile(**sign_in: Any) -> HttpProfile:
    mapping = {name: settings()[name] for name in ("jobs", "runs", "states", "log", "verbs")}
    mapping["jobs"] = {**mapping["jobs"], "paging": "none"}
    header = {
        "kind": "homegrown", "base": "http", "title": "Home-grown", "ladder": "Proves what it says.",
        "grants": "# an account that may read", "lacks": {"hold": "it has no place for a mark"},
        "options": {"tenant": {"about": "Name of the tenant.", "default": "acme/1"}},
    }  # fmt: skip
    return HttpProfile.model_validate({**header, **mapping, **sign_in}, context={})


class Guarded:
    """The home-grown scheduler behind a sign-in: `accepts` says which requests it lets in, `login` answers all others
    than its API's."""

    def __init__(self, login: Callable[[httpx.Request], httpx.Response]) -> None:
        self.fake, self.login = HomeGrown(), login
        self.logins: list[httpx.Request] = []
        self.requests: list[httpx.Request] = []
        self.accepts: Callable[[httpx.Request], bool] = lambda _: True

    def handle(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith("/api/"):
            self.logins.append(request)
            return self.login(request)
        self.requests.append(request)
        if not self.accepts(request):
            return httpx.Response(401, json={"message": "who are you?"})
        request.headers["x-api-key"] = self.fake.key
        return self.fake.handle(request)

    def open(self, given: HttpProfile, secrets: Any = lambda _: SECRET, **account: Any) -> HttpConnector:
        options = given.connector_kind().options.model_validate({"url": "https://jobs.example.com", **account})
        return given.open_target(options, "api", secrets, httpx.MockTransport(self.handle))

    def seen(self, header: str = "authorization") -> list[str]:
        return [request.headers.get(header, "") for request in self.requests]


def issuing(lifetime: Any = 3600) -> Callable[[httpx.Request], httpx.Response]:
    """Answers with tokens t1, t2, …"""
    count = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return httpx.Response(200, json={"access_token": f"token-{count}", "expires_in": lifetime})

    return answer


# OAuth 2.0
def test_a_token_is_obtained_once_for_all_requests() -> None:
    server = Guarded(issuing())
    connector = server.open(profile(**OAUTH2), **CLIENT)
    connector.inventory("", 5)
    assert connector.poll("", (), 5).runs
    assert ["https://login.example.com/acme%2F1/oauth2/v2.0/token"] == [str(request.url) for request in server.logins]
    form = {name: value for name, [value] in parse_qs(server.logins[0].content.decode()).items()}
    assert {
        "grant_type": "client_credentials", "scope": "api/.default", "client_id": "headway", "client_secret": SECRET,
    } == form  # fmt: skip
    assert {"Bearer token-1"} == set(server.seen())


def test_client_id_and_secret_go_as_basic_authentication_by_default() -> None:
    server = Guarded(issuing())
    server.open(profile(sign_in="oauth2", oauth2={"token_url": TOKEN_URL}), **{**CLIENT, "client_id": "a:b"}).inventory(
        "", 5
    )
    scheme, _, pair = server.logins[0].headers["authorization"].partition(" ")
    assert ("Basic", "a%3Ab:correct+horse+battery") == (scheme, b64decode(pair).decode())
    assert b"correct" not in server.logins[0].content


def test_a_token_endpoint_of_each_system_is_an_option() -> None:
    server = Guarded(issuing())
    given = profile(sign_in="oauth2", oauth2={})
    with pytest.raises(ValidationError, match="token_url"):
        server.open(given, **CLIENT)
    with pytest.raises(ValidationError, match="unencrypted"):
        server.open(given, **CLIENT, token_url="http://login.example.com/token")
    server.open(given, **CLIENT, token_url="https://acme.login.example.com/oauth/token").inventory("", 5)
    assert ["https://acme.login.example.com/oauth/token"] == [str(request.url) for request in server.logins]


def test_a_path_is_below_the_address_of_the_system() -> None:
    server = Guarded(issuing())
    server.open(profile(sign_in="oauth2", oauth2={"token_url": "/oauth/token"}), **CLIENT).inventory("", 5)
    assert ["https://jobs.example.com/oauth/token"] == [str(request.url) for request in server.logins]


def test_a_token_is_renewed_before_its_end_and_once_after_a_401(monkeypatch: pytest.MonkeyPatch) -> None:
    server, ahead, monotonic = Guarded(issuing(600)), [0.0], time.monotonic
    connector = server.open(profile(**OAUTH2), **CLIENT)
    account = connector._api._account
    assert isinstance(account, sign_in.ClientCredentials)
    monkeypatch.setattr(account, "_monotonic", lambda: monotonic() + ahead[0])
    connector.inventory("", 5)
    ahead[0] = 530.0
    connector.inventory("", 5)
    assert 1 == len(server.logins)
    ahead[0] = 545.0
    connector.inventory("", 5)
    assert ["Bearer token-1", "Bearer token-1", "Bearer token-2"] == server.seen()
    server.accepts = lambda request: request.headers["authorization"] != "Bearer token-2"
    connector.inventory("", 5)
    assert ["Bearer token-2", "Bearer token-3"] == server.seen()[3:]
    server.accepts = lambda _: False
    with pytest.raises(AccessRefused, match="401"):
        connector.inventory("", 5)
    assert 4 == len(server.logins), "one renewal"


@each_row(
    "lifetime, seconds",
    [
        (3599, 3599), ("3599", 3599), (0.5, 0.5), (None, None), (0, None), (-5, None), (True, None), ("soon", None),
        (10**12, None), ("1e400", None), ("nan", None), ([3600], None),
    ],
)  # fmt: skip
def test_a_lifetime_that_is_not_credible_is_an_hour(lifetime: Any, seconds: float | None) -> None:
    assert (seconds or DEFAULT_LIFETIME_SECONDS) == lifetime_of(lifetime)


JSON = {"content-type": "application/json"}
HOSTILE: list[tuple[httpx.Response, type[ConnectorError], str]] = [
    (httpx.Response(200, html="<form>Sign in</form>"), AccessRefused, "web page"),
    (httpx.Response(302, headers={"location": "https://evil.example/steal"}), AccessRefused, "redirect to evil.exampl"),
    (httpx.Response(307, headers={"location": "http://169.254.169.254/"}), AccessRefused, "redirects are not followed"),
    (httpx.Response(200, json=[]), SystemUnreachable, "is a JSON list, not an object"),
    (httpx.Response(200, json={}), AccessRefused, "has no token at access_token"),
    (httpx.Response(200, json={"access_token": ""}), AccessRefused, "has no token"),
    (httpx.Response(200, json={"access_token": {"a": 1}}), AccessRefused, "has no token"),
    (httpx.Response(200, json={"access_token": "x" * (MAX_TOKEN_CHARACTERS + 1)}), AccessRefused, "has no token"),
    (httpx.Response(200, json={"access_token": "a\r\nHost: evil"}), AccessRefused, "cannot be sent"),
    (
        httpx.Response(200, content=b'{"access', headers={"content-type": "application/json"}),
        SystemUnreachable,
        "whole",
    ),
    (httpx.Response(200, content=b"[" * 99_999, headers={"content-type": "application/json"}), SystemUnreachable, ""),
    (httpx.Response(400, json={"error": "invalid_client"}), AccessRefused, "gives no token: invalid_client. Are clie"),
    (
        httpx.Response(400, json={"error": "invalid_scope"}),
        AccessRefused,
        "gives no token: invalid_scope. Correct the s",
    ),
    (
        httpx.Response(400, json={"error": {"code": "scope_not_granted", "detail": "Not granted: jobs.pause."}}),
        AccessRefused,
        "gives no token: scope_not_granted: Not granted: jobs.pause. Correct the scope",
    ),
    (httpx.Response(401, json={"error_description": f"{SECRET} is wrong"}), AccessRefused, "gives no token"),
    (httpx.Response(403, html="<b>no</b>"), AccessRefused, "gives no token"),
    (httpx.Response(404, json={}), ConnectorError, "404"),
    (httpx.Response(429, headers={"retry-after": "7"}), RateLimited, "is a rate limit"),
    (httpx.Response(503), SystemUnreachable, "is a fault of its own"),
]


@each_row("reply, error, text", HOSTILE)
def test_a_token_endpoint_that_misbehaves(reply: httpx.Response, error: type[ConnectorError], text: str) -> None:
    """It ends as an expected error, no secret is in it, and nothing reached the API."""
    os.environ["S"] = SECRET
    server, secrets = Guarded(lambda _: reply), SecretStore()
    connector = server.open(profile(**OAUTH2), secrets, **CLIENT)
    with pytest.raises(error) as caught:
        connector.poll("", (), 5)
    shown = secrets.mask(str(caught.value))
    assert text in shown
    assert SECRET not in shown
    assert "Host: evil" not in shown
    assert [] == server.requests
    assert 1 == len(server.logins)


def test_an_action_is_not_sent_without_a_token() -> None:
    server = Guarded(lambda _: httpx.Response(503))
    connector = server.open(profile(**OAUTH2), **CLIENT)
    with pytest.raises(SystemUnreachable):  # not OutcomeUnknown: nothing left
        connector._api.request(connector._options.verbs.start, {"job": "load", "key": "k"}, once=True)  # type: ignore[arg-type]
    assert [] == server.requests


@contextmanager
def endless() -> Iterator[str]:
    """The address of a token endpoint whose answer never ends."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            try:
                while not stopped.wait(0.01):
                    self.wfile.write(b'{"access_token": "' + b"x" * 1000)
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            stopped.set()
            server.shutdown()
            thread.join()


def test_an_endless_token_ends_at_the_deadline_of_the_call() -> None:
    with endless() as url:
        given = profile(sign_in="oauth2", oauth2={"token_url": "/token"})
        options = given.connector_kind().options.model_validate({"url": url, **CLIENT})
        connector = given.open_target(options, "api", lambda _: SECRET)
        with pytest.raises(SystemUnreachable, match=r"within 0\.\d+ s"):
            connector.poll("", (), 0.4)
        connector.close()


def test_a_token_is_masked_as_soon_as_it_exists() -> None:
    os.environ["S"] = SECRET
    secrets = SecretStore()
    server = Guarded(issuing())
    server.open(profile(**OAUTH2), secrets, **CLIENT).inventory("", 5)
    assert "token-1" not in secrets.mask("GET /api Bearer token-1")


# sessions
@pytest.fixture
def _no_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "_REFUSALS", {})


@pytest.mark.usefixtures("_no_refusals")
def test_a_session_is_made_for_a_password_and_again_after_a_401() -> None:
    tokens = iter(["s-1", "s-2"])
    server = Guarded(lambda _: httpx.Response(200, json={"session": {"token": next(tokens)}}))
    connector = server.open(profile(**SESSION), **PERSON)
    connector.inventory("", 5)
    assert {"user": "ann", "password": SECRET} == json.loads(server.logins[0].content)
    server.accepts = lambda request: request.headers["authorization"] == "Bearer s-2"
    assert connector.poll("", (), 5).runs
    assert ["Bearer s-1", "Bearer s-1", "Bearer s-2"] == server.seen()


@pytest.mark.usefixtures("_no_refusals")
def test_a_session_may_be_a_cookie_or_a_header_of_its_own() -> None:
    cookie = {"session": {**{k: v for k, v in SESSION["session"].items() if k != "token"}, "cookie": "SID"}}
    server = Guarded(lambda _: httpx.Response(200, headers={"set-cookie": "a=1; Path=/, SID=abc123; HttpOnly"}))
    server.open(profile(**{**SESSION, **cookie}), **PERSON).inventory("", 5)
    assert ["SID=abc123"] == server.seen("cookie")
    header = {"session": {**SESSION["session"], "header": "X-Auth"}}
    server = Guarded(lambda _: httpx.Response(200, json={"session": {"token": "abc123"}}))
    server.open(profile(**{**SESSION, **header}), **PERSON).inventory("", 5)
    assert ["abc123"] == server.seen("x-auth")


@pytest.mark.usefixtures("_no_refusals")
def test_three_refused_logins_stop_the_next_so_that_no_account_is_locked() -> None:
    server = Guarded(lambda _: httpx.Response(401, json={"message": "wrong"}))
    for _ in range(3):
        with pytest.raises(AccessRefused, match=r"the password of 'ann' was refused"):
            server.open(profile(**SESSION), **PERSON).inventory("", 5)
    with pytest.raises(AccessRefused, match=r"3 logins of 'ann' at https://jobs\.example\.com were refused"):
        server.open(profile(**SESSION), **PERSON).inventory("", 5)
    assert 3 == len(server.logins)


@pytest.mark.usefixtures("_no_refusals")
def test_a_session_is_renewed_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Guarded(lambda _: httpx.Response(200, json={"session": {"token": "abc123"}}))
    connector = server.open(profile(**SESSION), **PERSON)
    account, monotonic, ahead = connector._api._account, time.monotonic, [0.0]
    assert isinstance(account, SessionAccount)
    monkeypatch.setattr(account, "_monotonic", lambda: monotonic() + ahead[0])
    for seconds in (0.0, 28 * 60.0, 29.5 * 60):
        ahead[0] = seconds
        connector.inventory("", 5)
    assert 2 == len(server.logins)


# keys, Google, AWS
def test_a_key_in_the_query_is_in_no_message() -> None:
    server, keys = Guarded(issuing()), iter(["old&key", "new key", "none"])
    connector = server.open(profile(sign_in="query", token_query="api_key"), lambda _: next(keys), token={"env": "K"})
    server.accepts = lambda request: request.url.params["api_key"] == "new key"
    assert connector.poll("", (), 5).runs
    assert ["old&key", "new key"] == [request.url.params["api_key"] for request in server.requests]
    server.accepts = lambda _: False
    with pytest.raises(AccessRefused) as caught:
        connector.poll("", (), 5)
    assert "key" not in str(caught.value).replace("api_key", "")


def test_google_signs_in_as_the_machine_without_a_key() -> None:
    server = Guarded(issuing())
    server.open(profile(sign_in="google"), google={}).inventory("", 5)
    assert ["metadata.google.internal"] == [request.url.host for request in server.logins]
    assert ["Bearer token-1"] == server.seen()


KEYS = {"access_key_id": {"env": "A"}, "secret_access_key": {"env": "B"}}
EXAMPLE_KEYS = {"A": "AKIDEXAMPLE", "B": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


@pytest.mark.parametrize(
    "query, signature",
    [
        ("", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ],
)
def test_a_request_is_signed_as_in_the_test_suite_of_aws(
    query: str, signature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases get-vanilla and get-vanilla-query-order-key-case of the published Signature Version 4 test suite."""
    at = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: at.replace(tzinfo=None))
    identity = AwsIdentity.model_validate({"region": "us-east-1", **KEYS})
    account = AwsAccount(identity, "service", lambda reference: EXAMPLE_KEYS[reference.env], "Test")
    account.headers()
    request = httpx.Request("GET", f"https://example.amazonaws.com/{query}")
    account.sign(request)
    assert f"Signature={signature}" in request.headers["authorization"]
    assert "20150830T123600Z" == request.headers["x-amz-date"]


def test_aws_signs_each_request_with_its_query_strictly_encoded() -> None:
    server = Guarded(issuing())
    identity = {"region": "eu-central-1", **KEYS, "session_token": {"env": "T"}}
    secrets = {**EXAMPLE_KEYS, "T": "session-1"}
    given = profile(sign_in="aws", aws_service="scheduler")
    connector = server.open(given, lambda reference: secrets[reference.env], aws=identity)
    assert connector.poll("", (), 5).runs
    scope = "/eu-central-1/scheduler/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature="
    assert all(text.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") and scope in text for text in server.seen())
    assert {"session-1"} == set(server.seen("x-amz-security-token"))
    assert b"%3A" in server.requests[0].url.query
    assert b":" not in server.requests[0].url.query


def test_aws_without_an_identity_is_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = Guarded(issuing())
    for identity, fix in (
        ({}, "Give access_key_id and secret_access_key"),
        ({"profile": "x"}, "Fix: add it to ~/.aws"),
    ):
        connector = server.open(
            profile(sign_in="aws", aws_service="scheduler"), aws={"region": "eu-central-1", **identity}
        )
        with pytest.raises(AccessRefused, match=fix):
            connector.poll("", (), 5)
    assert [] == server.requests


OTHER_CLIENT = {"client_id": {"about": "Another client."}}


@each_row(
    "given, why",
    [
        ({"sign_in": "oauth2"}, 'oauth2 and sign_in = "oauth2" belong together'),
        ({"oauth2": {}}, 'oauth2 and sign_in = "oauth2" belong together'),
        ({"sign_in": "query"}, 'token_query and sign_in = "query" belong together'),
        ({"sign_in": "aws"}, 'aws_service and sign_in = "aws" belong together'),
        ({"sign_in": "oauth2", "oauth2": {"token_url": "https://{option.tenant}/x"}}, "its host has a name in braces"),
        ({"sign_in": "oauth2", "oauth2": {"token_url": "http://a.example/x"}}, "unencrypted"),
        ({"sign_in": "oauth2", "oauth2": {"token_url": "a.example/x"}}, "token_url\n.* https://"),
        ({"sign_in": "oauth2", "oauth2": {"scope": "{option.other}"}}, "means nothing here"),
        ({"sign_in": "oauth2", "oauth2": {"form": {"a": "{{ x }}"}}}, "is not evaluated"),
        ({"sign_in": "session", "session": {"path": "/x", "token": "t"}}, "send {username} and {password}"),
        ({**SESSION, "session": {**SESSION["session"], "cookie": "S"}}, "name its token or its cookie"),
        ({"sign_in": "oauth2", "oauth2": {}, "options": OTHER_CLIENT}, "every system has this option"),
    ],
)  # fmt: skip
def test_a_sign_in_that_cannot_work_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        profile(**given)


def test_an_account_of_another_sign_in_is_refused() -> None:
    server = Guarded(issuing())
    for given, account in ((OAUTH2, {**CLIENT, "token": {"env": "T"}}), ({"sign_in": "none"}, {"token": {"env": "T"}})):
        with pytest.raises(ValidationError, match="token"):
            server.open(profile(**given), **account)
