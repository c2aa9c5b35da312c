"""Sign-in of a profile of a REST API: the settings in its file, the options of a system, and the account."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

import httpx
from pydantic import AfterValidator, Field, create_model, model_validator

from connectors.http.client import fill_placeholders
from connectors.http.options import PLACEHOLDER, HeaderName, HttpCall, without_code
from connectors.sdk.aws.options import AwsIdentity
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import AccessRefused
from connectors.sdk.field_mapping import FieldPath, value_at
from connectors.sdk.google import GoogleAccount, GoogleIdentity, GoogleOptions
from connectors.sdk.mapped_actions import MappedCall
from connectors.sdk.option_errors import StrictOptions, formatted_like
from connectors.sdk.rest_options import AccountOptions, RestOptions
from connectors.sdk.secrets import SecretRef
from connectors.sdk.transport.http import (
    AUTHORIZATION,
    HttpAccount,
    HttpEndpoint,
    Transport,
    checked_origin,
    path_segment,
    plain_path,
)
from connectors.sdk.transport.sign_in import (
    SIGN_IN_REFUSED,
    ClientCredentials,
    KeyInQuery,
    RenewedAccount,
    refused_logins,
)

QueryName = Annotated[str, formatted_like(r"[A-Za-z0-9_.-]{1,60}", "api_key")]


def _token_url(url: str) -> str:
    """An address whose host no option can change, or a path below the system's url."""
    if url.startswith("/"):
        return url
    if "{" in (urlsplit(url).netloc or url):
        raise ValueError("its host has a name in braces: leave token_url out, then each system names it")
    checked_origin(PLACEHOLDER.sub("x", url))
    return url


def _whole_url(url: str) -> str:
    return checked_origin(url)


FormValue = Annotated[str, AfterValidator(without_code)]


class OAuth2Grant(MappedCall):
    """Client credentials of OAuth 2.0, and so of Entra ID: a token for client_id and client_secret of a system."""

    known_places = frozenset()

    token_url: Annotated[str, AfterValidator(without_code), AfterValidator(plain_path), AfterValidator(_token_url)] = ""
    """Address of the token endpoint, or its path below `url`; without it, each system names it."""
    scope: FormValue = ""
    """Purpose of the token."""
    form: dict[str, FormValue] = Field(default_factory=dict)
    """Other fields, as audience or resource."""
    client: Literal["basic", "form"] = "basic"
    """How client_id and client_secret are sent."""

    @property
    def places(self) -> set[str]:
        return set(PLACEHOLDER.findall(json.dumps([self.token_url, self.scope, self.form])))


class SessionCall(HttpCall):
    """The request that makes a session for {username} and {password}."""

    known_places = frozenset({"username", "password"})
    method: Literal["GET", "POST", "PUT"] = "POST"

    form: dict[str, FormValue] = Field(default_factory=dict)
    """As a form, in place of `body`."""
    token: FieldPath = ""
    """Path to the token in the answer."""
    cookie: Annotated[str, formatted_like(r"[A-Za-z0-9_.-]{1,60}", "JSESSIONID")] | None = None
    """Name of the cookie of the answer that is the session, in place of `token`."""
    header: HeaderName = AUTHORIZATION
    """Header of the token in every request."""
    prefix: Annotated[str, formatted_like(r"([A-Za-z]{1,20} )?", "Bearer ")] = "Bearer "
    """Text before the token in that header."""
    minutes: int = Field(default=30, ge=2, le=1440)
    """How long a session lasts: it is renewed before."""

    def _found_places(self) -> set[str]:
        return super()._found_places() | set(PLACEHOLDER.findall(json.dumps(self.form)))

    @model_validator(mode="after")
    def one_session(self) -> Self:
        if bool(self.token) == (self.cookie is not None):
            raise ValueError("session: name its token or its cookie")
        if not {"username", "password"} <= self.places:
            raise ValueError("session: send {username} and {password}")
        return self


