"""The client base of job agents in PostgreSQL (pg_cron, pgAgent): one session, jobs, functions of grants.sql."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.sdk.contract import SecretResolver
from connectors.sdk.transport.postgres import (
    PostgresOptions,
    PostgresReader,
    PostgresSession,
    connection_parameters,
    session_name,
)

Row = dict[str, Any]


class PostgresAgentClient:
    """Queries of one database, each one snapshot. A kind says how access and jobs are read."""

    def __init__(self, session: PostgresSession, act_schema: str) -> None:
        self._session = session
        self.act_schema = act_schema
        """Schema of the functions of grants.sql."""

    @property
    def place(self) -> str:
        """host:port/database as user."""
        return self._session.place

    def close(self) -> None:
        """Closes the connection."""
        self._session.close()

    def read_access(self, reader: PostgresReader) -> Row:
        """Role, permissions and version, even without any permission."""
        raise NotImplementedError

    def checked(self, reader: PostgresReader) -> Row:
        """The same. Raises NotSupported without a known agent, PermissionMissing where its tables cannot be read."""
        raise NotImplementedError

    def read_jobs(self, reader: PostgresReader, jobid: int | None = None) -> list[Row]:
        """All jobs, or one."""
        raise NotImplementedError

    def jobs(self, timeout_seconds: float) -> tuple[Row, list[Row]]:
        """Access, and all visible jobs."""
        return self._session.read(lambda reader: (self.checked(reader), self.read_jobs(reader)), timeout_seconds)

    def call(self, function: str, values: Mapping[str, object], key: str, timeout_seconds: float) -> list[Row]:
        """Calls a function of grants.sql once; the session has the key in its name."""
        return self._session.call_once(self.act_schema, function, values, timeout_seconds, session_name(key))


def agent_session(options: PostgresOptions, secrets: SecretResolver) -> PostgresSession:
    """A session that connects at its first use."""
    return PostgresSession(lambda: connection_parameters(options, secrets), "headway")
