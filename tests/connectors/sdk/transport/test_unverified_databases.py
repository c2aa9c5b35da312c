"""An impostor of a database on another machine gets no password; on this machine nothing changes.

0.0.0.0 represents another machine: Linux connects it to a server here, and it is no loopback address."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial

import psycopg
import pytest

from connectors.mysql_events.options import MySqlEventsOptions, login_of
from connectors.mysql_events.session import MySqlLogin, MySqlSession, Tls
from connectors.pg_cron.options import PgCronOptions
from connectors.sdk.errors import AccessRefused, ConnectorError
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.libpq import unverified_store, unverified_text, verified
from connectors.sdk.transport.postgres import PostgresSession, connection_parameters, psql_shell
from console.store.db.postgres import TimeoutConnection
from tests.lab.process import HANGS_SECONDS
from tests.rows import each_row

ELSEWHERE = "0.0.0.0"
PASSWORD = "CANARYpw"
OF_ROLE = {"user": "headway", "dbname": "ops", "password": PASSWORD}


class RogueServer:
    """Accepts one client, does what `serve` says, and keeps all that the client sent."""

    def __init__(self, serve: Callable[[socket.socket, Callable[[int], bytes]], None]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.received = b""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            client.settimeout(HANGS_SECONDS)
            with client, suppress(OSError):
                self._serve(client, partial(self._read, client))
                while self._read(client, 1):
                    pass

    def _read(self, client: socket.socket, size: int) -> bytes:
        data = client.recv(size)
        self.received += data
        return data

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def rogue() -> Iterator[Callable[[Callable[[socket.socket, Callable[[int], bytes]], None]], RogueServer]]:
    servers = []

    def start(serve: Callable[[socket.socket, Callable[[int], bytes]], None]) -> RogueServer:
        servers.append(RogueServer(serve))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def cleartext_postgres(client: socket.socket, read: Callable[[int], bytes]) -> None:
    """Says no to TLS, and requests the password in clear."""
    first = read(4096)
    if first[4:8] in (struct.pack("!I", 80877103), struct.pack("!I", 80877104)):
        client.sendall(b"N")
        read(4096)
    client.sendall(b"R" + struct.pack("!II", 8, 3))
    read(4096)


def packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def mysql_that_requests(
    plugin: bytes,
    greets_with: bytes = b"mysql_native_password",
    then: bytes = b"",
    data: bytes = b"12345678901234567890\0",
) -> Callable[[socket.socket, Callable[[int], bytes]], None]:
    """A server without TLS that switches to that plugin."""
    offered = 0x200 | 0x8000 | 0x80000

    def serve(client: socket.socket, read: Callable[[int], bytes]) -> None:
        greeting = b"\x0a10.11.0-MariaDB\0" + struct.pack("<I", 7) + b"12345678\0"
        greeting += struct.pack("<HBHHB", offered & 0xFFFF, 45, 2, offered >> 16, 21) + bytes(10) + b"123456789012\0"
        client.sendall(packet(0, greeting + greets_with + b"\0"))
        read(4096)
        client.sendall(packet(2, b"\xfe" + plugin + b"\0" + data))
        read(4096)
        if then:
            client.sendall(packet(4, then))
            read(4096)

    return serve


def read_postgres(port: int, **given: str) -> None:
    parameters = verified({"host": ELSEWHERE, "port": str(port), **OF_ROLE, **given})
    with closing(PostgresSession(lambda: parameters, "headway")) as session:
        session.read(lambda reader: reader.rows("SELECT 1"), 5)


def read_mysql(port: int, tls: Tls | None, host: str = ELSEWHERE) -> None:
    with closing(MySqlSession(lambda: MySqlLogin(host, port, "headway", PASSWORD, tls, None))) as session:
        session.read(lambda reader: reader.rows("SELECT 1"), 5)


Starts = Callable[[Callable[[socket.socket, Callable[[int], bytes]], None]], RogueServer]


@pytest.mark.parametrize("sslmode", ["", "disable", "prefer"])
def test_a_rogue_postgresql_gets_no_password_whatever_sslmode_says(rogue: Starts, sslmode: str) -> None:
    server = rogue(cleartext_postgres)
    with pytest.raises(AccessRefused) as refused:
        read_postgres(server.port, **({"sslmode": sslmode} if sslmode else {}))
    assert PASSWORD.encode() not in server.received
    fix = (
        "store the role's password as scram-sha-256, or set require_auth" if sslmode else "(in a DSN: ?sslmode=disable)"
    )
    assert fix in str(refused.value)


@pytest.mark.deep
def test_opting_out_of_both_gives_a_rogue_postgresql_the_password(rogue: Starts) -> None:
    """That the rogue server works: with both settings named it is handed over."""
    server = rogue(cleartext_postgres)
    with pytest.raises(ConnectorError):
        read_postgres(server.port, sslmode="prefer", require_auth="password")
    assert PASSWORD.encode() in server.received


@pytest.mark.parametrize("tls", [None, "off", "prefer", "require"])
@pytest.mark.parametrize(
    "serve",
    [
        mysql_that_requests(b"mysql_clear_password"),
        mysql_that_requests(b"dialog", data=b"\x05Password: "),
        mysql_that_requests(b"sha256_password"),
        mysql_that_requests(b"mysql_clear_password", greets_with=b"sha256_password"),
        mysql_that_requests(b"caching_sha2_password", then=b"\x01\x04"),
    ],
    ids=["clear", "dialog", "sha256", "sha256 at once", "caching_sha2 in full"],
)
def test_a_rogue_mysql_gets_no_password_and_no_request_for_its_key(
    rogue: Starts, serve: Callable[[socket.socket, Callable[[int], bytes]], None], tls: Tls | None
) -> None:
    server = rogue(serve)
    with pytest.raises(ConnectorError):
        read_mysql(server.port, tls)
    assert PASSWORD.encode() not in server.received
    assert not server.received.endswith((packet(5, b"\2"), packet(3, b"\1")))


def test_a_refused_plugin_names_the_fix(rogue: Starts) -> None:
    with pytest.raises(AccessRefused, match=r"its certificate is not verified: nothing was sent.*check tls and ssl_ca"):
        read_mysql(rogue(mysql_that_requests(b"mysql_clear_password")).port, "off")


@pytest.mark.deep
def test_on_this_machine_a_server_may_still_request_the_password(rogue: Starts) -> None:
    server = rogue(mysql_that_requests(b"mysql_clear_password"))
    with pytest.raises(ConnectorError):
        read_mysql(server.port, None, "127.0.0.1")
    assert PASSWORD.encode() in server.received


LOCAL = [
    {"host": "localhost"}, {"host": "127.0.0.1"}, {"host": "::1"}, {"host": "/run/postgresql"}, {}, {"host": ""},
    {"host": "db", "hostaddr": "127.0.0.1"}, {"host": "localhost,127.0.0.2"},
]  # fmt: skip
FAR = [{"host": "db"}, {"hostaddr": "10.0.0.1"}, {"host": "localhost,db"}, {"service": "ops"}, {"host": ELSEWHERE}]


@each_row("where", LOCAL)
def test_on_this_machine_libpq_keeps_its_own_defaults(where: dict[str, str]) -> None:
    assert where == verified(where)
    assert () == unverified_text({**where, "sslmode": "disable"})


@each_row("where", FAR)
def test_towards_another_machine_the_server_is_verified_and_the_password_stays_here(where: dict[str, str]) -> None:
    results = verified({**where, "password": "x"})
    assert ("verify-full", "scram-sha-256") == (results["sslmode"], results["require_auth"])
    assert "!password,!md5" == verified(where)["require_auth"]
    assert () == unverified_text(results) == unverified_text(verified(where))


def test_a_host_of_the_environment_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db")
    assert "verify-full" == verified({})["sslmode"]


def test_each_weaker_setting_is_reported() -> None:
    weak = verified({"host": "db", "password": "x", "sslmode": "require", "require_auth": "scram-sha-256,md5"})
    assert ("sslmode", "require_auth") == tuple(text.partition(" ")[0] for text in unverified_text(weak))
    assert 1 == len(unverified_text(verified({"host": "db", "sslmode": "verify-ca"})))
    [disabled] = unverified_text(verified({"host": "db", "sslmode": "disable"}))
    assert disabled.endswith("Fix: turn on TLS at the server, then leave it out")
    login = MySqlLogin("db", 3306, "headway", "x", "require", None)
    assert ('tls = "require": the server is not verified', 1) == (login.unverified[0][:43], len(login.unverified))
    assert "verify" == MySqlLogin("db", 3306, "headway", "x", None, None).effective_tls
    assert "prefer" == MySqlLogin("::1", 3306, "headway", "x", None, None).effective_tls


def test_the_options_of_each_kind_have_these_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", PASSWORD)
    given = {"host": "db", "user": "headway", "password": {"env": "PW"}}
    options = PgCronOptions.model_validate(given)
    parameters = connection_parameters(options, SecretStore())
    assert ("verify-full", "scram-sha-256") == (parameters["sslmode"], parameters["require_auth"])
    environment = psql_shell(options, "db", SecretStore()).environment
    assert ("verify-full", "scram-sha-256") == (environment["PGSSLMODE"], environment["PGREQUIREAUTH"])
    assert "verify" == login_of(MySqlEventsOptions.model_validate(given), SecretStore()).effective_tls


@each_row(
    "url, faults",
    [
        ("postgresql://hw:pw@db.example/headway", 0),
        ("postgresql://hw:pw@db.example/headway?sslmode=require", 1),
        ("postgresql://hw:pw@127.0.0.1/headway?sslmode=disable", 0),
        ("postgresql:///headway?host=/run/postgresql", 0),
        ("/var/lib/headway/headway.db", 0),
    ],
)
def test_a_store_that_is_not_verified_is_named_by_its_setting(url: str, faults: int) -> None:
    texts = unverified_store(url)
    assert faults == len(texts)
    assert all(text.startswith('sslmode = "require"') and "pw" not in text.replace("password", "") for text in texts)


def test_a_store_on_another_machine_gets_no_password_unverified(rogue: Starts) -> None:
    server = rogue(cleartext_postgres)
    with pytest.raises(psycopg.OperationalError):
        TimeoutConnection.connect(f"postgresql://headway:{PASSWORD}@{ELSEWHERE}:{server.port}/ops", connect_timeout=5)
    assert PASSWORD.encode() not in server.received
