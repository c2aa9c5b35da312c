"""Settings of a Dagster system: one webserver, one account or none."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from connectors.sdk.option_errors import formatted_like
from connectors.sdk.rest_options import AccountOptions


class DagsterOptions(AccountOptions):
    """Address of the webserver, and the account: none, `username` with `password`, or a `token`.

    Dagster itself has no accounts: the username is of a proxy in front of it, the token a proxy's or a user token of
    Dagster+."""

    url: str = Field(examples=["https://dagster.example.com"])
    """Address of the webserver, without /graphql: "https://dagster.example.com"; of Dagster+ with its deployment."""
    token_header: Annotated[str, formatted_like(r"[A-Za-z][A-Za-z0-9-]{0,63}", "Dagster-Cloud-Api-Token")] = (
        "Authorization"  # noqa: S105 - a name
    )
    """Header that the token goes in: "Dagster-Cloud-Api-Token" for Dagster+."""
    jobs: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of jobs to watch, as in a shell: ["etl/load_*"]. A job is "location/job"."""
