"""Settings of a Databricks system: one workspace, one account."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from connectors.sdk.rest_options import RestOptions
from connectors.sdk.secrets import SecretRef


class DatabricksOptions(RestOptions):
    """The workspace and the account: a personal access token, or a service principal by OAuth (M2M)."""

    url: str = Field(examples=["https://lakehouse.example.com"])
    """Address of the workspace: "https://lakehouse.example.com"."""
    token: SecretRef | None = None
    """A personal access token; read again when it is refused."""
    client_id: str | None = None
    """Application id of a service principal, with client_secret, instead of a token."""
    client_secret: SecretRef | None = None
    """Its OAuth secret; the tokens that it gets live for an hour and are renewed."""
    jobs: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Patterns of jobs to watch, as in a shell: names ("nightly *") or ids."""

    @model_validator(mode="after")
    def one_account(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret belong together: give both or none")
        if (self.token is None) == (self.client_id is None):
            raise ValueError("give a token, or client_id with client_secret, and not both")
        return self
