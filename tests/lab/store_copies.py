"""Stores on the lab's PostgreSQL: each test has a copy of one that was made once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from console.store.db.database import open_database
from tests.lab.postgres import PostgresServer
from tests.store.estate import build, serve

GRANTS = Path(__file__).parents[2] / "console" / "store" / "grants.sql"
ESTATES = {"served": serve, "night": build}
"""What makes the estate that a test requests by its fixture."""
_numbers = count()


@pytest.fixture(scope="module")
def migrated(postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """Names of databases to be copied: what the migrations made, not before every test, and at first need the estates
    of `ESTATES` in it."""
    dsn = postgres.create_database("template")
    open_database(dsn).close()
    psycopg.connect(dsn).close()  # its server process caches the new tables in a file, which a copy has too
    names = {"store": dsn.rpartition("/")[2]}
    yield names
    for name in names.values():
        postgres.drop_database(postgres.dsn(name))


def copied(postgres: PostgresServer, name: str) -> str:
    """The name of a copy of that database, made of its files: logged block by block it takes twice the CPU."""
    copy = f"store_copy_{next(_numbers)}"
    query = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    postgres.administer(query.format(sql.Identifier(copy), sql.Identifier(name)))
    return copy


@pytest.fixture
def store_url(postgres: PostgresServer, migrated: dict[str, str], request: pytest.FixtureRequest) -> Iterator[str]:
    """In the place of a file's path: a fresh copy, with the estate in it that the test requests."""
    fixture = next((name for name in ESTATES if name in request.fixturenames), "store")
    if fixture not in migrated:
        migrated[fixture] = copied(postgres, migrated["store"])
        with closing(open_database(postgres.dsn(migrated[fixture]))) as store:
            ESTATES[fixture](store)
    dsn = postgres.dsn(copied(postgres, migrated[fixture]))
    yield dsn
    postgres.drop_database(dsn)
