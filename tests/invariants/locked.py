"""Locks and writes by other processes during a test."""

from __future__ import annotations

import os
import sqlite3
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

from console.store.db.database import open_database
from console.store.errors import StoreUnusable
from console.store.queries import open_queries
from tests.lab.process import HANGS_SECONDS

UNPRIVILEGED_UID = 65534


def hold(url: str, held: Event, let_go: Event) -> None:
    """Locks the store until it gets the order to release."""
    raw = sqlite3.connect(url, isolation_level=None, timeout=10)
    raw.execute("BEGIN EXCLUSIVE")
    held.set()
    let_go.wait(HANGS_SECONDS)
    raw.execute("ROLLBACK")
    raw.close()


def refused(url: str, answers: Queue[dict[str, str]]) -> None:
    """Opens the store as somebody who may only read it; puts what engine and console say."""
    path = Path(url)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    if os.geteuid() == 0:
        for folder in path.parents:  # pytest's folders are root's own; this process must get through them
            if not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        os.setuid(UNPRIVILEGED_UID)
    details = {"engine": "", "console": ""}
    try:
        open_database(url).close()
    except StoreUnusable as error:
        details["engine"] = str(error)
    try:
        open_queries(url).close()
    except StoreUnusable as error:
        details["console"] = str(error)
    answers.put(details)
