"""Settings of a pgAgent system: the database of its extension, one login role."""

from __future__ import annotations

from connectors.transport.postgres import PostgresOptions


class PgAgentOptions(PostgresOptions):
    """Where the database is and who looks: `dsn`, or `host` and `user` with a `password`."""

    dbname: str = "postgres"
    """The maintenance database, where extension pgagent and its tables are."""
