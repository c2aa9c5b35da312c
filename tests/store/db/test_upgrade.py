"""A store with a bad night in it that an older Headway kept: nothing is lost, and nobody is told anything twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import SQLModel

from console.control.evaluate import evaluate
from console.domain.estate import EvaluationSettings
from console.domain.settings import DependencySetting
from console.store.config_sync import sync_config
from console.store.db import migrate
from console.store.db.database import Database, open_database, open_read_only
from console.store.decisions import apply_decisions
from console.store.snapshot.estate import load_estate
from tests.store.estate import EXTRACT, LOAD, MIDNIGHT, SERVED, SUPPLY, Estate, at, failed, run, target_id
from tests.store.fixtures import migrations_until

ROUTES = {"platform": ("env A",), "planners": ("env B",)}
NIGHT = replace(
    SERVED,
    jobs=(replace(SERVED.jobs[0], notify=("platform",)),),
    services=(replace(SUPPLY, deadline=time(4, 40), notify=("planners",)),),
    dependencies=(DependencySetting(EXTRACT, LOAD),),
)


def told(store: Database, now: str) -> list[tuple[str, str]]:
    """(route, kind) of what leaves now."""
    decisions = evaluate(load_estate(store, at(now), EvaluationSettings()), at(now))
    apply_decisions(store, decisions, at(now), store.changed_seq(), None, ROUTES)
    return sorted((one.route, one.kind.value) for each in decisions.incidents for one in each.notices)


def as_an_older_one(store: Database, url: str, folder: Path, schema: str) -> None:
    """The rows of the store as the version with that schema would have kept them, at `url`."""
    migrations_until(folder, schema)
    if not url.startswith("postgresql"):
        Path(url).touch()  # a look makes no file
    older = open_read_only(url)
    migrate.migrate(older.engine, older.path, folder)
    known = set(sa.inspect(older.engine).get_table_names())
    with store.engine.connect() as source, older.engine.begin() as target:
        target.exec_driver_sql("DELETE FROM meta")
        for table in (one for one in SQLModel.metadata.sorted_tables if one.name in known):
            _copy(table.name, source, target)
    older.close()


def _copy(name: str, source: sa.Connection, target: sa.Connection) -> None:
    older = sa.Table(name, sa.MetaData(), autoload_with=target, resolve_fks=False)
    rows = [dict(row) for row in source.execute(sa.select(*older.columns)).mappings()]
    if rows:
        target.execute(older.insert(), rows)
    if rows and "id" in older.columns and target.dialect.name == "postgresql":
        number = f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM \"{name}\"))"
        if target.exec_driver_sql(f"SELECT pg_get_serial_sequence('{name}', 'id')").scalar_one() is not None:
            target.exec_driver_sql(number)


def set_in_shadow(url: str) -> None:
    """As if another route had been in shadow when they were told."""
    store = open_read_only(url)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE incident SET fingerprint = replace(fingerprint, 'false]', 'false,[\"x\"]]')")
        assert "x" in connection.exec_driver_sql("SELECT fingerprint FROM incident").scalar_one()
    store.close()


def test_a_store_of_schema_0003_keeps_its_night_and_tells_nothing_twice(
    night: Estate, bare_url: str, tmp_path: Path
) -> None:
    sync_config(night.store, NIGHT, MIDNIGHT, None)
    night.ingest(failed())
    assert [("planners", "opened"), ("platform", "opened")] == told(night.store, "03:30")
    as_an_older_one(night.store, bare_url, tmp_path / "folder", "0003")
    set_in_shadow(bare_url)
    before = load_estate(night.store, at("03:31"), EvaluationSettings())
    opened = open_database(bare_url)
    sync_config(opened, NIGHT, MIDNIGHT, None)
    after = load_estate(opened, at("03:31"), EvaluationSettings())
    assert before.services == after.services
    assert before.dependencies == after.dependencies
    assert before.runs == after.runs
    assert [] == told(opened, "03:31")
    assert [] == told(opened, "03:32")
    again = Estate(opened, target_id(opened, "etl-hosts"), target_id(opened, "airflow"))
    again.ingest(run(attempt="2", started_at=at("03:35"), ended_at=at("03:40")), now="03:41")
    assert [("planners", "recovered"), ("platform", "recovered")] == told(opened, "03:41")
    assert [] == told(opened, "03:42")
    opened.close()
