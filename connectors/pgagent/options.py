"""Settings of a pgAgent system: one database, one role."""

from __future__ import annotations

from connectors.sdk.transport.postgres import PostgresOptions


class PgAgentOptions(PostgresOptions):
    """Where the database is and who signs in: `dsn`, or `host` and `user` with a `password`."""

    dbname: str = "postgres"
    """The maintenance database, where extension pgagent and its tables are."""
