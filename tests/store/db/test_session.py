"""What both adapters promise; tests/lab/test_store_postgres.py runs the same on PostgreSQL."""

from __future__ import annotations

import pytest

from console.store.db.database import Database
from console.store.db.session import COPY_ROWS, Session
from console.store.meta import count_up, get_meta, set_meta

COLUMNS = ("name", "value", "set_by", "why", "at_us")


def switches(count: int, why: str = "") -> list[tuple[str, str, str, str, int]]:
    return [(f"s{number:04}", "on", "ann", why, number) for number in range(count)]


def test_columns_are_attributes_and_rows_are_tuples(store: Database) -> None:
    with store.write(None) as session:
        set_meta(session, {"a": "1"})
        [row] = session.rows("SELECT name, value AS text, 7 AS number FROM meta WHERE name = ?", ("a",))
        assert ("a", "1", 7) == row == (row.name, row.text, row.number)
        assert [] == session.rows("DELETE FROM meta WHERE name = ?", ("a",))
        assert None is session.first("SELECT name FROM meta WHERE name = ?", ("a",))


def test_a_percent_sign_is_no_placeholder(store: Database) -> None:
    with store.write(None) as session:
        set_meta(session, {"ab": "1", "cb": "2"})
        assert [("ab",)] == session.rows("SELECT name FROM meta WHERE name LIKE 'a%' AND value = ?", ("1",))


@pytest.mark.parametrize("count", [3, COPY_ROWS + 1], ids=["statements", "in bulk"])
def test_rows_are_inserted_updated_and_streamed(store: Database, count: int) -> None:
    with store.write(None) as session:
        session.insert("switch", COLUMNS, switches(count))
        session.update("switch", ("name", "why"), [(f"s{number:04}", "so") for number in range(count)])
        rows = list(
            session.stream("SELECT name, value, set_by, why, at_us FROM switch WHERE name LIKE 's0%' ORDER BY name")
        )
        assert switches(count, "so") == rows


def test_keys_come_before_the_values_in_the_order_of_their_columns(store: Database) -> None:
    with store.write(None) as session:
        session.insert("switch", COLUMNS, switches(4))
        by_name = "SELECT k.a FROM {keys} JOIN switch w ON w.name = k.a WHERE w.at_us >= ? ORDER BY k.a"
        assert [("s0002",)] == session.by_keys(by_name, ["s0000", "s0002", "none"], (1,))
        by_pair = "SELECT w.name FROM {keys} JOIN switch w ON w.name = k.a AND w.at_us = k.b"
        assert [("s0001",)] == session.by_keys(by_pair, [("s0001", 1), ("s0002", 1)])
        assert [] == session.by_keys(by_name, [], (1,))


def test_the_id_of_a_deleted_row_is_never_given_again(store: Database) -> None:
    columns = ("id", "at_us", "kind", "text", "actor")
    with store.write(None) as session:
        ids = session.new_ids("event", 2)
        session.insert("event", columns, [(number, 0, "note", "", "") for number in ids])
        session.delete("event", [*ids])
        assert session.new_ids("event", 1)[0] > ids[-1]
        assert range(0) == session.new_ids("event", 0)[:0]


def test_a_counter_counts_from_one_and_a_value_is_replaced(store: Database) -> None:
    def values(session: Session) -> list[str | None]:
        return [get_meta(session, name) for name in ("counted", "a", "b")]

    with store.write(None) as session:
        assert [1, 2] == [count_up(session, "counted"), count_up(session, "counted")]
        set_meta(session, {"a": "1"})
        set_meta(session, {"a": "2"})
        assert ["2", "2", None] == values(session)
