"""Promises as documents: what config says of a service beyond a time of day, in one column of its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from pydantic import TypeAdapter

from console.model.promises import Promise

_ADAPTER = TypeAdapter(Promise)


def text_of(promise: Promise, named: Callable[[str], int | None]) -> str:
    """The document: JSON, without what is as it is by default. `named`: a job's number, None where none has the
    name."""
    if promise.deadline.of:
        promise = replace(promise, deadline=replace(promise.deadline, of_id=named(promise.deadline.of)))
    return _ADAPTER.dump_json(promise, exclude_defaults=True).decode()


@lru_cache(maxsize=4096)
def read(text: str) -> Promise:
    """What `text_of` wrote."""
    return _ADAPTER.validate_json(text)
