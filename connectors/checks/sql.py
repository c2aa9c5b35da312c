"""Looks at tables of PostgreSQL, in a read-only transaction that the server ends when its time is over.

Names are quoted by psycopg, the business date is bound, and a query of the user's own stands inside of a SELECT of ours
with one bound value: so the server takes one statement only, a query, and gives one short value back. What functions of
the database do when they are called is up to the rights of the role: docs/checks.md.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import LiteralString
from zoneinfo import ZoneInfo

from psycopg.sql import SQL, Composed, Identifier

from connectors.checks.questions import SqlQuestion
from connectors.contract import NotSupported, RecordUnreadable
from connectors.contract.measured import Measured, Scalar
from connectors.transport.sql import PostgresSession, Reader, Row

MOST_COLUMNS = 1600  # MaxHeapAttributeNumber of PostgreSQL
TEXT_CHARACTERS = 200
LOCK_MS = 2000
"""A table that is being rewritten is not waited for: whoever waits for a lock keeps all later ones waiting."""
SERVERS_SHARE = 0.9
"""Of a look's time: so the server says that it ended a statement, before the line to it is cut."""
_SETTINGS: LiteralString = (
    "SELECT set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(limit)s, true),"
    " set_config('TimeZone', 'UTC', true),"
    " set_config('DateStyle', 'ISO, YMD', true), set_config('extra_float_digits', '1', true)"
)
_COLUMNS: LiteralString = (
    "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS kind FROM pg_attribute a"
    " WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    " LIMIT %(most)s"
)
_ENDLESS = {"infinity": datetime(9999, 12, 31, tzinfo=UTC), "-infinity": datetime(1, 1, 1, tzinfo=UTC)}
_INTEGERS = ("smallint", "integer", "bigint")
_FRACTIONS = ("numeric", "real", "double precision")


def measure(session: PostgresSession, asked: SqlQuestion, bd: date, timeout_seconds: float) -> Measured:
    """Everything that was asked, from one snapshot. Raises ConnectorError."""
    limit = {"lock": str(LOCK_MS), "limit": str(max(1, int(timeout_seconds * SERVERS_SHARE * 1000)))}

    def work(reader: Reader) -> Measured:
        reader.rows(_SETTINGS, limit)
        return _measured(reader, asked, bd)

    found: Measured = session.read(work, timeout_seconds)
    return found


def _measured(reader: Reader, asked: SqlQuestion, bd: date) -> Measured:
    whole = reader.row(_aggregates(asked), {"bd": bd}) if _has_aggregates(asked) else {}
    value = _value(reader, asked, bd) if asked.query else []
    return Measured(
        rows=whole.get("n"),
        newest=_instant(whole.get("newest"), asked.zone),
        duplicates=tuple((", ".join(key), _duplicates(reader, asked, key, bd)) for key in asked.unique),
        nulls=tuple((name, whole[f"null_{place}"]) for place, name in enumerate(asked.not_null)),
        columns=_columns(reader, asked) if asked.columns else None,
        value=_scalar(value[0]) if value else None,
        has_value=bool(value),
    )


def _has_aggregates(asked: SqlQuestion) -> bool:
    return bool(asked.counts or asked.fresh or asked.not_null)


def _aggregates(asked: SqlQuestion) -> Composed:
    """One pass over the table for all that one pass can tell."""
    wanted = [SQL("count(*) AS n")] if asked.counts else []
    parts: list[Composed] = [Composed([each]) for each in wanted]
    if asked.fresh:
        parts.append(SQL("left(max({})::text, 64) AS newest").format(_name(asked.fresh)))
    for place, name in enumerate(asked.not_null):
        column = SQL("count(*) FILTER (WHERE {} IS NULL) AS {}").format(_name(name), Identifier(f"null_{place}"))
        parts.append(column)
    return SQL("SELECT ") + SQL(", ").join(parts) + _from(asked)


def _from(asked: SqlQuestion) -> Composed:
    """FROM and WHERE. The bound date is always there: with it the server takes one statement only."""
    table = Identifier(*(part.replace("%", "%%") for part in asked.table))
    where = SQL(" AND (") + _own(asked.where) + SQL("\n)") if asked.where else Composed([])
    return SQL(" FROM ") + table + SQL(" WHERE %(bd)s::date IS NOT NULL") + where


def _own(text: str) -> SQL:
    """SQL of a person's config, with the date as a parameter."""
    return SQL(text.replace("%", "%%").replace("{bd}", "%(bd)s"))


def _name(name: str) -> Identifier:
    return Identifier(name.replace("%", "%%"))


def _duplicates(reader: Reader, asked: SqlQuestion, key: tuple[str, ...], bd: date) -> int:
    """How many values of the key stand more than once; what is not filled is not asked here."""
    columns = SQL(", ").join(_name(name) for name in key)
    filled = SQL(" AND ").join(SQL("{} IS NOT NULL").format(_name(name)) for name in key)
    inner = SQL("SELECT 1") + _from(asked) + SQL(" AND ") + filled + SQL(" GROUP BY ") + columns
    counted = SQL("SELECT count(*) AS n FROM (") + inner + SQL(" HAVING count(*) > 1) AS twice")
    return int(reader.row(counted, {"bd": bd})["n"])


def _columns(reader: Reader, asked: SqlQuestion) -> tuple[tuple[str, str], ...]:
    name = Identifier(*asked.table).as_string()
    rows = reader.rows(_COLUMNS, {"table": name, "most": MOST_COLUMNS})
    return tuple((row["name"], row["kind"]) for row in rows)


def _value(reader: Reader, asked: SqlQuestion, bd: date) -> list[Row]:
    """At most one row of one short value."""
    inner = _own(asked.query.strip().rstrip(";"))
    outer = (
        SQL("SELECT pg_typeof(q.v)::text AS kind, left(q.v::text, %(most)s) AS text FROM (")
        + inner
        + SQL("\n) AS q(v) WHERE %(bd)s::date IS NOT NULL LIMIT 2")
    )
    rows = reader.rows(outer, {"bd": bd, "most": TEXT_CHARACTERS})
    if len(rows) > 1:
        raise NotSupported("the query gives more than one row; write it so that it gives one value")
    return rows


def _scalar(row: Row) -> Scalar:
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
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RecordUnreadable(f"the newest time cannot be read as one: {text!a}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))
