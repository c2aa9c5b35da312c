"""How a system that lives in a PostgreSQL is reached: the settings of its login, libpq's keywords, psql by hand.

Shared by the kinds that are tables of a database; each adds its own default of `dbname`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, LiteralString, Self

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.contract import AccessRefused, Secrets, Shell
from connectors.secrets import FilePath, SecretRef
from connectors.spelling import spelled

SECRET = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})

SEES_ALL_ROWS: LiteralString = """(NOT row_security_active(c.oid)
           OR (EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
                          AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                          AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')))
               AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive
                          AND p.polcmd IN ('r', '*') AND pg_get_expr(p.polqual, p.polrelid) <> 'true'
                          AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')))))"""
"""Whether row security hides no row of the table `c` (pg_class) from who asks: it gives no error, only fewer rows."""


class PostgresOptions(BaseModel):
    """Where the database is and who looks: `dsn`, or `host` and `user` with a `password`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn: SecretRef | None = None
    """The whole libpq connection string, as a reference because it holds a password; instead of host and user."""
    host: str | None = None
    """Name or address of the server, or the folder of its socket."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """TCP port."""
    dbname: str = "postgres"
    """The database where the scheduler's tables are."""
    user: str | None = None
    """Login role, best a member of headway_view (and of headway_act to act)."""
    password: SecretRef | None = None
    """Its password, where the server asks for one."""
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """libpq's sslmode; verify-full wherever the network is not yours."""
    sslrootcert: FilePath | None = None
    """The CA that verify-ca and verify-full trust; libpq's default when not given."""
    act_schema: Annotated[str, spelled(r"[a-z_][a-z0-9_]{0,62}", "headway")] = "headway"
    """Schema of the functions that grants.sql makes."""

    @model_validator(mode="after")
    def one_way_in(self) -> Self:
        parts = [name for name in ("host", "user", "password") if getattr(self, name) is not None]
        if self.dsn is not None and parts:
            raise ValueError(f"dsn already says where and who: drop {', '.join(parts)}")
        if self.dsn is None and (self.host is None or self.user is None):
            raise ValueError("either dsn, or host and user (with password), is needed")
        return self


def targets(options: PostgresOptions) -> list[str]:
    """The one target: the host, or "database" where only the secret dsn knows it."""
    return [options.host or "database"]


def connection_parameters(options: PostgresOptions, secrets: Secrets) -> Mapping[str, str]:
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


def psql_shell(options: PostgresOptions, _target: str, secrets: Secrets) -> Shell:
    """`psql`, signed in as the connector is: all settings in libpq's variables (PostgreSQL's documentation,
    "Environment Variables"); what has none stands in the arguments, unless it is secret."""
    named = {one.keyword.decode(): one.envvar.decode() for one in pq.Conninfo.get_defaults() if one.envvar}
    given = connection_parameters(options, secrets)
    environment = {named[key]: value for key, value in given.items() if key in named}
    rest = {key: value for key, value in given.items() if key not in named and key not in SECRET}
    return Shell(("psql", *((make_conninfo("", **rest),) if rest else ())), environment)


def quoted(name: str) -> str:
    """A role as an SQL identifier."""
    return name if name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'
