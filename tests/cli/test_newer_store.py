"""A store that a newer Headway wrote: every command refuses it in the same words, and writes nothing into it."""

from __future__ import annotations

import argparse
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.exits import Exit
from console.cli.holds import MarkedJob, _ReleaseAudit
from console.store.errors import StoreTooNew
from tests.cli.lines import all_lines
from tests.engine.bench import estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway
from tests.rows import each_row

CONFIG = '[systems.fake]\nkind = "cron"\nhosts = ["nowhere.invalid"]\nkey = { env = "NO_KEY" }\n'
WITHOUT_STORE = {
    ("version",),
    ("datacheck", "--now"),
    ("datacheck", "nothing", "--date", "odd"),
    ("hold", "--from-native"),
    ("job list", "--state", "odd"),
    ("job list", "--limit", "0"),
    ("forecast tonight", "--date", "odd"),
    ("job findings", "--rule", "odd"),
    ("job",),
    ("incident", "odd"),
    ("ack", "odd"),
    ("alert test",),
    ("service extend",),
    ("service extend", "supply", "--off"),
    ("lineage", "{job}", "--up", "odd"),
    ("incident note",),
    ("incident note", "1", " "),
    ("incident report",),
    ("incident report", "odd"),
    ("oncall", "--at", "odd"),
    ("service", "--date", "odd"),
    ("silence add",),
    ("silence expire",),
    ("plan backfill", "{job}", "--from", "odd", "--to", "2026-01-02"),
    ("hold add", "{job}", "--for", "odd"),
    ("hold", "--release"),
    ("system pause", "fake", "--for", "odd"),
    ("system drift accept",),
    ("alert retry",),
    ("policy test",),
    ("policy pause",),
    ("policy resume",),
    ("policy close",),
    ("audit verify", "--head", "odd"),
    ("shadow report", "--since", "x"),
    ("store backup", "{folder}/none/copy.db"),
    ("connector", "list", "cron"),
    ("connector", "corn"),
    ("connector try",),
    ("connector try", "nobody"),
    ("connector new", "Odd Name"),
    ("connector check", "{folder}/none.toml"),
    ("connector",),
    ("check", "--timeout", "odd"),
    ("check", "--installation", "--no-probe"),
    ("help",),
    ("help", "filters"),
    ("help", "odd"),
}
"""Lines that need no store, or are refused before one is opened; `check --installation` reports it among the rest."""
NEWER_SCHEMA = "has schema 9999, written by a newer Headway; this is Headway "


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of which only alembic's own table says that it is newer; its tables are all there."""
    folder = tmp_path_factory.mktemp("newer")
    scheduler = FakeScheduler()
    scheduler.job("extract")
    with running_bench(folder, scheduler, estate_config(folder, scheduler)) as made:
        scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC), message="exit 1")
        made.turn()
    path = folder / "headway.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    return path


@each_row("line", sorted(set(all_lines()) - WITHOUT_STORE), ids=" ".join)
def test_every_command_refuses_it_and_leaves_it_as_it_is(newer: Path, tmp_path: Path, line: tuple[str, ...]) -> None:
    (tmp_path / "headway.toml").write_text(CONFIG)
    before = newer.read_bytes()
    formats = [term.format(job="fake/extract", run=1, folder=tmp_path) for term in (*line[0].split(), *line[1:])]
    done = headway(str(newer), "--config", str(tmp_path / "headway.toml"), *formats)
    assert (Exit.USAGE, "") == (done.code, done.out)
    assert NEWER_SCHEMA in " ".join(done.err.split())
    assert before == newer.read_bytes()


def test_no_engine_is_stopped_on_it_either(newer: Path) -> None:
    done = headway(str(newer), "engine", "stop")
    assert (Exit.USAGE, True) == (done.code, NEWER_SCHEMA in done.err)


def test_a_copy_does_not_take_its_place(newer: Path, tmp_path: Path) -> None:
    """Its permissions cannot be read, and an engine of a newer version may work on it."""
    before = newer.read_bytes()
    done = headway(str(newer), "store", "restore", str(tmp_path / "copy.db"), "--replace")
    assert (Exit.USAGE, True) == (done.code, NEWER_SCHEMA in done.err)
    assert before == newer.read_bytes()


def test_a_mark_is_never_removed_without_permission(newer: Path) -> None:
    release_audit = _ReleaseAudit(argparse.Namespace(store=str(newer), config=None, why="", anyway=True))
    with pytest.raises(StoreTooNew, match="schema 9999"):
        release_audit.refusal(MarkedJob("fake/t", "extract", "headway-h1", "alice", None, ""))


def test_a_copy_names_the_store_and_no_file_of_ours(newer: Path, tmp_path: Path) -> None:
    done = headway(str(newer), "store", "backup", str(tmp_path / "copy.db"))
    assert (Exit.USAGE, True) == (done.code, f"the store at {newer} {NEWER_SCHEMA}" in " ".join(done.err.split()))
    assert [] == list(tmp_path.iterdir())
