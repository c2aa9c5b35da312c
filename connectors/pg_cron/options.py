"""Settings of a pg_cron system: one database (the one that `cron.database_name` names), one login role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.contract import AccessRefused, Secrets
from connectors.secrets import FilePath, SecretRef


class PgCronOptions(BaseModel):
    """Where the database is and who looks: `dsn`, or `host` and `user` with a `password`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn: SecretRef | None = None
    """The whole libpq connection string, as a reference because it holds a password; instead of host and user."""
    host: str | None = None
    """Name or address of the server, or the folder of its socket."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """TCP port."""
    dbname: str = "postgres"
    """The database where pg_cron lives: what `SHOW cron.database_name` says."""
    user: str | None = None
    """Login role, best a member of headway_view (and of headway_act to act)."""
    password: SecretRef | None = None
    """Its password, where the server asks for one."""
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """libpq's sslmode; verify-full wherever the network is not yours."""
    sslrootcert: FilePath | None = None
    """The CA that verify-ca and verify-full trust; libpq's default when not given."""
    act_schema: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "headway"
    """Schema of the functions that grants.sql makes."""

    @model_validator(mode="after")
    def one_way_in(self) -> PgCronOptions:
        parts = [name for name in ("host", "user", "password") if getattr(self, name) is not None]
        if self.dsn is not None and parts:
            raise ValueError(f"dsn already says where and who: drop {', '.join(parts)}")
        if self.dsn is None and (self.host is None or self.user is None):
            raise ValueError("either dsn, or host and user (with password), is needed")
        return self


def targets(options: PgCronOptions) -> list[str]:
    """The one target: the host, or "database" where only the secret dsn knows it."""
    return [options.host or "database"]


def connection_parameters(options: PgCronOptions, secrets: Secrets) -> Mapping[str, str]:
    """libpq's keywords with secrets resolved. Raises AccessRefused, never showing what the dsn holds."""
    if options.dsn is not None:
        try:
            return {key: str(value) for key, value in conninfo_to_dict(secrets(options.dsn)).items()}
        except ProgrammingError:
            words = options.dsn.words
            raise AccessRefused(
                f"secret {words}: not a libpq connection string (postgresql://user:password@host/db)"
            ) from None
    given = {
        "host": options.host,
        "port": options.port,
        "dbname": options.dbname,
        "user": options.user,
        "password": secrets(options.password) if options.password is not None else None,
        "sslmode": options.sslmode,
        "sslrootcert": options.sslrootcert,
    }
    return {key: str(value) for key, value in given.items() if value is not None}
