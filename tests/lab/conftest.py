"""Brings the lab's fixtures to the tests of this folder and takes the estate down when the session ends."""

from __future__ import annotations

from tests.lab.estate import shared_estate
from tests.lab.fixtures import cron_hosts, db07, etl02, http_sink, lab, moto, postgres, smtp, store_dsn

__all__ = ["cron_hosts", "db07", "etl02", "http_sink", "lab", "moto", "postgres", "smtp", "store_dsn"]


def pytest_sessionfinish() -> None:
    """Also after failures and Ctrl-C; where Python itself is killed, the guard does it."""
    shared_estate().stop()
