"""Opens the door of a check and looks: the one place where a check's settings become a session. Nothing is kept open
between two looks; the libraries of a kind are loaded when it is used."""

# ruff: noqa: PLC0415  (what one kind alone needs is loaded where that kind is used)
from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.checks.questions import HttpQuestion, ObjectQuestion, dated
from connectors.contract import AccessRefused, NotSupported
from connectors.contract.measured import Measured
from connectors.secrets import SecretRef, SecretStore
from console.config import Config
from console.config.check_kinds import FileSettings, HttpSettings, ObjectSettings, SqlSettings
from console.control.zones import date_in_window, zone_of
from console.model.checks import Check

if TYPE_CHECKING:
    from connectors.transport.ssh_connect import SshAddress

NAME = "headway check"
"""What a server shows of who looks: pg_stat_activity has it as application_name."""


def today(check: Check, now: datetime) -> date:
    """The business date of now, in the check's own zone."""
    return date_in_window(now, zone_of(check.zone), check.cutoff)


class Looker:
    """Looks at what config's checks name. Thread safe: every look has sessions of its own."""

    def __init__(self, config: Config, secrets: SecretStore) -> None:
        self._config = config
        self._secrets = secrets
        self._zones = {one.name: one.zone for one in config.declared.checks}

    def look(self, name: str, bd: date, timeout_seconds: float) -> Measured:
        """What is there now for that business date. Raises ConnectorError; KeyError for a check that config has not."""
        settings = self._config.checks[name]
        try:
            match settings:
                case SqlSettings():
                    return self._sql(settings, self._zones[name], bd, timeout_seconds)
                case FileSettings():
                    return self._file(settings, bd, timeout_seconds)
                case HttpSettings():
                    return self._http(settings, self._zones[name], bd, timeout_seconds)
                case ObjectSettings():
                    return self._object(settings, bd, timeout_seconds)
        except ModuleNotFoundError as error:
            extra = {"psycopg": "postgres", "boto3": "aws", "botocore": "aws"}.get(str(error.name), "all")
            raise NotSupported(f'this needs "{error.name}". Install it: pip install "headway[{extra}]"') from None
        raise NotSupported(f"no kind {settings.kind}")

    def _sql(self, settings: SqlSettings, zone: str, bd: date, timeout_seconds: float) -> Measured:
        from connectors.checks import sql
        from connectors.pg_cron.options import PgCronOptions, connection_parameters
        from connectors.transport.sql import PostgresSession

        door = PgCronOptions(dsn=settings.dsn) if settings.dsn else self._config.systems[settings.system or ""].options
        session = PostgresSession(lambda: connection_parameters(door, self._secrets), NAME)
        try:
            return sql.measure(session, settings.question(zone), bd, timeout_seconds)
        finally:
            session.close()

    def _file(self, settings: FileSettings, bd: date, timeout_seconds: float) -> Measured:
        from connectors.checks import file

        path = dated(settings.path, bd)
        if settings.system is None and settings.host is None:
            return file.here(path)
        return file.there(self._address(settings), path, timeout_seconds)

    def _address(self, settings: FileSettings) -> SshAddress:
        from connectors.cron.options import CronOptions
        from connectors.transport.hosts import Host
        from connectors.transport.ways import address

        if settings.system is not None:
            return address(self._config.systems[settings.system].options, settings.target or "", self._secrets)
        host = settings.host or ""
        if settings.key is None:
            raise AccessRefused(f"{host}: no key is named. Add key to the check.")
        options = CronOptions(
            hosts=(Host(name=host, port=settings.port),),
            user=settings.user,
            key=settings.key,
            key_passphrase=settings.key_passphrase,
            known_hosts=settings.known_hosts,
        )
        return address(options, host, self._secrets)

    def _http(self, settings: HttpSettings, zone: str, bd: date, timeout_seconds: float) -> Measured:
        from connectors.checks import http

        asked = settings.question(zone)
        asked = HttpQuestion(dated(asked.url, bd), asked.json, asked.is_time, asked.zone)
        return http.measure(asked, self._headers(settings), _expanded(settings.ca_file), timeout_seconds)

    def _headers(self, settings: HttpSettings) -> dict[str, str]:
        found = {name: self._secrets(reference) for name, reference in settings.headers.items()}
        if settings.token is not None:
            found["Authorization"] = f"Bearer {self._secrets(settings.token)}"
        if settings.password is not None:
            pair = b64encode(f"{settings.username}:{self._secrets(settings.password)}".encode()).decode()
            found["Authorization"] = f"Basic {pair}"
        return found

    def _object(self, settings: ObjectSettings, bd: date, timeout_seconds: float) -> Measured:
        from connectors.checks import object as objects

        asked = settings.question()
        asked = ObjectQuestion(asked.bucket, dated(asked.key, bd), dated(asked.prefix, bd))
        return objects.measure(asked, self._identity(settings), _store(settings), timeout_seconds)

    def _identity(self, settings: ObjectSettings) -> Mapping[str, Any]:
        """What boto3 takes for a session; nothing for the usual chain of AWS."""
        keys = {
            "aws_access_key_id": settings.access_key_id,
            "aws_secret_access_key": settings.secret_access_key,
            "aws_session_token": settings.session_token,
        }
        found: dict[str, Any] = {name: self._secrets(one) for name, one in keys.items() if isinstance(one, SecretRef)}
        given = {"profile_name": settings.profile, "region_name": settings.region}
        return found | {name: value for name, value in given.items() if value is not None}


def _store(settings: ObjectSettings) -> Mapping[str, Any]:
    ca_file = _expanded(settings.ca_file)
    given = {"endpoint_url": settings.endpoint_url, "verify": str(ca_file) if ca_file else None}
    return {name: value for name, value in given.items() if value is not None}


def _expanded(path: Path | None) -> Path | None:
    return path.expanduser() if path is not None else None
