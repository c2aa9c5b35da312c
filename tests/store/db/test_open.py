"""Opening a store: made, migrated, refused; and what a write promises."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from console.domain.ids import instant
from console.store.db import client, lease, migrate
from console.store.db.database import Database, open_database, open_read_only
from console.store.db.postgres_objects import new_objects
from console.store.db.schema_objects import SQLITE_DIGEST, objects_digest, sqlite_objects
from console.store.db.schema_version import FIRST_SCHEMA, SCHEMA
from console.store.db.session import SqliteAdapter
from console.store.errors import LeaseLost, StoreGone, StoreTooNew, StoreUnusable
from console.store.meta import next_changed_seq
from console.store.queries import open_queries
from tests.store.estate import Estate
from tests.store.fixtures import LATER_SCHEMA


def execute(store: Database, sql: str) -> None:
    with store.write(None) as connection:
        connection.rows(sql)


def test_all_migrations_together_make_the_declared_tables(store: Database) -> None:
    with store.engine.connect() as connection:
        assert [] == compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)


def test_no_row_that_clients_insert_refers_to_a_row_of_the_engine() -> None:
    """On PostgreSQL the reference locks that row until the client's transaction ends: the engine cannot rename it."""
    own = set(re.findall(r"INSERT INTO (\w+)", (Path(client.__file__).parents[1] / "grants.sql").read_text()))
    tables = SQLModel.metadata.tables
    assert {"action", "plan", "plan_step", "request"} <= own <= tables.keys()
    assert set() == {key.column.table.name for name in own for key in tables[name].foreign_keys} - own


def test_the_list_of_objects_on_postgresql_has_the_declared_columns() -> None:
    """Where it has not: python -m tests.lab.postgres_objects."""
    listed = {name for name, _ in new_objects() if name.startswith("column ")}
    declared = {f"column {column}" for table in SQLModel.metadata.tables.values() for column in table.columns}
    assert declared == listed - {"column alembic_version.version_num"}


def test_a_store_that_is_opened_again_is_as_it_was(store: Database, store_url: str, night: Estate) -> None:
    before = night.rows("SELECT * FROM job ORDER BY id")
    again = open_database(store_url)
    assert before == Estate(again, night.host, night.airflow).rows("SELECT * FROM job ORDER BY id")
    again.close()


def test_a_snapshot_stays_consistent_while_others_write(store: Database) -> None:
    """An evaluation that saw two states of the estate would judge one that never was."""
    seq = "SELECT value FROM meta WHERE name = 'changed_seq'"
    with store.write(None) as connection:
        next_changed_seq(connection)
    with store.read() as connection:
        assert "1" == connection.rows(seq)[0][0]
        with store.write(None) as other:
            next_changed_seq(other)
        assert "1" == connection.rows(seq)[0][0]
    with store.read() as connection:
        assert "2" == connection.rows(seq)[0][0]


def test_a_store_of_a_newer_headway_is_refused_by_name(store: Database, store_url: str) -> None:
    execute(store, "UPDATE alembic_version SET version_num = '9999'")
    execute(store, "UPDATE meta SET value = '9999' WHERE name = 'schema'")
    execute(store, "UPDATE meta SET value = '7.5.0' WHERE name = 'version'")
    with pytest.raises(StoreTooNew, match=r"schema 9999, written by Headway 7\.5\.0.*Install Headway 7\.5\.0"):
        open_database(store_url)
    with pytest.raises(StoreTooNew, match=r"schema 9999, written by Headway 7\.5\.0"):
        open_queries(store_url)


def test_a_newer_store_is_refused_by_readers_and_askers_by_what_the_engine_goes_by(
    store: Database, store_url: str
) -> None:
    """Alembic's own table; a note of ours beside it may say anything."""
    execute(store, "UPDATE alembic_version SET version_num = '9999'")
    text = r"schema 9999, written by a newer Headway; .*Install a newer Headway"
    with pytest.raises(StoreTooNew, match=text):
        open_database(store_url)
    with pytest.raises(StoreTooNew, match=text):
        open_queries(store_url)
    for writes in (True, False):
        with pytest.raises(StoreTooNew, match=text), client.client_transaction(store_url, writes):
            raise AssertionError("this was let in")


def test_readers_know_the_first_and_the_newest_schema() -> None:
    scripts = ScriptDirectory(str(migrate.FOLDER))
    assert (FIRST_SCHEMA, SCHEMA) == (scripts.get_base(), scripts.get_current_head())


def test_an_older_store_is_migrated_and_keeps_its_rows(night: Estate, later_folder: Callable[[str], Path]) -> None:
    tables = [table.name for table in SQLModel.metadata.sorted_tables if table.name != "meta"]
    before = {table: night.rows(f'SELECT * FROM "{table}" ORDER BY 1') for table in tables}
    migrate.migrate(night.store.engine, night.store.path, later_folder("pass"))
    assert LATER_SCHEMA == night.fetch_one("SELECT version_num FROM alembic_version")
    assert LATER_SCHEMA == night.fetch_one("SELECT value FROM meta WHERE name = 'schema'")
    assert before == {table: night.rows(f'SELECT * FROM "{table}" ORDER BY 1') for table in tables}
    assert [] == night.rows("SELECT * FROM meta WHERE added IS NOT NULL")


