"""A copy of a store in use, and a store from a copy: whole, or refused; and nothing is done a second time."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.cli.exits import Exit
from console.cli.main import main
from console.failpoints import VARIABLE, FailpointReached
from console.store import audit
from console.store.db import lease
from console.store.db.backup import back_up, inspect_copy, restore
from console.store.db.database import Database, open_database
from console.store.db.lease import HeldLease, holder_name
from console.store.errors import StoreTooNew, StoreUnusable
from console.store.queries import open_queries
from tests.store.estate import Estate, failed, run

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)


def rows(path: Path, sql: str) -> list[Any]:
    with sqlite3.connect(path) as connection:
        results = connection.execute(sql).fetchall()
    connection.close()
    return results


def write(store: Database, sql: str) -> None:
    with store.write(None) as connection:
        connection.rows(sql)


@pytest.fixture
def path(night: Estate) -> Path:
    night.ingest(run(), failed(period="02:10", attempt="2"))
    with night.store.write(None) as connection:
        audit.append(connection, 1, "alice", "desk", "rerun", "etl-hosts/db07:extract_orders", {})
    assert night.store.path is not None
    return night.store.path


def test_a_copy_is_whole_for_its_owner_only_and_says_what_it_holds(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    summary = back_up(path, copy)
    assert (4, 2, 1) == (summary.jobs, summary.runs, summary.audit)
    assert 0o600 == stat.S_IMODE(copy.stat().st_mode)
    assert rows(path, "SELECT * FROM run ORDER BY id") == rows(copy, "SELECT * FROM run ORDER BY id")
    assert summary == inspect_copy(copy)


def test_a_copy_made_during_writes_is_of_one_moment(path: Path, night: Estate, tmp_path: Path) -> None:
    """Two values that change together in one transaction are never apart in a copy."""
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with night.store.write(None) as connection:
                for name in ("left", "right"):
                    connection.rows(
                        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE"
                        " SET value = excluded.value",
                        (name, str(number)),
                    )

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for number in range(5):
            copy = tmp_path / f"copy{number}.db"
            back_up(path, copy)
            values = [row[0] for row in rows(copy, "SELECT value FROM meta WHERE name IN ('left', 'right')")]
            assert 1 >= len(set(values)), values
    finally:
        stop.set()
        writer.join()


def test_an_existing_file_is_replaced_only_on_request(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("mine")
    with pytest.raises(StoreUnusable, match=r"copy\.db exists already; name another file, or say --replace"):
        back_up(path, copy)
    assert "mine" == copy.read_text()
    back_up(path, copy, replace=True)
    inspect_copy(copy)


@pytest.mark.parametrize("name", ["backup.mid", "backup.before_swap"])
def test_a_copy_that_breaks_leaves_what_was_there_and_no_draft(
    path: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    (folder / "copy.db").write_text("the last one")
    monkeypatch.setenv(VARIABLE, f"{name}:raise")
    with pytest.raises(FailpointReached):
        back_up(path, folder / "copy.db", replace=True)
    assert [("copy.db", "the last one")] == [(path.name, path.read_text()) for path in folder.iterdir()]


def test_a_damaged_copy_is_refused(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    raw = bytearray(copy.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4096] = bytes(4096)
    copy.write_bytes(raw)
    with pytest.raises(StoreUnusable, match=r"damaged|malformed|not a database"):
        restore(copy, tmp_path / "new.db", "desk", NOW)
    assert not (tmp_path / "new.db").exists()


def test_a_copy_whose_audit_was_changed_is_refused(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    change_the_audit(copy)
    with pytest.raises(StoreUnusable, match="its audit does not hold: row 1 was changed"):
        restore(copy, tmp_path / "new.db", "desk", NOW)


def change_the_audit(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER audit_refuses_update")
        connection.execute("UPDATE audit SET actor = 'bob'")
    connection.close()


def test_a_store_whose_audit_was_changed_is_copied_as_evidence_and_not_restored(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_the_audit(path)
    copy = tmp_path / "copy.db"
    assert Exit.PROBLEM == main(["--store", str(path), "store", "backup", str(copy)])
    output = capsys.readouterr()
    assert f"{copy}: 4 jobs, 2 runs" in output.out
    assert "its audit log is BROKEN: row 1 was changed" in output.out
    assert "The copy was made as evidence" in " ".join(output.err.split())
    assert [] == [text for text in ("draft", "older copy") if text in output.out + output.err]
    assert rows(path, "SELECT * FROM audit") == rows(copy, "SELECT * FROM audit")
    with pytest.raises(StoreUnusable, match=r"copy\.db: its audit does not hold: row 1 .*; take an older copy"):
        restore(copy, tmp_path / "new.db", "desk", NOW)


def test_a_copy_that_is_good_is_not_replaced_by_one_whose_audit_does_not_hold(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    before = copy.read_bytes()
    change_the_audit(path)
    with pytest.raises(StoreUnusable, match=r"copy\.db is kept as it was: name another file"):
        back_up(path, copy, replace=True)
    assert (before, []) == (copy.read_bytes(), list(tmp_path.glob("*.draft")))


def test_a_copy_of_a_newer_headway_is_refused(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreTooNew, match="schema 9999"):
        restore(copy, tmp_path / "new.db", "desk", NOW)


def test_something_else_is_no_copy(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    with pytest.raises(StoreUnusable, match=r"other\.db is not a store of Headway"):
        restore(other, tmp_path / "new.db", "desk", NOW)


# -- a store from a copy ---------------------------------------------------------------------------------------------
def test_an_action_in_flight_in_the_copy_is_not_done_a_second_time(path: Path, night: Estate, tmp_path: Path) -> None:
    for key, state in (("k1", "requested"), ("k2", "sending"), ("k3", "sent"), ("k4", "verified")):
        write(
            night.store,
            "INSERT INTO action (key, verb, job_id, run_id, state, preview, parameters, origin, requested_by,"
            " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, text, next_us,"
            f" looked_up, changed_seq) VALUES ('{key}', 'rerun', 1, 1, '{state}', '{{}}', '{{}}', 'person', 'alice',"
            " '', '', 'refuse', 0, '', 1, '', '', 0, 0, 0)",
        )
    copy, new = tmp_path / "copy.db", tmp_path / "new.db"
    back_up(path, copy)
    restore(copy, new, "desk", NOW)
    details = dict(rows(new, "SELECT key, state FROM action"))
    assert {"k1": "failed", "k2": "unknown", "k3": "unknown", "k4": "verified"} == details
    with open_queries(str(new)) as reads:
        frozen = reads.estate.header().frozen
    assert frozen is not None
    assert "restored from a copy" in frozen.why
    assert [("restored",), ("freeze",)] == rows(new, "SELECT verb FROM audit WHERE seq > 1 ORDER BY seq")
    inspect_copy(new)


def test_an_engine_of_before_the_restore_can_write_nothing(path: Path, night: Estate, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    before = lease.acquire_lease(night.store, "old", 60)
    assert isinstance(before, HeldLease)
    night.store.close()
    restore(copy, path, "desk", NOW, replace=True)
    after = open_database(str(path))
    new = lease.acquire_lease(after, "new", 60)
    after.close()
    assert isinstance(new, HeldLease)
    assert new.fence > before.fence


TRIGGERS = """
CREATE TRIGGER thaw AFTER UPDATE ON switch WHEN NEW.name = 'freeze' AND NEW.value = 'on'
BEGIN UPDATE switch SET value = 'off' WHERE name = 'freeze'; END;
CREATE TRIGGER thaw_too AFTER INSERT ON switch WHEN NEW.name = 'freeze' AND NEW.value = 'on'
BEGIN UPDATE switch SET value = 'off' WHERE name = 'freeze'; END;
CREATE TRIGGER approve AFTER INSERT ON action
BEGIN UPDATE action SET approved_by = 'carol', approved_us = NEW.requested_us WHERE key = NEW.key; END;
CREATE VIEW audit_view AS SELECT * FROM audit;
DROP INDEX action_run;
CREATE UNIQUE INDEX action_run ON action (verb);
PRAGMA writable_schema = ON;
INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES ('trigger', 'sqlite_thaw', 'switch', 0,
    'CREATE TRIGGER sqlite_thaw AFTER DELETE ON switch BEGIN DELETE FROM switch; END');
