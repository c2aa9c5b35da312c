"""One hostile estate for all tests of this folder that only look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.world import NAMES, TWINS, World, running_world
from tests.hostile.written import write_all


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Every text of the corpus as a job with everything that belongs to it; half of them failed."""
    with running_world(tmp_path_factory.mktemp("hostile"), [*NAMES, *TWINS]) as made:
        yield made


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A smaller estate in which holds, approvals and the steps of a plan say every text of the corpus."""
    with running_world(tmp_path_factory.mktemp("written"), NAMES[::4]) as made:
        write_all(made)
        yield made
