"""Validation of a table against its settings class: each fault as a sentence with its fix.

pydantic reports its types; these messages name the fault of the value and its fix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Generic, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError, create_model, model_validator

from connectors.sdk.option_errors import StrictOptions
from connectors.sdk.secrets import SecretRef
from console.config.document import ConfigDocument, Table, suggestion
from console.config.value_types import WRITTEN_TYPES
from console.text.cleaning import clean_line

MAX_SHOWN = 40
"""Characters of a value that is repeated; a longer one, or a URL, may be a secret in the wrong place."""
EXAMPLES = {
    "at": '"05:00"', "by": '{ system = "dwh" }', "bucket": '"lake"', "column": '"loaded_at"', "deadline": '"06:30"',
    "delivered_by": '["dwh/publish"]', "do": '"rerun"', "downstream": '"dwh/publish"', "from": '"22:00"',
    "hosts": '["db07"]',
    "ical": '{ env = "ONCALL_CALENDAR" }', "kind": '"cron"', "objective": "0.99",
    "people": '{ "ann" = "oncall" }', "role": '"act"', "timezone": '"Europe/Berlin"', "to": '"06:00"',
    "urls": '[{ env = "ONCALL_MAIL" }]', "what": '{ tier = "4" }',
    "who": '["ann"]', "why": '"monthly patches"', "within": '"2h"',
}  # fmt: skip
"""Of keys that must be there."""
_LISTS = (tuple, list)
_NAMED_KEYS = re.compile(r"([a-z_][\w-]*(?:\.[\w-]+)*): (.*)", re.DOTALL)
_TABLES = (dict, Mapping)


@dataclass(frozen=True, slots=True)
class FaultLocation:
    """The place of a fault, and what is allowed there."""

    keys: tuple[str, ...]
    """Keys, and the places of lists counted from 1, as people count."""
    shapes: tuple[Any, ...]
    """The types allowed there; empty if nothing is."""
    above: tuple[Any, ...]
    """Those of the table around it."""
    has_choice: bool
    """True for what was tried as one of several types: each of them has a fault of its own."""


def fault_location(model: type[BaseModel], loc: Iterable[int | str], *, is_unknown: bool) -> FaultLocation:
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
    return FaultLocation(tuple(keys), shapes, above, dropped)


def fault_text(error: Any, place: FaultLocation, also: Sequence[str]) -> str:
    """The fault as a sentence with its fix. `also`: known keys in addition to those of the settings."""
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        known = _known_keys(place, also)
        return f"unknown key. {suggestion(place.keys[-1], known) if known else 'Remove it.'}"
    if kind == "enum" and error["loc"][-1] == "[key]":
        return f"unknown key. {suggestion(str(value), _expected_values(str(error['ctx']['expected'])))}"
    if kind == "missing":
        example = _example(place)
        return f"is missing. Add it: {place.keys[-1]} = {example}." if example else "is missing. Add it."
    if plain := _shape_text(kind, value, error.get("ctx", {}), place):
        return plain
    message = str(error["msg"]).removeprefix("Value error, ")
    text = f"{message[0].lower()}{message[1:]}{_value_text(value, message)}"
    return text if text.endswith("?") else text.rstrip(".") + "."


def _value_text(value: Any, message: str) -> str:
    """The value behind a message that does not name it; nothing where it may be a secret."""
    if "secret" in message or str(value) in message:
        return ""
    if address := _ADDRESS.fullmatch(value) if isinstance(value, str) else None:
        return f" (it is an address, {address[1]}…)"
    return f" (it is {value!r})" if _is_short(value) else ""


_ADDRESS = re.compile(r"(https?://[\w.-]{1,80}(?::\d+)?)(?:[/?#].*)?", re.DOTALL)
"""Its path may hold a secret, its host none."""
_SHAPE_FAULTS = {
    **dict.fromkeys(("tuple_type", "list_type"), 'is not a list. Write it in brackets: ["…", "…"].'),
    "string_type": "{shown} is not text. Write it in quotes.",
    "string_too_short": "{shown} is too short: at least {min_length} characters.",
    "string_too_long": "{shown} is too long: at most {max_length} characters.",
    **dict.fromkeys(
        ("bool_type", "bool_parsing"), "{shown} is neither true nor false. Write one of them, without quotes."
    ),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "{shown} is not a whole number. Write one, as 22."),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "{shown} is not a number. Write one, as 1.5."),
    "greater_than_equal": "{shown} is too small: at least {ge:g}.",
    "greater_than": "{shown} is too small: more than {gt:g}.",
    "less_than_equal": "{shown} is too large: at most {le:g}.",
    "less_than": "{shown} is too large: less than {lt:g}.",
    "path_type": '{shown} is not a path. Write it in quotes: "/etc/headway/key".',
}
"""Error type of pydantic -> the fault and its fix, with the limits of the error."""


def _shape_text(kind: str, value: Any, context: Mapping[str, Any], place: FaultLocation) -> str:
    """The fix for a value of the wrong type; empty if the error says it."""
    shown = _shown(value)
    if kind == "too_short":
        return "is an empty list. Name at least one." if value in ([], ()) else "is empty. Name at least one."
    if kind == "string_too_short" and not value:
        return "is empty. Write it, or remove the key."
    if kind in _SHAPE_FAULTS:
        return _SHAPE_FAULTS[kind].format(shown=shown, **context)
    if kind in ("literal_error", "enum"):
        expected = str(context.get("expected", "the known words"))
        meant = suggestion(value, _expected_values(expected)) if isinstance(value, str) and value else ""
        return f"{shown} is not one of {expected}.{f' {meant}' if meant.startswith('Did') else ''}"
    if kind in ("model_type", "dict_type", "mapping_type", "model_attributes_type"):
        return f"{shown} is {_table_text(place.shapes)}."
    if kind.startswith(("date_", "datetime_")):
        return f"{shown} is not a date. Write it without quotes: 2026-12-24."
    return ""


def _expected_values(expected: str) -> list[str]:
    """The values of "'a', 'b' or 'c'"."""
    return [name.strip(" '") for name in expected.replace(" or ", ", ").split(",")]


def _example(place: FaultLocation) -> str:
    """A value of a key that must be there: of its field, else of its name; "" without one."""
    name = place.keys[-1]
    fields = [model.model_fields[name] for model in _models(place.above) if name in model.model_fields]
    examples = [json.dumps(example) for field in fields for example in field.examples or ()]
    return next(iter(examples), EXAMPLES.get(name, ""))


def _table_text(shapes: tuple[Any, ...]) -> str:
    models = list(_models(shapes))
    if SecretRef in models:
        return 'no reference. Write { env = "NAME" }, or { file = … }, { command = […] }, { keyring = … }'
    keys = [name for model in models for name in _keys(model)][:4]
    return (
        f"not a table. Write {{ {', '.join(f'{name} = …' for name in keys)} }}"
        if keys
        else 'not a table. Write { NAME = "…" }'
    )


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= MAX_SHOWN and "://" not in value)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if _is_short(value):
        return repr(value)
    return "a table" if isinstance(value, dict) else "a list" if isinstance(value, list) else "this"


def _known_keys(place: FaultLocation, also: Sequence[str]) -> list[str]:
    """The keys allowed in place of the last one."""
    known = [name for model in _models(place.above) for name in _keys(model)]
    return known if len(place.keys) > 1 else [*known, *also]


def _keys(model: type[BaseModel]) -> list[str]:
    """As written, required ones first."""
    named = sorted(model.model_fields.items(), key=lambda field: not field[1].is_required())
    return [field.alias or name for name, field in named]


def _below(shapes: Iterable[Any], part: int | str) -> tuple[Any, ...] | None:
    """The types of that key or list item; None for an unknown key."""
    types: list[Any] = []
    for leaf in _leaves(shapes):
        origin, arguments = get_origin(leaf), get_args(leaf)
        if isinstance(part, int):
            types += [argument for argument in arguments if argument is not Ellipsis] if origin in _LISTS else []
        elif origin in _TABLES and part != "[key]":
            types += arguments[1:]
        elif isinstance(leaf, type) and issubclass(leaf, BaseModel):
            types += [field.annotation for name, field in leaf.model_fields.items() if part in (name, field.alias)]
    return tuple(types) or None


def _models(shapes: Iterable[Any]) -> Iterable[type[BaseModel]]:
    return (leaf for leaf in _leaves(shapes) if isinstance(leaf, type) and issubclass(leaf, BaseModel))


def _leaves(shapes: Iterable[Any]) -> Iterable[Any]:
    """The types behind unions and annotations."""
    for shape in shapes:
        origin = get_origin(shape)
        if origin is Annotated:
            yield from _leaves(get_args(shape)[:1])
        elif origin in (Union, UnionType):
            yield from _leaves(arg for arg in get_args(shape) if arg is not NoneType)
        else:
            yield shape


Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value")


class TableOf(StrictOptions, Generic[Value]):
    """A table of the config with the fields of a domain class; `table_of` makes it."""

    domain_class: ClassVar[Any]

    def values(self) -> dict[str, Any]:
        """Its values by name, those of tables within it as well."""
        return {name: item.domain_value() if isinstance(item, TableOf) else item for name, item in self}

    def domain_value(self, **more: Any) -> Value:
        """The value with the fields of the table, and those of `more` instead."""
        names = {field.name for field in fields(self.domain_class)}
        given = {name: item for name, item in self.values().items() if name in names}
        value: Value = self.domain_class(**given | more)
        return value


Extended = TypeVar("Extended", bound=TableOf[Any])


def table_of(domain_class: type[Value], *checks: Callable[[Value], None], **types: Any) -> type[TableOf[Value]]:
    """The table that the config has for a dataclass: each of its fields but `name`, with its default; a field with a
    default factory is required. In `types` a type replaces that of a field, (type, default) adds a key that only the
    config has, and None leaves a field out. `checks` raise ValueError for fields that contradict each other."""
    return extended_table(cast(type[TableOf[Value]], TableOf), domain_class, *checks, **types)


def extended_table(
    base: type[Extended], domain_class: type[Any], *checks: Callable[[Any], None], **types: Any
) -> type[Extended]:
    """The same with the keys of `base`, which stay as they are."""
    hints = get_type_hints(domain_class)
    shapes = {name: shape for name, shape in types.items() if name not in hints}
    for field in fields(domain_class):
        hint = hints[field.name]
        shape = types.get(field.name, WRITTEN_TYPES.get(hint, hint))
        if field.name != "name" and field.name not in base.model_fields and shape is not None:
            shapes[field.name] = (shape, ... if field.default is MISSING else field.default)

    def check(table: Any) -> Any:
        for find_contradiction in checks:
            find_contradiction(table)
        return table

    validators: dict[str, Any] = {"check": model_validator(mode="after")(check)}
    model = create_model(domain_class.__name__, __base__=base, __validators__=validators, **shapes)
    model.domain_class = domain_class
    return model


def validate_list(model: type[Model], document: Table, top: str, reading: ConfigDocument) -> dict[int, Model]:
    """The tables of a list, less those with faults, by their number from 1."""
    tables = enumerate(document.get(top, []), 1)
    checked = {number: validate(model, table, (top, str(number)), reading) for number, table in tables}
    return {number: settings for number, settings in checked.items() if settings is not None}


def validate_named(model: type[Model], document: Table, top: str, reading: ConfigDocument) -> dict[str, Model]:
    """The tables of one kind by name. A job's name is its scheduler's; the others are ours, and people type them."""
    tables = document.get(top, {})
    for name in tables:
        if top != "jobs" and (not name.strip() or clean_line(name) != name):
            reading.fault((top, name), f"{name!a} holds what cannot be shown or typed. Rename it.")
    checked = {name: validate(model, table, (top, name), reading) for name, table in tables.items()}
    return {name: value for name, value in checked.items() if value is not None}


def named_values(table: type[TableOf[Value]], document: Table, top: str, reading: ConfigDocument) -> dict[str, Value]:
    """The values of one kind by name, less those with faults."""
    return {name: row.domain_value(name=name) for name, row in validate_named(table, document, top, reading).items()}


def listed_values(table: type[TableOf[Value]], document: Table, top: str, reading: ConfigDocument) -> tuple[Value, ...]:
    """The values of a list, less those with faults."""
    return tuple(row.domain_value() for row in validate_list(table, document, top, reading).values())


def validate_section(model: type[Model], document: Table, top: str, reading: ConfigDocument) -> Model | None:
    """The settings of a single table; None where it is missing, or has faults."""
    return validate(model, document[top], (top,), reading) if top in document else None


def section_value(table: type[TableOf[Value]], document: Table, top: str, reading: ConfigDocument) -> Value | None:
    """The value of a single table; None where it is missing, or has faults."""
    checked = validate_section(table, document, top, reading)
    return checked.domain_value() if checked is not None else None


def validate(
    model: type[Model], table: Any, key: tuple[str, ...], reading: ConfigDocument, also: tuple[str, ...] = ()
) -> Model | None:
    try:
        return model.model_validate(table, context={"folder": reading.folder(key)})
    except ValidationError as error:
        faults = [
            (fault, fault_location(model, fault["loc"], is_unknown=fault["type"] == "extra_forbidden"))
            for fault in error.errors(include_url=False)
        ]
        unknown = [place for fault, place in faults if fault["type"] == "extra_forbidden"]
        misspelled = {
            (*place.keys[:-1], *get_close_matches(place.keys[-1], _known_keys(place, also), n=1)) for place in unknown
        }
        reported: set[tuple[str, ...]] = set()
        for fault, place in faults:
            if fault["type"] == "missing" and place.keys in misspelled:
                continue  # the unknown key names it
            if _is_reported_deeper(fault, place, faults) or (place.has_choice and place.keys in reported):
                continue
            reported.add(place.keys)
            keys, text = _named_place(place, fault_text(fault, place, also))
            reading.fault((*key, *keys), text)
    return None


def _named_place(place: FaultLocation, text: str) -> tuple[tuple[str, ...], str]:
    """The keys of a fault, and its text. One that begins with keys of its table is at these: "runs.one: send {id}"."""
    match = _NAMED_KEYS.match(text)
    names, shapes = match[1].split(".") if match else [], place.shapes
    for name in names:
        shapes = _below(shapes, name) or ()
    return ((*place.keys, *names), match[2]) if match and shapes else (place.keys, text)


def _is_reported_deeper(error: Any, place: FaultLocation, faults: list[tuple[Any, FaultLocation]]) -> bool:
    """True for a list that is short only because its members were refused, and for union members that the value was not
    meant to be."""
    if error["type"] != "too_short" and not place.has_choice:
        return False
    length = len(place.keys)
    return any(len(location.keys) > length and location.keys[:length] == place.keys for _, location in faults)
