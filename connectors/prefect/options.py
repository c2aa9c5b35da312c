"""Settings of a Prefect system: one API, one account or none."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.transport.http import checked_account, checked_origin


class PrefectOptions(BaseModel):
    """Address of Prefect's API, and the account: none, `username` with `password`, or a `token`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """The value of PREFECT_API_URL: "https://prefect.example.com/api", or the address of a workspace of Prefect
    Cloud."""
    username: str | None = None
    """User of a server with PREFECT_SERVER_API_AUTH_STRING, or of a proxy in front of it (basic authentication)."""
    password: SecretRef | None = None
    """Its password; read again when it is refused."""
    token: SecretRef | None = None
    """A bearer token (an API key of Prefect Cloud, or a proxy's), instead of username and password."""
    ca_file: FilePath | None = None
    """PEM file of the CA that signed the server's certificate; the machine's own CAs when not given."""
    plain_http: bool = False
    """Allows http:// to another host: everything sent, passwords included, then crosses the network unencrypted."""
    deployments: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of jobs to watch, as in a shell: ["load-orders/*", "mart"]. A deployment is "flow/deployment", a flow
    that runs without one its name."""

    @model_validator(mode="after")
    def one_origin_and_one_account(self) -> PrefectOptions:
        checked_origin(self.url, self.plain_http)
        checked_account(self.username, self.password, self.token)
        return self
