"""Brings the lab's fixtures to the tests of this folder and takes the estate down when its group of tests ends."""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import cache

import pytest

from tests import runner
from tests.lab.estate import shared_estate
from tests.lab.fixtures import (  # fmt: skip
    airflow,
    connect,
    cron_hosts,
    db07,
    end_shared,
    estate,
    etl02,
    fresh,
    http_sink,
    kubernetes,
    lab,
    moto,
    postgres,
    smoke_estate,
    smtp,
    store_dsn,
)
from tests.lab.needs import what_is_missing

__all__ = [
    "airflow", "connect", "cron_hosts", "db07", "estate", "etl02", "fresh", "http_sink", "kubernetes", "lab",
    "moto", "postgres", "smoke_estate", "smtp", "store_dsn",
]  # fmt: skip

collect_ignore = [] if "LAB_AIRFLOWS" in os.environ else ["test_airflow_versions_real.py"]
SLOW_STARTERS = {"airflow", "estate", "fresh"}
_groups_with_airflow: set[str | None] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that wait for Airflow."""
    for item in items:
        if SLOW_STARTERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.airflow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Records which groups need Airflow."""
    waiting = (item for item in session.items if item.get_closest_marker("airflow"))
    _groups_with_airflow.update(runner.group_name(item) for item in waiting)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begins the start of Airflow with the first test of a group that requests it; the other tests run meanwhile."""
    if runner.group_name(item) in _groups_with_airflow and _can_start():
        shared_estate().airflow  # noqa: B018  reading it starts it


@cache
def _can_start() -> bool:
    return what_is_missing() is None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Ends the estate with its group, so that the next group on this worker starts with none."""
    try:
        return (yield)
    finally:
        if runner.is_last_of_group(item, nextitem):
            end_shared()


def pytest_sessionfinish() -> None:
    """Also after Ctrl-C; where Python itself is killed, the guard does it."""
    end_shared()
