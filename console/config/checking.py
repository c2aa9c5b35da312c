"""One table, or all tables of one kind, into checked settings; what is wrong goes into the reading, in plain words."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from console.clean import clean_line
from console.config.reading import Reading, Table
from console.config.words import Place, place_of, words_of

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
        return model.model_validate(table, context={"folder": reading.folder(key)})
    except ValidationError as error:
        faults = [(one, _place(model, one)) for one in error.errors(include_url=False)]
        told: set[tuple[str, ...]] = set()
        for one, place in faults:
            if _is_said_deeper(one, place, faults) or (place.has_choice and place.keys in told):
                continue
            told.add(place.keys)
            reading.fault((*key, *place.keys), words_of(one, place, also))
    return None


def _place(model: type[BaseModel], error: Any) -> Place:
    return place_of(model, error["loc"], is_unknown=error["type"] == "extra_forbidden")


def _is_said_deeper(one: Any, place: Place, faults: list[tuple[Any, Place]]) -> bool:
    """A list that is short because its members were refused; and of several types that a value may have, one that it
    plainly was not meant to be."""
    if one["type"] != "too_short" and not place.has_choice:
        return False
    length = len(place.keys)
    return any(len(other.keys) > length and other.keys[:length] == place.keys for _, other in faults)
