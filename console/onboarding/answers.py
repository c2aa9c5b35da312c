"""Schedulers elsewhere: from what a person types (a host, a DSN, an Airflow URL), and from variables and ~/.pgpass.

Nothing is sent to them here; a secret is a reference to where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from connectors.sdk.secrets import MASK
from console.onboarding.local_files import DEFAULT_KEY, ssh_hosts, system_name
from console.onboarding.schedulers import DetectedScheduler, Machine, WatchReadiness, text_of

KEY = "~/.ssh/headway_ed25519"
_HOST = re.compile(r"(?:([A-Za-z_][A-Za-z0-9_.-]*)@)?([A-Za-z0-9][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:]+\])(?::([0-9]{1,5}))?")
_POSTGRES = re.compile(r"postgres(?:ql)?://\S+", re.I)
FORMS = "a host (db07, user@db07:22), a DSN (postgresql://…, or the variable that has it), an Airflow URL"


_SECRET_KEY = r"\b(?i:\w*password)\s*=\s*"  # noqa: S105 - a pattern
"""Up to the value of libpq's password or sslpassword."""


def shown(text: str, question: str) -> str:
    """The typed text if it cannot be or contain a secret, else what it answers."""
    return text if re.fullmatch(r"[A-Za-z0-9_.-]{1,31}", text) else question


def without_password(text: str) -> str:
    """The typed DSN or URL with its password masked, for the screen."""
    masked = re.sub(r"(://[^:/?#\s]*:).+@", rf"\1{MASK}@", text)
    return re.sub(rf"({_SECRET_KEY})('[^']*'?|[^&\s]+)", rf"\1{MASK}", masked)


def hidden_while_typed(text: str) -> str:
    """A DSN or URL while it is typed: all after the start of its password is hidden, as its end is unknown."""
    start = re.search(rf"://[^:/?#\s]*:|{_SECRET_KEY}", text)
    return text if start is None else text[: start.end()] + "•" * (len(text) - start.end())


def is_dsn(text: str) -> bool:
    return _POSTGRES.fullmatch(text) is not None


def is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def host_answer(machine: Machine, text: str) -> DetectedScheduler:
    """The cron host that was typed. Names of ~/.ssh/config keep its address and port, and its user and key unless
    Headway has a key of its own. Raises ValueError."""
    parts = _HOST.fullmatch(text.strip())
    if parts is None or (parts[3] and not 0 < int(parts[3]) < 65536):
        raise ValueError(f"{shown(text, 'the answer')} is not one of: {FORMS}")
    user, address, port = parts[1], parts[2].strip("[]"), parts[3]
    has_own_key = (machine.home / KEY.removeprefix("~/")).is_file()
    known = next((host for host in ssh_hosts(machine) if host.key == f"ssh:{address}"), None)
    settings: dict[str, Any] = dict(known.settings) if known is not None else {"key": KEY, "timezone": machine.zone}
    entry = dict(settings["hosts"][0]) if known is not None else {"name": re.sub(r"[^A-Za-z0-9_.-]", "-", address)}
    if known is None and entry["name"] != address:
        entry["address"] = address
    if has_own_key or settings["key"] == DEFAULT_KEY:
        settings["key"] = KEY
        entry.pop("user", None)
    entry |= ({"user": user} if user else {}) | ({"port": int(port)} if port else {})
    settings = {"hosts": [entry], **{name: value for name, value in settings.items() if name != "hosts"}}
    name = system_name(f"cron-{entry['name']}")
    return DetectedScheduler(
        f"ssh:{entry['name']}", f"host {address}", known.where if known else "your answer", WatchReadiness.NOW, "",
        None, name, "cron", settings,
    )  # fmt: skip


def with_own_key(machine: Machine, hosts: Iterable[DetectedScheduler]) -> Iterator[DetectedScheduler]:
    """The hosts of ~/.ssh/config that name another key, with the key and login of Headway; none if it has no key."""
    if not (machine.home / KEY.removeprefix("~/")).is_file():
        return
    for host in hosts:
        if host.key.startswith("ssh:") and host.settings["key"] != KEY:
            yield replace(host, settings=host_answer(machine, host.key.removeprefix("ssh:")).settings)


