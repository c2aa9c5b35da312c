"""Loads an estate: files, tables, kinds, references. Bad config changes nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from connectors import registry
from console.clean import clean_line
from console.config.contradictions import check_approval, check_dependencies
from console.config.models import (
    ActingSettings,
    AlertSettings,
    Config,
    DependencySettings,
    EstateSettings,
    JobSettings,
    PermissionSettings,
    RouteSettings,
    ServiceSettings,
    SystemConfig,
    SystemSettings,
)  # fmt: skip
from console.config.reading import ConfigFaults, Reading, Table, read_all
from console.config.references import check_references, near

Model = TypeVar("Model", bound=BaseModel)


def load_config(path: Path) -> Config:
    """The checked estate in a file or a folder. Raises ConfigFaults with every fault found."""
    reading = Reading(default=path)
    document = read_all(path, reading)
    if reading.unread:
        raise ConfigFaults(reading.faults)
    _unknown_tables(document, reading)
    config = _build(path, document, reading)
    if reading.faults:
        raise ConfigFaults(sorted(reading.faults, key=lambda one: (one.file, one.line or 0)))
    return config


TABLES = ("estate", "systems", "jobs", "dependencies", "services", "routes", "alerts", "permissions", "acting")


def _unknown_tables(document: Table, reading: Reading) -> None:
    for top in document:
        if top not in TABLES:
            reading.fault((top,), f"unknown table. {near(top, TABLES)}")


def _build(path: Path, document: Table, reading: Reading) -> Config:
    estate = _check(EstateSettings, document.get("estate", {}), ("estate",), reading)
    systems = dict(_systems(document.get("systems", {}), reading))
    jobs = _named(JobSettings, document, "jobs", reading)
    services = _named(ServiceSettings, document, "services", reading)
    routes = _named(RouteSettings, document, "routes", reading)
    alerts = _check(AlertSettings, document.get("alerts", {}), ("alerts",), reading)
    acting = _check(ActingSettings, document.get("acting", {}), ("acting",), reading)
    dependencies = _listed(DependencySettings, document, "dependencies", reading)
    permissions = _listed(PermissionSettings, document, "permissions", reading)
    if "systems" not in document:
        reading.fault(("systems",), 'no system is configured. Add [systems.NAME] with kind = "cron" or another kind.')
    digest = hashlib.sha256("\0".join(reading.texts[file] for file in sorted(reading.texts)).encode()).hexdigest()
    estate, alerts, acting = estate or EstateSettings(), alerts or AlertSettings(), acting or ActingSettings()
    config = Config(
        path, digest, estate, systems, jobs, tuple(dependencies.values()), services, routes, alerts,
        tuple(permissions.values()), acting,
    )  # fmt: skip
    check_references(config, document, dependencies, reading)
    check_dependencies(dependencies, reading)
    if len(permissions) == len(document.get("permissions", [])):
        check_approval(acting, config.permissions, reading)
    return config


def _listed(model: type[Model], document: Table, top: str, reading: Reading) -> dict[int, Model]:
    """The tables of a list, less those with faults, by their number from 1."""
    tables = enumerate(document.get(top, []), 1)
    found = {number: _check(model, table, (top, str(number)), reading) for number, table in tables}
    return {number: one for number, one in found.items() if one is not None}


def _named(model: type[Model], document: Table, top: str, reading: Reading) -> dict[str, Model]:
    """The tables of one kind by name. A job's name is its scheduler's; the others are ours, and people type them."""
    tables = document.get(top, {})
    for name in tables:
        if top != "jobs" and (not name.strip() or clean_line(name) != name):
            reading.fault((top, name), f"{name!a} holds what cannot be shown or typed. Rename it.")
    checked = {name: _check(model, table, (top, name), reading) for name, table in tables.items()}
    return {name: value for name, value in checked.items() if value is not None}


def _systems(tables: Table, reading: Reading) -> Iterator[tuple[str, SystemConfig]]:
    for name, table in tables.items():
        key = ("systems", name)
        if not isinstance(table, dict) or "kind" not in table:
            reading.fault(key, f'has no kind. Add kind = "…", one of: {", ".join(registry.kinds())}.')
            continue
        if re.fullmatch(r"[A-Za-z0-9_.-]+", name) is None:
            reading.fault(key, "a system's name has letters, digits, dot, dash and underscore only. Rename it.")
            continue
        common = {k: v for k, v in table.items() if k in SystemSettings.model_fields}
        settings = _check(SystemSettings, common, key, reading)
        own = {k: v for k, v in table.items() if k not in common}
        yield from _options(name, str(table["kind"]), settings, own, reading)


def _options(
    name: str, word: str, settings: SystemSettings | None, own: Table, reading: Reading
) -> Iterator[tuple[str, SystemConfig]]:
    """The kind's own keys are checked also where the common ones have faults: all are told at once."""
    key = ("systems", name)
    try:
        kind = registry.load(word)
    except registry.UnknownKind as error:
        reading.fault((*key, "kind"), str(error))
        return
    options = _check(kind.options, own, key, reading, also=tuple(SystemSettings.model_fields))
    if settings is not None and options is not None:
        yield name, SystemConfig(name, settings, kind, options)


def _check(
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
    return tuple(str(part + 1) if isinstance(part, int) else part for part in loc)


def _words(error: Any, model: type[BaseModel], also: tuple[str, ...]) -> str:
    if error["type"] == "extra_forbidden":
        known = [*model.model_fields, *also] if len(error["loc"]) == 1 else []
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