@pytest.mark.parametrize("schema", ["0001", "0011"])
def test_a_store_of_a_development_version_is_refused_with_the_fix(store: Database, store_url: str, schema: str) -> None:
    execute(store, f"UPDATE alembic_version SET version_num = '{schema}'")
    text = rf"schema {schema} of a development version.* Fix: move it away .* start \"headway engine\""
    with pytest.raises(StoreUnusable, match=text):
        open_database(store_url)
    with pytest.raises(StoreUnusable, match=text):
        open_queries(store_url)
    with pytest.raises(StoreUnusable, match=text), client.client_transaction(store_url):
        raise AssertionError("this was let in")


def test_a_migration_that_breaks_leaves_the_store_as_it_was(night: Estate, later_folder: Callable[[str], Path]) -> None:
    with pytest.raises(RuntimeError, match="half way"):
        migrate.migrate(night.store.engine, night.store.path, later_folder('raise RuntimeError("half way")'))
    assert SCHEMA == night.fetch_one("SELECT version_num FROM alembic_version")
    with pytest.raises(Exception, match="added"):
        night.rows("SELECT added FROM meta")


def test_a_database_that_holds_something_else_is_left_alone(store_url: str, store: Database) -> None:
    execute(store, "DROP TABLE alembic_version")
    with pytest.raises(StoreUnusable, match="holds tables that Headway did not make"):
        open_database(store_url)


def test_a_transaction_is_written_or_rolled_back_whole(store: Database) -> None:
    execute(store, "INSERT INTO meta (name, value) VALUES ('kept', '1')")

    def break_in_the_middle() -> None:
        with store.write(None) as connection:
            connection.rows("INSERT INTO meta (name, value) VALUES ('lost', '1')")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        break_in_the_middle()
    with store.read() as connection:
        names = [row[0] for row in connection.rows("SELECT name FROM meta WHERE value = '1'")]
    assert ["kept"] == names


def test_changes_are_numbered_upwards(store: Database) -> None:
    numbers = []
    for _ in range(3):
        with store.write(None) as connection:
            numbers.append(next_changed_seq(connection))
    assert [1, 2, 3] == numbers
    assert 3 == store.changed_seq()


def test_an_intent_is_on_the_disk_when_the_write_returns(store: Database) -> None:
    with store.write(None, durable=True) as connection:
        connection.rows("INSERT INTO meta (name, value) VALUES ('intent', '1')")
        if store.is_sqlite:
            assert 2 == connection.rows("PRAGMA synchronous")[0][0]
    with store.write(None) as connection:
        if store.is_sqlite:
            assert 1 == connection.rows("PRAGMA synchronous")[0][0]


def test_a_write_with_an_old_fence_is_refused_and_writes_nothing(store: Database) -> None:
    first = lease.acquire_lease(store, "one", 10, now_us=0)
    assert isinstance(first, lease.HeldLease)
    second = lease.acquire_lease(store, "two", 10, now_us=11_000_000)
    assert isinstance(second, lease.HeldLease)
    with (
        pytest.raises(LeaseLost, match="fence 1 is lost: two holds the store now"),
        store.write(first.fence) as connection,
    ):
        connection.rows("INSERT INTO meta (name, value) VALUES ('late', '1')")
    with store.write(second.fence) as connection:
        assert [] == connection.rows("SELECT value FROM meta WHERE name = 'late'")


def test_the_clock_row_is_read_where_there_is_one(store: Database) -> None:
    assert None is store.clock_setting()
    execute(store, "INSERT INTO clock (id, origin_us, started_us, rate, paused) VALUES (1, 0, 1000000, 60, FALSE)")
    hand = store.clock_setting()
    assert hand is not None
    assert (instant(0), instant(1_000_000), 60.0, False) == (hand.origin, hand.started, hand.rate, hand.paused)


