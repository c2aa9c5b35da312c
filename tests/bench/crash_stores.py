"""Where the nights of the crash bench keep their stores: each gets a copy of one that was made once, a file or a
database of a private PostgreSQL."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Protocol

from psycopg import sql

from console.store.db.database import open_database
from tests.invariants.engines import STORE, store_of
from tests.invariants.test_plans_killed import approved_plan
from tests.lab.needs import POSTGRES_BIN
from tests.lab.postgres import PostgresServer


class Stores(Protocol):
    """Folders of nights with their stores."""

    name: str

    def copy(self, template: str, folder: Path) -> None:
        """Makes the folder: "empty" with a store of no job, "planned" where two have failed and a plan is approved."""
        ...

    def keep(self, folder: Path, place: Path) -> None:
        """Copies the folder with all of its store, for later inspection."""
        ...

    def drop(self, folder: Path) -> None: ...

    def close(self) -> None: ...


def _empty(folder: Path) -> None:
    open_database(store_of(folder)).close()


TEMPLATES: dict[str, Callable[[Path], object]] = {"empty": _empty, "planned": approved_plan}


class Files:
    """SQLite."""

    name = "sqlite"

    def __init__(self, root: Path) -> None:
        self._root = root
        for name, fill in TEMPLATES.items():
            (root / name).mkdir()
            fill(root / name)

    def copy(self, template: str, folder: Path) -> None:
        shutil.copytree(self._root / template, folder)

    def keep(self, folder: Path, place: Path) -> None:
        shutil.copytree(folder, place)

    def drop(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        return


class Databases:
    """PostgreSQL, ended with `close`."""

    name = "postgres"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = count(1)
        self._copying = Lock()
        """A template may have no other visitor."""
        self._server = PostgresServer(root / "server")
        self._server.start()
        for name, fill in TEMPLATES.items():
            (root / name).mkdir()
            (root / name / STORE).write_text(self._server.create_database(name))
            fill(root / name)

    def copy(self, template: str, folder: Path) -> None:
        shutil.copytree(self._root / template, folder)
        source = store_of(folder).rpartition("/")[2]
        made = f"night_{next(self._numbers)}"
        query = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(made), sql.Identifier(source))
        with self._copying:
            self._server.execute(query, database="postgres")
        (folder / STORE).write_text(self._server.dsn(made))

    def keep(self, folder: Path, place: Path) -> None:
        shutil.copytree(folder, place)
        argv = [str(POSTGRES_BIN / "pg_dump"), "--file", str(place / "store.sql"), store_of(folder)]
        subprocess.run(argv, check=True)

    def drop(self, folder: Path) -> None:
        self._server.drop_database(store_of(folder))
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        self._server.stop(crash=True)
