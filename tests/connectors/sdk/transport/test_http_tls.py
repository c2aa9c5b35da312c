"""The HTTP transport and certificates: verification is always on, a private CA is a file."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.sdk.errors import AccessRefused
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, tls
from tests.lab.process import HANGS_SECONDS

REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@contextmanager
def https(certificate: tuple[Path, Path]) -> Iterator[int]:
    """Port of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, context, over), daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            thread.join(HANGS_SECONDS)


def serve(listener: socket.socket, context: ssl.SSLContext, over: threading.Event) -> None:
    listener.settimeout(0.05)
    while not over.is_set():
        with suppress(OSError):
            plain = listener.accept()[0]
            plain.settimeout(HANGS_SECONDS)
            with plain, context.wrap_socket(plain, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(REPLY)


def call(port: int, host: str, ca_file: Path | None) -> object:
    endpoint = HttpEndpoint("Airflow", f"https://{host}:{port}", ca_file)
    try:
        return endpoint.call("GET", "/x", Deadline(5)).table()
    finally:
        endpoint.close()


def test_a_private_ca_is_trusted_by_its_file(certificate: tuple[Path, Path]) -> None:
    with https(certificate) as port:
        assert {} == call(port, "127.0.0.1", certificate[0])


def test_an_unknown_certificate_is_refused_and_says_what_to_set(certificate: tuple[Path, Path]) -> None:
    with https(certificate) as port, pytest.raises(AccessRefused, match=r"certificate is not trusted.*Set ca_file"):
        call(port, "127.0.0.1", None)


def test_the_cas_of_the_machine_are_read_once_and_again_after_a_change(
    certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cas = tmp_path / "cas.pem"
    cas.write_bytes(b"")
    monkeypatch.setenv("SSL_CERT_FILE", str(cas))
    known = tls("one", None)
    assert known is tls("another", None)
    cas.write_bytes(certificate[0].read_bytes())
    os.utime(cas, ns=(1, 1))
    assert known is not tls("a third", None)
    with https(certificate) as port:
        assert {} == call(port, "127.0.0.1", None)


def test_a_certificate_for_another_name_is_refused(certificate: tuple[Path, Path]) -> None:
    with https(certificate) as port, pytest.raises(AccessRefused, match="certificate is not trusted"):
        call(port, "localhost", certificate[0])
