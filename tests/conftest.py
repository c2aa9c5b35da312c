"""What holds for every test: nothing of the person's own machine is read or written, and who shares a worker."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import present, properties
from tests.lab import process
from tests.runner import (
    LAB,
    arrange,
    folder_of,
    pytest_runtest_logreport,
    pytest_sessionstart,
)
from tests.scratch import scratch

__all__ = ["pytest_runtest_logreport", "pytest_sessionstart"]

properties.choose()
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(scratch()))  # where tmp_path lies
os.umask(0o022)  # config that others may write is refused, and a person's umask may be 002
# Before any test module imports them: the conformance tests explain their assertions like tests that lie here.
pytest.register_assert_rewrite("connectors.sdk.conformance")
gc.disable()  # until all tests are collected: a seventh of that time

DEEP_FOLDERS = {"crash", "demo", "hostile", "invariants", "pty", "web"}
"""Tests that play whole processes, terminals and hostile estates: `make test` leaves them to `make test-all`."""
SOAK = {"test_benches.py", "test_crowds.py"}
"""Files that take minutes for a figure or a bound: `make soak` runs them."""
FAST = "not lab and not deep"
"""What `make test` and `make check` select."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves the folders alone of which the fast part runs nothing: importing them is a fifth of its collection."""
    is_left = collection_path in (LAB, *(LAB.parent / name for name in DEEP_FOLDERS))
    return True if is_left and config.option.markexpr == FAST else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """The waits of a test, and of the fixtures that begin with it, share pytest's limit of its time."""
    process.limit_waits(float(item.config.getoption("timeout") or item.config.getini("timeout") or 0))


LONGEST_ID = 200
"""A name of a test is sent by each worker with its three results, and set in the environment of its processes."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names a long text by its beginning and its length."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_ID:
        return f"{val[:40]!a}, {argname} of {len(val)}"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what lies in tests/lab, in a deep folder or in `SOAK`, and gives each test its group and its place. A quiet
    test is deep."""
    for item in items:
        folder = folder_of(item.path)
        if folder == LAB.name:
            item.add_marker(pytest.mark.lab)
        elif folder in DEEP_FOLDERS or item.get_closest_marker("quiet"):
            item.add_marker(pytest.mark.deep)
        if item.path.name in SOAK:
            item.add_marker(pytest.mark.soak)
    arrange(config, items)


def pytest_collection_finish() -> None:
    """Imported objects are never freed: checking them for garbage took a fifth of the run time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


@pytest.fixture(autouse=True)
def one_present() -> Iterator[None]:
    """The clock of `tests.present` is within a second of this test, however long ago its module was imported."""
    present.begin()
    yield
    present.end()


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """Restores the umask: `headway engine` in a test sets 077, and sshd of a later lab host cannot read its keys."""
    umask = os.umask(0o022)
    os.umask(umask)
    yield
    os.umask(umask)


@pytest.fixture(autouse=True, scope="session")
def private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of this test session in the place of the person's home, config and store.

    The cache folder stays: the lab keeps the schedulers' own environments there from one session to the next.
    """
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))
        patch.setenv("HOME", str(home))
        for name in ("COLUMNS", "LINES"):  # xdist sets them for its workers
            patch.delenv(name, raising=False)
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
            patch.delenv(name, raising=False)
        for name in [name for name in os.environ if name.startswith(("HEADWAY_", "AWS_", "PG"))]:
            patch.delenv(name)
        yield home
