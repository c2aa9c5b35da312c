"""Settings of a mysql_events system: one MariaDB or MySQL server, one account."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from connectors.contract import Secrets
from connectors.secrets import FilePath, SecretRef
from connectors.spelling import spelled
from connectors.transport.mysql import Login

Name = Annotated[str, spelled(r"[A-Za-z0-9_$-]{1,64}", "dwh")]


class MySqlEventsOptions(BaseModel):
    """Where the server is, who looks, and where events write what came of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    """Name or address of the server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 3306
    """TCP port."""
    user: str
    """Account, best with headway_view_role (or headway_act_role to act)."""
    password: SecretRef | None = None
    """Its password, where it has one."""
    tls: Literal["off", "prefer", "require", "verify"] = "prefer"
    """Whether the connection is encrypted; verify checks the certificate: best wherever the network is not yours."""
    ssl_ca: FilePath | None = None
    """The CA that verify trusts; the machine's own when not given."""
    schemas: tuple[Name, ...] = ()
    """Databases whose events are watched; empty: all."""
    log_table: Annotated[str, spelled(r"[A-Za-z0-9_$-]{1,64}\.[A-Za-z0-9_$-]{1,64}", "ops.job_log")] | None = None
    """The table, as "schema.table", that events write their start and end to: without it only starts are known."""
    server_zone: str | None = None
    """IANA zone of events that say SYSTEM; the server's offset of now when not given."""
    act_schema: Name = "headway"
    """Database of the procedures that grants.sql makes."""

    @field_validator("server_zone")
    @classmethod
    def a_zone(cls, value: str | None) -> str | None:
        try:
            return value if value is None else ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f'"{value}" is no zone; write Europe/Berlin or UTC') from None


def targets(options: MySqlEventsOptions) -> list[str]:
    """The one target: the host."""
    return [options.host]


def login_of(options: MySqlEventsOptions, secrets: Secrets) -> Login:
    """How to sign in, the secret resolved."""
    password = secrets(options.password) if options.password is not None else ""
    ssl_ca = str(options.ssl_ca) if options.ssl_ca is not None else None
    return Login(options.host, options.port, options.user, password, options.tls, ssl_ca)
