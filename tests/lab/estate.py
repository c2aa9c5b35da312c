"""The whole lab as one value: each part starts when it is first requested, all are ended together."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.lab.airflow import AirflowServer
from tests.lab.aws import MotoServer
from tests.lab.cronhost import Clock, CronHost
from tests.lab.headway_config import ConfigFolder, Options
from tests.lab.postgres import PostgresServer
from tests.lab.process import private_folder, remove_folder
from tests.lab.sinks import HttpSink, SmtpSink

WRAPPER = Path(__file__).parents[2] / "connectors" / "cron" / "headway-sh"

HOSTS: dict[str, dict[str, Any]] = {"db07": {"cron_level": None}, "etl02": {"cron_level": 15}}
"""What the two hosts of every estate are."""


class Part(Protocol):
    """What starts and stops."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


AnyPart = TypeVar("AnyPart", bound=Part)


class Estate:
    """Cron hosts, PostgreSQL with pg_cron, moto, mail and web hook; thread-safe. `airflow`: one that another estate
    has started, and ends."""

    def __init__(self, airflow: AirflowServer | None = None) -> None:
        self._airflow = airflow
        self._lock = threading.RLock()
        self._parts: dict[str, Any] = {}
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The private folder of all parts, made at first use and removed with the estate."""
        with self._lock:
            if self._folder is None:
                self._folder = private_folder("lab")
            return self._folder

    # -- parts ------------------------------------------------------------------------------------------------------
    @property
    def db07(self) -> CronHost:
        """cron as Debian ships it: the log proves starts only. Our wrapper is installed for who names it in SHELL=."""
        return self.host("db07")

    @property
    def etl02(self) -> CronHost:
        """cron -L 15: the log proves ends and exit status."""
        return self.host("etl02")

    def host(self, name: str, **options: Any) -> CronHost:
        """The cron host of that name; `options` are CronHost's, over HOSTS, and count at its first start."""
        options = {**HOSTS.get(name, {}), **options}

        def make() -> CronHost:
            host = CronHost(self.folder / name, name, user_key=self.folder / "login_key", **options)
            host.prepare()
            if WRAPPER.exists():
                host.install_wrapper(WRAPPER)
            return host

        return self._part(f"host {name}", make)

    @property
    def postgres(self) -> PostgresServer:
        """PostgreSQL 15 with pg_cron."""
        return self._part("postgres", lambda: PostgresServer(self.folder / "postgres"))

    @property
    def moto(self) -> MotoServer:
        """AWS Step Functions."""
        return self._part("moto", lambda: MotoServer(self.folder / "moto"))

    @property
    def smtp(self) -> SmtpSink:
        """The mail server of the alerts."""
        return self._part("smtp", SmtpSink)

    @property
    def http(self) -> HttpSink:
        """The web hook of the alerts."""
        return self._part("http", HttpSink)

    @property
    def airflow(self) -> AirflowServer:
        """Airflow 3; the first look begins its start in the background, `wait_ready()` waits for its end."""
        return self._airflow or self._part("airflow", lambda: AirflowServer(self.folder / "airflow"))

    def _part(self, name: str, make: Callable[[], AnyPart]) -> AnyPart:
        with self._lock:
            if name not in self._parts:
                part = make()
                part.start()
                self._parts[name] = part
            any_part: AnyPart = self._parts[name]
            return any_part

    def hosts(self) -> list[CronHost]:
        """Every host that was started so far, oldest first."""
        with self._lock:
            return [part for part in self._parts.values() if isinstance(part, CronHost)]

    def time_host(self, name: str, start: str, cron_d: str, zone: str = "Europe/Berlin", rate: int = 240) -> CronHost:
        """A host whose cron lives `rate` times as fast from `start` (local, "2026-03-29 00:55:00") on."""
        with self._lock:
            host = CronHost(self.folder / name, name, cron_level=15, zone=zone, clock=Clock(start, rate))
            host.prepare()
            host.files.put("etc/cron.d/jobs", cron_d)
            return self._part(f"host {name}", lambda: host)

    def write_config(self, folder: Path, options: Options | None = None) -> Path:
        """Writes the Headway config of this estate into `folder` and says its path; starts the parts that it names."""
        return ConfigFolder(self, folder, options or Options()).write()

    # -- all of it --------------------------------------------------------------------------------------------------
    def drop(self, name: str) -> None:
        """Ends one extra host, with its files."""
        with self._lock:
            host: CronHost = self._parts.pop(f"host {name}")
            host.stop()
            shutil.rmtree(host.folder)

    def stop(self) -> None:
        """Ends every part, the youngest first; each is tried even where another refuses, the first error is raised."""
        with self._lock, contextlib.ExitStack() as ends:
            if self._folder is not None:
                ends.callback(remove_folder, self._folder)
            for part in self._parts.values():
                ends.callback(part.stop)
            self._parts = {}
            self._folder = None


@cache
def shared_estate() -> Estate:
    """The one estate of this test session; `tests.lab.conftest` ends it."""
    return Estate()


@contextlib.contextmanager
def running_estate(airflow: AirflowServer | None = None) -> Iterator[Estate]:
    """An estate that is ended whatever happens inside."""
    estate = Estate(airflow)
    try:
        yield estate
    finally:
        estate.stop()
