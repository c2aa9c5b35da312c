"""Values as JSON by the annotations of their classes: as columns have them, and documents for programs.

A frozen class is an object of its fields that are not at their default, an instant an ISO text in UTC, a tuple a list.
An object has the `kind` of its class; that of a class without one is recognized by the names of its fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
Default = TypeVar("Default")
Reader = Callable[[Any], Any]
"""Raises one of `_MALFORMED` for data of another type."""
_MALFORMED = (KeyError, TypeError, ValueError, OverflowError, RecursionError)


def as_json(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if defaults := _defaults(value.__class__):
        stated = [(name, getattr(value, name), default) for name, default in defaults.items()]
        return {name: as_json(part) for name, part, default in stated if part != default}
    if isinstance(value, frozenset):
        return sorted(map(as_json, value))
    return [*map(as_json, value)] if isinstance(value, tuple) else value


def from_json(form: type[T], data: Any) -> T:
    """The value of this type that `as_json` wrote, without fields that this version lacks. Raises ValueError for other
    data, unless the class has a value for it, by its function `unknown`."""
    hint: Any = form
    try:
        value: T = _reader(hint)(data)
    except _MALFORMED as error:
        raise ValueError(f"{error!r} in {form}") from None
    return value


def stored_text(value: Any) -> str:
    """The value as a column has it."""
    return json.dumps(as_json(value))


def stored_value(form: type[T], text: str, default: Default) -> T | Default:
    """The value of this type that `stored_text` wrote; the default for another text."""
    try:
        return from_json(form, json.loads(text))
    except (ValueError, RecursionError):
        return default


def _has_kind(cls: Any) -> bool:
    return isinstance(getattr(cls, "kind", None), str)


@cache
def _defaults(cls: Any) -> Mapping[str, Any]:
    """The kind and the fields of a frozen class or a named tuple, with their defaults; empty for another type."""
    named = {name: cls._field_defaults.get(name, MISSING) for name in getattr(cls, "_fields", ())}
    own = {field.name: field.default for field in fields(cls)} if hasattr(cls, "__dataclass_fields__") else named
    return {"kind": MISSING} | own if _has_kind(cls) else own


@cache
def _reader(form: Any) -> Reader:
    origin, arguments = get_origin(form), get_args(form)
    if origin is UnionType:
        return partial(_first_read, [*map(_reader, sorted(arguments, key=lambda member: member is not NoneType))])
    if origin is tuple and arguments[-1] is not ...:
        readers = [*map(_reader, arguments)]
        return lambda data: tuple(read(part) for read, part in zip(readers, _checked(list, data), strict=True))
    if origin in (tuple, frozenset):
        read = _reader(arguments[0])
        return lambda data: origin(map(read, _checked(list, data)))
    if _defaults(form):
        known = {cls.kind: cls for cls in form.__subclasses__()} if _has_kind(form) else {}
        own = (lambda data: _object_reader(known[data["kind"]])(data)) if known else _object_reader(form)
        return partial(_first_read, [own, form.unknown]) if hasattr(form, "unknown") else own
    simple = {datetime: _instant, date: date.fromisoformat, float: _number}
    if form in simple or (origin is None and issubclass(form, StrEnum)):
        return simple.get(form) or partial(form)
    return partial(_checked, dict if origin is Mapping else form)


@cache
def _object_reader(cls: Any) -> Reader:
    hints, kind = get_type_hints(cls), cls.kind if _has_kind(cls) else None
    readers = {name: _reader(hints[name]) for name in _defaults(cls) if kind is None or name != "kind"}

    def read(data: Any) -> Any:
        if kind is not None and data["kind"] != kind:
            raise ValueError(kind)
        return cls(**{name: readers[name](part) for name, part in _checked(dict, data).items() if name in readers})

    return read


def _first_read(readers: Sequence[Reader], data: Any) -> Any:
    for read in readers[:-1]:
        try:
            return read(data)
        except _MALFORMED:
            continue
    return readers[-1](data)


def _checked(cls: type, data: Any) -> Any:
    if type(data) is not cls:
        raise TypeError(type(data))
    return data


def _number(data: Any) -> float:
    return float(data if type(data) is int else _checked(float, data))


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at