class ProfileSignIn(StrictOptions):
    """The part of a profile that says how a system signs in."""

    sign_in: Literal["bearer", "basic", "header", "query", "oauth2", "session", "google", "aws", "none"] = "bearer"
    """How the account is sent: a token (bearer, header, query), username and password (basic), a token that is
    obtained first (oauth2, session, google), an AWS signature, or not at all."""
    token_header: HeaderName | None = None
    """Name of the header of the token, for sign_in = "header"."""
    token_query: QueryName | None = None
    """Name of the token behind the question mark, for sign_in = "query"."""
    oauth2: OAuth2Grant | None = None
    """The token endpoint, for sign_in = "oauth2"."""
    session: SessionCall | None = None
    """The login, for sign_in = "session"."""
    aws_service: Annotated[str, formatted_like(r"[a-z0-9-]{1,40}", "scheduler")] | None = None
    """Name of the service in its signature, for sign_in = "aws"."""

    @model_validator(mode="after")
    def settings_of_its_sign_in(self) -> Self:
        for name, setting in _SETTINGS.items():
            if (self.sign_in == name) != (getattr(self, setting) is not None):
                belong = f'{setting} and sign_in = "{name}" belong together. Fix:'
                if self.sign_in == name:
                    raise ValueError(f"sign_in: {belong} add {setting}")
                raise ValueError(f'{setting}: {belong} set sign_in = "{name}", or remove it')
        return self

    def sign_in_headers(self) -> tuple[str, ...]:
        """Names of the headers that it sends with each request."""
        match self.sign_in:
            case "none" | "query":
                return ()
            case "session":
                assert self.session is not None, "validated"
                return ("Cookie" if self.session.cookie else self.session.header,)
            case "aws":
                return (AUTHORIZATION, "X-Amz-Date", "X-Amz-Security-Token")
        return (self.token_header or AUTHORIZATION,)

    def account_fields(self) -> dict[str, Any]:
        """Options of a system for its account: name -> type and default."""
        match self.sign_in:
            case "bearer" | "header" | "query":
                return {"token": (SecretRef, ...)}
            case "basic" | "session":
                return {"username": (str, ...), "password": (SecretRef, ...)}
            case "google":
                return {"google": (GoogleOptions, ...)}
            case "aws":
                return {"aws": (AwsIdentity, ...)}
            case "oauth2":
                fields: dict[str, Any] = {"client_id": (str, Field(min_length=1)), "client_secret": (SecretRef, ...)}
                named = self.oauth2 is not None and self.oauth2.token_url
                url = Annotated[str, AfterValidator(_whole_url)]
                return fields if named else {**fields, "token_url": (url, ...)}
            case _:
                return {}

    def options_of_a_system(self, url: str) -> type[RestOptions]:
        """The options of every system: its address, by default `url`, and its account."""
        has_account = self.sign_in in ("bearer", "header", "query", "basic", "session")
        base: type[RestOptions] = AccountOptions if has_account else RestOptions
        return create_model(
            "SystemOptions",
            __base__=base,
            url=(str, url or Field(examples=["https://scheduler.example.com"])),
            **self.account_fields(),
        )

    def signed_account(
        self,
        options: Any,
        values: Mapping[str, Any],
        source: str,
        endpoint: HttpEndpoint,
        secrets: SecretResolver,
        transport: Transport,
    ) -> HttpAccount:
        """The account of a system. `values` of the places of every call."""
        match self.sign_in:
            case "query":
                return KeyInQuery(secrets, options.token, str(self.token_query))
            case "oauth2":
                assert self.oauth2 is not None, "validated"
                return _client_credentials(self.oauth2, options, values, source, endpoint, secrets, transport)
            case "session":
                assert self.session is not None, "validated"
                return SessionAccount(self.session, options, values, source, endpoint, secrets)
            case "google":
                return GoogleAccount(GoogleIdentity(options.google, secrets, transport), secrets)
            case "aws":
                return AwsAccount(options.aws, str(self.aws_service), secrets, source)
            case "none":
                return HttpAccount(secrets, None, None, None)
        header = self.token_header or AUTHORIZATION
        return HttpAccount(secrets, options.username, options.password, options.token, header)


