"""A fresh store for each test. SQLite here; tests/lab/test_store_postgres.py runs the same tests on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.store.config_sync import sync_config
from console.store.db import migrate
from console.store.db.database import Database
from console.store.db.schema_version import SCHEMA
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from tests.store.estate import MIDNIGHT, SERVED, Estate, build, set_clock
from tests.store.ready import open_ready


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "headway.db")


@pytest.fixture
def store(store_url: str) -> Iterator[Database]:
    opened = open_ready(store_url)
    yield opened
    opened.close()


@pytest.fixture
def night(store: Database) -> Estate:
    """One cron system with one host and three jobs, and an Airflow with one."""
    return build(store)


@pytest.fixture
def served(night: Estate) -> Estate:
    """The same estate with a service and a declared dependency."""
    sync_config(night.store, SERVED, MIDNIGHT, None)
    return night


@pytest.fixture
def reads(served: Estate, store_url: str) -> Iterator[Queries]:
    """Readers of that estate at 03:20:10."""
    set_clock(served, "03:20:10")
    with open_queries(store_url) as opened:
        yield opened


LATER_SCHEMA = f"{int(SCHEMA) + 1:04}"
LATER = f'''
"""A later schema."""
import sqlalchemy as sa
from alembic import op
revision = "{LATER_SCHEMA}"
down_revision = "{SCHEMA}"
def upgrade():
    op.add_column("meta", sa.Column("added", sa.Text(), nullable=True))
    {{then}}
'''


@pytest.fixture
def later_folder(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder with the project's migrations and one more, whose last statement is given."""
    return lambda then: put_later_migration(tmp_path / "migrations", then)


def put_later_migration(folder: Path, then: str) -> Path:
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    names = ["env.py", "script.py.mako", *(f"versions/{path.name}" for path in migrate.FOLDER.glob("versions/*.py"))]
    for name in names:
        (folder / name).write_text((migrate.FOLDER / name).read_text())
    (folder / "versions" / f"{LATER_SCHEMA}_later.py").write_text(LATER.replace("{then}", then))
    return folder