# -- only a file has these --------------------------------------------------------------------------------------------
class TestFile:
    def test_the_file_is_for_its_owner_only(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "headway.db"
        opened = open_database(str(path))
        execute(opened, "INSERT INTO meta (name, value) VALUES ('a', 'b')")
        modes = {stat.S_IMODE(candidate.stat().st_mode) for candidate in path.parent.iterdir()}
        opened.close()
        assert {0o600} == modes
        assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)

    def test_an_older_store_is_copied_before_it_is_migrated(
        self, tmp_path: Path, later_folder: Callable[[str], Path]
    ) -> None:
        path = tmp_path / "headway.db"
        opened = open_database(str(path))
        execute(opened, "INSERT INTO meta (name, value) VALUES ('a', 'b')")
        migrate.migrate(opened.engine, opened.path, later_folder("pass"))
        opened.close()
        copy = tmp_path / f"headway.db.{SCHEMA}.bak"
        assert 0o600 == stat.S_IMODE(copy.stat().st_mode)
        with sqlite3.connect(copy) as old:
            assert [(SCHEMA,)] == old.execute("SELECT version_num FROM alembic_version").fetchall()
            assert [("b",)] == old.execute("SELECT value FROM meta WHERE name = 'a'").fetchall()
        old.close()

    def test_a_file_that_is_no_database_is_reported_with_its_place(self, tmp_path: Path) -> None:
        path = tmp_path / "headway.db"
        path.write_text("not a database, but long enough to look like one" * 40)
        with pytest.raises(StoreUnusable, match=r"headway\.db: file is not a database"):
            open_database(str(path))
        with pytest.raises(StoreUnusable, match=r"headway\.db.*file is not a database"):
            open_queries(str(path))

    def test_an_unwritable_place_is_reported_with_the_reason(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreUnusable, match=r"file/headway\.db: Not a directory"):
            open_database(str(tmp_path / "file" / "headway.db"))

    def test_a_missing_store_is_reported_to_readers_and_not_created(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnusable, match=r'there is no store at .*Fix: start "headway engine"'):
            open_queries(str(tmp_path / "headway.db"))
        assert [] == list(tmp_path.iterdir())

    def test_the_settings_that_were_measured_are_set(self, tmp_path: Path) -> None:
        opened = open_database(str(tmp_path / "headway.db"))
        with opened.read() as connection:
            rows = {
                name: connection.rows(f"PRAGMA {name}")[0][0]
                for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "busy_timeout")
            }
        opened.close()
        assert {"journal_mode": "wal", "synchronous": 1, "wal_autocheckpoint": 2_000, "busy_timeout": 30_000} == rows


def test_a_store_that_vanished_before_a_query_is_reported_with_its_place_and_fix(tmp_path: Path) -> None:
    path = tmp_path / "gone.db"
    with pytest.raises(StoreUnusable, match=f"file is gone: {path} .No such file or directory.. Fix: move it back"):
        open_read_only(str(path))
    assert [] == list(tmp_path.iterdir())


def test_a_store_that_is_current_is_opened_without_the_tools_that_migrate(tmp_path: Path) -> None:
    """They are 9 MB of a process that may run for months."""
    path = tmp_path / "headway.db"
    open_database(str(path)).close()
    opens = f"from console.store.db.database import open_database as open_store; open_store({str(path)!r}).close()"
    question = f"import sys; {opens}; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", question], stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.strip() == "False"


def test_a_store_opened_twice_in_one_process_keeps_its_log_as_another_process_leaves(tmp_path: Path) -> None:
    """A file that one closes loses the locks that SQLite holds on it in the same process."""
    file = tmp_path / "store.db"
    first = open_database(str(file))
    second = open_database(str(file))
    execute(first, "CREATE TABLE kept (word TEXT)")
    script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM kept'); db.close()"
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)
    has_log = file.with_name("store.db-wal").exists()
    second.close()
    first.close()
    assert has_log


@pytest.mark.parametrize("is_emptied", [False, True])
def test_a_missing_store_with_a_remaining_log_is_lost_and_not_new(tmp_path: Path, is_emptied: bool) -> None:
    path = tmp_path / "headway.db"
    path.with_name("headway.db-wal").write_bytes(b"rows")
    if is_emptied:
        path.touch()
    text = r"file is gone: .*its log is still beside it.* for a new, empty store remove .*/headway\.db-wal$"
    with pytest.raises(StoreGone, match=text):
        open_database(str(path))
    with pytest.raises(StoreGone, match=text):
        open_queries(str(path))
    assert b"rows" == path.with_name("headway.db-wal").read_bytes()


def test_the_note_of_an_engine_that_is_removed_while_it_is_read_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_noted_text", lambda path: lease.holder_name())
    assert None is lease.noted_engine(tmp_path / "headway.db")


def test_an_ended_engine_leaves_a_note_that_a_store_was_there(tmp_path: Path) -> None:
    path = tmp_path / "headway.db"
    lease.note_engine(path, lease.holder_name())
    lease.note_engine_end(path, "elsewhere:1~c0ffee")
    assert (lease.holder_name(), os.getpid()) == lease.noted_engine(path)
    lease.note_engine_end(path, lease.holder_name())
    assert None is lease.noted_engine(path)
    with pytest.raises(StoreUnusable, match=r"file is gone: .* for a new, empty store remove .*\.headway\.db\.engine"):
        open_database(str(path))


def test_the_digest_of_the_schema_is_that_of_a_new_store(tmp_path: Path) -> None:
    """Where it is not, each open would make a new store to compare with."""
    open_database(str(tmp_path / "new.db")).close()
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        assert SQLITE_DIGEST == objects_digest(sqlite_objects(SqliteAdapter(connection)))
