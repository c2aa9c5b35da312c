"""psql on the database, signed in as the connector is. Source: PostgreSQL's documentation, "Environment Variables"."""

from __future__ import annotations

from psycopg import pq
from psycopg.conninfo import make_conninfo

from connectors.contract import Secrets, Shell
from connectors.pg_cron.options import PgCronOptions, connection_parameters

SECRET = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})


def psql_shell(options: PgCronOptions, _target: str, secrets: Secrets) -> Shell:
    """`psql` with all settings in libpq's variables; what has none stands in the arguments, unless it is secret."""
    named = {one.keyword.decode(): one.envvar.decode() for one in pq.Conninfo.get_defaults() if one.envvar}
    given = connection_parameters(options, secrets)
    environment = {named[key]: value for key, value in given.items() if key in named}
    rest = {key: value for key, value in given.items() if key not in named and key not in SECRET}
    return Shell(("psql", *((make_conninfo("", **rest),) if rest else ())), environment)
