"""Every test of the store once more, on PostgreSQL. What only a file has (modes, copies, pragmas) stays with SQLite."""

from __future__ import annotations

import time
from contextlib import closing
from inspect import isfunction, signature
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from connectors.sdk.secrets import SecretStore
from console.domain.settings import RetentionRules
from console.engine.actions.in_flight import ActionsInFlight
from console.engine.supervisor.shard_polling import ShardPolling
from console.store.db import migrate
from console.store.db.database import Database, open_database
from console.store.db.lease import HeldLease, LeaseHolder, acquire_lease
from console.store.errors import StoreMissing, StoreUnusable
from console.store.queries import open_queries
from tests.engine.bench import estate_config
from tests.fakes.scheduler import FakeScheduler
from tests.lab.postgres import PostgresServer
from tests.lab.store_copies import GRANTS, migrated, store_url
from tests.store import (
    test_access,
    test_alerts,
    test_audit,
    test_checks,
    test_decisions,
    test_findings,
    test_holds,
    test_notification_order,
    test_plans,
    test_retention,
    test_services,
)
from tests.store.db import test_change_detector, test_lease, test_open, test_session
from tests.store.estate import Estate, build, estate_of
from tests.store.fixtures import LATER_SCHEMA, later_folder, put_later_migration, reads, store
from tests.store.ingest import test_config_sync, test_converge, test_ingest, test_inventory
from tests.store.queries import test_job_names, test_queries, test_reports
from tests.store.snapshot import test_past_forecasts
from tests.store.test_plans import draft
from tests.store.test_retention import NOW, counts, many_nights, worker_at

__all__ = ["draft", "later_folder", "migrated", "night", "reads", "served", "store", "store_url"]

SHARED = (
    test_open,
    test_lease,
    test_session,
    test_ingest,
    test_converge,
    test_change_detector,
    test_inventory,
    test_config_sync,
    test_decisions,
    test_past_forecasts,
    test_job_names,
    test_queries,
    test_reports,
    test_audit,
    test_access,
    test_services,
    test_plans,
    test_retention,
    test_checks,
    test_alerts,
    test_holds,
    test_findings,
    test_notification_order,
)
MADE_OF_A_STORE = {"draft", "night", "reads", "served", "store", "store_url"}
"""Fixtures that need a store: a test that requests none of them is the same test here as there."""
for _module in SHARED:
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and isfunction(_test) and MADE_OF_A_STORE & signature(_test).parameters.keys():
            globals()[_name] = _test

_numbers = count()


@pytest.fixture
def night(store: Database) -> Estate:
    return estate_of(store)


@pytest.fixture
def served(night: Estate) -> Estate:
    return night


@pytest.mark.parametrize("hours", [-1, 1])
def test_f23_of_engines_whose_clock_is_not_the_databases_one_holds_the_lease(
    store_url: str, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Neither takes the other's lease early, nor does a console call a working engine dead."""
    real = time.time_ns
    with closing(open_database(store_url)) as store, open_queries(store_url) as queries:
        assert isinstance(acquire_lease(store, "one:1", 60), HeldLease)
        monkeypatch.setattr(time, "time_ns", lambda: real() + hours * 3_600_000_000_000)
        monkeypatch.setattr(time, "time", lambda: (real() + hours * 3_600_000_000_000) / 1e9)
        assert isinstance(acquire_lease(store, "two:2", 60), LeaseHolder)
        assert queries.estate.engine().alive
        with store.write(None) as session:
            session.rows("UPDATE lease SET until_us = until_us - 61000000")
        assert not queries.estate.engine().alive
        assert isinstance(acquire_lease(store, "two:2", 60), HeldLease)


def test_an_empty_database_is_no_store_yet(postgres: PostgresServer) -> None:
    """An engine makes one there; no SQL is shown."""
    dsn = postgres.create_database("without_store")
    try:
        with pytest.raises(StoreMissing, match=r"^there is no store at postgresql://\S+ yet\. Fix: start "):
            open_queries(dsn)
    finally:
        postgres.drop_database(dsn)


def test_the_rows_of_tables_are_known_after_a_crash_has_reset_the_statistics(
    postgres: PostgresServer, store_url: str
) -> None:
    """For a login that may only read, too: small tables are counted, the others have the planner's estimate."""
    login = f"sized_{next(_numbers)}"
    text = "CREATE ROLE {} LOGIN PASSWORD 'pw' IN ROLE headway_store_view"
    with closing(open_database(store_url)) as store, psycopg.connect(store_url, autocommit=True) as owner:
        owner.execute(GRANTS.read_bytes())
        owner.execute(sql.SQL(text).format(sql.Identifier(login)))
        owner.execute("ALTER TABLE run SET (autovacuum_enabled = false)")
        owner.execute("ALTER TABLE job SET (autovacuum_enabled = false)")
        night = build(store)
        many_nights(night, 1)
        with open_queries(store_url.replace("://lab@", f"://{login}:pw@")) as queries:
            for _ in range(2):
                owner.execute("SELECT pg_stat_reset()")
                sizes = {size.table: size for size in queries.table_sizes(RetentionRules())}
                runs, size = counts(night)["run"], sizes["run"]
                assert night.fetch_one("SELECT count(*) FROM job") == sizes["job"].rows
                assert runs == pytest.approx(size.rows, rel=0.05)
                assert 0 < (size.free_size or 0) < (size.size or 0)
                owner.execute("ANALYZE run")


def test_an_upgrade_without_its_grants_is_named_with_the_fix_and_alerting_goes_on(
    postgres: PostgresServer, store_url: str, tmp_path: Path
) -> None:
    """The engine's login meets a later schema that it may not make, then new tables without their grants."""
    login = f"upgraded_{next(_numbers)}"
    text = "CREATE ROLE {} LOGIN PASSWORD 'pw' IN ROLE headway_store_engine"
    with psycopg.connect(store_url, autocommit=True) as owner:
        owner.execute(GRANTS.read_bytes())
        owner.execute(sql.SQL(text).format(sql.Identifier(login)))
        owner.execute("REVOKE ALL ON external_alert, engine FROM headway_store_engine")
    engine_url = store_url.replace("://lab@", f"://{login}:pw@")
    not_owner = rf"migrated to schema {LATER_SCHEMA}\. Fix: start this version's engine once as"
    with closing(open_database(engine_url)) as store, pytest.raises(StoreUnusable, match=not_owner):
        migrate.migrate(store.engine, None, put_later_migration(tmp_path / "migrations", "pass"))
    with closing(open_database(store_url)) as store:
        many_nights(build(store), 1)
    with closing(open_database(engine_url)) as store:
        lease = acquire_lease(store, "one:1", 60)
        assert isinstance(lease, HeldLease)
        worker = worker_at(build(store), NOW)
        worker.step(lease.fence)
        assert "permission denied for table external_alert. Fix: as the store's owner" in worker.trouble
        polling = ShardPolling(store, SecretStore(), ActionsInFlight(1))
        polling.run(lambda: bool(polling.trouble()), lambda: estate_config(tmp_path, FakeScheduler()), 15, 3)
        assert "permission denied for table engine. Fix: as the store's owner" in polling.trouble()
    with open_queries(engine_url) as queries, pytest.raises(StoreUnusable, match="Fix: as the store's owner"):
        queries.table_sizes(RetentionRules())
