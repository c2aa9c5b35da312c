"""What MariaDB and MySQL refuse, by number: come back later, a person must act, or never."""

from __future__ import annotations

import pymysql
import pytest

from connectors.mysql_events import session
from connectors.sdk.errors import (
    AccessRefused,
    AnswerLost,
    ConnectorError,
    EncryptionRefused,
    InvalidAnswer,
    NotSupported,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from tests.rows import each_row

PLACE = "db:3306 as headway"

SORTED: list[tuple[int, type[ConnectorError]]] = [
    (1040, RateLimited),  # too many connections
    (1203, RateLimited),  # too many of this account
    (1226, RateLimited),  # its queries an hour are used up
    (1053, SystemUnreachable),  # server shutdown in progress
    (1077, SystemUnreachable),  # normal shutdown
    (1021, InvalidAnswer),  # disk full
    (1135, RateLimited),  # no thread
    (1205, RateLimited),  # lock wait timeout
    (1213, RateLimited),  # deadlock
    (1290, InvalidAnswer),  # read-only: another server took over
    (1317, RateLimited),  # query was interrupted
    (1969, RateLimited),  # max_statement_time
    (2006, SystemUnreachable),  # server has gone away
    (2013, SystemUnreachable),  # lost connection
    (1044, PermissionMissing),  # no right to the database
    (1045, AccessRefused),  # wrong password
    (1049, AccessRefused),  # no such database
    (1862, AccessRefused),  # the password has expired
    (3159, AccessRefused),  # TLS is required
    (1142, PermissionMissing),  # no right to the table
    (1227, PermissionMissing),  # a privilege is needed
    (1370, PermissionMissing),  # no right to the procedure
    (2026, EncryptionRefused),  # TLS
    (1146, NotSupported),  # no such table
    (1305, NotSupported),  # no such procedure
    (1644, NotSupported),  # SIGNAL of headway.event_start
]


@each_row("number, expected", SORTED)
def test_each_error_is_sorted_by_what_happens_next(number: int, expected: type[ConnectorError]) -> None:
    error = session.sorted_error(pymysql.err.OperationalError(number, "the server's\nwords"), PLACE)
    assert expected is type(error)
    assert str(error).startswith(f"{PLACE}: the server's words (error {number})")


@pytest.mark.parametrize("error", [ValueError("no packet"), AssertionError(), IndexError()])
def test_an_invalid_answer_of_such_a_server_is_requested_again(error: Exception) -> None:
    assert InvalidAnswer is type(session.sorted_error(error, PLACE))
    assert SystemUnreachable is type(session.sorted_error(OSError("connection reset"), PLACE))


@each_row("number, expected", [
    (1370, PermissionMissing), (1644, NotSupported), (1213, RateLimited),
    (2013, AnswerLost), (1053, AnswerLost), (1077, AnswerLost), (0, AnswerLost),
])  # fmt: skip
def test_after_the_wire_only_an_answer_says_that_nothing_happened(number: int, expected: type[ConnectorError]) -> None:
    error = pymysql.err.OperationalError(number, "words") if number else OSError("connection reset")
    assert expected is type(session._after_sending(error, PLACE))