def dsn_answer(machine: Machine, dsn: str, reference: Mapping[str, object], kind: str = "pg_cron") -> DetectedScheduler:
    """The PostgreSQL of a DSN; in the config the DSN is `reference`: a variable, or a file. Raises ValueError."""
    address, login = dsn_address(dsn)
    variable = str(reference.get("env", ""))
    label = re.sub(r"_?(DSN|URL|URI|DATABASE)$", "", variable).lower() or address.partition(":")[0]
    settings = {"dsn": dict(reference), "timezone": machine.zone}
    source = f"{variable} in the environment" if variable else "your answer"
    return DetectedScheduler(
        f"dsn:{variable or address}", f"PostgreSQL {address}", source, WatchReadiness.ON_CONSENT,
        "pg_cron or pgAgent, with the rights of this login", None, system_name(label), kind, settings, address, login,
    )  # fmt: skip


def dsn_address(dsn: str) -> tuple[str, str]:
    """ "dwh:5432/ops" and its user. Raises ValueError."""
    try:
        parts = urlsplit(dsn)
        host, port = parts.hostname or "localhost", parts.port or 5432
    except ValueError:
        raise ValueError("the DSN cannot be read; write postgresql://user:password@host:5432/database") from None
    return f"{host}:{port}{parts.path}", unquote(parts.username or "")


def airflow_answer(machine: Machine, url: str, user: str, password: Mapping[str, object]) -> DetectedScheduler:
    """The Airflow of an address. Raises ValueError."""
    try:
        parts = urlsplit(url.strip())
        is_address = bool(parts.hostname) and parts.username is None and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address or parts.scheme.lower() not in ("http", "https"):
        raise ValueError("the Airflow URL is not an address; write https://airflow.example.com, no user, no password")
    settings = {"url": url.strip().rstrip("/"), "username": user, "password": dict(password), "timezone": machine.zone}
    return DetectedScheduler(
        f"airflow:{parts.hostname}", f"Airflow at {settings['url']}", "your answer", WatchReadiness.NOW, "", None,
        system_name(f"airflow-{parts.hostname}"), "airflow", settings,
    )  # fmt: skip


def dsn_variables(machine: Machine) -> Iterator[DetectedScheduler]:
    """Variables that contain a PostgreSQL DSN: DWH_DSN, DATABASE_URL."""
    for variable, value in sorted(machine.env.items()):
        if is_dsn(value) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
            try:
                yield dsn_answer(machine, value, {"env": variable})
            except ValueError as error:
                yield DetectedScheduler(
                    f"dsn:{variable}", "PostgreSQL", f"{variable} in the environment", WatchReadiness.NEEDS, str(error)
                )


def pgpass_servers(machine: Machine) -> Iterator[DetectedScheduler]:
    """Logins of ~/.pgpass; libpq reads their passwords there itself."""
    path = machine.home / ".pgpass"
    try:
        lines = text_of(path).splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, 1):
        fields = re.findall(r"((?:[^:\\]|\\.)*)(?::|$)", line)[:5]
        if not line.strip() or line.startswith("#"):
            continue
        host, port, database, user = (re.sub(r"\\(.)", r"\1", field) for field in (*fields, "", "", "", "")[:4])
        if "*" in (host, user):
            continue
        if len(fields) < 5 or not user or not (port == "*" or (port.isascii() and port.isdigit())):
            fault = "not host:port:database:user:password"
            yield DetectedScheduler("pgpass", "PostgreSQL", f"{path}, line {number}", WatchReadiness.NEEDS, fault)
            continue
        database = "postgres" if database == "*" else database
        settings = {"host": host, "port": 5432 if port == "*" else int(port), "dbname": database, "user": user}
        address = f"{host}:{settings['port']}/{database}"
        yield DetectedScheduler(
            f"pgpass:{host}", f"PostgreSQL {address}", str(path), WatchReadiness.ON_CONSENT,
            "pg_cron or pgAgent, with this login", None, system_name(f"pg-{host}"), "pg_cron",
            settings | {"timezone": machine.zone}, address, user,
        )  # fmt: skip
