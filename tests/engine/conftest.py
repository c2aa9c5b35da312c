"""The bench of two jobs, one service and one route."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler


@pytest.fixture(autouse=True, scope="package")
def one_tls_context() -> Iterator[None]:
    """One TLS context for all clients of a package: httpx reads the machine's certificates for each one."""
    make, machine = httpx.create_ssl_context, httpx.create_ssl_context()

    def made(verify: ssl.SSLContext | str | bool = True, **options: Any) -> ssl.SSLContext:
        return machine if verify is True else make(verify, **options)

    with mock.patch("httpx._transports.default.create_ssl_context", made):
        yield


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as made:
        yield made
