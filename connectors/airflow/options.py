"""Settings of an Airflow system: one address, one account."""

from __future__ import annotations

from pydantic import Field, model_validator

from connectors.sdk.aws.options import AwsOptions
from connectors.sdk.google import GoogleOptions
from connectors.sdk.rest_options import RestOptions
from connectors.sdk.secrets import SecretRef


class MwaaOptions(AwsOptions):
    """An environment of Amazon MWAA, and the AWS identity that signs in to it."""

    environment: str = Field(min_length=1, max_length=80)
    """Name of the environment; its web server is `url`."""


class AirflowOptions(RestOptions):
    """Airflow's address and the account: `username` with `password`, a ready `token`, or a cloud's identity."""

    url: str = Field(examples=["https://airflow.example.com"])
    """Address of the web server, with its path if it has one, without /api/v2: "https://airflow.example.com"."""
    username: str | None = None
    """Account that asks for a token at /auth/token (Airflow 3), or that each request names (basic auth, Airflow 2)."""
    password: SecretRef | None = None
    """Its password; read again at each login, so that it may be changed at any time."""
    token: SecretRef | None = None
    """A ready bearer token, instead of username and password; read again when it is refused. Of Astronomer: the API
    token of a deployment."""
    mwaa: MwaaOptions | None = None
    """Amazon MWAA: signs in with an AWS identity (headway[aws]), instead of an account."""
    google: GoogleOptions | None = None
    """Cloud Composer: signs in with a Google identity, instead of an account; {} is the engine's own machine."""
    dags: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of DAG ids to watch, as in a shell: ["load_*", "mart"]."""

    @model_validator(mode="after")
    def one_way_to_sign_in(self) -> AirflowOptions:
        names = [name for name in ("username", "password") if getattr(self, name) is not None]
        methods = [name for name in ("token", "mwaa", "google") if getattr(self, name) is not None]
        if len(methods) > 1:
            raise ValueError(f"{' and '.join(methods)} are two ways to sign in: keep one")
        if methods and names:
            raise ValueError(f"one way to sign in ({methods[0]}) needs no {' and no '.join(names)}: drop either")
        if not methods and len(names) != 2:
            raise ValueError("token, mwaa, google, or both username and password, are needed")
        return self
