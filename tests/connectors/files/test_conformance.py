"""Folders of this machine; over SFTP: tests/lab/test_files_real.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.files.client import LocalFolders
from connectors.files.connector import CONNECTOR
from connectors.files.options import FilesOptions
from connectors.sdk.conformance import Deadlines, Faults, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.file_arrivals import NO_LOG, ArrivalConnector
from tests.fakes.login import keys_in, login_folder, no_secret

DAY = 86_400
NO_REPLIES = "a folder lists names, sizes and times"
UNPLAYED: Mapping[str, str] = {
    "answering": NO_REPLIES,
    "long_log": NO_LOG,
    "crowded": "of each job the newest 1,000 files are watched",
}


def options_of(folder: Path, **given: Any) -> FilesOptions:
    files = {
        name: {"path": f"{folder}/{name}_%Y%m%d.csv", "at": "03:00", "min_bytes": 10} for name in ("orders", "stock")
    }
    return FilesOptions.model_validate({"hosts": [{"name": "here", "local": True}], "files": files, **given})


def put(folder: Path, name: str, days: int, size: int) -> Path:
    """A file that was written so many days ago."""
    at = time.time() - days * DAY
    path = folder / f"{name}_{time.strftime('%Y%m%d', time.gmtime(at))}.csv"
    path.write_bytes(b"x" * size)
    os.utime(path, (at, at))
    return path


@pytest.fixture(scope="class")
def folder(request: pytest.FixtureRequest) -> Iterator[None]:
    with login_folder("files") as folder:
        request.cls.folder = folder
        put(folder, "orders", 2, 2000)
        put(folder, "stock", 3, 2000)
        put(folder, "stock", 2, 3)
        yield


@pytest.mark.usefixtures("folder")
class TestFolders(Reads, Deadlines, Faults):
    kind = CONNECTOR
    against = "real: folders of this machine"
    folder: Path
    limits: ClassVar[Mapping[str, str]] = {"unknown_word": "the kind defines its own states"}
    unplayed = UNPLAYED
    elsewhere: ClassVar[Mapping[str, str]] = {"with_a_right_revoked": "tests/lab/test_files_real.py"}

    def connector(self) -> Connector:
        options = options_of(self.folder)
        minutes = iter(range(0, 10_000, 2))  # each call is two minutes after the last
        begin = time.time()
        reader, now = LocalFolders("here"), lambda: begin + 60 * next(minutes)
        return ArrivalConnector(reader, "here", options.files, options.zone, lambda folder: ("list", "x"), now)

    def connector_at(self, host: str, port: int) -> Connector:
        entry = {"name": "far", "address": host, "port": port}
        return CONNECTOR.open(options_of(self.folder, hosts=[entry], **keys_in(self.folder)), "far", no_secret)

    def make_success(self) -> str:
        return "here:orders"

    def make_failure(self) -> str:
        return "here:stock"

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        """A copy that keeps times brings a file from before the last poll."""

        def behind() -> str:
            path = put(self.folder, "stock", 9, 3)
            return f"{path}@{int(path.stat().st_mtime)}.3"

        return self.connector(), behind
