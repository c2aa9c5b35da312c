"""Checks of tables of a real PostgreSQL: one snapshot, read-only, ended at the timeout."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from psycopg.conninfo import conninfo_to_dict

from connectors.checks.queries import Measurement, SqlQuery
from connectors.checks.sql import measure
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.transport.postgres import PostgresSession
from tests.lab.postgres import PostgresServer
from tests.lab.process import HANGS_SECONDS

DATE = date(2026, 11, 19)
TABLE = """
CREATE SCHEMA supply;
CREATE TABLE supply.rows (id bigint, "order id" int, line int, sku varchar(40), "100%" text, day date,
                          loaded_at timestamptz, local_at timestamp);
INSERT INTO supply.rows SELECT n, n / 2, n % 2, 'sku', 'x', '2026-11-19', '2026-11-20 03:00+00',
                               '2026-11-20 04:00' FROM generate_series(1, 10) n;
INSERT INTO supply.rows VALUES (10, 5, 0, NULL, NULL, '2026-11-19', '2026-11-20 03:30+00', '2026-11-20 04:30'),
                               (99, 9, 9, 'old', 'x', '2026-11-18', '2026-11-19 03:00+00', '2026-11-19 04:00');
CREATE ROLE looker LOGIN PASSWORD 'looker-pw';
GRANT USAGE ON SCHEMA supply TO looker;
GRANT SELECT ON supply.rows TO looker;
CREATE TABLE supply.secret (word text);
"""


@pytest.fixture(scope="module")
def dsn(postgres: PostgresServer) -> Iterator[str]:
    made = postgres.create_database("checks")
    name = made.rpartition("/")[2]
    for statement in TABLE.strip().split(";\n"):
        postgres.execute(statement, database=name)
    yield made
    postgres.drop_database(made)
    postgres.execute("DROP ROLE looker")


def measure_table(dsn: str, timeout: float = 10, **parameters: object) -> Measurement:
    session = PostgresSession(lambda: {k: str(v) for k, v in conninfo_to_dict(dsn).items()}, "headway check")
    try:
        return measure(session, SqlQuery(**parameters), DATE, timeout)  # type: ignore[arg-type]
    finally:
        session.close()


ROWS = ("supply", "rows")


def test_all_measurements_of_a_table_come_from_one_query(dsn: str) -> None:
    measurement = measure_table(
        dsn, table=ROWS, where="day = {business_date}", counts=True, fresh="loaded_at", unique=(("id",), ("order id",
        "line")),
        not_null=("sku", "100%", "id"), columns=True,
    )  # fmt: skip
    assert 11 == measurement.rows
    assert datetime(2026, 11, 20, 3, 30, tzinfo=UTC) == measurement.newest
    assert (("id", 1), ("order id, line", 1)) == measurement.duplicates
    assert (("sku", 1), ("100%", 1), ("id", 0)) == measurement.nulls
    assert (("id", "bigint"), ("order id", "integer")) == (measurement.columns or ())[:2]
    assert ("sku", "character varying(40)") in (measurement.columns or ())


def test_only_requested_values_are_reported(dsn: str) -> None:
    assert Measurement(rows=12) == measure_table(dsn, table=ROWS, counts=True)


def test_a_time_without_a_zone_is_meant_in_the_checks_own(dsn: str) -> None:
    instant = measure_table(dsn, table=ROWS, fresh="local_at", zone="Europe/Berlin").newest
    assert instant is not None
    assert datetime(2026, 11, 20, 3, 30, tzinfo=UTC) == instant.astimezone(UTC)
    day = measure_table(dsn, table=ROWS, fresh="day", zone="Europe/Berlin").newest
    assert day is not None
    assert datetime(2026, 11, 18, 23, tzinfo=UTC) == day.astimezone(UTC)


def test_where_no_row_is_there_is_no_time(dsn: str) -> None:
    assert measure_table(dsn, table=ROWS, where="id < 0", counts=True, fresh="loaded_at") == Measurement(rows=0)


@pytest.mark.parametrize(
    "query, value",
    [
        ("SELECT count(*) FROM supply.rows WHERE day = {business_date}", 11),
        ("SELECT 12.5::numeric", 12.5),
        ("SELECT true;", True),
        ("SELECT max(sku) FROM supply.rows -- the last", "sku"),
        ("SELECT repeat('x', 100000)", "x" * 200),
        ("SELECT to_char({business_date}, 'YYYY') || '%'", "2026%"),
        ("SELECT 'NaN'::float8", "NaN"),
        ("SELECT '{\"a\": 1}'::jsonb ->> 'a'", "1"),
    ],
)
def test_a_query_of_ones_own_gives_one_bounded_value(dsn: str, query: str, value: object) -> None:
    measurement = measure_table(dsn, query=query)
    assert (value, True) == (measurement.value, measurement.has_value)
    assert type(value) is type(measurement.value)


def test_a_query_without_a_row_has_no_value_and_one_with_two_is_refused(dsn: str) -> None:
    assert not measure_table(dsn, query="SELECT 1 WHERE false").has_value
    with pytest.raises(NotSupported, match="more than one row"):
        measure_table(dsn, query="SELECT id FROM supply.rows")


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM supply.rows RETURNING id",
        "SELECT 1) AS q(v); DELETE FROM supply.rows; SELECT (1",
        "WITH gone AS (DELETE FROM supply.rows RETURNING id) SELECT count(*) FROM gone",
        "SELECT setval('supply.s', 1)",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT 1 FROM supply.rows FOR UPDATE",
    ],
)
def test_a_query_that_tries_to_write_writes_nothing(dsn: str, postgres: PostgresServer, query: str) -> None:
    name = dsn.rpartition("/")[2]
    postgres.execute("CREATE SEQUENCE IF NOT EXISTS supply.s", database=name)
    with pytest.raises(ConnectorError):
        measure_table(dsn, query=query)
    assert [(12,)] == postgres.execute("SELECT count(*) FROM supply.rows", database=name)


def test_what_a_read_only_transaction_lets_pass_is_rolled_back(dsn: str, postgres: PostgresServer) -> None:
    """Large objects could be made in a read-only transaction before PostgreSQL 16."""
    measure_table(dsn, query="SELECT lo_create(0)::bigint")
    assert [(0,)] == postgres.execute("SELECT count(*) FROM pg_largeobject_metadata", database=dsn.rpartition("/")[2])


def test_a_where_that_closes_the_transaction_is_refused_whole(dsn: str, postgres: PostgresServer) -> None:
    with pytest.raises(ConnectorError):
        measure_table(dsn, table=ROWS, where="true); COMMIT; DELETE FROM supply.rows; SELECT (1", counts=True)
    assert [(12,)] == postgres.execute("SELECT count(*) FROM supply.rows", database=dsn.rpartition("/")[2])


@pytest.mark.parametrize(
    "column", ['id" IS NULL) FROM supply.rows; DROP TABLE supply.rows; --', "100%", "%(business_date)s"]
)
def test_names_are_names_whatever_is_in_them(dsn: str, column: str) -> None:
    if column == "100%":
        assert ((column, 1),) == measure_table(dsn, table=ROWS, not_null=(column,)).nulls
    else:
        with pytest.raises(NotSupported, match="does not exist"):
            measure_table(dsn, table=ROWS, not_null=(column,))


def test_a_query_that_takes_too_long_is_cancelled_by_the_server(dsn: str, postgres: PostgresServer) -> None:
    with pytest.raises(SystemUnreachable, match=r"statement timeout|within"):
        measure_table(dsn, timeout=0.5, query="SELECT pg_sleep(30)::text")
    remaining = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'headway check' AND state = 'active'"
    until = time.monotonic() + HANGS_SECONDS
    while postgres.execute(remaining) != [(0,)]:
        assert time.monotonic() < until, "the server is still at it"


def test_a_locked_table_is_waited_for_two_seconds_and_not_until_it_is_free(dsn: str) -> None:
    import psycopg

    assert "2s" == measure_table(dsn, query="SELECT current_setting('lock_timeout')").value
    with psycopg.connect(dsn) as other:
        other.execute("LOCK TABLE supply.rows IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SystemUnreachable, match="lock timeout"):
            measure_table(dsn, table=ROWS, counts=True)


def test_a_table_the_role_may_not_read_is_refused_with_the_fix(dsn: str) -> None:
    own = dsn.replace("lab@", "looker:looker-pw@")
    assert 12 == measure_table(own, table=ROWS, counts=True).rows
    with pytest.raises(AccessRefused, match="permission denied for table secret") as raised:
        measure_table(own, table=("supply", "secret"), counts=True)
    assert "looker-pw" not in str(raised.value)


def test_a_missing_table_is_reported_by_name(dsn: str) -> None:
    with pytest.raises(NotSupported, match=r'relation "supply.nothing" does not exist'):
        measure_table(dsn, table=("supply", "nothing"), counts=True)
    assert () == measure_table(dsn, table=("supply", "nothing"), columns=True).columns


def test_a_time_without_end_is_far_ahead(dsn: str) -> None:
    with pytest.raises(NotSupported):
        measure_table(dsn, table=ROWS, fresh="sku || 'x'")
    measurement = measure_table(dsn, query="SELECT 'infinity'::timestamptz")
    assert "infinity" == measurement.value
