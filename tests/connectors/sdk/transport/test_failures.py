"""Every failure that a source can name has a row: unreachable, refused, forbidden, limited, failing or unsupported.

By the lists of those who define them: PostgreSQL's SQLSTATEs as psycopg ships them, AWS's errors of the operations that
are called, as botocore's models have them, and paramiko's words.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import botocore.session
import paramiko
import psycopg
import pymysql
import pytest
from botocore.exceptions import ClientError

from connectors.mysql_events import session as mysql_session
from connectors.sdk.aws import client as aws
from connectors.sdk.errors import ConnectorError
from connectors.sdk.transport import postgres
from connectors.sdk.transport.http import HttpReply, refusal
from connectors.sdk.transport.ssh import SshAddress, SshFailed, SshSession, error_class
from console.control.snapshot.reachability import NO_STATUS_REASONS
from console.domain.system import _FIXES
from tests.fakes.ssh_stub import StubServer, answer
from tests.rows import each_row

KINDS = {"unreachable", "refused", "forbidden", "limited", "failing", "unsupported"}


def of_subclasses(kind: type[ConnectorError]) -> Iterator[str]:
    yield kind.kind
    for item in kind.__subclasses__():
        yield from of_subclasses(item)


def test_each_kind_of_failure_has_its_own_fix_and_title() -> None:
    assert set(of_subclasses(ConnectorError)) == KINDS
    assert KINDS | {"broken"} == set(_FIXES)
    assert KINDS | {"broken"} == {"unreachable", *NO_STATUS_REASONS}  # "does not answer"
    assert len(set(_FIXES.values())) == len(_FIXES)


def test_every_class_of_sqlstate_has_a_row() -> None:
    every = {state[:2] for state in psycopg.errors._sqlcodes if len(state) == 5}
    assert every == {state for state in postgres.BY_STATE if len(state) == 2}
    assert {state for state in postgres.BY_STATE if len(state) == 5} <= set(psycopg.errors._sqlcodes)


@each_row("opening, ending", [("[", "]"), ('{"reason": ', "}"), ('{"msg": ', "}")])
@each_row("depth", [1, 400, 900, 100_000])
def test_a_refusal_stays_one_however_deep_its_body_is_nested(depth: int, opening: str, ending: str) -> None:
    body = '{"detail": ' + opening * depth + "null" + ending * depth + "}"
    reply = HttpReply("airflow", "GET /dags", 403, {}, body.encode(), None)
    assert "forbidden" == refusal(reply).kind


@each_row(
    "state, kind",
    [
        ("08006", "unreachable"), ("57P01", "unreachable"), ("57P05", "unreachable"), ("28P01", "refused"),
        ("3D000", "refused"), ("57P04", "refused"), ("42501", "forbidden"), ("53300", "limited"), ("53200", "limited"),
        ("55P03", "limited"), ("57014", "limited"), ("08P01", "failing"), ("25006", "failing"), ("40001", "failing"),
        ("53100", "failing"), ("57P03", "failing"), ("58030", "failing"), ("XX001", "failing"),
        ("42P01", "unsupported"),
    ],
)  # fmt: skip
def test_errors_of_postgres_are_distinguished(state: str, kind: str) -> None:
    assert kind == postgres.sorted_error(psycopg.errors.lookup(state)("words"), "dwh").kind


@each_row(
    "text, kind",
    [
        ('connection to server at "10.0.0.7", port 5432 failed: Connection refused', "unreachable"),
        ('could not translate host name "dwh" to address: Name or service not known', "unreachable"),
        ("server closed the connection unexpectedly", "unreachable"),
        ('connection failed: FATAL:  password authentication failed for user "headway"', "refused"),
        ('connection failed: FATAL:  permission denied for database "ops"', "forbidden"),
        ("connection failed: FATAL:  sorry, too many clients already", "limited"),
        ("FATAL:  remaining connection slots are reserved for non-replication superuser connections", "limited"),
        ('FATAL:  too many connections for role "headway"', "limited"),
        ("FATAL:  no more connections allowed (max_client_conn)", "limited"),
        ("connection failed: FATAL:  the database system is starting up", "failing"),
        ("received invalid response to SSL negotiation: H", "failing"),
    ],
)
def test_connection_errors_are_distinguished(text: str, kind: str) -> None:
    assert kind == postgres.sorted_error(psycopg.OperationalError(text), "dwh").kind


@each_row(
    "number, kind",
    [
        (1053, "unreachable"), (2003, "unreachable"), (2013, "unreachable"), (1045, "refused"), (1129, "refused"),
        (1130, "refused"), (1862, "refused"), (2026, "refused"), (1044, "forbidden"), (1142, "forbidden"),
        (1370, "forbidden"), (1040, "limited"), (1203, "limited"), (1226, "limited"), (1205, "limited"),
        (1969, "limited"), (1021, "failing"), (1836, "failing"), (2014, "failing"), (2027, "failing"),
        (1146, "unsupported"),
    ],
)  # fmt: skip
def test_errors_of_mariadb_are_distinguished(number: int, kind: str) -> None:
    assert kind == mysql_session.sorted_error(pymysql.err.OperationalError(number, "words"), "shop").kind


def actions(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from actions(item)
    elif isinstance(value, str) and re.fullmatch(r"[a-z]+:[A-Z][A-Za-z]+", value):
        yield value


def called() -> Iterator[tuple[str, str]]:
    """Service (botocore's name) and operation of every right that the kinds of AWS ask for."""
    names = {iam: service for service, iam in aws.SERVICES.items()}
    for kind in ("batch", "emr", "eventbridge", "glue", "step_functions"):
        for action in actions(json.loads(files(f"connectors.{kind}").joinpath("grants.json").read_text("utf-8"))):
            service, _, operation = action.partition(":")
            if service != "iam":
                yield names.get(service, service), operation


COMMON = [
    "AccessDeniedException", "ExpiredTokenException", "IncompleteSignature", "InternalFailure",
    "MalformedHttpRequestException", "NotAuthorized", "OptInRequired", "RequestAbortedException",
    "RequestEntityTooLargeException", "RequestExpired", "RequestTimeoutException", "ServiceUnavailable",
    "ThrottlingException", "UnrecognizedClientException", "UnknownOperationException", "ValidationError",
]  # fmt: skip
"""The "Common Errors" of the API references."""


def test_every_error_of_an_operation_of_aws_that_is_called_has_a_row() -> None:
    session, requested = botocore.session.get_session(), set(called())
    assert len(requested) > 15
    every = {
        error.metadata.get("error", {}).get("code") or error.name
        for service, operation in requested
        for error in session.get_service_model(service).operation_model(operation).error_shapes
    }
    assert set() == (every | set(COMMON)) - aws.BY_CODE.keys()


@each_row(
    "code, status, kind",
    [
        ("UnrecognizedClientException", 400, "refused"), ("ExpiredTokenException", 400, "refused"),
        ("InvalidSignatureException", 403, "refused"), ("AccessDeniedException", 400, "forbidden"),
        ("AccessDeniedException", 403, "forbidden"), ("SomethingNew", 403, "forbidden"),
        ("SomethingNew", 401, "refused"), ("ThrottlingException", 400, "limited"), ("SomethingNew", 429, "limited"),
        ("ServiceQuotaExceededException", 402, "limited"), ("InternalServerException", 500, "failing"),
        ("SomethingNew", 503, "failing"), ("OperationTimeoutException", 400, "failing"),
        ("ValidationException", 400, "unsupported"), ("StateMachineDoesNotExist", 400, "unsupported"),
    ],
)  # fmt: skip
def test_errors_of_aws_are_distinguished(code: str, status: int, kind: str) -> None:
    metadata: Any = {"HTTPStatusCode": status, "HTTPHeaders": {}}
    error = ClientError({"Error": {"Code": code, "Message": "words"}, "ResponseMetadata": metadata}, "ListExecutions")
    assert kind == aws.sorted_client_error(error, "Step Functions eu", "stepfunctions", once=False).kind


@each_row(
    "status, detail, kind",
    [
        (401, "Not authenticated", "refused"), (403, "Forbidden", "forbidden"), (403, "Invalid JWT token", "refused"),
        (403, "Invalid access token.", "refused"), (403, "no right to the token of others", "forbidden"),
        (429, "", "limited"), (502, "", "failing"), (404, "", "unsupported"), (302, "", "refused"),
    ],
)  # fmt: skip
def test_http_statuses_are_distinguished(status: int, detail: str, kind: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    error = refusal(HttpReply("X", "GET /x", status, {}, body, None))
    assert kind == error.kind
    assert status not in (401, 403) or ". Fix: " in str(error)


@each_row(
    "error, kind",
    [
        (TimeoutError("timed out"), "unreachable"),
        (ConnectionRefusedError("refused"), "unreachable"),
        (EOFError(), "unreachable"),
        (paramiko.SSHException("No existing session"), "unreachable"),
        (paramiko.SSHException("Timeout opening channel."), "unreachable"),
        (paramiko.SSHException("bastion cannot reach 10.0.0.7:22: Connect failed"), "unreachable"),
        (paramiko.SSHException("Error reading SSH protocol banner[Errno 104] Connection reset by peer"), "limited"),
        (paramiko.ChannelException(2, "Connect failed"), "limited"),
        (paramiko.ChannelException(4, "Resource shortage"), "limited"),
        (paramiko.ChannelException(3, "Unknown channel type"), "failing"),
        (paramiko.SSHException('Indecipherable protocol version "HTTP/1.1 400"'), "failing"),
        (paramiko.SSHException("the answer is larger than 7 bytes; it was not read on"), "failing"),
        (paramiko.SSHException("Signature verification (ssh-ed25519) failed."), "failing"),
    ],
)
def test_errors_of_ssh_are_distinguished(error: Exception, kind: str) -> None:
    assert kind == error_class(error).kind


def known(folder: Path, port: int) -> SshAddress:
    stub = StubServer(folder, answer(b""))
    stub.close()
    return SshAddress("db07", "127.0.0.1", port, "headway", stub.known_hosts, stub.key_file)


def failed(address: SshAddress) -> SshFailed:
    session = SshSession(address)
    with pytest.raises(SshFailed) as caught:
        session.run(b"", ("sh", "-s"), 20)
    session.close()
    return caught.value


def test_an_sshd_that_closes_before_its_banner_is_reported_as_limited(tmp_path: Path) -> None:
    """As sshd does beyond MaxStartups."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def close_each() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()

        threading.Thread(target=close_each, daemon=True).start()
        error = failed(known(tmp_path, server.getsockname()[1]))
        server.shutdown(socket.SHUT_RDWR)
    assert "limited" == error.kind
    assert "MaxStartups, MaxSessions and PerSourcePenalties" in str(error)


def test_a_server_that_is_no_sshd_is_reported_as_failing(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def speak_web() -> None:
            with suppress(OSError):
                while True:
                    item = server.accept()[0]
                    item.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 200)
                    item.close()

        threading.Thread(target=speak_web, daemon=True).start()
        error = failed(known(tmp_path, server.getsockname()[1]))
        server.shutdown(socket.SHUT_RDWR)
    assert "failing" == error.kind
    assert "Is it an sshd that answers there?" in str(error)
