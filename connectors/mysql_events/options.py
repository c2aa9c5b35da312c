"""Settings of a MariaDB or MySQL system: one server, one account, and the log table."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from connectors.mysql_events.session import MySqlLogin
from connectors.sdk.contract import SecretResolver
from connectors.sdk.option_errors import StrictOptions, Zone, formatted_like
from connectors.sdk.secrets import FilePath, SecretRef

Name = Annotated[str, formatted_like(r"[A-Za-z0-9_$-]{1,64}", "dwh")]


class MySqlEventsOptions(StrictOptions):
    """The server, the account, and the table where events log their outcome."""

    host: str
    """Name or address of the server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 3306
    """TCP port."""
    user: str
    """Account, best with headway_view_role (or headway_act_role to act)."""
    password: SecretRef | None = None
    """Its password, where it has one."""
    tls: Literal["off", "prefer", "require", "verify"] | None = None
    """Whether the connection is encrypted, and the certificate verified; by default verify, on this machine prefer.
    `check` reports a weaker one each time."""
    ssl_ca: FilePath | None = None
    """The CA that verify trusts; the machine's own when not given."""
    schemas: tuple[Name, ...] = ()
    """Databases whose events are watched; empty: all."""
    log_table: Annotated[str, formatted_like(r"[A-Za-z0-9_$-]{1,64}\.[A-Za-z0-9_$-]{1,64}", "ops.job_log")] | None = (
        None
    )
    """The table, as "schema.table", that events write their start and end to: without it only starts are known."""
    server_zone: Zone | None = None
    """IANA zone of events that say SYSTEM; the server's offset of now when not given."""
    act_schema: Name = "headway"
    """Database of the procedures that grants.sql makes."""


def targets(options: MySqlEventsOptions) -> list[str]:
    return [options.host]


def login_of(options: MySqlEventsOptions, secrets: SecretResolver) -> MySqlLogin:
    password = secrets(options.password) if options.password is not None else ""
    ssl_ca = str(options.ssl_ca) if options.ssl_ca is not None else None
    return MySqlLogin(options.host, options.port, options.user, password, options.tls, ssl_ca)