class AwsAccount(HttpAccount):
    """An identity of AWS, for APIs that boto3 does not send. It is read at first use, and again after a refusal."""

    can_renew = True

    def __init__(self, options: AwsIdentity, service: str, secrets: SecretResolver, source: str) -> None:
        super().__init__(secrets, None, None, None)
        self._options, self._service, self._source = options, service, source
        self._session: Any = None

    def _made(self) -> dict[str, str]:
        """No headers: `sign` adds those of each request."""
        try:
            from connectors.sdk.aws.client import signed_in_session
        except ImportError:
            raise AccessRefused(f'{self._source}: the package boto3 is missing: install "headway[aws]"') from None
        self._session = signed_in_session(self._options, self._secrets)
        return {}

    def sign(self, request: httpx.Request) -> None:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        from connectors.sdk.aws.client import sorted_local_error

        # botocore writes the query, since AWS encodes it more strictly than httpx before it compares
        query: Any = parse_qsl(request.url.query.decode("ascii"), keep_blank_values=True)
        bare = str(request.url.copy_with(query=None))
        signed = AWSRequest(request.method, bare, data=request.content, params=query)
        try:
            credentials = self._session.get_credentials()
            frozen = credentials and credentials.get_frozen_credentials()
            SigV4Auth(frozen, self._service, self._options.region).add_auth(signed)
        except BotoCoreError as error:
            raise sorted_local_error(error, self._source, once=False) from None
        request.url = httpx.URL(signed.prepare().url)
        for name, value in signed.headers.items():
            request.headers[name] = value


_SETTINGS = {
    "header": "token_header",
    "query": "token_query",
    "oauth2": "oauth2",
    "session": "session",
    "aws": "aws_service",
}


def _client_credentials(
    grant: OAuth2Grant,
    options: Any,
    values: Mapping[str, Any],
    source: str,
    endpoint: HttpEndpoint,
    secrets: SecretResolver,
    transport: Transport,
) -> ClientCredentials:
    filled = PLACEHOLDER.sub(lambda match: path_segment(str(values[match[1]])), grant.token_url)
    path = filled
    if not filled.startswith("/"):
        parts = urlsplit(filled or options.token_url)
        path = parts.path
        endpoint = HttpEndpoint(source, f"{parts.scheme}://{parts.netloc}", options.ca_file, transport)
    form = fill_placeholders({**grant.form, **({"scope": grant.scope} if grant.scope else {})}, values)
    in_form = grant.client == "form"
    return ClientCredentials(secrets, endpoint, path, options.client_id, options.client_secret, form, in_form)


class SessionAccount(RenewedAccount):
    """A session that a login makes. To lock out no account, logins stop after three refusals."""

    def __init__(
        self,
        call: SessionCall,
        options: Any,
        values: Mapping[str, Any],
        source: str,
        endpoint: HttpEndpoint,
        secrets: SecretResolver,
    ) -> None:
        super().__init__(secrets)
        self._call, self._values, self._source, self._endpoint = call, values, source, endpoint
        self._username: str = options.username
        self._password = options.password
        self._refusals = refused_logins(options.url, self._username)

    def _sign_in(self) -> tuple[dict[str, str], float]:
        self._refusals.require_time(self._source, self._username, self._endpoint.base_url)
        call, login = self._call, {"username": self._username, "password": self._secrets(self._password)}
        values = {**self._values, **login}
        reply = self._endpoint.call(
            call.method,
            PLACEHOLDER.sub(lambda match: path_segment(str(values[match[1]])), call.path),
            self.deadline,
            params=fill_placeholders(call.query, values) or None,
            body=None if call.body is None else fill_placeholders(call.body, values),
            form=fill_placeholders(call.form, values) or None,
            accept=SIGN_IN_REFUSED,
            shown=call.path,
            base_url=call.server,
        )
        if reply.status in SIGN_IN_REFUSED:
            self._refusals.add()
            raise AccessRefused(f"{reply.place}: the password of {self._username!r} was refused. Renew the reference.")
        if call.cookie is not None:
            match = re.search(rf"(?:^|[;,\s]){re.escape(call.cookie)}=([^;,\s]+)", reply.headers.get("set-cookie", ""))
            token = self._checked(match[1] if match else None, reply, f"cookie {call.cookie}")
            headers = {"Cookie": f"{call.cookie}={token}"}
        else:
            token = self._checked(value_at(reply.table(), call.token), reply, call.token)
            headers = {call.header: f"{call.prefix if call.header == AUTHORIZATION else ''}{token}"}
        self._refusals.clear()
        return headers, call.minutes * 60.0
