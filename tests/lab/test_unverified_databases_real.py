"""PostgreSQL and MariaDB on what counts as another machine (0.0.0.0): by default only a verified one gets a login."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.mysql_events.session import MySqlLogin, MySqlSession, Tls
from connectors.sdk.errors import AccessRefused
from connectors.sdk.transport.libpq import verified
from connectors.sdk.transport.postgres import PostgresSession
from tests.lab import mariadb
from tests.lab.mariadb import MariaDb
from tests.lab.postgres import PASSWORDS, PostgresServer
from tests.lab.process import private_folder, remove_folder, wait_until

ELSEWHERE = "0.0.0.0"


def certificate(folder: Path, address: str, owner: str) -> Path:
    """A self-signed certificate of that address; its key lies beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.crt"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file = folder / "server.key"
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    key_file.chmod(0o600)
    shutil.chown(key_file, owner, owner)
    shutil.chown(path, owner, owner)
    return path


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    folder = private_folder("postgres-tls")
    server = PostgresServer(folder / "server")
    server.start()
    try:
        yield server
    finally:
        server.stop()
        remove_folder(folder)


def read_postgres(server: PostgresServer, role: str = "headway_view", **given: str) -> list[Mapping[str, object]]:
    known = {"host": ELSEWHERE, "port": str(server.port), "dbname": "ops", "user": role, "password": PASSWORDS[role]}
    parameters = verified({**known, **given})
    with closing(PostgresSession(lambda: parameters, "headway")) as session:
        return list(
            session.read(lambda reader: reader.rows("SELECT ssl FROM pg_stat_ssl WHERE pid=pg_backend_pid()"), 10)
        )


def test_postgresql_is_verified_by_default(postgres: PostgresServer) -> None:
    with pytest.raises(
        AccessRefused, match=r"server does not support SSL.*Fix: turn on TLS there, or .*sslmode=disable"
    ):
        read_postgres(postgres)
    assert [{"ssl": False}] == read_postgres(postgres, sslmode="prefer")
    right = certificate(postgres.data, ELSEWHERE, "postgres")
    postgres.execute("ALTER SYSTEM SET ssl = on", database="postgres")
    postgres.execute("SELECT pg_reload_conf()")
    wait_until(lambda: [{"ssl": True}] == read_postgres(postgres, sslmode="prefer"), "TLS")
    with pytest.raises(AccessRefused, match=r"certificate verify failed.*Fix: set sslrootcert to its CA's file"):
        read_postgres(postgres)
    ours = postgres.folder / "ca.pem"
    shutil.copy(right, ours)
    assert [{"ssl": True}] == read_postgres(postgres, sslrootcert=str(ours))
    shutil.copy(certificate(postgres.data, "10.0.0.1", "postgres"), ours)
    postgres.execute("SELECT pg_reload_conf()")
    wait_until(lambda: _is_refused_by_name(postgres, ours), "the certificate of another address")


def _is_refused_by_name(server: PostgresServer, ca: Path) -> bool:
    try:
        read_postgres(server, sslrootcert=str(ca))
    except AccessRefused as error:
        return "does not match host name" in str(error)
    return False


def test_postgresql_gets_no_password_but_by_scram(postgres: PostgresServer) -> None:
    access = postgres.data / "pg_hba.conf"
    before = access.read_text()
    access.write_text("local all lab trust\nhost all lab 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 password\n")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: _is_refused_by_method(postgres), "the request of a password in clear")
        assert read_postgres(postgres, sslmode="prefer", require_auth="password")
    finally:
        access.write_text(before)
        postgres.execute("SELECT pg_reload_conf()")


def _is_refused_by_method(server: PostgresServer) -> bool:
    try:
        read_postgres(server, sslmode="prefer")
    except AccessRefused as error:
        return "or set require_auth" in str(error)
    return False


def read_mariadb(port: int, tls: Tls | None, ca: Path | None = None, user: str = "headway_view") -> object:
    login = MySqlLogin(ELSEWHERE, port, user, mariadb.PASSWORDS["headway_view"], tls, str(ca) if ca else None)
    with closing(MySqlSession(lambda: login)) as session:
        return session.read(lambda reader: reader.rows("SELECT 1 AS one"), 10)


@pytest.mark.parametrize("address", [ELSEWHERE, "10.0.0.1"])
def test_mariadb_is_verified_by_default(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    folder = private_folder("mariadb-tls")
    ca = certificate(folder, address, "mysql")
    folder.chmod(0o755)
    keys = (f"--ssl-cert={ca}", f"--ssl-key={folder}/server.key")
    monkeypatch.setattr(mariadb, "SETTINGS", (*mariadb.SETTINGS, *keys))
    server = MariaDb(folder / "server")
    server.start()
    try:
        with pytest.raises(AccessRefused, match="check tls and ssl_ca"):
            read_mariadb(server.port, None)
        if address == ELSEWHERE:
            assert [{"one": 1}] == read_mariadb(server.port, None, ca)
        else:
            with pytest.raises(AccessRefused, match=r"(?i)mismatch|not valid for"):
                read_mariadb(server.port, None, ca)
        for weaker in ("off", "prefer", "require"):
            assert [{"one": 1}] == read_mariadb(server.port, weaker)
    finally:
        server.stop()
        remove_folder(folder)
