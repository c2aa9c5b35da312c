"""A table of rows that is one behaviour is one test: a test costs more than most rows, in every worker."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

limit: int | None = None
"""So many rows of each table are checked; None: all."""


def each_row(names: str, values: Iterable[Any], ids: Callable[[Any], object] = repr) -> Callable[..., Any]:
    """Calls the test with each row, as `pytest.mark.parametrize` does, and reports every wrong row. A fixture of the
    test is the same for all rows."""
    keys = [name.strip() for name in names.split(",")]
    table = [dict(zip(keys, row if len(keys) > 1 else [row], strict=True)) for row in values]
    assert table, f"there is no row of {names}"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*instance: Any, **fixtures: Any) -> None:
            wrong: dict[str, BaseException] = {}
            for row in table[:limit]:
                try:
                    test(*instance, **fixtures, **row)
                except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the other rows are checked too
                    wrong[", ".join(str(ids(value))[:200] for value in row.values())] = error
            if wrong:
                texts = [f"{row}: {type(error).__name__}: {error}" for row, error in wrong.items()]
                raise AssertionError("\n\n".join(texts)) from next(iter(wrong.values()))

        signature = inspect.signature(test)
        own = [parameter for name, parameter in signature.parameters.items() if name not in keys]
        setattr(run, "__signature__", signature.replace(parameters=own))  # noqa: B010 - mypy does not know it
        return run

    return decorate
