"""Which of the shared conformance tests a kind can play, from what the kind and its world declare.

Each of these tests begins with what it needs (`needs`, `needs_played`, `trace_of`). Its first lines are run here on a
stand-in that answers these questions from the declarations of the class and ends at the first call of anything else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any, NoReturn
from unittest import SkipTest

from connectors.sdk.conformance.faults import HOOKS, FaultHooks

CONFORMANCE = "connectors.sdk.conformance"
DECLARED = {"kind", "limits", "unplayed", "elsewhere", "against", "needs", "needs_played", "needs_fault", "_unplayed"}
HEARING = {"trace_of", "trace_beside_truth"}


class _Reached(Exception):
    """The test uses its world: what it needs before is declared."""


def _use_world(*_: object, **__: object) -> NoReturn:
    raise _Reached


class _Declared:
    """Stands for an instance of a conformance class, of which it has the declarations alone."""

    def __init__(self, world: type) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        if name in HEARING:
            return self._hear
        if name in HOOKS and getattr(self._world, name) is getattr(FaultHooks, name):
            raise SkipTest(f"{self._world.__name__} has no `{name}` of its own")
        if name not in DECLARED:
            return _use_world
        found = getattr(self._world, name)
        return functools.partial(found, self) if isinstance(found, FunctionType) else found

    def _hear(self, how: str) -> None:
        self.needs_fault(how)
        self.answering(how)


def is_playable(world: type, name: str, test: object) -> bool:
    """Whether this test of the class is to be generated: False for a shared conformance test that its declarations
    exclude. True for every other test, also for one that would fail."""
    if not (name.startswith("test_") and isinstance(test, FunctionType) and test.__module__.startswith(CONFORMANCE)):
        return True
    run: Callable[[Any], object] = test
    try:
        run(_Declared(world))
    except SkipTest:
        return False
    except Exception:  # noqa: BLE001  it is generated, and says itself what is wrong
        return True
    return True
