"""The Headway config of a running estate: TOML with secrets as files beside it, ready for `headway --config`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import airflow, aws, jobs

if TYPE_CHECKING:
    from tests.lab.estate import Estate

SYSTEMS = ("etl-hosts", "warehouse-airflow", "dwh", "orders-sfn")

EXTRACT = "etl-hosts/db07:extract_orders"
LOAD = "warehouse-airflow/load_orders"
PLAN = "warehouse-airflow/supply_plan"
REVENUE = "dwh/refresh_revenue"
PUBLISH = f"orders-sfn/{jobs.MACHINE}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a test may want to be otherwise in the config."""

    systems: Sequence[str] = SYSTEMS
    poll_every: str = "5s"
    poll_timeout: str = "2m"
    """Longer than a scheduler on a busy machine needs for an answer."""
    hosts: Sequence[str] = ("db07", "etl02")
    database_role: str = "headway_act"
    airflow_user: str = "headway"
    store: str = "headway.db"
    """A file beside the config, or a postgresql:// URL."""
    deadline_in: timedelta = timedelta(hours=2)
    """How far off the services' deadlines are, from the moment the config is written."""
    grace: str = "1m"
    default_route: str = "oncall"
    owner: str = "data-platform"
    mode: str = "observe"
    """Of the dependencies on `EXTRACT`."""
    extra: str = ""
    """TOML at the end."""


class ConfigFolder:
    """Writes `headway.toml` and its secrets into `folder`."""

    def __init__(self, estate: Estate, folder: Path, options: Options) -> None:
        self.estate = estate
        self.folder = folder
        self.options = options
        self.now = datetime.now(UTC)

    def write(self) -> Path:
        """The path of the config file. The parts that it names must be running; Airflow may still be starting."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        makers: dict[str, Callable[[], Iterator[str]]] = {
            "etl-hosts": self._cron,
            "warehouse-airflow": self._airflow,
            "dwh": self._pg_cron,
            "orders-sfn": self._step_functions,
        }
        lines = ["[estate]", 'name = "lab"', 'starts_in = "live"', f"store = {self._store()}"]
        for name in self.options.systems:
            lines += ["", f"[systems.{name}]", *makers[name](), *self._common()]
        lines += [*self._jobs(), *self._dependencies(), *self._services(), *self._routes(), "", self.options.extra]
        path = self.folder / "headway.toml"
        path.write_text("\n".join(lines))
        return path

    def _store(self) -> str:
        store = self.options.store
        return self.secret("store-dsn", store) if "://" in store else quoted(store)

    def _common(self) -> Iterator[str]:
        yield f'poll_every = "{self.options.poll_every}"'
        yield f'poll_timeout = "{self.options.poll_timeout}"'
        # Half a day away from now: tests that run around noon must not see two business dates.
        yield f'cutoff = "{self.now + timedelta(hours=12):%H:%M}"'

    def _cron(self) -> Iterator[str]:
        hosts = [self.estate.host(name) for name in self.options.hosts]
        known = self.folder / "known_hosts"
        known.write_text("".join(host.files.known_hosts_line for host in hosts))
        yield 'kind = "cron"'
        yield "hosts = ["
        yield from (f'    {{ name = "{host.name}", address = "127.0.0.1", port = {host.port} }},' for host in hosts)
        yield "]"
        yield f"key = {quoted(str(hosts[0].key))}"
        yield f"known_hosts = {quoted(str(known))}"

    def _airflow(self) -> Iterator[str]:
        yield 'kind = "airflow"'
        yield f'url = "{self.estate.airflow.url}"'
        yield f'username = "{self.options.airflow_user}"'
        yield f"password = {self.secret('airflow-password', airflow.PASSWORDS[self.options.airflow_user])}"

    def _pg_cron(self) -> Iterator[str]:
        dsn = self.estate.postgres.dsn(role=self.options.database_role)
        yield 'kind = "pg_cron"'
        yield f"dsn = {self.secret('dwh-dsn', dsn)}"

    def _step_functions(self) -> Iterator[str]:
        yield 'kind = "step_functions"'
        yield f'region = "{aws.REGION}"'
        yield f'endpoint_url = "{self.estate.moto.endpoint}"'
        yield f'scheduler_endpoint_url = "{self.estate.moto.endpoint}"'
        yield f"access_key_id = {self.secret('aws-key', aws.CREDENTIALS['AWS_ACCESS_KEY_ID'])}"
        yield f"secret_access_key = {self.secret('aws-secret', aws.CREDENTIALS['AWS_SECRET_ACCESS_KEY'])}"

    def _jobs(self) -> Iterator[str]:
        expected = {EXTRACT: "14m", LOAD: "10m", PLAN: "5m", REVENUE: "6m", PUBLISH: "3m"}
        for name, duration in expected.items():
            if self._is_there(name):
                yield from ("", f"[jobs.{quoted(name)}]", f'owner = "{self.options.owner}"')
                yield from (f'expected = "{duration}"', f'grace = "{self.options.grace}"', 'rerun = "safe"')
                yield f'runbook = "https://wiki.example/{name.rpartition("/")[2].rpartition(":")[2]}"'

    def _dependencies(self) -> Iterator[str]:
        for downstream in (LOAD, REVENUE, PUBLISH):
            if self._is_there(EXTRACT) and self._is_there(downstream):
                yield from ("", "[[dependencies]]", f"upstream = {quoted(EXTRACT)}")
                yield from (f"downstream = {quoted(downstream)}", f"mode = {quoted(self.options.mode)}")

    def _services(self) -> Iterator[str]:
        terminals = {"supply-plan": (PLAN, 2, "Supply plan"), "daily-revenue": (REVENUE, 1, "Daily revenue")}
        for number, (name, (terminal, tier, title)) in enumerate(terminals.items()):
            if self._is_there(terminal):
                deadline = self.now + self.options.deadline_in + timedelta(hours=number)
                yield from ("", f"[services.{name}]", f'title = "{title}"', f"delivered_by = [{quoted(terminal)}]")
                yield from (f'deadline = "{deadline:%H:%M}"', 'timezone = "UTC"', f"tier = {tier}")
                yield f'cutoff = "{self.now + timedelta(hours=12):%H:%M}"'

    def _routes(self) -> Iterator[str]:
        mail = self.secret("oncall-mail", self.estate.smtp.url())
        chat = self.secret("oncall-chat", self.estate.http.chat_url())
        hook = self.secret("platform-hook", self.estate.http.json_url("data-platform"))
        yield from ("", "[routes.oncall]", f"urls = [{mail}, {chat}]")
        yield from ("", "[routes.platform]", f"urls = [{hook}]")
        yield from ("", "[alerts]", f'default_route = "{self.options.default_route}"')

    def _is_there(self, job: str) -> bool:
        return job.partition("/")[0] in self.options.systems

    def secret(self, name: str, value: str) -> str:
        """A TOML reference to a file that only its owner reads, holding `value`."""
        path = self.folder / "secrets" / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(0o600)
        path.write_text(value + "\n")
        return f"{{ file = {quoted(str(path))} }}"


def quoted(text: str) -> str:
    """A TOML basic string (JSON's strings are a part of TOML's)."""
    return json.dumps(text)
