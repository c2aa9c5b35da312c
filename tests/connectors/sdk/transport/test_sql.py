"""SQL sessions: how errors are sorted, and that no server's silence outlasts a deadline."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from connectors.sdk.conformance.world import closed_port, listener
from connectors.sdk.errors import (
    AccessRefused,
    AnswerLost,
    ConnectorError,
    InvalidAnswer,
    NotSupported,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.transport import call_limits, postgres
from tests.rows import each_row

PLACE = "db:5432/ops as headway"


def session_at(port: int) -> postgres.PostgresSession:
    parameters = {"host": "127.0.0.1", "port": str(port), "dbname": "ops", "user": "headway", "password": "s3cr3t-pw"}
    return postgres.PostgresSession(lambda: parameters, "headway")


@each_row(
    "state, expected",
    [
        ("42501", PermissionMissing),  # insufficient_privilege
        ("28P01", AccessRefused),  # invalid_password
        ("28000", AccessRefused),
        ("3D000", AccessRefused),  # no such database
        ("57014", RateLimited),  # statement timeout
        ("57P01", SystemUnreachable),  # admin shutdown
        ("53300", RateLimited),  # too many connections
        ("40P01", InvalidAnswer),  # deadlock
        ("40001", InvalidAnswer),  # serialization failure
        ("25006", InvalidAnswer),  # a read-only standby took over
        ("55P03", RateLimited),  # lock not available
        ("08006", SystemUnreachable),
        ("XX000", InvalidAnswer),
        ("42P01", NotSupported),  # undefined table
        ("42883", NotSupported),  # undefined function
        ("P0002", NotSupported),  # no_data_found, raised by headway.rerun
    ],
)
def test_each_sqlstate_is_sorted_by_what_happens_next(state: str, expected: type[ConnectorError]) -> None:
    error = postgres.sorted_error(psycopg.errors.lookup(state)("the server's words"), PLACE)
    assert expected is type(error)
    assert str(error).startswith(f"{PLACE}: the server's words (SQLSTATE {state})")


@each_row(
    "text, fix",
    [
        ('FATAL:  password authentication failed for user "headway"', "correct the user or its password"),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "headway", database "ops", SSL off',
            "let this user, database and address in by a line of its pg_hba.conf",
        ),
        ('FATAL:  role "headway" does not exist', "name another user"),
        ('FATAL:  database "ops" does not exist', "name another database"),
        ("fe_sendauth: no password supplied", "add the password"),
        ("SSL error: certificate verify failed", "set sslrootcert to its CA's file, or accept any"),
        ('FATAL:  Peer authentication failed for user "headway"', "check user, password, database and pg_hba.conf"),
    ],
)
def test_a_refused_connect_needs_a_person_and_names_the_fix_of_its_cause(text: str, fix: str) -> None:
    error = postgres.sorted_error(psycopg.OperationalError(text), PLACE)
    assert isinstance(error, AccessRefused)
    assert f". Fix: {fix}" in str(error)
    assert error.grants_help is not ("certificate" in text or "another database" in fix)


def test_a_role_that_may_not_log_in_lacks_a_right() -> None:
    text = 'FATAL:  role "headway" is not permitted to log in'
    assert PermissionMissing is type(postgres.sorted_error(psycopg.OperationalError(text), PLACE))


@pytest.mark.parametrize("text", ["Connection refused", "could not translate host name"])
def test_a_connect_that_may_work_later_is_unreachable(text: str) -> None:
    assert SystemUnreachable is type(postgres.sorted_error(psycopg.OperationalError(text), PLACE))


@each_row(
    "error, expected",
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), AnswerLost),
        (psycopg.errors.lookup("57P01")("terminating connection"), AnswerLost),
        (psycopg.errors.lookup("08006")("connection failure"), AnswerLost),
        (psycopg.errors.lookup("57014")("canceling statement due to statement timeout"), RateLimited),
        (psycopg.errors.lookup("42501")("permission denied for function rerun"), PermissionMissing),
        (psycopg.errors.lookup("P0002")("no pg_cron job 7"), NotSupported),
    ],
)
def test_after_the_wire_only_an_answer_says_that_nothing_happened(
    error: psycopg.Error, expected: type[ConnectorError]
) -> None:
    assert expected is type(postgres._after_sending(error, PLACE))


@pytest.mark.parametrize("drip", [False, True])
def test_a_server_that_says_nothing_useful_costs_no_more_than_the_deadline(drip: bool) -> None:
    with listener(drip=drip) as port:
        session = session_at(port)
        with pytest.raises(SystemUnreachable, match=r"within 0\.5 s|invalid response") as caught:
            session.read(lambda reader: reader.rows("SELECT 1"), 0.5)
        assert f"127.0.0.1:{port}/ops as headway" in str(caught.value)


def test_no_error_shows_the_password_nor_leads_to_it() -> None:
    session = session_at(closed_port())
    with pytest.raises(SystemUnreachable) as caught:
        session.read(lambda reader: reader.rows("SELECT 1"), 2.0)
    assert "s3cr3t-pw" not in repr(caught.value)
    assert str(caught.value).endswith(" Connection refused. Fix: start that server, or correct its host and port.")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_write_that_never_reached_a_server_did_not_happen() -> None:
    session = session_at(closed_port())
    with pytest.raises(SystemUnreachable):
        session.call_once("headway", "rerun", {}, 2.0, "headway act x")


def test_a_connection_that_comes_too_late_carries_nothing() -> None:
    """The process was stopped while it connected: by now somebody may have called it absent."""
    written: list[str] = []

    class Line:
        def execute(self, *_: object) -> None:
            written.append("sent")

        def close(self) -> None:
            written.append("closed")

    class Stopped(postgres.PostgresSession):
        def _connect(self, deadline: call_limits.Deadline, name: str) -> Any:
            return Line()

    with pytest.raises(SystemUnreachable, match="connected too late"):
        Stopped(dict, "headway").call_once("headway", "rerun", {}, 0.0, "headway act x")
    assert ["closed"] == written


def test_the_place_names_host_database_and_user_and_no_secret() -> None:
    parameters = {"host": "db", "port": "6543", "dbname": "ops", "user": "headway", "password": "s3cr3t-pw"}
    assert "db:6543/ops as headway" == postgres.server_of(parameters)
    assert "local socket:5432/" == postgres.server_of({})


def test_bytes_that_are_not_utf8_survive_as_surrogates() -> None:
    assert "caf\udce9" == postgres._RawText(25).load(b"caf\xe9")


def test_a_surprise_while_connecting_reaches_the_caller() -> None:
    def parameters() -> dict[str, str]:
        return {"host": "127.0.0.1", "port": "not a number"}

    with pytest.raises(ConnectorError):
        postgres.PostgresSession(parameters, "headway").read(lambda reader: reader.rows("SELECT 1"), 2.0)
