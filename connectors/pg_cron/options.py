"""Settings of a pg_cron system: one database, one role."""

from __future__ import annotations

from connectors.sdk.transport.postgres import PostgresOptions


class PgCronOptions(PostgresOptions):
    """Where the database is and who signs in: `dsn`, or `host` and `user` with a `password`."""

    dbname: str = "postgres"
    """The database of pg_cron, as shown by `SHOW cron.database_name`."""
