"""What `make test` leaves to `make test-all`: tests of over a second, and repetitions, of which it runs some."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some(values: Iterable[Any], *quick: Any) -> list[Any]:
    """All of these as parameters of a test; those that are not named as `quick` are marked `deep`."""
    results = list(values)
    unknown = [item for item in quick if item not in results]
    assert not unknown, f"{unknown} is none of {results}"
    return [result if result in quick else _deep(result) for result in results]


def few(values: Iterable[Any], count: int) -> list[Any]:
    """All of these as parameters of a test: `count` of them, evenly spread, in the fast part; the others `deep`."""
    every = list(values)
    quick = {round(number * (len(every) - 1) / max(count - 1, 1)) for number in range(count)}
    return [item if number in quick else _deep(item) for number, item in enumerate(every)]


def _deep(value: Any) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.deep)
