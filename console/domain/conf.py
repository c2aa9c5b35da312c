"""Parameters of a start (`conf`): NAME=VALUE texts or a JSON object, parsed into one table. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_CHARACTERS = 10_000
"""As JSON: store, audit and scheduler keep it."""
SECRET_NAMES = (
    "access_token", "api_key", "apikey", "authorization", "passphrase", "passwd", "password", "private_key", "secret",
    "token", "keyfile", "service_account", "credential",
)  # fmt: skip
"""Parts of names of secrets: the list by which Airflow masks (task-sdk, DEFAULT_SENSITIVE_FIELDS), and one more."""
MAX_DEPTH = 20


def parse_conf(texts: Sequence[str]) -> dict[str, Any]:
    """One table of all texts, each a JSON object or NAME=VALUE; a VALUE that is valid JSON is read as JSON. Raises
    ValueError, without a value that may be secret."""
    table: dict[str, Any] = {}
    for text in texts:
        for name, value in _pairs(text):
            if name in table:
                raise ValueError(f"{name[:40]} is given twice")
            table[name] = value
    _check(table)
    return table


def split_conf(line: str) -> list[str]:
    """The texts in one typed line: a JSON object, or NAME=VALUE quoted as in a shell. Raises ValueError."""
    if line.strip().startswith("{"):
        return [line.strip()]
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ValueError(f"this cannot be read ({error}): write NAME=VALUE, or a JSON object") from None


def _pairs(text: str) -> list[tuple[str, Any]]:
    if text.strip().startswith("{"):
        try:
            return list(json.loads(text, parse_constant=_refused, object_pairs_hook=_unique_keys).items())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"this is not a JSON object ({str(error)[:80] or 'too deep'})") from None
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise ValueError("a word has no name: write NAME=VALUE, or a JSON object")
    return [(name.strip(), _value(value))]


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refused, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError):
        return text


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON value")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) != len({name for name, _ in pairs}):
        raise ValueError("a name is given twice")
    return dict(pairs)


def _check(table: Mapping[str, Any]) -> None:
    if secret := secret_name(table):
        raise ValueError(
            f"{secret[:40]} is named like a secret: parameters are readable at the scheduler, in the store"
            " and in the audit. Keep it where the scheduler keeps its secrets, and name that place here"
        )
    if len(json.dumps(table)) > MAX_CHARACTERS:
        raise ValueError(f"this is more than {MAX_CHARACTERS:,} characters: give the name of a file instead")


def texts_in(value: Any) -> Iterator[str]:
    """Every name and value as text, without JSON quoting."""
    if isinstance(value, Mapping):
        yield from map(str, value)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for part in parts:
        yield from texts_in(part)
    if not isinstance(value, Mapping | list) and value is not None:
        yield str(value)


def secret_name(value: Any, deep: int = 0) -> str:
    """The first name, at any depth, that seems to be a secret's; empty without one."""
    if deep > MAX_DEPTH:
        raise ValueError(f"this is nested more than {MAX_DEPTH} deep")
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    names = [str(name) for name in value] if isinstance(value, Mapping) else []
    own = next((name for name in names if any(marker in name.casefold() for marker in SECRET_NAMES)), "")
    return own or next((name for part in parts if (name := secret_name(part, deep + 1))), "")
