"""Parts of config stored as one JSON document: its declarations, and a service's promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from pydantic import TypeAdapter

from console.domain.promise import Promise
from console.domain.settings import NOTHING_DECLARED, Declared
from console.store.db.session import Session
from console.store.meta import get_meta

_DECLARED = TypeAdapter(Declared)


def declared_json(declared: Declared) -> str:
    """JSON without defaults."""
    return _DECLARED.dump_json(declared, exclude_defaults=True).decode()


def load_declared(session: Session) -> Declared:
    """Declarations of the store's config; none before the first."""
    document = get_meta(session, "declared")
    return parse_declared(document) if document is not None else NOTHING_DECLARED


def endpoint_by_target(session: Session) -> Mapping[str, str]:
    """The address and port of each target that may share them, by its name."""
    return dict(load_declared(session).endpoints)


@lru_cache(maxsize=8)
def parse_declared(text: str) -> Declared:
    """The value of `declared_json`."""
    return _DECLARED.validate_json(text)


_PROMISE = TypeAdapter(Promise)


def promise_json(promise: Promise, named: Callable[[str], int | None]) -> str:
    """JSON without defaults. `named`: the id of a job by its name, if there is one."""
    if promise.deadline.of:
        promise = replace(promise, deadline=replace(promise.deadline, of_id=named(promise.deadline.of)))
    return _PROMISE.dump_json(promise, exclude_defaults=True).decode()


@lru_cache(maxsize=4096)
def parse_promise(text: str) -> Promise:
    """The value of `promise_json`."""
    return _PROMISE.validate_json(text)
