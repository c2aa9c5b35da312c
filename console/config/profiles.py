"""Profiles in files of a team: `kind = "profiles/nightly.toml"`. Each fault with file, line, value and fix.

A profile that Headway ships is loaded by its name (`connectors.sdk.registry`); only those that a config names are read.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from connectors.sdk import registry
from connectors.sdk.contract import ApiComparison, ConnectorKind
from connectors.sdk.file_trust import write_access_fault
from console.config.document import ConfigDocument, ConfigFault, line_in_tables, suggestion, toml_fault, toml_tokens
from console.config.paths import encoding_fault, parse_toml
from console.config.sections import SystemSettings
from console.config.validation import validate
from console.text.redact import SIGN_IN, holds_secret, is_secret_name

MAX_BYTES = 256 * 1024
MAX_DEPTH = 30
"""Of nested tables and lists."""
PROSE = ("about", "grants", "ladder", "lacks", "title")
"""Tables and keys whose texts are for people."""
SENT = ("query", "body", "form", "headers")
"""Tables of what a call sends."""
OF_A_SYSTEM = ("client_id", "client_secret", "username", "password", "token")
"""Keys of the account, which a system of the config has."""
SIGN_IN_FIX = "A profile holds none: declare its sign_in, and let the config refer to the token"
RANDOM_CHARACTERS = 16
RANDOM_CHANGES = 0.25
"""Changes between small letters, capitals and digits per character of a random word; random digits of base 16 have
0.47."""
RANDOM_REST = 0.4
"""Share of its characters that no part of a name ("Job", "runs") takes; ListJobRunsForProjectV2 has 0.1."""
_NAME_PART = re.compile("[A-Z]?[a-z]{2,}")
_SEPARATOR = re.compile(r"\{[^{}]*\}|[\s,;:/?&=]+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SIGNED = re.compile(r"\s*(bearer|basic|token|apikey|digest)\s+\S", re.IGNORECASE)
_LETTERS_ONLY = re.compile(r"\bbearer\s+[A-Za-z0-9]{16,}\b", re.IGNORECASE)
"""A token without a number, which SIGN_IN does not match."""
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
"""Of a comment, which is read line by line."""


def read_profile(path: Path, texts: dict[Path, str] | None = None) -> tuple[ConnectorKind | None, list[ConfigFault]]:
    """The kind that a profile makes, and all faults of the file; with a fault there is no kind. Its text is added to
    `texts`."""
    reading = ConfigDocument({} if texts is None else texts, default=path, find_line=line_in_tables)
    document = _document(path, reading)
    if document is None:
        return None, reading.faults
    for key in _secrets(document, ()):
        reading.fault(key, f"holds a secret, or what looks like one. {SIGN_IN_FIX}.")
    for line in _lines_with_secrets(reading.texts[path]):
        reading.report(path, f"a comment holds a secret, or what looks like one. {SIGN_IN_FIX}.", line)
    try:
        model = registry.profile_model(document)
    except registry.UnknownKind as error:
        reading.fault(("base",), str(error))
        return None, reading.faults
    assert issubclass(model, BaseModel), "profiles are pydantic models"
    profile = validate(model, document, (), reading)
    reading.faults = [_of_a_system(fault) for fault in reading.faults]
    _hint_at_misplaced(reading.faults, model.model_fields)
    _check_names(path, document, reading)
    kind = profile.connector_kind() if profile is not None and not reading.faults else None
    assert kind is None or isinstance(kind, ConnectorKind), "a profile makes a kind"
    return kind, sorted(reading.faults, key=_line_of)


def profile_warnings(path: Path) -> list[ConfigFault]:
    """Probable mistakes in a valid profile."""
    reading = ConfigDocument({}, default=path, find_line=line_in_tables)
    document = _document(path, reading)
    assert document is not None, "the profile is valid"
    for key, text in registry.profile_model(document).model_validate(document, context={}).warnings():
        reading.fault(key, f"{text}.")
    return reading.faults


def compare_profile(
    path: Path, description: Path
) -> tuple[ApiComparison, list[ConfigFault], list[ConfigFault], list[ConfigFault]]:
    """A valid profile and a description of its API, with the faults of the profile, the fields that the description
    leaves open, and what it has besides. Raises ValueError."""
    reading = ConfigDocument({}, default=path, find_line=line_in_tables)
    document = _document(path, reading)
    assert document is not None, "the profile is valid"
    try:
        text = description.read_text(encoding="utf-8-sig")
        comparison = registry.profile_model(document).model_validate(document, context={}).compare(text)
    except OSError as error:
        raise ValueError(f"{description}: cannot be read: {error.strerror}. Fix: correct the path") from None
    except ValueError as error:
        raise ValueError(f"{description}: {error}") from None
    undescribed = [(key, f"{name!r} is not described") for key, name in comparison.undescribed]
    sorted_faults: list[list[ConfigFault]] = []
    for texts in (comparison.faults, undescribed, comparison.notes):
        reading.faults = []
        for key, text in texts:
            reading.fault(key, f"{text}.")
        sorted_faults.append(sorted(reading.faults, key=_line_of))
    faults, fields, notes = sorted_faults
    return comparison, faults, fields, notes


def _line_of(fault: ConfigFault) -> int:
    return fault.line or 0


def _document(path: Path, reading: ConfigDocument) -> dict[str, Any] | None:
    problem = ""
    try:
        problem = write_access_fault(path)
        if problem:
            problem = f"is not used, because {problem}"
        elif not stat.S_ISREG(path.stat().st_mode):
            problem = "is not a regular file. Fix: correct the path"
        else:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) <= MAX_BYTES:
                reading.texts[path] = data.decode("utf-8-sig")
                return _shallow(parse_toml(reading.texts[path] + "\n"), reading)
            problem = f"has more than {MAX_BYTES} bytes: shorten it"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}. Fix: correct the path"
    except UnicodeDecodeError as error:
        line, problem = encoding_fault(error)
        reading.report(path, problem, line)
        return None
    except (ValueError, RecursionError) as error:
        reading.faults.append(toml_fault(path, reading.texts[path], error))
        return None
    reading.report(path, f"{problem}.")
    return None


def _shallow(document: dict[str, Any], reading: ConfigDocument) -> dict[str, Any] | None:
    """The document; None, and a fault, where tables and lists are too deep in each other."""
    level: list[tuple[tuple[str, ...], Any]] = [((), document)]
    for _ in range(MAX_DEPTH):
        level = [((*key, name), item) for key, value in level for name, item in _items(value)]
    if not level:
        return document
    reading.fault(level[0][0][:3], f"has tables or lists nested more than {MAX_DEPTH} deep. Fix: remove levels.")
    return None


def _items(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return [(str(number), item) for number, item in enumerate(value, 1)] if isinstance(value, list) else []


def _check_names(path: Path, document: dict[str, Any], reading: ConfigDocument) -> None:
    kind, shipped = document.get("kind"), registry.profiles()
    if kind in registry.kinds() and path.resolve() != shipped.get(str(kind), Path()).resolve():
        reading.fault(("kind",), f'"{kind}" is an installed kind. Choose another name.')
    options = document.get("options")
    for name in options if isinstance(options, dict) else ():
        if name in SystemSettings.model_fields:
            reading.fault(("options", name), "every system has this option. Choose another name.")
    targets = document.get("targets")
    if isinstance(targets, str) and isinstance(options, dict) and targets not in options:
        reading.fault(("targets",), f'no option "{targets}". {suggestion(targets, options, "options")}')


def _of_a_system(fault: ConfigFault) -> ConfigFault:
    """The fault of a key that the config has, and no profile."""
    name = fault.key.rpartition(".")[2]
    if name not in OF_A_SYSTEM or not fault.problem.startswith("unknown key"):
        return fault
    value = '"…"' if name in ("client_id", "username") else '{ env = "NAME" }'
    fix = f"Fix: remove it here, and write {name} = {value} in each system of the config"
    return replace(fault, problem=f"a profile holds no account. {fix}.")


def _hint_at_misplaced(faults: list[ConfigFault], names: Collection[str]) -> None:
    """Adds a hint to the first key of the profile itself that is below a table. `names`: of these keys."""
    for place, fault in enumerate(faults):
        table, _, name = fault.key.rpartition(".")
        if table and name in names and fault.problem.startswith("unknown key"):
            hint = f"Keys below [{table}] belong to it; move those of the profile above its first table."
            faults[place] = replace(fault, problem=f"{fault.problem} {hint}")
            return


def _secrets(value: Any, key: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Keys of texts that hold a secret: by their shape, and by the name of what is sent."""
    for name, item in _items(value):
        yield from _secrets(item, (*key, name))
    if isinstance(value, str):
        is_prose = any(part in PROSE for part in key)
        is_sent = len(key) > 1 and not {*key}.isdisjoint(SENT) and "{" not in value and _names_secret(key, value)
        is_fixed = (
            not {*key}.isdisjoint(SENT) or value.startswith("/") or (key[0] == "options" and key[-1] == "default")
        )
        is_secret = _prose_holds_secret(value) if is_prose else holds_secret(value)
        texts_alone = _SEPARATOR.split(_UUID.sub("", value)) if is_fixed and not is_prose else ()
        if is_sent or is_secret or any(map(_alternates, texts_alone)):
            yield key


