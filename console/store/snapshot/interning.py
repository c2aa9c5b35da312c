"""Sharing between snapshots: interned values of rows, and a mapping whose changed copy costs only the change."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ctypes import CDLL
from datetime import date, time, timedelta
from functools import lru_cache
from sys import intern
from typing import Any, Final, Generic, TypeVar, overload

from connectors.sdk.records import Schedule
from connectors.sdk.states import ProofLevel, RunEvidence, RunState, Verb
from console.domain.dependency import DependencyMode, DependencyOrigin, EngineDown
from console.domain.ids import instant, optional_instant
from console.domain.job import Safety
from console.domain.service import Timeliness

STATES = {one.value: one for one in RunState}
EVIDENCES = {one.value: one for one in RunEvidence}
TIMELINESSES = {one.value: one for one in Timeliness}
PROOFS = {one.value: one for one in ProofLevel}
ORIGINS = {one.value: one for one in DependencyOrigin}
SAFETIES = {one.value: one for one in Safety}

date_of = lru_cache(maxsize=4096)(date.fromisoformat)
time_of = lru_cache(maxsize=4096)(time.fromisoformat)
duration = lru_cache(maxsize=4096)(lambda number: timedelta(seconds=number))
parse_names = lru_cache(maxsize=4096)(lambda text: tuple(json.loads(text)))
"""A JSON list of names."""
shared_instant = lru_cache(maxsize=16384)(instant)
"""An instant that many rows have: of a period, of a poll."""
shared_number = lru_cache(maxsize=65536)(int)
"""An id that many rows have."""


@lru_cache(maxsize=65536)
def shared_schedule(dialect: str, expression: str, zone: str, words: str, next_us: int | None) -> Schedule:
    return Schedule(intern(dialect), expression, intern(zone), words, optional_instant(next_us))


@lru_cache(maxsize=4096)
def is_rerun_missing(capabilities: str, missing: str) -> str:
    """As of `JobFacts`, of the two columns of its system."""
    if Verb.RERUN.needs in capabilities.split(","):
        return ""
    return str(json.loads(missing).get(Verb.RERUN.needs) or "nothing of it is run again from here")


@lru_cache(maxsize=4096)
def dependency_fields(
    origin: str, mode: str, engine_down: str, lead_s: float, for_s: float
) -> tuple[DependencyOrigin, DependencyMode, EngineDown, timedelta, timedelta]:
    return (
        DependencyOrigin(origin),
        DependencyMode(mode),
        EngineDown(engine_down),
        timedelta(seconds=lead_s),
        timedelta(seconds=for_s),
    )


@contextmanager
def without_gc() -> Iterator[None]:
    """While so much is made that stays, nobody looks for garbage in it, nor ever after: facts know no cycles. What was
    needed only to make it goes back to the machine."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
        _restore_gc()


def _restore_gc() -> None:
    with suppress(OSError, AttributeError):  # what another C library than glibc keeps, it keeps
        CDLL(None).malloc_trim(0)


Value = TypeVar("Value")
Default = TypeVar("Default")
MAX_UPPER = 2_000
"""Entries of the upper layer; with more of them both become one."""


class _Deleted:
    """Stands where the lower layer has what is not there any more."""


_DELETED: Final = _Deleted()


class LayeredMap(Mapping[int, Value], Generic[Value]):
    """Never changed once it is made; `changed` makes another one."""

    __slots__ = ("_base", "_over")

    def __init__(self, base: dict[int, Value] | None = None, over: dict[int, Value | _Deleted] | None = None) -> None:
        self._base: dict[int, Value] = {} if base is None else base
        self._over: dict[int, Value | _Deleted] = {} if over is None else over

    def changed(self, new: Mapping[int, Value], gone: Iterable[int] = ()) -> LayeredMap[Value]:
        """The same with these, and without those."""
        over: dict[int, Value | _Deleted] = {**self._over, **new, **dict.fromkeys(gone, _DELETED)}
        return (
            LayeredMap(self._base, over)
            if len(over) <= MAX_UPPER and self._base
            else LayeredMap(_lookup(self._base, over))
        )

    @overload
    def get(self, key: int, /) -> Value | None: ...
    @overload
    def get(self, key: int, /, default: Value | Default) -> Value | Default: ...
    def get(self, key: int, /, default: Any = None) -> Any:
        found = self._over.get(key)
        if found is None:
            return self._base.get(key, default)
        return default if found is _DELETED else found

    def __getitem__(self, key: int) -> Value:
        found = self._over.get(key)
        if found is None:
            return self._base[key]
        if isinstance(found, _Deleted):
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        found = self._over.get(key)  # type: ignore[call-overload]
        return key in self._base if found is None else found is not _DELETED

    def __iter__(self) -> Iterator[int]:
        over = self._over
        yield from (key for key in self._base if key not in over)
        yield from (key for key, found in over.items() if found is not _DELETED)

    def __len__(self) -> int:
        return len(self._base) + sum(self._counts(key, found) for key, found in self._over.items())

    def _counts(self, key: int, found: Value | _Deleted) -> int:
        return (0 if found is _DELETED else 1) - (key in self._base)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]


def _lookup(base: dict[int, Value], over: dict[int, Value | _Deleted]) -> dict[int, Value]:
    whole = {key: value for key, value in base.items() if key not in over}
    return whole | {key: value for key, value in over.items() if not isinstance(value, _Deleted)}
