"""Settings of a Dagster system: one webserver, one account or none."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.secrets import FilePath, SecretRef
from connectors.spelling import spelled
from connectors.transport.http import checked_origin


class DagsterOptions(BaseModel):
    """Where the webserver answers and who asks: nobody, `username` with `password`, or a `token`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """Address of the webserver, without /graphql: "https://dagster.example.com"; of Dagster+ with its deployment."""
    username: str | None = None
    """User of a proxy in front of it (basic authentication); Dagster itself has no accounts."""
    password: SecretRef | None = None
    """Its password; read again when it is refused."""
    token: SecretRef | None = None
    """A proxy's bearer token, or a user token of Dagster+, instead of username and password."""
    token_header: Annotated[str, spelled(r"[A-Za-z][A-Za-z0-9-]{0,63}", "Dagster-Cloud-Api-Token")] = "Authorization"  # noqa: S105 - a name
    """Header that the token goes in: "Dagster-Cloud-Api-Token" for Dagster+."""
    ca_file: FilePath | None = None
    """PEM file of the CA that signed the server's certificate; the machine's own CAs when not given."""
    plain_http: bool = False
    """Allows http:// to a host that is not this one: what is sent, a password too, then crosses it unencrypted."""
    jobs: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of jobs to watch, as in a shell: ["etl/load_*"]. A job is "location/job"."""

    @model_validator(mode="after")
    def one_origin_and_one_account(self) -> DagsterOptions:
        checked_origin(self.url, self.plain_http)
        given = [name for name in ("username", "password") if getattr(self, name) is not None]
        if self.token is not None and given:
            raise ValueError(f"a token needs no {' and no '.join(given)}: drop the one or the other")
        if len(given) == 1:
            raise ValueError("username and password belong together; a server without accounts needs neither")
        return self
