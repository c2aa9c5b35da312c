"""What holds for every test: nothing of the person's own machine is read or written, and the real parts come last."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import present, properties

LAB = Path(__file__).parent / "lab"

properties.choose()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what lies in tests/lab and moves it to the end, so that a cheap test fails before the estate starts."""
    for item in items:
        if LAB in item.path.parents:
            item.add_marker(pytest.mark.lab)
    items.sort(key=lambda item: item.get_closest_marker("lab") is not None)


def pytest_collection_finish() -> None:
    """What was imported stays for good: looking through it for garbage again and again is a fifth of all the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True)
def one_present() -> Iterator[None]:
    """What `tests.present` tells: a second of this test, however long ago its module was imported."""
    present.begin()
    yield
    present.end()


@pytest.fixture(autouse=True, scope="session")
def private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of this test session in the place of the person's home, config and store.

    The cache folder stays: the lab keeps the schedulers' own environments there from one session to the next.
    """
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))
        patch.setenv("HOME", str(home))
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
            patch.delenv(name, raising=False)
        for name in [name for name in os.environ if name.startswith(("HEADWAY_", "AWS_", "PG"))]:
            patch.delenv(name)
        yield home
