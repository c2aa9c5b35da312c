"""The objects of a new store on PostgreSQL: `python -m tests.lab.postgres_objects` writes the list that stores are
compared with."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import psycopg
from sqlalchemy import create_engine

from console.store.db.migrate import migrate
from console.store.db.postgres_objects import NEW_STORE, postgres_objects
from console.store.db.session import PostgresAdapter
from tests.lab.postgres import PostgresServer


def listed(dsn: str) -> str:
    """The list of the objects of a store that is made there, as `NEW_STORE` has it."""
    engine = create_engine(dsn.replace("postgresql:", "postgresql+psycopg:"))
    migrate(engine, None)
    engine.dispose()
    with psycopg.connect(dsn) as connection:
        return json.dumps(dict(sorted(postgres_objects(PostgresAdapter(connection)))), indent=0) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(Path(folder) / "postgres")
        server.start()
        try:
            NEW_STORE.write_text(listed(server.create_database()))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
