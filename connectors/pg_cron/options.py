"""Settings of a pg_cron system: one database (the one that `cron.database_name` names), one login role."""

from __future__ import annotations

from connectors.transport.postgres import PostgresOptions, connection_parameters, targets

__all__ = ["PgCronOptions", "connection_parameters", "targets"]


class PgCronOptions(PostgresOptions):
    """Where the database is and who looks: `dsn`, or `host` and `user` with a `password`."""

    dbname: str = "postgres"
    """The database where pg_cron lives: what `SHOW cron.database_name` says."""
