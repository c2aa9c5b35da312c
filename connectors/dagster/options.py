"""Settings of a Dagster system: one webserver, one account or none."""

from __future__ import annotations

from pydantic import Field

from connectors.sdk.rest_options import AccountOptions


class DagsterOptions(AccountOptions):
    """Address of the webserver, and the account: none, `username` with `password`, or a `token`.

    Dagster itself has no accounts: the username is of a proxy in front of it, the token a proxy's or a user token of
    Dagster+."""

    url: str = Field(examples=["https://dagster.example.com"])
    """Address of the webserver, without /graphql: "https://dagster.example.com"; of Dagster+ with its deployment."""
    jobs: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of jobs to watch, as in a shell: ["etl/load_*"]. A job is "location/job"."""
