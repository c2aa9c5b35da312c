"""What is wrong with a value, and what to write in its place, where the library that checks speaks of its types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from connectors.secrets import SecretRef
from console.config.near import near

SHOWN = 40
"""Characters of a value that is repeated; a longer one, or a URL, may be a secret in the wrong place."""
EXAMPLES = {
    "at": '"05:00"', "by": '{ system = "dwh" }', "bucket": '"lake"', "column": '"loaded_at"', "deadline": '"06:30"',
    "delivered_by": '["dwh/publish"]', "downstream": '"dwh/publish"', "from": '"22:00"', "hosts": '["db07"]',
    "ical": '{ env = "ONCALL_CALENDAR" }', "kind": '"cron"', "objective": "0.99", "path": '"/data/in/{bd}.csv"',
    "people": '{ "ann" = "oncall" }', "role": '"act"', "timezone": '"Europe/Berlin"', "to": '"06:00"',
    "url": '"https://rates.example.com"', "urls": '[{ env = "ONCALL_MAIL" }]', "what": '{ tier = "4" }',
    "who": '["ann"]', "why": '"monthly patches"', "within": '"2h"',
}  # fmt: skip
"""Of keys that must be there."""
_LISTS = (tuple, list)
_TABLES = (dict, Mapping)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault is, and what may stand there."""

    keys: tuple[str, ...]
    """Keys, and the places of lists counted from 1, as people count."""
    shapes: tuple[Any, ...]
    """The types that its settings have for it; empty where nothing may stand there."""
    above: tuple[Any, ...]
    """Those of the table around it."""
    has_choice: bool
    """True for what was tried as one of several types: each of them has a fault of its own."""


def place_of(model: type[BaseModel], loc: Iterable[int | str], *, is_unknown: bool) -> Place:
    """`loc` as the library names it: with the names of types among the keys. `is_unknown`: it ends in a key that the
    settings do not have."""
    keys: list[str] = []
    shapes: tuple[Any, ...] = (model,)
    above, dropped, parts = shapes, False, list(loc)
    for number, part in enumerate(parts, 1):
        below = _below(shapes, part)
        if below is None and (isinstance(part, int) or (is_unknown and number == len(parts))):
            below = ()
        if below is None:
            dropped = True
            continue
        above, shapes = shapes, below
        keys.append(str(part + 1) if isinstance(part, int) else part)
        dropped = False
    return Place(tuple(keys), shapes, above, dropped)


def words_of(error: Any, place: Place, also: Sequence[str]) -> str:
    """The fault as a sentence, and the mend. `also`: keys that are known beside those of the settings."""
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        known = [name for one in _models(place.above) for name in _keys(one)] + ([] if len(place.keys) > 1 else [*also])
        return f"unknown key. {near(place.keys[-1], known) if known else 'Remove it.'}"
    if kind == "missing":
        example = EXAMPLES.get(place.keys[-1], "")
        return f"is missing. Add it: {place.keys[-1]} = {example}." if example else "is missing. Add it."
    if plain := _plain(kind, value, error.get("ctx", {}), place):
        return plain
    message = str(error["msg"]).removeprefix("Value error, ")
    told = "secret" in message or not _is_short(value) or str(value) in message
    words = f"{message[0].lower()}{message[1:]}{'' if told else f' (it is {value!r})'}"
    return words if words.endswith("?") else words.rstrip(".") + "."


def _plain(kind: str, value: Any, context: Mapping[str, Any], place: Place) -> str:
    """What a person should write in place of a value of the wrong shape; empty for what says so itself."""
    shown = _shown(value)
    match kind:
        case "tuple_type" | "list_type":
            return 'is no list. Write it in brackets: ["…", "…"].'
        case "too_short":
            return "is an empty list. Name at least one." if value in ([], ()) else "is empty. Name at least one."
        case "string_type":
            return f"{shown} is no text. Write it in quotes."
        case "string_too_short":
            least = context["min_length"]
            return (
                "is empty. Write it, or remove the key."
                if not value
                else f"{shown} is too short: at least {least} characters."
            )
        case "string_too_long":
            return f"{shown} is too long: at most {context['max_length']} characters."
        case "bool_type" | "bool_parsing":
            return f"{shown} is neither true nor false. Write one of them, without quotes."
        case "int_type" | "int_parsing" | "int_from_float" | "float_type" | "float_parsing" | "finite_number":
            return f"{shown} is no {'whole ' if kind == 'int_from_float' else ''}number. Write it without quotes."
        case "literal_error":
            return _none_of(value, shown, str(context.get("expected", "the known words")))
        case "greater_than_equal":
            return f"{shown} is too small: at least {context['ge']:g}."
        case "greater_than":
            return f"{shown} is too small: more than {context['gt']:g}."
        case "less_than_equal":
            return f"{shown} is too large: at most {context['le']:g}."
        case "less_than":
            return f"{shown} is too large: less than {context['lt']:g}."
        case "path_type":
            return f'{shown} is no path. Write it in quotes: "/etc/headway/key".'
        case "model_type" | "dict_type" | "mapping_type" | "model_attributes_type":
            return f"{shown} is {_table_words(place.shapes)}."
    if kind.startswith(("date_", "datetime_")):
        return f"{shown} is no date. Write it without quotes: 2026-12-24."
    return ""


def _none_of(value: Any, shown: str, expected: str) -> str:
    known = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
    meant = near(value, known) if isinstance(value, str) and value else ""
    return f"{shown} is none of {expected}.{f' {meant}' if meant.startswith('Did') else ''}"


def _table_words(shapes: tuple[Any, ...]) -> str:
    models = list(_models(shapes))
    if SecretRef in models:
        return 'no reference. Write { env = "NAME" }, or { file = … }, { command = […] }, { keyring = … }'
    keys = [name for one in models for name in _keys(one)][:4]
    return (
        f"no table. Write {{ {', '.join(f'{name} = …' for name in keys)} }}"
        if keys
        else 'no table. Write { NAME = "…" }'
    )


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= SHOWN and "://" not in value)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if _is_short(value):
        return repr(value)
    return "a table" if isinstance(value, dict) else "a list" if isinstance(value, list) else "this"


def _keys(model: type[BaseModel]) -> list[str]:
    """As they are written, those first that must be there."""
    named = sorted(model.model_fields.items(), key=lambda one: not one[1].is_required())
    return [one.alias or name for name, one in named]


def _below(shapes: Iterable[Any], part: int | str) -> tuple[Any, ...] | None:
    """The types of what stands at that key or place; None where it is no key of theirs."""
    found: list[Any] = []
    for one in _leaves(shapes):
        origin, arguments = get_origin(one), get_args(one)
        if isinstance(part, int):
            found += [each for each in arguments if each is not Ellipsis] if origin in _LISTS else []
        elif origin in _TABLES and part != "[key]":
            found += arguments[1:]
        elif isinstance(one, type) and issubclass(one, BaseModel):
            found += [field.annotation for name, field in one.model_fields.items() if part in (name, field.alias)]
    return tuple(found) or None


def _models(shapes: Iterable[Any]) -> Iterable[type[BaseModel]]:
    return (one for one in _leaves(shapes) if isinstance(one, type) and issubclass(one, BaseModel))


def _leaves(shapes: Iterable[Any]) -> Iterable[Any]:
    """The types behind choices and annotations."""
    for one in shapes:
        origin = get_origin(one)
        if origin is Annotated:
            yield from _leaves(get_args(one)[:1])
        elif origin in (Union, UnionType):
            yield from _leaves(each for each in get_args(one) if each is not NoneType)
        else:
            yield one
