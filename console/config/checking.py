"""One table, or all tables of one kind, into checked settings; what is wrong goes into the reading, in plain words."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from console.clean import clean_line
from console.config.reading import Reading, Table
from console.config.references import near

Model = TypeVar("Model", bound=BaseModel)


def listed(model: type[Model], document: Table, top: str, reading: Reading) -> dict[int, Model]:
    """The tables of a list, less those with faults, by their number from 1."""
    tables = enumerate(document.get(top, []), 1)
    found = {number: check(model, table, (top, str(number)), reading) for number, table in tables}
    return {number: one for number, one in found.items() if one is not None}


def named(model: type[Model], document: Table, top: str, reading: Reading) -> dict[str, Model]:
    """The tables of one kind by name. A job's name is its scheduler's; the others are ours, and people type them."""
    tables = document.get(top, {})
    for name in tables:
        if top != "jobs" and (not name.strip() or clean_line(name) != name):
            reading.fault((top, name), f"{name!a} holds what cannot be shown or typed. Rename it.")
    checked = {name: check(model, table, (top, name), reading) for name, table in tables.items()}
    return {name: value for name, value in checked.items() if value is not None}


def check(
    model: type[Model], table: Any, key: tuple[str, ...], reading: Reading, also: tuple[str, ...] = ()
) -> Model | None:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        deeper = {one["loc"][:-1] for one in faults}
        for one in faults:
            if one["type"] != "too_short" or one["loc"] not in deeper:  # what was refused one by one left it short
                reading.fault((*key, *_location(one["loc"])), _words(one, model, also))
    return None


def _location(loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """Keys, and the places of lists counted from 1, as people count."""
    return tuple(str(part + 1) if isinstance(part, int) else part for part in loc if part != "[key]")


def _words(error: Any, model: type[BaseModel], also: tuple[str, ...]) -> str:
    if error["type"] == "extra_forbidden":
        known = (
            [*(one.alias or name for name, one in model.model_fields.items()), *also] if len(error["loc"]) == 1 else []
        )
        return "unknown key. " + (near(str(error["loc"][-1]), known) if known else "Remove it.")
    if error["type"] == "missing":
        return "is missing. Add it."
    plain = _in_plain_words(error)
    if plain:
        return plain
    message = str(error["msg"]).removeprefix("Value error, ")
    value = error.get("input")
    told = "secret" in message or not isinstance(value, str | int | float | bool) or str(value) in message
    shown = "" if told else f" (it is {value!r})"
    words = f"{message[0].lower()}{message[1:]}{shown}"
    return words if words.endswith("?") else words.rstrip(".") + "."


SHOWN = 40
"""Characters of a value that is repeated; a longer one, or a URL, may be a secret in the wrong place."""


def _in_plain_words(error: Any) -> str:
    """What a person should write in place of a value of the wrong shape; empty for what says so itself."""
    value, context = error.get("input"), error.get("ctx", {})
    is_short = isinstance(value, int | float | bool) or (isinstance(value, str) and len(value) <= SHOWN)
    shown = repr(value) if is_short and "://" not in str(value) else f"this {type(value).__name__}"
    match error["type"]:
        case "tuple_type" | "list_type":
            return 'is no list. Write it in brackets: ["…", "…"].'
        case "too_short":
            return "is an empty list. Name at least one."
        case "string_type":
            return f"{shown} is no text. Write it in quotes."
        case "bool_type" | "bool_parsing":
            return f"{shown} is neither true nor false. Write one of them, without quotes."
        case "int_type" | "int_parsing" | "int_from_float" | "float_type" | "float_parsing":
            return f"{shown} is no number. Write it without quotes."
        case "literal_error":
            return f"{shown} is none of {context.get('expected', 'the known words')}."
        case "greater_than_equal":
            return f"{shown} is too small: at least {context['ge']}."
        case "less_than_equal":
            return f"{shown} is too large: at most {context['le']}."
    return ""
