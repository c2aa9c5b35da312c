"""Real sshd, PostgreSQL and MariaDB that do not let anybody in: each says why in its own way, and is distinguished."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import psycopg
import pymysql
import pytest

from connectors.cron.connector import CronConnector
from connectors.mysql_events.session import MySqlLogin, MySqlSession
from connectors.sdk.errors import ConnectorError
from connectors.sdk.transport.postgres import PostgresSession
from tests.fakes.login import no_secret
from tests.lab.cronhost import CronHost
from tests.lab.estate import Estate
from tests.lab.mariadb import PASSWORDS as SHOP_PASSWORDS
from tests.lab.mariadb import MariaDb
from tests.lab.postgres import PASSWORDS, PostgresServer
from tests.lab.process import accepts, free_port, private_folder, remove_folder, wait_until
from tests.lab.test_cron_real import options


def kind_of(ask: Callable[[], object]) -> tuple[str, str]:
    """What a target is called whose poll ends so, and the words."""
    with pytest.raises(ConnectorError) as caught:
        ask()
    return caught.value.kind, str(caught.value)


# sshd


@pytest.fixture(scope="module")
def host(lab: Estate) -> Iterator[CronHost]:
    yield lab.host("crowded")
    lab.drop("crowded")


def restart_sshd(host: CronHost, *settings: str) -> None:
    """Its sshd with other limits: the first word of each is a setting that its file has."""
    host.stop_sshd()
    edit = " ".join(f"-e 's/^{setting.split()[0]} .*/{setting}/'" for setting in settings)
    host.run(
        "root", f"sed {edit} -e p -n /etc/ssh/sshd_config > /etc/ssh/limited && /usr/sbin/sshd -f /etc/ssh/limited"
    )
    wait_until(lambda: accepts(host.port), f"sshd of {host.name} on port {host.port}")


def _takes_the_room(host: CronHost, open_sockets: ExitStack) -> bool:
    """True where a connection was let in, which signs in nobody and stays."""
    connection = open_sockets.enter_context(socket.create_connection(("127.0.0.1", host.port)))
    return connection.recv(4) == b"SSH-"


def poll(host: CronHost, **changes: object) -> Callable[[], object]:
    def ask() -> object:
        connector = CronConnector(options(host, **changes), host.name, no_secret)
        try:
            return connector.poll("", (), 20)
        finally:
            connector.close()

    return ask


def test_a_host_says_apart_whether_it_is_there_lets_in_and_has_room(host: CronHost) -> None:
    assert poll(host)()
    restart_sshd(host, "MaxStartups 1:100:1")
    with ExitStack() as open_sockets:
        wait_until(lambda: _takes_the_room(host, open_sockets), "the one place that it has")
        kind, text = kind_of(poll(host))
    assert ("limited", True) == (kind, "MaxStartups" in text)
    restart_sshd(host, "MaxSessions 0")
    assert "limited" == kind_of(poll(host))[0]
    restart_sshd(host)
    kind, text = kind_of(poll(host, user="etl02nobody"))
    assert ("refused", True) == (kind, 'refused user "etl02nobody"' in text)
    host.stop_sshd()
    assert "unreachable" == kind_of(poll(host))[0]
    host.start_sshd()
    assert poll(host)()


# PostgreSQL


def query_call(server: PostgresServer, statement: str = "SELECT 1 AS one", **changes: str) -> Callable[[], object]:
    known = psycopg.conninfo.conninfo_to_dict(server.dsn(role="headway_view"))
    given = {**{name: str(value) for name, value in known.items()}, **changes}
    return check_call(given, statement)


def check_call(given: dict[str, str], statement: str = "SELECT 1 AS one") -> Callable[[], object]:
    def ask() -> object:
        with closing(PostgresSession(lambda: given, "headway")) as session:
            return session.read(lambda reader: reader.rows(statement), 10)

    return ask


def test_a_database_says_apart_whether_it_is_there_lets_in_allows_and_has_room(postgres: PostgresServer) -> None:
    assert query_call(postgres)()
    assert "refused" == kind_of(query_call(postgres, dbname="nosuch"))[0]
    assert "refused" == kind_of(query_call(postgres, user="nobody_at_all"))[0]
    assert "forbidden" == kind_of(query_call(postgres, "SELECT * FROM pg_authid"))[0]
    assert "unsupported" == kind_of(query_call(postgres, "SELECT * FROM nosuch"))[0]
    assert "unreachable" == kind_of(query_call(postgres, port=str(free_port())))[0]
    postgres.execute("ALTER ROLE headway_view CONNECTION LIMIT 0")
    try:
        kind, text = kind_of(query_call(postgres))
    finally:
        postgres.execute("ALTER ROLE headway_view CONNECTION LIMIT -1")
    assert ("limited", True) == (kind, 'too many connections for role "headway_view"' in text)
    postgres.execute("ALTER ROLE headway_view NOLOGIN")
    try:
        assert "forbidden" == kind_of(query_call(postgres))[0]
    finally:
        postgres.execute("ALTER ROLE headway_view LOGIN")
    assert query_call(postgres)()


def test_a_server_that_is_no_database_is_reported_as_failing() -> None:
    """A web server has the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        given = {"host": "127.0.0.1", "port": str(port), "user": "headway_view", "password": PASSWORDS["headway_view"]}
        given |= {"sslmode": "disable", "dbname": "ops"}

        def web() -> None:
            connection, _ = server.accept()
            connection.recv(64)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        threading.Thread(target=web, daemon=True).start()
        assert "failing" == kind_of(check_call(given))[0]


# MariaDB


@pytest.fixture(scope="module")
def shop() -> Iterator[MariaDb]:
    folder = private_folder("mariadb")
    server = MariaDb(folder / "server")
    server.start()
    try:
        yield server
    finally:
        server.stop()
        remove_folder(folder)


def ask_shop(server: MariaDb, statement: str = "SELECT 1", **changes: object) -> Callable[[], object]:
    given = {"user": "headway_view", "password": SHOP_PASSWORDS["headway_view"], "port": server.port, **changes}
    login = MySqlLogin(host="127.0.0.1", tls="off", ssl_ca=None, **given)  # type: ignore[arg-type]

    def ask() -> object:
        with closing(MySqlSession(lambda: login)) as session:
            return session.read(lambda reader: reader.rows(statement), 10)

    return ask


def test_mariadb_says_apart_whether_it_is_there_lets_in_allows_and_has_room(shop: MariaDb) -> None:
    assert ask_shop(shop)()
    assert "refused" == kind_of(ask_shop(shop, password="wrong"))[0]
    assert "forbidden" == kind_of(ask_shop(shop, "SELECT * FROM mysql.user"))[0]
    assert "unsupported" == kind_of(ask_shop(shop, "SELECT * FROM information_schema.nosuch"))[0]
    assert "unreachable" == kind_of(ask_shop(shop, port=free_port()))[0]
    shop.execute("GRANT USAGE ON *.* TO headway_view@'%' WITH MAX_USER_CONNECTIONS 1")
    try:
        with pymysql.connect(
            host="127.0.0.1", port=shop.port, user="headway_view", password=SHOP_PASSWORDS["headway_view"]
        ):
            kind, text = kind_of(ask_shop(shop))
    finally:
        shop.execute("GRANT USAGE ON *.* TO headway_view@'%' WITH MAX_USER_CONNECTIONS 0")
    assert ("limited", True) == (kind, "max_user_connections" in text)
