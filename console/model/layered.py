"""A mapping of which a changed copy costs what changed, not what there is: many estates share the lower layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar, overload

Value = TypeVar("Value")
Default = TypeVar("Default")
MOST = 2_000
"""Entries of the upper layer; with more of them both become one."""


class _Gone:
    """Stands where the lower layer has what is not there any more."""


_GONE: Final = _Gone()


class Layered(Mapping[int, Value], Generic[Value]):
    """Never changed once it is made; `changed` makes another one."""

    __slots__ = ("_base", "_over")

    def __init__(self, base: dict[int, Value] | None = None, over: dict[int, Value | _Gone] | None = None) -> None:
        self._base: dict[int, Value] = {} if base is None else base
        self._over: dict[int, Value | _Gone] = {} if over is None else over

    def changed(self, new: Mapping[int, Value], gone: Iterable[int] = ()) -> Layered[Value]:
        """The same with these, and without those."""
        over: dict[int, Value | _Gone] = {**self._over, **new, **dict.fromkeys(gone, _GONE)}
        return Layered(self._base, over) if len(over) <= MOST and self._base else Layered(_one(self._base, over))

    @overload
    def get(self, key: int, /) -> Value | None: ...
    @overload
    def get(self, key: int, /, default: Value | Default) -> Value | Default: ...
    def get(self, key: int, /, default: Any = None) -> Any:
        found = self._over.get(key)
        if found is None:
            return self._base.get(key, default)
        return default if found is _GONE else found

    def __getitem__(self, key: int) -> Value:
        found = self._over.get(key)
        if found is None:
            return self._base[key]
        if isinstance(found, _Gone):
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        found = self._over.get(key)  # type: ignore[call-overload]
        return key in self._base if found is None else found is not _GONE

    def __iter__(self) -> Iterator[int]:
        over = self._over
        yield from (key for key in self._base if key not in over)
        yield from (key for key, found in over.items() if found is not _GONE)

    def __len__(self) -> int:
        return len(self._base) + sum(self._counts(key, found) for key, found in self._over.items())

    def _counts(self, key: int, found: Value | _Gone) -> int:
        return (0 if found is _GONE else 1) - (key in self._base)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]


def _one(base: dict[int, Value], over: dict[int, Value | _Gone]) -> dict[int, Value]:
    whole = {key: value for key, value in base.items() if key not in over}
    return whole | {key: value for key, value in over.items() if not isinstance(value, _Gone)}
