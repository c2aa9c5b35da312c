"""Every test of the store once more, on PostgreSQL. What only a file has (modes, copies, pragmas) stays with SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from psycopg import sql

from console.store.db.database import open_database
from tests.lab.postgres import PostgresServer
from tests.store import (
    test_access,
    test_alerts,
    test_audit,
    test_back_tests,
    test_checks,
    test_decisions,
    test_findings,
    test_holds,
    test_notification_order,
    test_plans,
    test_services,
)
from tests.store.db import test_change_detector, test_lease, test_open, test_session
from tests.store.fixtures import later_folder, night, reads, served, store
from tests.store.ingest import test_config_sync, test_converge, test_ingest, test_inventory
from tests.store.queries import test_job_names, test_queries
from tests.store.snapshot import test_past_forecasts
from tests.store.test_plans import draft

__all__ = ["draft", "later_folder", "night", "reads", "served", "store", "store_url"]

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
    test_back_tests,
    test_job_names,
    test_queries,
    test_audit,
    test_access,
    test_services,
    test_plans,
    test_checks,
    test_alerts,
    test_holds,
    test_findings,
    test_notification_order,
)
for _module in SHARED:
    globals().update({name: found for name, found in vars(_module).items() if name.startswith("test_")})

_numbers = count()


@pytest.fixture(scope="module")
def migrated(postgres: PostgresServer) -> Iterator[str]:
    """The name of a database that the migrations made, to be copied: 70 statements once, not before every test."""
    dsn = postgres.create_database("template")
    open_database(dsn).close()
    yield dsn.rpartition("/")[2]
    postgres.drop_database(dsn)


@pytest.fixture
def store_url(postgres: PostgresServer, migrated: str) -> Iterator[str]:
    """In the place of a file's path: a fresh copy."""
    name = f"store_copy_{next(_numbers)}"
    words = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(migrated))
    postgres.execute(words, database="postgres")
    dsn = postgres.dsn(name)
    yield dsn
    postgres.drop_database(dsn)
