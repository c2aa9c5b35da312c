"""Runs a check: the one place where its settings become a session with the data source.

No session is kept between two runs; the libraries of a kind are loaded when it is used.
"""

# ruff: noqa: PLC0415  (what one kind alone needs is loaded where that kind is used)
from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.checks.queries import HttpQuery, Measurement, ObjectQuery, with_business_date
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.secrets import SecretRef, SecretStore
from console.config.checks import FileSettings, HttpSettings, ObjectSettings, SqlSettings
from console.config.estate import Config
from console.domain.check import Check
from console.timing.zones import date_in_window, zone_of

if TYPE_CHECKING:
    from connectors.sdk.transport.ssh import SshAddress

NAME = "headway check"
"""The application name that PostgreSQL shows in pg_stat_activity."""


def check_date(check: Check, now: datetime) -> date:
    """The present business date in the check's zone."""
    return date_in_window(now, zone_of(check.zone), check.cutoff)


class CheckRunner:
    """Runs the checks of a config. Thread safe: every run has sessions of its own."""

    def __init__(self, config: Config, secrets: SecretStore) -> None:
        self._config = config
        self._secrets = secrets
        self._zones = {check.name: check.zone for check in config.declared.checks}

    def look(self, name: str, business_date: date, timeout_seconds: float) -> Measurement:
        """The measurement for a business date. Raises ConnectorError; KeyError for an unknown check."""
        settings = self._config.checks[name]
        try:
            match settings:
                case SqlSettings():
                    return self._sql(settings, self._zones[name], business_date, timeout_seconds)
                case FileSettings():
                    return self._file(settings, business_date, timeout_seconds)
                case HttpSettings():
                    return self._http(settings, self._zones[name], business_date, timeout_seconds)
                case ObjectSettings():
                    return self._object(settings, business_date, timeout_seconds)
        except ModuleNotFoundError as error:
            extra = {"psycopg": "postgres", "boto3": "aws", "botocore": "aws"}.get(str(error.name), "all")
            raise NotSupported(f'this needs "{error.name}". Install it: pip install "headway[{extra}]"') from None
        raise NotSupported(f"no kind {settings.kind}")

    def _sql(self, settings: SqlSettings, zone: str, business_date: date, timeout_seconds: float) -> Measurement:
        from connectors.checks import sql
        from connectors.pg_cron.client import PgCronOptions
        from connectors.sdk.transport.postgres import PostgresSession, connection_parameters

        door = PgCronOptions(dsn=settings.dsn) if settings.dsn else self._config.systems[settings.system or ""].options
        session = PostgresSession(lambda: connection_parameters(door, self._secrets), NAME)
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
        from connectors.cron.client import CronOptions
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

    def _http(self, settings: HttpSettings, zone: str, business_date: date, timeout_seconds: float) -> Measurement:
        from connectors.checks import http

        asked = settings.question(zone)
        asked = HttpQuery(with_business_date(asked.url, business_date), asked.json, asked.is_time, asked.zone)
        return http.measure(asked, self._headers(settings), _expanded(settings.ca_file), timeout_seconds)

    def _headers(self, settings: HttpSettings) -> dict[str, str]:
        found = {name: self._secrets(reference) for name, reference in settings.headers.items()}
        if settings.token is not None:
            found["Authorization"] = f"Bearer {self._secrets(settings.token)}"
        if settings.password is not None:
            pair = b64encode(f"{settings.username}:{self._secrets(settings.password)}".encode()).decode()
            found["Authorization"] = f"Basic {pair}"
        return found

    def _object(self, settings: ObjectSettings, business_date: date, timeout_seconds: float) -> Measurement:
        from connectors.checks import object as objects

        asked = settings.question()
        asked = ObjectQuery(
            asked.bucket, with_business_date(asked.key, business_date), with_business_date(asked.prefix, business_date)
        )
        return objects.measure(asked, self._identity(settings), _storage_options(settings), timeout_seconds)

    def _identity(self, settings: ObjectSettings) -> Mapping[str, Any]:
        """Arguments of the boto3 session; empty for the default credential chain."""
        keys = {
            "aws_access_key_id": settings.access_key_id,
            "aws_secret_access_key": settings.secret_access_key,
            "aws_session_token": settings.session_token,
        }
        found: dict[str, Any] = {name: self._secrets(one) for name, one in keys.items() if isinstance(one, SecretRef)}
        given = {"profile_name": settings.profile, "region_name": settings.region}
        return found | {name: value for name, value in given.items() if value is not None}


def _storage_options(settings: ObjectSettings) -> Mapping[str, Any]:
    ca_file = _expanded(settings.ca_file)
    given = {"endpoint_url": settings.endpoint_url, "verify": str(ca_file) if ca_file else None}
    return {name: value for name, value in given.items() if value is not None}


def _expanded(path: Path | None) -> Path | None:
    return path.expanduser() if path is not None else None
