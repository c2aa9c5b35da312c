"""Rows as values: the fields of a class come from the columns of the same names."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from inspect import get_annotations
from typing import Any, TypeVar, cast

from console.domain.ids import optional_instant
from console.domain.message import Message
from console.domain.reason import Reason
from console.domain.stored import stored_text, stored_value
from console.domain.text import Text, text_of
from console.store.db.session import Row

T = TypeVar("T")


_CONVERTERS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("Message", Message.from_json),
    ("datetime", optional_instant),
    ("bool", bool),
    ("Text", text_of),
    ("tuple[Text", lambda texts: tuple(map(text_of, json.loads(texts)))),
    ("tuple", lambda text: tuple(json.loads(text)) if text else ()),
    ("dict", lambda text: json_object(text) if text else {}),
)


@cache
def _fields(value_type: Any, columns: type) -> list[tuple[str, str, Callable[[Any], Any] | None]]:
    """(field, column, converter) of the fields for which rows of these columns have one."""
    fields = []
    annotations = {name: kind for base in reversed(value_type.__mro__) for name, kind in get_annotations(base).items()}
    for name, annotation in annotations.items():
        kind = str(getattr(annotation, "__forward_arg__", annotation))  # of a NamedTuple
        names = [f"{name}_us", f"{name.removesuffix('_at')}_us"] if kind.startswith("datetime") else [name]
        column = next((column for column in names if hasattr(columns, column)), None)
        convert = next((convert for begins, convert in _CONVERTERS if kind.startswith(begins)), None)
        if column is not None:
            fields.append((name, column, (lambda text: text or "") if kind == "str" else convert))
    return fields


def from_row(value_type: type[T], row: Row, /, **given: Any) -> T:
    """The value of a row: fields not given come from the columns of the same name, instants from `NAME_us`, also for
    `NAME_at`; NULL texts are empty, tables and lists come from JSON. A field without a column keeps its default."""
    for name, column, convert in _fields(cast(Any, value_type), type(row)):
        if name not in given:
            value = getattr(row, column)
            given[name] = value if convert is None else convert(value)
    return value_type(**given)


def parse_reasons(stored: str) -> tuple[Reason, ...]:
    """Empty for a text that is not a JSON list."""
    return stored_value(tuple[Reason, ...], stored, ())


def reason_json(reason: Reason | None) -> str:
    """A reason as a column has it; empty without one."""
    return "" if reason is None else stored_text(reason)


def stored_reason(stored: str) -> Reason | None:
    """The reason that `reason_json` wrote; None for an empty text. A text of another form is kept as an unknown one."""
    return stored_value(Reason, stored, Reason.unknown(stored)) if stored else None


def run_reason(reason: str | None, attempts: int | None) -> Text:
    """The reason that its scheduler reports; of a run without an attempt, why it is expected or missed."""
    return text_of(reason or "") if not attempts else (reason,) if reason else ()


def json_object(stored: str) -> dict[str, Any]:
    """The JSON object; empty for other JSON."""
    value = json.loads(stored)
    return value if isinstance(value, dict) else {}


def parse_object(text: str) -> dict[str, Any]:
    """As `json_object`, of a text that Headway may not have written: empty also if it is not JSON."""
    try:
        return json_object(text)
    except (ValueError, RecursionError):
        return {}
