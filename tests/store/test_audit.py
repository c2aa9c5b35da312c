"""The audit: append only, and no row can be flipped, dropped, put in, swapped or cut without being found."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.failpoints import VARIABLE, FailpointReached
from console.store import audit
from console.store.db.database import Database
from console.store.queries import open_queries
from tests.corpus import HOSTILE

Rows = list[list[Any]]


def write(store: Database, *verbs: str, why: str = "") -> None:
    for verb in verbs:
        with store.write(None) as connection:
            audit.append(connection, 1_000, "alice", "10.0.0.7", verb, "etl/extract", {"key": verb}, why)


def rows_of(store: Database) -> Rows:
    with store.read() as connection:
        return [list(row) for row in connection.rows(f"{audit.SELECT_AUDIT} ORDER BY seq")]


def noted(store: Database) -> str:
    with store.read() as connection:
        return str(connection.rows("SELECT value FROM meta WHERE name = 'audit_head'")[0][0])


def test_a_chain_that_nobody_touched_is_whole(store: Database) -> None:
    write(store, "request rerun", "send rerun", "verified rerun")
    found = rows_of(store)
    assert [1, 2, 3] == [row[0] for row in found]
    assert f"3 {found[2][9]}" == noted(store)
    assert audit.ChainVerdict(3, found[2][9]) == audit.verify_chain(found, noted(store), f"1:{found[0][9]}")


def test_an_audit_without_a_row_is_whole(store: Database) -> None:
    assert audit.ChainVerdict(0, "") == audit.verify_chain(rows_of(store), "")


@pytest.mark.parametrize("sql", ["UPDATE audit SET why = 'none'", "DELETE FROM audit"])
def test_the_database_refuses_to_change_or_remove_a_row(store: Database, sql: str) -> None:
    write(store, "freeze")
    refused: Any = store.engine.dialect.loaded_dbapi
    with pytest.raises(refused.Error, match="append only"), store.write(None) as connection:
        connection.rows(sql)
    assert 1 == len(rows_of(store))


def test_the_database_that_refuses_no_more_is_found_by_its_triggers(store: Database) -> None:
    write(store, "freeze")
    with open_queries(store.url) as reads:
        assert () == reads.audit.verify_audit().missing_triggers
    if store.is_sqlite:
        gone, statement = "audit_refuses_update", "DROP TRIGGER audit_refuses_update"
    else:
        gone, statement = "audit_refuses", "ALTER TABLE audit DISABLE TRIGGER audit_refuses"
    with store.write(None) as connection:
        connection.rows(statement)
    with open_queries(store.url) as reads:
        found = reads.audit.verify_audit()
    assert (None, (gone,)) == (found.bad, found.missing_triggers)


def test_a_row_that_is_appended_while_the_chain_is_verified_is_no_cut(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, "freeze")
    with open_queries(store.url) as reads:
        link = reads.audit.link
        stream = link.stream

        def appended_before(sql: str, *values: Any) -> Iterator[Any]:
            if "FROM audit" in sql:
                write(store, "thaw")
            return stream(sql, *values)

        monkeypatch.setattr(link, "stream", appended_before)
        found = reads.audit.verify_audit()
    assert (2, None) == (found.rows, found.bad), found.text


def test_a_request_that_waits_to_be_chained_is_not_taken_for_a_removed_row(store: Database) -> None:
    """A login that may only ask leaves its entry to the engine."""
    with store.write(None) as session:
        session.rows("INSERT INTO event (at_us, kind, text, actor) VALUES (1, 'note', 'seen', 'ann')")
    with open_queries(store.url) as reads:
        assert (1, True) == ((found := reads.audit.verify_audit()).bad, "all rows were removed" in found.text)
    with store.write(None) as session:
        session.rows(
            "INSERT INTO request (kind, arguments, state, requested_by, requested_us, answer)"
            " VALUES ('audit', '{}', 'unchained', 'ann', 1, '{}')"
        )
    with open_queries(store.url) as reads:
        assert None is reads.audit.verify_audit().bad


def test_rows_beyond_the_recorded_last_one_were_added_and_not_cut() -> None:
    found = audit.verify_chain(CHAIN, f"7 {CHAIN[6][9]}")
    assert (8, "the store recorded row 7 as the last, and row 8 is: rows were added past that record") == (
        found.bad, found.text,
    )  # fmt: skip
    assert audit.verify_chain(CHAIN[:6], NOTED).text.endswith("rows were cut")


def test_a_row_and_the_change_it_tells_of_come_together_or_not_at_all(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "audit.before_append:raise")

    def change() -> None:
        with store.write(None) as connection:
            connection.rows("INSERT INTO meta (name, value) VALUES ('changed', '1')")
            audit.append(connection, 1, "alice", "", "freeze", "estate", {})

    with pytest.raises(FailpointReached):
        change()
    monkeypatch.delenv(VARIABLE)
    with store.read() as connection:
        assert [] == connection.rows("SELECT 1 FROM meta WHERE name = 'changed'")
    assert [] == rows_of(store)


def test_many_who_write_at_once_make_one_chain(store: Database) -> None:
    people = [threading.Thread(target=write, args=(store, *map(str, range(5)))) for _ in range(4)]
    for one in people:
        one.start()
    for one in people:
        one.join(30)
    found = audit.verify_chain(rows_of(store), noted(store))
    assert (20, None) == (found.rows, found.bad)


@pytest.mark.parametrize("words", HOSTILE[::9])
def test_hostile_words_are_kept_clean_and_sealed(store: Database, words: str) -> None:
    with store.write(None) as connection:
        audit.append(
            connection, 1, words, words, words, words, {"said": words.encode("utf-8", "replace").decode()}, words
        )
    assert None is audit.verify_chain(rows_of(store), noted(store)).bad


# -- whatever is done to the rows ------------------------------------------------------------------------------------
CHAIN: Rows = []
for _seq in range(1, 9):
    _values = (_seq, _seq * 1_000, "alice", "host", "rerun", f"job {_seq}", json.dumps({"n": _seq}), "because")
    _prev = CHAIN[-1][9] if CHAIN else ""
    CHAIN.append([*_values, _prev, audit.entry_hash(_prev, _values)])
NOTED = f"8 {CHAIN[-1][9]}"
places = st.integers(0, 7)


def flipped(row: list[Any], column: int) -> list[Any]:
    value = row[column]
    return [*row[:column], value + 1 if isinstance(value, int) else f"{value}x", *row[column + 1 :]]


def resealed(rows: Rows, start: int) -> Rows:
    """As somebody would who knows how the seal is made: all hashes from there on are made anew."""
    made = [list(row) for row in rows]
    for at in range(start, len(made)):
        made[at][8] = made[at - 1][9] if at else ""
        made[at][9] = audit.entry_hash(made[at][8], made[at][:8])
    return made


@given(places, st.integers(0, 9))
@settings(deadline=None)
def test_a_flip_is_found_and_named(place: int, column: int) -> None:
    rows = [list(row) for row in CHAIN]
    rows[place] = flipped(rows[place], column)
    assert place + 1 == audit.verify_chain(rows, NOTED).bad


@given(places)
def test_a_dropped_row_is_found_and_named(place: int) -> None:
    assert place + 1 == audit.verify_chain(CHAIN[:place] + CHAIN[place + 1 :], NOTED).bad


@given(places, places)
def test_a_swap_is_found_where_it_begins(one: int, other: int) -> None:
    rows = [list(row) for row in CHAIN]
    rows[one], rows[other] = rows[other], rows[one]
    assert (min(one, other) + 1 if one != other else None) == audit.verify_chain(rows, NOTED).bad


@given(places, places)
def test_a_swap_of_what_the_rows_say_is_found_too(one: int, other: int) -> None:
    rows = [list(row) for row in CHAIN]
    rows[one][1:8], rows[other][1:8] = rows[other][1:8], rows[one][1:8]
    assert (min(one, other) + 1 if one != other else None) == audit.verify_chain(rows, NOTED).bad


@given(places)
def test_what_is_cut_at_the_end_is_found_by_the_stores_note(place: int) -> None:
    assert place + 1 == audit.verify_chain(CHAIN[:place], NOTED).bad


@given(places)
def test_a_cut_whose_note_was_mended_too_is_found_by_the_head_kept_elsewhere(place: int) -> None:
    left = CHAIN[:place]
    mended = f"{place} {left[-1][9]}" if left else ""
    assert None is audit.verify_chain(left, mended).bad
    assert None is not audit.verify_chain(left, mended, f"8:{CHAIN[-1][9]}").bad


@given(places, st.integers(1, 7))
def test_a_chain_made_anew_is_found_by_a_head_kept_elsewhere(place: int, column: int) -> None:
    rows = [list(row) for row in CHAIN]
    rows[place] = flipped(rows[place], column)
    forged = resealed(rows, place)
    mended = f"8 {forged[-1][9]}"
    assert None is audit.verify_chain(forged, mended).bad
    assert None is not audit.verify_chain(forged, mended, CHAIN[-1][9]).bad


@given(places)
def test_a_row_put_in_is_found(place: int) -> None:
    rows = [list(row) for row in CHAIN]
    rows.insert(place, [place + 1, 5, "mallory", "", "freeze", "", "{}", "", rows[place][8], "f" * 64])
    assert place + 1 == audit.verify_chain(rows, NOTED).bad


@pytest.mark.parametrize("how", ["UPDATE audit SET actor = 'mallory' WHERE seq = 2", "DELETE FROM audit WHERE seq = 2"])
def test_what_an_owner_does_without_the_triggers_is_found(store: Database, how: str) -> None:
    """Whoever owns the store can take the triggers away; the seals tell it all the same."""
    names = ("audit_refuses_update", "audit_refuses_delete") if store.is_sqlite else ("audit_refuses ON audit",)
    write(store, "one", "two", "three")
    with store.write(None) as connection:
        for name in names:
            connection.rows(f"DROP TRIGGER {name}")
        connection.rows(how)
    assert 2 == audit.verify_chain(rows_of(store), noted(store)).bad
