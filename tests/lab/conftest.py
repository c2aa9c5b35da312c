"""Brings the lab's fixtures to the tests of this folder and takes the estate down when the session ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.estate import shared_estate
from tests.lab.fixtures import (
    airflow,
    connect,
    cron_hosts,
    db07,
    estate,
    etl02,
    fresh,
    http_sink,
    kubernetes,
    lab,
    moto,
    postgres,
    smtp,
    store_dsn,
)  # fmt: skip
from tests.lab.needs import what_is_missing

__all__ = [
    "airflow", "connect", "cron_hosts", "db07", "estate", "etl02", "fresh", "http_sink", "kubernetes", "lab",
    "moto", "postgres", "smtp", "store_dsn",
]  # fmt: skip

HERE = Path(__file__).parent
LIMIT_SECONDS = 300
SLOW_STARTERS = {"airflow", "estate", "fresh"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the tests of the lab more time than others, and marks those that wait for Airflow."""
    for item in items:
        if SLOW_STARTERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.airflow)
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_SECONDS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begins the start of Airflow at once where any chosen test will ask for it; the others run meanwhile."""
    asked = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if asked & SLOW_STARTERS and not session.config.option.collectonly and what_is_missing() is None:
        shared_estate().airflow  # noqa: B018  looking starts it


def pytest_sessionfinish() -> None:
    """Also after failures and Ctrl-C; where Python itself is killed, the guard does it."""
    shared_estate().stop()
