"""Settings of a Dagster system: one webserver, one account or none."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.sdk.option_errors import formatted_like
from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.transport.http import checked_account, checked_origin


class DagsterOptions(BaseModel):
    """Address of the webserver, and the account: none, `username` with `password`, or a `token`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """Address of the webserver, without /graphql: "https://dagster.example.com"; of Dagster+ with its deployment."""
    username: str | None = None
    """User of a proxy in front of it (basic authentication); Dagster itself has no accounts."""
    password: SecretRef | None = None
    """Its password; read again when it is refused."""
    token: SecretRef | None = None
    """A proxy's bearer token, or a user token of Dagster+, instead of username and password."""
    token_header: Annotated[str, formatted_like(r"[A-Za-z][A-Za-z0-9-]{0,63}", "Dagster-Cloud-Api-Token")] = (
        "Authorization"  # noqa: S105 - a name
    )
    """Header that the token goes in: "Dagster-Cloud-Api-Token" for Dagster+."""
    ca_file: FilePath | None = None
    """PEM file of the CA that signed the server's certificate; the machine's own CAs when not given."""
    plain_http: bool = False
    """Allows http:// to another host: everything sent, passwords included, then crosses the network unencrypted."""
    jobs: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of jobs to watch, as in a shell: ["etl/load_*"]. A job is "location/job"."""

    @model_validator(mode="after")
    def one_origin_and_one_account(self) -> DagsterOptions:
        checked_origin(self.url, self.plain_http)
        checked_account(self.username, self.password, self.token)
        return self
