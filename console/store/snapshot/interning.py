"""Sharing between snapshots: interned values of rows, and a mapping whose modified copy costs only the changes."""

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
from connectors.sdk.states import PeriodKind, ProofLevel, RunEvidence, RunState, Verb
from console.domain.dependency import DependencyMode, DependencyOrigin, EngineDown
from console.domain.ids import instant, optional_instant
from console.domain.job import Safety
from console.domain.service import Timeliness

STATES = {state.value: state for state in RunState}
PERIOD_KINDS = {kind.value: kind for kind in PeriodKind}
EVIDENCES = {evidence.value: evidence for evidence in RunEvidence}
TIMELINESSES = {timeliness.value: timeliness for timeliness in Timeliness}
PROOFS = {proof.value: proof for proof in ProofLevel}
SAFETIES = {safety.value: safety for safety in Safety}

date_of = lru_cache(maxsize=4096)(date.fromisoformat)
time_of = lru_cache(maxsize=4096)(time.fromisoformat)
duration = lru_cache(maxsize=4096)(lambda number: timedelta(seconds=number))
parse_names = lru_cache(maxsize=4096)(lambda text: tuple(json.loads(text)))

shared_instant = lru_cache(maxsize=16384)(instant)
"""For instants in many rows: of a period, of a poll."""
shared_number = lru_cache(maxsize=65536)(int)
"""For ids in many rows."""


@lru_cache(maxsize=65536)
def shared_schedule(
    dialect: str, expression: str, zone: str, text: str, next_us: int | None, window_us: int = 0
) -> Schedule:
    return Schedule(
        intern(dialect), expression, intern(zone), text, optional_instant(next_us), timedelta(microseconds=window_us)
    )


@lru_cache(maxsize=4096)
def capabilities_of(names: str) -> frozenset[str]:
    return frozenset(names.split(","))


@lru_cache(maxsize=4096)
def is_rerun_missing(capabilities: str, missing: str) -> str:
    """`JobFacts.cannot_rerun`, from two columns of its system."""
    if Verb.RERUN.needs in capabilities_of(capabilities):
        return ""
    return str(json.loads(missing).get(Verb.RERUN.needs) or "nothing of it is run again from here")


@lru_cache(maxsize=4096)
def dependency_fields(
    origin: str, mode: str, engine_down: str, for_s: float
) -> tuple[DependencyOrigin, DependencyMode, EngineDown, timedelta]:
    enums = DependencyOrigin(origin), DependencyMode(mode), EngineDown(engine_down)
    return *enums, timedelta(seconds=for_s)


@contextmanager
def without_gc() -> Iterator[None]:
    """Creates facts, which stay and have no cycles, outside garbage collection, for ever; temporary memory is returned
    to the system."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
        with suppress(OSError, AttributeError):  # without glibc
            CDLL(None).malloc_trim(0)


Value = TypeVar("Value")
Default = TypeVar("Default")
MAX_UPPER = 2_000
"""Entries of the upper layer; beyond it both layers are merged."""


class _Deleted:
    """Marks a key of the lower layer as deleted."""


_DELETED: Final = _Deleted()


class LayeredMap(Mapping[int, Value], Generic[Value]):
    """Immutable; `changed` returns a modified copy."""

    __slots__ = ("_base", "_upper")

    def __init__(self, base: dict[int, Value] | None = None, upper: dict[int, Value | _Deleted] | None = None) -> None:
        self._base: dict[int, Value] = {} if base is None else base
        self._upper: dict[int, Value | _Deleted] = {} if upper is None else upper

    def changed(self, new: Mapping[int, Value], removed: Iterable[int] = ()) -> LayeredMap[Value]:
        """With these entries, without those keys."""
        upper: dict[int, Value | _Deleted] = {**self._upper, **new, **dict.fromkeys(removed, _DELETED)}
        if len(upper) <= MAX_UPPER and self._base:
            return LayeredMap(self._base, upper)
        merged = {key: value for key, value in self._base.items() if key not in upper}
        return LayeredMap(merged | {key: value for key, value in upper.items() if not isinstance(value, _Deleted)})

    @overload
    def get(self, key: int, /) -> Value | None: ...
    @overload
    def get(self, key: int, /, default: Value | Default) -> Value | Default: ...
    def get(self, key: int, /, default: Any = None) -> Any:
        value = self._upper.get(key)
        if value is None:
            return self._base.get(key, default)
        return default if value is _DELETED else value

    def __getitem__(self, key: int) -> Value:
        value = self._upper.get(key)
        if value is None:
            return self._base[key]
        if isinstance(value, _Deleted):
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        value = self._upper.get(key)  # type: ignore[call-overload]
        return key in self._base if value is None else value is not _DELETED

    def __iter__(self) -> Iterator[int]:
        upper = self._upper
        yield from (key for key in self._base if key not in upper)
        yield from (key for key, value in upper.items() if value is not _DELETED)

    def __len__(self) -> int:
        return len(self._base) + sum(
            (value is not _DELETED) - (key in self._base) for key, value in self._upper.items()
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]
