"""Measures tables of PostgreSQL, in a read-only transaction that the server ends at its timeout.

Names are quoted by psycopg, the business date is bound, and a user's own query is inside a SELECT of ours with one
bound value: the server takes one statement only, a query, and gives as many rows as were requested.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import LiteralString
from zoneinfo import ZoneInfo

from psycopg.sql import SQL, Composed, Identifier

from connectors.checks.queries import Measurement, Scalar, SqlQuery
from connectors.sdk.errors import NotSupported, RecordUnreadable
from connectors.sdk.transport.postgres import PostgresReader, PostgresRow, PostgresSession

MAX_COLUMNS = 1600  # MaxHeapAttributeNumber of PostgreSQL
TEXT_CHARACTERS = 200
LOCK_MS = 2000
"""Short, since a waiting lock request blocks all later ones."""
SERVERS_SHARE = 0.9
"""Share of the timeout for the server, so that its own timeout error arrives before the deadline."""
_SETTINGS: LiteralString = (
    "SELECT set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(limit)s, true),"
    " set_config('TimeZone', 'UTC', true),"
    " set_config('DateStyle', 'ISO, YMD', true), set_config('extra_float_digits', '1', true)"
)
_COLUMNS: LiteralString = (
    "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS kind FROM pg_attribute a WHERE a.attrelid"
    " = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum LIMIT %(most)s"
)
_ENDLESS = {"infinity": datetime(9999, 12, 31, tzinfo=UTC), "-infinity": datetime(1, 1, 1, tzinfo=UTC)}
_INTEGERS = ("smallint", "integer", "bigint")
_FRACTIONS = ("numeric", "real", "double precision")


def measure(session: PostgresSession, query: SqlQuery, business_date: date, timeout_seconds: float) -> Measurement:
    """Everything that was queried, from one snapshot. Raises ConnectorError."""
    limit = {"lock": str(LOCK_MS), "limit": str(max(1, int(timeout_seconds * SERVERS_SHARE * 1000)))}

    def work(reader: PostgresReader) -> Measurement:
        reader.rows(_SETTINGS, limit)
        return _measured(reader, query, business_date)

    return session.read(work, timeout_seconds)


def _measured(reader: PostgresReader, query: SqlQuery, business_date: date) -> Measurement:
    has_aggregates = query.counts or query.fresh or query.not_null
    whole = reader.row(_aggregates(query), {"business_date": business_date}) if has_aggregates else {}
    columns = None
    if query.columns:
        table = Identifier(*query.table).as_string()
        rows = reader.rows(_COLUMNS, {"table": table, "most": MAX_COLUMNS})
        columns = tuple((row["name"], row["kind"]) for row in rows)
    value = _value(reader, query, business_date) if query.query else []
    return Measurement(
        rows=whole.get("n"),
        newest=_instant(whole.get("newest"), query.zone),
        duplicates=tuple((", ".join(key), _duplicates(reader, query, key, business_date)) for key in query.unique),
        nulls=tuple((name, whole[f"null_{place}"]) for place, name in enumerate(query.not_null)),
        columns=columns,
        value=_scalar(value[0]) if value else None,
        has_value=bool(value),
    )


def _aggregates(query: SqlQuery) -> Composed:
    parts: list[Composed] = [Composed([SQL("count(*) AS n")])] if query.counts else []
    if query.fresh:
        parts.append(SQL("left(max({})::text, 64) AS newest").format(_name(query.fresh)))
    for place, name in enumerate(query.not_null):
        column = SQL("count(*) FILTER (WHERE {} IS NULL) AS {}").format(_name(name), Identifier(f"null_{place}"))
        parts.append(column)
    return SQL("SELECT ") + SQL(", ").join(parts) + _from(query)


def _from(query: SqlQuery) -> Composed:
    """FROM and WHERE. The bound date is always there: with it the server takes one statement only."""
    table = Identifier(*(part.replace("%", "%%") for part in query.table))
    where = SQL(" AND (") + _own(query.where) + SQL("\n)") if query.where else Composed([])
    return SQL(" FROM ") + table + SQL(" WHERE %(business_date)s::date IS NOT NULL") + where


def _own(text: str) -> SQL:
    """SQL of a person's config, with the date as a parameter."""
    return SQL(text.replace("%", "%%").replace("{business_date}", "%(business_date)s"))


def _name(name: str) -> Identifier:
    return Identifier(name.replace("%", "%%"))


def _duplicates(reader: PostgresReader, query: SqlQuery, key: tuple[str, ...], business_date: date) -> int:
    """The number of values of the key that occur more than once, NULL aside."""
    columns = SQL(", ").join(_name(name) for name in key)
    filled = SQL(" AND ").join(SQL("{} IS NOT NULL").format(_name(name)) for name in key)
    inner = SQL("SELECT 1") + _from(query) + SQL(" AND ") + filled + SQL(" GROUP BY ") + columns
    counted = SQL("SELECT count(*) AS n FROM (") + inner + SQL(" HAVING count(*) > 1) AS twice")
    return int(reader.row(counted, {"business_date": business_date})["n"])


def _value(reader: PostgresReader, query: SqlQuery, business_date: date) -> list[PostgresRow]:
    """At most one row of one short value."""
    inner = _own(query.query.strip().rstrip(";"))
    outer = (
        SQL("SELECT pg_typeof(q.v)::text AS kind, left(q.v::text, %(most)s) AS text FROM (")
        + inner
        + SQL("\n) AS q(v) WHERE %(business_date)s::date IS NOT NULL LIMIT 2")
    )
    rows = reader.rows(outer, {"business_date": business_date, "most": TEXT_CHARACTERS})
    if len(rows) > 1:
        raise NotSupported("the query returns more than one row; rewrite it to return one value")
    return rows


def _scalar(row: PostgresRow) -> Scalar:
    kind, text = row["kind"], row["text"]
    if text is None:
        return None
    if kind in _INTEGERS:
        return int(text)
    if kind in _FRACTIONS and text.lstrip("-")[:1].isdigit():
        return float(text)
    return text == "true" if kind == "boolean" else str(text)


def _instant(text: str | None, zone: str) -> datetime | None:
    """A time as the server writes it; one without a zone is meant in `zone`."""
    if text is None:
        return None
    if text in _ENDLESS:
        return _ENDLESS[text]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise RecordUnreadable(f"the newest time cannot be read as one: {text!a}") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(zone))
