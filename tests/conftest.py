"""What holds for every test: nothing of the person's own machine is read or written, and the real parts come last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

LAB = Path(__file__).parent / "lab"

COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("headway", COMMON, max_examples=60, derandomize=True)  # what is green here is green elsewhere
settings.register_profile("search", COMMON, max_examples=600)  # other examples each time: HYPOTHESIS_PROFILE=search
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "headway"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what lies in tests/lab and moves it to the end, so that a cheap test fails before the estate starts."""
    for item in items:
        if LAB in item.path.parents:
            item.add_marker(pytest.mark.lab)
    items.sort(key=lambda item: item.get_closest_marker("lab") is not None)


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