def _prose_holds_secret(text: str) -> bool:
    is_signed = any(pattern.search(text) for pattern in (SIGN_IN, _LETTERS_ONLY, _PRIVATE_KEY))
    return is_signed or any(map(holds_secret, text.split()))


def _lines_with_secrets(text: str) -> Iterator[int]:
    """Numbers of the lines with a comment that holds a secret."""
    for line, part in toml_tokens(text):
        if part.startswith("#") and _prose_holds_secret(part[1:]):
            yield line


def _alternates(text: str) -> bool:
    """Whether small letters, capitals and digits alternate in a long word as in no name."""
    characters = re.sub(r"[\W_]", "", text)
    kinds = ["digit" if character.isdigit() else character.isupper() for character in characters]
    changes = sum(kind != following for kind, following in pairwise(kinds))
    is_mixed = len(characters) >= RANDOM_CHARACTERS and changes >= RANDOM_CHANGES * len(characters)
    rest = len(_NAME_PART.sub("", characters))
    return is_mixed and "digit" in kinds and rest >= RANDOM_REST * len(characters)


def _names_secret(key: tuple[str, ...], value: str) -> bool:
    """Whether what is sent under this key is a secret of any shape: by its name, or as the value of a header."""
    is_type = key[-1].lower().endswith("type")
    return (is_secret_name(key[-1]) and not is_type) or ("headers" in key and _SIGNED.match(value) is not None)