"""
FOREIGN = ("index action_run on action", "trigger approve on action", "trigger sqlite_thaw on switch",
           "trigger thaw on switch", "trigger thaw_too on switch", "view audit_view")  # fmt: skip


def test_a_restore_takes_over_rows_alone_and_freezes_whatever_the_copy_holds(path: Path, tmp_path: Path) -> None:
    copy, new = tmp_path / "copy.db", tmp_path / "new.db"
    back_up(path, copy)
    with sqlite3.connect(copy) as connection:
        connection.executescript(TRIGGERS)
        connection.execute(
            "INSERT INTO request (kind, arguments, requested_by, requested_us, state, answer)"
            """ VALUES ('resume plan', '{"plan": 1, "is_own": true, "from": "", "why": ""}', 'x', 1, 'ordered', '{}')"""
        )
    connection.close()
    summary, _ = restore(copy, new, "desk", NOW)
    assert FOREIGN == summary.foreign_objects
    assert [("refused",)] == rows(new, "SELECT state FROM request")
    assert [("on",)] == rows(new, "SELECT value FROM switch WHERE name = 'freeze'")
    for table in ("run", "job", "alert", "shard"):
        assert rows(path, f"SELECT * FROM {table} ORDER BY 1") == rows(new, f"SELECT * FROM {table} ORDER BY 1")
    objects = "SELECT type, name, tbl_name FROM sqlite_master WHERE type <> 'table' ORDER BY 1, 2"
    assert rows(path, objects) == rows(new, objects)
    open_database(str(new)).close()
    with open_queries(str(new)) as reads:
        verdict = reads.audit.verify_audit()
    assert (None, ()) == (verdict.bad, verdict.foreign_objects)


def test_a_copy_whose_table_is_a_view_is_refused_unread(path: Path, tmp_path: Path) -> None:
    """The rows of a view may have no end."""
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("ALTER TABLE finding RENAME TO other")
        connection.execute(
            "CREATE VIEW Finding AS WITH RECURSIVE r (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM r) SELECT id FROM r"
        )
    connection.close()
    with pytest.raises(StoreUnusable, match="not a store of Headway: it has views in place of Finding; take an older"):
        restore(copy, tmp_path / "new.db", "desk", NOW)
    assert not (tmp_path / "new.db").exists()


def test_a_store_that_holds_what_headway_did_not_make_starts_no_engine_and_is_named_by_the_audit(
    path: Path, night: Estate, capsys: pytest.CaptureFixture[str]
) -> None:
    night.store.close()
    with sqlite3.connect(path) as connection:
        connection.executescript(TRIGGERS)
    connection.close()
    with pytest.raises(StoreUnusable, match="did not make: index action_run on action, trigger approve on action,"):
        open_database(str(path))
    assert Exit.PROBLEM == main(["--store", str(path), "audit", "verify"])
    assert ", ".join(FOREIGN) in capsys.readouterr().err


def test_the_store_that_is_there_is_moved_aside_whole(path: Path, night: Estate, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    night.ingest(run(period="03:20", attempt="3"))
    night.store.close()
    with pytest.raises(StoreUnusable, match="say --replace"):
        restore(copy, path, "desk", NOW)
    _, moved = restore(copy, path, "desk", NOW, replace=True)
    assert moved is not None
    assert (3, 2) == (len(rows(moved, "SELECT id FROM run")), len(rows(path, "SELECT id FROM run")))


def test_a_store_that_is_damaged_is_moved_aside_for_its_copy(path: Path, night: Estate, tmp_path: Path) -> None:
    """The one day for which there are copies."""
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    night.store.close()
    path.write_bytes(b"not a database any more" * 500)
    _, moved = restore(copy, path, "desk", NOW, replace=True)
    assert moved is not None
    assert moved.read_bytes().startswith(b"not a database any more")
    assert 2 == len(rows(path, "SELECT id FROM run"))


# -- by command -------------------------------------------------------------------------------------------------------
def test_by_command_a_store_that_is_watched_is_copied_and_not_replaced(
    path: Path, night: Estate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = str(tmp_path / "copy.db")
    assert Exit.OK == main(["--store", str(path), "store", "backup", copy])
    assert "4 jobs, 2 runs" in capsys.readouterr().out
    assert isinstance(lease.acquire_lease(night.store, holder_name(), 60), HeldLease)
    assert Exit.REFUSED == main(["--store", str(path), "store", "restore", copy, "--replace"])
    assert f"an engine works on {path}" in capsys.readouterr().err
    assert os.path.exists(copy)


def test_a_store_on_postgresql_is_left_to_its_own_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.REFUSED == main(
        ["--store", "postgresql://nobody@127.0.0.1:1/x", "store", "backup", str(tmp_path / "copy")]
    )
    assert "pg_dump" in capsys.readouterr().err
