"""What `make test` leaves to `make test-all`: tests of over a second, and repetitions, of which it runs some. What
`make test-all` leaves to `make soak`: all but one crash point of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def some(values: Iterable[Any], *quick: Any) -> list[Any]:
    """All of these as parameters of a test; those that are not named as `quick` are marked `deep`."""
    results = list(values)
    unknown = [item for item in quick if item not in results]
    assert not unknown, f"{unknown} is none of {results}"
    return [result if result in quick else _marked(result, pytest.mark.deep) for result in results]


def few(values: Iterable[Any], count: int) -> list[Any]:
    """All of these as parameters of a test: `count` of them, evenly spread, in the fast part; the others `deep`."""
    every = list(values)
    quick = {round(number * (len(every) - 1) / max(count - 1, 1)) for number in range(count)}
    return [item if number in quick else _marked(item, pytest.mark.deep) for number, item in enumerate(every)]


def one_of_each(values: Iterable[Any], kind: Callable[[Any], object]) -> list[Any]:
    """All of these as parameters of a deep test or a lab test: the middle one of each kind, the others `soak`."""
    kinds: dict[object, list[Any]] = {}
    for value in values:
        kinds.setdefault(kind(value), []).append(value)
    return [
        value if number == len(peers) // 2 else _marked(value, pytest.mark.soak)
        for peers in kinds.values()
        for number, value in enumerate(peers)
    ]


def _marked(value: Any, mark: pytest.MarkDecorator) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=mark)
