"""Settings of an Airflow system: one address, one account."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.secrets import FilePath, SecretRef
from connectors.transport.http import checked_origin


class AirflowOptions(BaseModel):
    """Where Airflow 3 answers and who asks: `username` with `password`, or a ready `token`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """Address of the web server, with its path if it has one, without /api/v2: "https://airflow.example.com"."""
    username: str | None = None
    """Account that asks for a token at /auth/token."""
    password: SecretRef | None = None
    """Its password; read again at each login, so that it may be changed at any time."""
    token: SecretRef | None = None
    """A ready bearer token, instead of username and password; read again when it is refused."""
    ca_file: FilePath | None = None
    """PEM file of the CA that signed the server's certificate; the machine's own CAs when not given."""
    plain_http: bool = False
    """Allows http:// to a host that is not this one: password and token then cross the network unencrypted."""
    dags: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of DAG ids to watch, as in a shell: ["load_*", "mart"]."""

    @model_validator(mode="after")
    def one_origin_and_one_account(self) -> AirflowOptions:
        checked_origin(self.url, self.plain_http)
        given = [name for name in ("username", "password") if getattr(self, name) is not None]
        if self.token is not None and given:
            raise ValueError(f"a token needs no {' and no '.join(given)}: drop the one or the other")
        if self.token is None and len(given) != 2:
            raise ValueError("either token, or both username and password, are needed")
        return self
