"""Runs a check: the one place where its settings become a session with the data source.

No session is kept between two runs; the libraries of a kind are loaded when it is used.
"""

# ruff: noqa: PLC0415  (what one kind alone needs is loaded where that kind is used)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.checks.queries import Measurement, with_business_date
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.secrets import SecretRef, SecretStore
from console.config.checks import FileSettings, HttpSettings, ObjectSettings, SqlSettings
from console.config.sections import Config
from console.domain.check import Check
from console.timing.zones import date_in_window, zone_of

if TYPE_CHECKING:
    from connectors.sdk.transport.ssh import SshAddress

NAME = "headway check"
"""The application name that PostgreSQL shows in pg_stat_activity."""


def check_date(check: Check, now: datetime) -> date:
    """The present business date in the check's zone."""
    return date_in_window(now, zone_of(check.zone), time(12))


class CheckRunner:
    """Runs the checks of a config. Thread safe: every run has sessions of its own."""

    def __init__(self, config: Config, secrets: SecretStore) -> None:
        self._config = config
        self._secrets = secrets
        self._zones = {check.name: check.zone for check in config.declared.checks}

    def measure(self, name: str, business_date: date, timeout_seconds: float) -> Measurement:
        """The measurement for a business date. Raises ConnectorError; KeyError for an unknown check."""
        settings = self._config.checks[name]
        try:
            match settings:
                case SqlSettings():
                    return self._sql(settings, self._zones[name], business_date, timeout_seconds)
                case FileSettings():
                    return self._file(settings, business_date, timeout_seconds)
                case HttpSettings():
                    from connectors.checks import http

                    query = settings.question(self._zones[name])
                    query = replace(query, url=with_business_date(query.url, business_date))
                    ca_file = _expanded(settings.ca_file)
                    return http.measure(query, self._headers(settings), ca_file, timeout_seconds)
                case ObjectSettings():
                    return self._object(settings, business_date, timeout_seconds)
        except ModuleNotFoundError as error:
            extra = {"psycopg": "postgres", "boto3": "aws", "botocore": "aws"}.get(str(error.name), "all")
            raise NotSupported(f'this needs "{error.name}". Install it: pip install "headway[{extra}]"') from None
        raise NotSupported(f"no kind {settings.kind}")

    def _sql(self, settings: SqlSettings, zone: str, business_date: date, timeout_seconds: float) -> Measurement:
        from connectors.checks import sql
        from connectors.pg_cron.options import PgCronOptions
        from connectors.sdk.transport.postgres import PostgresSession, connection_parameters

        if settings.dsn:
            options: Any = PgCronOptions(dsn=settings.dsn)
        else:
            options = self._config.systems[settings.system or ""].options
        session = PostgresSession(lambda: connection_parameters(options, self._secrets), NAME)
        try:
            return sql.measure(session, settings.question(zone), business_date, timeout_seconds)
        finally:
            session.close()

    def _file(self, settings: FileSettings, business_date: date, timeout_seconds: float) -> Measurement:
        from connectors.checks import file

        path = with_business_date(settings.path, business_date)
        if settings.system is None and settings.host is None:
            return file.measure_local(path)
        return file.measure_remote(self._address(settings), path, timeout_seconds)

    def _address(self, settings: FileSettings) -> SshAddress:
        from connectors.cron.options import CronOptions
        from connectors.sdk.transport.hosts import Host, address

        if settings.system is not None:
            return address(self._config.systems[settings.system].options, settings.target or "", self._secrets)
        host = settings.host or ""
        if settings.key is None:
            raise AccessRefused(f"{host}: the check names no key. Fix: add key to the check.")
        options = CronOptions(
            hosts=(Host(name=host, port=settings.port),),
            user=settings.user,
            key=settings.key,
            key_passphrase=settings.key_passphrase,
            known_hosts=settings.known_hosts,
        )
        return address(options, host, self._secrets)

    def _headers(self, settings: HttpSettings) -> dict[str, str]:
        from connectors.sdk.transport.http import HttpAccount

        account = HttpAccount(self._secrets, settings.username, settings.password, settings.token)
        return {name: self._secrets(reference) for name, reference in settings.headers.items()} | account.headers()

    def _object(self, settings: ObjectSettings, business_date: date, timeout_seconds: float) -> Measurement:
        from connectors.checks import object as objects

        query = settings.question()
        query = replace(
            query,
            key=with_business_date(query.key, business_date),
            prefix=with_business_date(query.prefix, business_date),
        )
        identity: dict[str, object] = {  # arguments of the boto3 session; empty for the default credential chain
            "aws_access_key_id": settings.access_key_id,
            "aws_secret_access_key": settings.secret_access_key,
            "aws_session_token": settings.session_token,
            "profile_name": settings.profile,
            "region_name": settings.region,
        }
        ca_file = _expanded(settings.ca_file)
        storage = {"endpoint_url": settings.endpoint_url, "verify": str(ca_file) if ca_file else None}
        return objects.measure(query, self._present(identity), self._present(storage), timeout_seconds)

    def _present(self, values: Mapping[str, object]) -> dict[str, Any]:
        """The values that are set, secrets resolved."""
        return {
            name: self._secrets(value) if isinstance(value, SecretRef) else value
            for name, value in values.items()
            if value is not None
        }


def _expanded(path: Path | None) -> Path | None:
    return path.expanduser() if path is not None else None
