"""The audit: append only, and no row can be flipped, dropped, put in, swapped or cut without being found."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.domain.ids import instant
from console.failpoints import VARIABLE, FailpointReached
from console.store import audit
from console.store.audit_export import AuditExport, delete_exported
from console.store.db.database import Database
from console.store.errors import StoreUnusable
from console.store.queries import open_queries
from tests.corpus import HOSTILE
from tests.lab.process import HANGS_SECONDS

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


def test_an_unmodified_chain_is_intact(store: Database) -> None:
    write(store, "request rerun", "send rerun", "verified rerun")
    rows = rows_of(store)
    assert [1, 2, 3] == [row[0] for row in rows]
    assert f"3 {rows[2][9]}" == noted(store)
    assert audit.ChainVerdict(3, rows[2][9]) == audit.verify_chain(rows, noted(store), f"1:{rows[0][9]}")


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
        missing, statement = "audit_refuses_update", "DROP TRIGGER audit_refuses_update"
    else:
        missing, statement = "audit_refuses", "ALTER TABLE audit DISABLE TRIGGER audit_refuses"
    with store.write(None) as connection:
        connection.rows(statement)
    with open_queries(store.url) as reads:
        verdict = reads.audit.verify_audit()
    assert (None, (missing,)) == (verdict.bad, verdict.missing_triggers)


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
        verdict = reads.audit.verify_audit()
    assert (2, None) == (verdict.rows, verdict.bad), verdict.text


def test_a_request_that_waits_to_be_chained_is_not_mistaken_for_a_removed_row(store: Database) -> None:
    """A login that may only ask leaves its entry to the engine."""
    with store.write(None) as session:
        session.rows("INSERT INTO event (at_us, kind, text, actor) VALUES (1, 'note', 'seen', 'ann')")
    with open_queries(store.url) as reads:
        assert (1, True) == ((verdict := reads.audit.verify_audit()).bad, "all rows were removed" in verdict.text)
    with store.write(None) as session:
        session.rows(
            "INSERT INTO request (kind, arguments, state, requested_by, requested_us, answer)"
            " VALUES ('audit', '{}', 'unchained', 'ann', 1, '{}')"
        )
    with open_queries(store.url) as reads:
        assert None is reads.audit.verify_audit().bad


def test_rows_beyond_the_recorded_last_one_were_added_and_not_cut() -> None:
    verdict = audit.verify_chain(CHAIN, f"7 {CHAIN[6][9]}")
    assert (8, "the store recorded row 7 as the last, and row 8 is: rows were added past that record") == (
        verdict.bad, verdict.text,
    )  # fmt: skip
    assert audit.verify_chain(CHAIN[:6], NOTED).text.endswith("rows were cut")


def test_a_row_and_its_change_are_written_together_or_not_at_all(
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
    for thread in people:
        thread.start()
    for thread in people:
        thread.join(HANGS_SECONDS)
    verdict = audit.verify_chain(rows_of(store), noted(store))
    assert (20, None) == (verdict.rows, verdict.bad)


def test_hostile_text_is_stored_clean_and_sealed(store: Database) -> None:
    for text in HOSTILE[::9]:
        said = {"said": text.encode("utf-8", "replace").decode()}
        with store.write(None) as connection:
            audit.append(connection, 1, text, text, text, text, said, text)
        assert None is audit.verify_chain(rows_of(store), noted(store)).bad, ascii(text)


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
    """As somebody would who knows how the seal is made: all hashes from there on are made again."""
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
def test_a_cut_whose_note_was_forged_too_is_found_by_the_head_stored_elsewhere(place: int) -> None:
    chain = CHAIN[:place]
    fixed = f"{place} {chain[-1][9]}" if chain else ""
    assert None is audit.verify_chain(chain, fixed).bad
    assert None is not audit.verify_chain(chain, fixed, f"8:{CHAIN[-1][9]}").bad


@given(places, st.integers(1, 7))
def test_a_rebuilt_chain_is_found_by_a_head_stored_elsewhere(place: int, column: int) -> None:
    rows = [list(row) for row in CHAIN]
    rows[place] = flipped(rows[place], column)
    forged = resealed(rows, place)
    fixed = f"8 {forged[-1][9]}"
    assert None is audit.verify_chain(forged, fixed).bad
    assert None is not audit.verify_chain(forged, fixed, CHAIN[-1][9]).bad


@given(places)
def test_a_row_put_in_is_found(place: int) -> None:
    rows = [list(row) for row in CHAIN]
    rows.insert(place, [place + 1, 5, "mallory", "", "freeze", "", "{}", "", rows[place][8], "f" * 64])
    assert place + 1 == audit.verify_chain(rows, NOTED).bad


def export(store: Database, file: Path, last: int) -> AuditExport:
    with open_queries(store.url) as reads:
        audit_export = reads.audit.export(file, instant(1_000 + last))
    assert audit_export is not None
    return audit_export


def delete(store: Database, exported: AuditExport) -> int:
    with store.write(None) as session:
        return delete_exported(session, exported, audit.ChangeOrigin("ann", "console", "older than a year", 9_000))


def verified(store: Database, head: str = "", *exports: Path) -> audit.ChainVerdict:
    with open_queries(store.url) as reads:
        return reads.audit.verify_audit(head, exports)


def write_each_later(store: Database, count: int) -> Rows:
    """Rows at 1,001, 1,002 … microseconds."""
    for number in range(1, count + 1):
        with store.write(None) as session:
            audit.append(session, 1_000 + number, "alice", "console", "freeze", "estate", {"number": number})
    return rows_of(store)


def test_exported_rows_are_deleted_and_the_rest_stays_verifiable(store: Database, tmp_path: Path) -> None:
    before = write_each_later(store, 8)
    heads = [f"{row[0]}:{row[9]}" for row in before]
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    exported = export(store, first, 4)
    assert (1, 3, before[2][9]) == (exported.first, exported.last, exported.head)
    assert 8 == len(rows_of(store)), "an export alone deletes nothing"
    assert 3 == delete(store, exported)
    assert [4, 5, 6, 7, 8, 9] == [row[0] for row in rows_of(store)]
    refused: Any = store.engine.dialect.loaded_dbapi
    with pytest.raises(refused.Error, match="append only"), store.write(None) as session:
        session.rows("DELETE FROM audit")
    verdict = verified(store)
    assert (9, 3, None, ()) == (verdict.rows, verdict.deleted, verdict.bad, verdict.missing_triggers)
    assert 0 == verified(store, "", first).deleted
    for head in heads[2:]:  # the last deleted row is known by its hash
        assert None is verified(store, head).bad
    assert "rows 1 to 3 were exported and deleted" in verified(store, heads[1]).text
    for head in heads:
        assert None is verified(store, head, first).bad
    assert 3 == delete(store, export(store, second, 7))
    assert None is verified(store).bad
    for head in heads:
        assert None is verified(store, head, first, second).bad
    assert 1 == verified(store, "", second).bad, "the first file is missing"


def test_a_changed_export_or_a_cut_without_one_is_found(store: Database, tmp_path: Path) -> None:
    rows, file = write_each_later(store, 6), tmp_path / "audit.jsonl"
    exported = export(store, file, 5)
    delete(store, exported)
    text = file.read_text()
    for changed, bad in ((text.replace("alice", "mallory", 1), 1), ("\n".join(text.splitlines()[:-1]) + "\n", 4)):
        file.write_text(changed)
        assert bad == verified(store, "", file).bad
    for line in ("no row", text.replace('"seq": 1', '"seq": "1"', 1), "[" * 100_000):
        file.write_text(f"{line}\n")
        with pytest.raises(StoreUnusable, match="line 1 is not an exported audit row"):
            verified(store, "", file)
    file.write_text(text)
    for anchor in ("three", f"three {rows[2][9]}", "9" * 5_000):
        with store.write(None) as session:
            session.rows("UPDATE meta SET value = ? WHERE name = 'audit_anchor'", (anchor,))
        assert (1, 1) == (verified(store).bad, verified(store, "", file).bad)
    with store.write(None) as session:  # whoever may write meta
        session.rows("UPDATE meta SET value = ? WHERE name = 'audit_anchor'", (f"2 {rows[1][9]}",))
    assert None is not verified(store).bad
    anchored = audit.verify_chain(rows[3:], f"6 {rows[5][9]}", anchor=f"3 {rows[2][9]}")
    assert "rows 1 to 3 are missing, and no entry records their export" == anchored.text


def test_rows_are_deleted_only_as_they_were_exported(store: Database, tmp_path: Path) -> None:
    write_each_later(store, 3)
    exported = export(store, tmp_path / "audit.jsonl", 3)
    with pytest.raises(StoreUnusable, match="is not in the audit log of this store"):
        delete(store, replace(exported, head="0" * 64))
    with pytest.raises(StoreUnusable, match="File exists"):
        export(store, tmp_path / "audit.jsonl", 3)
    assert 3 == len(rows_of(store))


def test_rows_without_their_trigger_are_not_deleted(store: Database, tmp_path: Path) -> None:
    write_each_later(store, 3)
    exported = export(store, tmp_path / "audit.jsonl", 3)
    with store.write(None) as session:
        session.rows(f"DROP TRIGGER {'audit_refuses_delete' if store.is_sqlite else 'audit_refuses ON audit'}")
    refused: Any = StoreUnusable if store.is_sqlite else store.engine.dialect.loaded_dbapi.Error
    with pytest.raises(refused, match="trigger"):
        delete(store, exported)
    assert 3 == len(rows_of(store))


def test_a_broken_chain_is_not_exported(store: Database, tmp_path: Path) -> None:
    write_each_later(store, 3)
    names = ("audit_refuses_update",) if store.is_sqlite else ("audit_refuses ON audit",)
    with store.write(None) as session:
        for name in names:
            session.rows(f"DROP TRIGGER {name}")
        session.rows("UPDATE audit SET actor = 'mallory' WHERE seq = 1")
    file = tmp_path / "audit.jsonl"
    with pytest.raises(StoreUnusable, match="row 1 was changed after it was written"):
        export(store, file, 3)
    assert not file.exists()


@pytest.mark.parametrize("how", ["UPDATE audit SET actor = 'mallory' WHERE seq = 2", "DELETE FROM audit WHERE seq = 2"])
def test_what_an_owner_does_without_the_triggers_is_found(store: Database, how: str) -> None:
    """The store's owner can remove the triggers; the seals detect it all the same."""
    names = ("audit_refuses_update", "audit_refuses_delete") if store.is_sqlite else ("audit_refuses ON audit",)
    write(store, "one", "two", "three")
    with store.write(None) as connection:
        for name in names:
            connection.rows(f"DROP TRIGGER {name}")
        connection.rows(how)
    assert 2 == audit.verify_chain(rows_of(store), noted(store)).bad
