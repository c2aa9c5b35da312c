"""Settings of a Prefect system: one API, one account or none."""

from __future__ import annotations

from pydantic import Field

from connectors.sdk.rest_options import AccountOptions


class PrefectOptions(AccountOptions):
    """Address of Prefect's API, and the account: none, `username` with `password`, or a `token`.

    The username is of a server with PREFECT_SERVER_API_AUTH_STRING, or of a proxy in front of it; the token an API key
    of Prefect Cloud, or a proxy's."""

    url: str = Field(examples=["https://prefect.example.com/api"])
    """The value of PREFECT_API_URL: "https://prefect.example.com/api", or the address of a workspace of Prefect
    Cloud."""
    deployments: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of jobs to watch, as in a shell: ["load-orders/*", "mart"]. A deployment is "flow/deployment", a flow
    that runs without one its name."""
