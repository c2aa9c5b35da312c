"""Where config and store are, found without loading anything heavy: the console's start path uses it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectors.sdk.regular_file import read_regular_file

STORE_URL = (
    "the URL of a shared store may hold a password, so it is written as a reference: "
    '{ env = "HEADWAY_STORE" }, { file = "PATH" } or { command = ["pass", "show", "x"] }'
)
NESTED_TOO_DEEP = "has tables or lists that are nested too deep"
MAX_KEY_PARTS = 20
_KEY_PART = r"""(?:[\w-]++|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"?|'[^'\n]*+'?)"""
_LONG_KEYS = (
    r"""(?s:"{3}[^"\\]*+(?:(?:\\.|""?(?!"))[^"\\]*+)*(?:"{3,5}|\\?\Z)|'{3}.*?(?:'{3,5}|\Z))|#[^\n]*+"""
    rf"|(?P<key>{_KEY_PART}(?:[ \t]*+\.[ \t]*+{_KEY_PART}){{{MAX_KEY_PARTS}}})|{_KEY_PART}"
)
"""Long strings and comments, which may contain dots; keys of too many parts; shorter keys, part by part."""
STORE = "headway.db"
"""Beside the config, where that names none."""
SCHEMES = ("sqlite://", "postgresql://", "postgres://")


def encoding_fault(error: UnicodeDecodeError) -> tuple[int, str]:
    """(line, problem with its fix) of a file that is not UTF-8."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return line, f"is not UTF-8: it has the byte 0x{error.object[error.start]:02x}. Save the file as UTF-8."


class NoStore(Exception):
    """The store cannot be found; the message says where it was searched and how to fix it."""


def user_config() -> Path:
    """The config in the user's own folder: `headway.toml`, or the folder `headway.d` where that exists."""
    base = user_folder()
    folder = base / "headway.d"
    return folder if folder.is_dir() else base / "headway.toml"


def user_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "headway"


def config_path(given: str | None) -> Path:
    """`--config`, else HEADWAY_CONFIG, else the user's own."""
    return Path(given or os.environ.get("HEADWAY_CONFIG") or user_config()).expanduser()


def known_store(url: str, place: str) -> str:
    """The same; raises NoStore for a scheme that no store has. Nothing but the scheme is repeated: it may hold a
    password."""
    scheme, separator, _ = url.partition("://")
    if separator and f"{scheme}://" not in SCHEMES:
        raise NoStore(f'{place}: a store is a file or a postgresql:// URL; "{scheme[:40]}://" is neither')
    return url


def store_url(config: Path) -> str:
    """The store of an estate: a file path, or a postgresql:// URL. Raises NoStore when the config cannot be read."""
    return store_of(_estate(config), config)


def store_of(estate: dict[str, object], config: Path) -> str:
    store = estate.get("store", STORE)
    if isinstance(store, str) and "://" in store:
        raise NoStore(f"{config}: estate.store: {STORE_URL}")
    if isinstance(store, str):
        home = config if config.is_dir() else config.parent
        return str((home / Path(store).expanduser()).absolute())
    return _resolve(store, config)


def _estate(config: Path) -> dict[str, object]:
    """The [estate] tables of the files. Faults elsewhere do not hide the store, so that `freeze` works while a file is
    edited."""
    files = config_files(config)
    estate: dict[str, object] = {}
    fault, fix = "", 'Fix: "headway check" names every problem'
    for file in files:
        try:
            table, problem = _estate_in(read_config(file))
        except FileNotFoundError as error:
            fix = 'Fix: "headway init" writes one from what runs here; "headway demo" needs none'
            raise NoStore(f"{error.filename}: {error.strerror}. {fix}") from None
        except OSError as error:
            raise NoStore(f"{file}: {unreadable_text(error)}") from None
        except UnicodeDecodeError as error:
            line, problem = encoding_fault(error)
            table, problem = {}, f"line {line} {problem.rstrip('.')}"
        estate |= table
        fault = fault or problem
    if files and not any(map(has_settings, files)):
        fault, fix = "has no settings", 'Fix: "headway init" writes a first config'
    if fault and "store" not in estate and not _uses_default_store(config, files):
        raise NoStore(f"{config}: {fault}. {fix}")
    return estate


def config_files(config: Path) -> list[Path]:
    """The files of an estate: the path itself, or every *.toml in that folder, by name."""
    return sorted(config.glob("*.toml")) if config.is_dir() else [config]


MAX_CONFIG_BYTES = 8 * 1024**2


def read_config(file: Path) -> str:
    """The text of a config file: a regular file within MAX_CONFIG_BYTES. Raises OSError, UnicodeDecodeError."""
    return read_regular_file(file, MAX_CONFIG_BYTES).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def unreadable_text(error: OSError) -> str:
    """Why a config file is not read, with the fix."""
    fix = {errno.EINVAL: "remove it, or write a regular file", errno.EFBIG: "split or shorten it"}
    return f"cannot be read: {error.strerror}. Fix: {fix.get(error.errno or 0, 'make it readable for this user')}."


def has_settings(file: Path) -> bool:
    """False for a file with comments and empty lines only; True where it cannot be read."""
    try:
        lines = read_config(file).splitlines()
    except (OSError, UnicodeDecodeError):
        return True
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def _uses_default_store(config: Path, files: Sequence[Path]) -> bool:
    """True if no file names a store, and the default store exists."""
    pattern = re.compile(rb"^[ \t]*store[ \t]*=", re.MULTILINE)
    named = any(pattern.search(read_regular_file(file, MAX_CONFIG_BYTES)) for file in files)
    return not named and ((config if config.is_dir() else config.parent) / STORE).is_file()


class KeyTooLong(ValueError):
    """A key of more than MAX_KEY_PARTS parts, for which tomllib needs quadratic time and memory."""

    def __init__(self, line: int) -> None:
        super().__init__(f"has a key of more than {MAX_KEY_PARTS} parts (at line {line})")
        self.line = line


def parse_toml(text: str) -> dict[str, Any]:
    """The document of a TOML text from outside. Raises tomllib.TOMLDecodeError, KeyTooLong, RecursionError."""
    import tomllib  # noqa: PLC0415 - who names the store starts without it

    if any(line.count(".") >= MAX_KEY_PARTS for line in text.split("\n")):
        for match in re.finditer(_LONG_KEYS, text):
            if match["key"]:
                raise KeyTooLong(text.count("\n", 0, match.start()) + 1)
    return tomllib.loads(text)


def _estate_in(text: str) -> tuple[dict[str, object], str]:
    """The [estate] table, and the fault of the text if it is not valid TOML; then the table is parsed alone."""
    try:
        table = parse_toml(text).get("estate", {})
    except (ValueError, RecursionError) as error:
        reason = NESTED_TOO_DEEP if isinstance(error, RecursionError) else str(error)
        alone = re.search(r"^[ \t]*\[estate\].*?(?=^[ \t]*\[|\Z)", text, re.MULTILINE | re.DOTALL)
        if alone is None or alone[0] == text:
            return {}, reason
        return _estate_in(alone[0])[0], reason
    return table if isinstance(table, dict) else {}, ""


def _resolve(reference: object, config: Path) -> str:
    if isinstance(reference, dict) and isinstance(reference.get("env"), str):
        value = os.environ.get(reference["env"])
        if value:
            return known_store(value, f"{config}: estate.store")
        raise NoStore(f"{config}: estate.store: the variable {reference['env']} is not set. Fix: set it")
    from connectors.sdk.errors import AccessRefused  # noqa: PLC0415 - only for references that need more than this module
    from connectors.sdk.file_trust import write_access_fault  # noqa: PLC0415
    from connectors.sdk.secrets import SecretRef, SecretStore  # noqa: PLC0415

    for file in (config, *(config.glob("*.toml") if config.is_dir() else ())):
        if fault := write_access_fault(file):  # its command would run as us
            raise NoStore(f"{config}: estate.store: is not used, because {fault}.")
    try:
        return known_store(SecretStore()(SecretRef.model_validate(reference)), f"{config}: estate.store")
    except (AccessRefused, ValueError) as error:
        raise NoStore(f"{config}: estate.store: {error}") from None
