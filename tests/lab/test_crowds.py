"""40,000 ended runs in bounded memory, on the fakes of those kinds for which it costs too much for `make test-all`."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.sdk.conformance import Faults
from connectors.sdk.contract import Connector
from tests.connectors.aws_world import keys
from tests.lab.crowds import CROWDS, Crowd

__all__ = ["keys"]


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """What is no more needed is taken away as often as in an engine; the other tests let it lie to be quicker. The
    crowds themselves are frozen, and looked through once, at the end."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class CrowdConformance(Faults):
    """The conformance of one kind that plays nothing but a crowd."""

    crowd: Crowd

    def __init__(self, kind: str, folder: Path) -> None:
        self.name, self.folder = kind, folder

    def crowded(self, runs: int) -> Connector:
        self.crowd = CROWDS[self.name](runs, self.folder)
        gc.freeze()
        return self.crowd.connector

    def crowd_begins(self, connector: Connector) -> str:
        if self.crowd.come is None:
            return ""
        cursor = [*self.polls_until_end(connector, "")][-1].cursor
        self.crowd.come()
        return cursor


@pytest.mark.parametrize("kind", CROWDS)
def test_many_runs_take_bounded_memory(kind: str, tmp_path: Path) -> None:
    CrowdConformance(kind, tmp_path).test_many_runs_take_bounded_memory()
