"""The config files of an estate as one document, and every fault in them with file, line, key and fix."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from connectors.sdk.file_trust import write_access_fault
from console.config.paths import (
    MAX_KEY_PARTS,
    NESTED_TOO_DEEP,
    KeyTooLong,
    config_files,
    encoding_fault,
    parse_toml,
    read_config,
    unreadable_text,
)

MAX_LISTED = 100
"""Names in one fault: a config may have thousands of faults, and of names."""


def suggestion(name: str, known: Iterable[str], table: str = "") -> str:
    """The near miss of `name`, else the known names, MAX_LISTED at most, as a sentence. `table`: where such names are
    declared, in case there is none yet."""
    names = tuple(known)
    if not names:
        return f"None is configured: add [{table}.{name}]." if table else "None is configured."
    close = [] if name.isdigit() else _close_names(name, names)  # no number is a misspelled other one
    end = ", …" if len(names) > MAX_LISTED else "."
    return f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(sorted(names)[:MAX_LISTED])}{end}"


@lru_cache(maxsize=1024)
def _close_names(name: str, names: tuple[str, ...]) -> list[str]:
    """Cached: thousands of services may name one route that was renamed."""
    return get_close_matches(name, names, n=1)


Table = dict[str, Any]
NAMED = ("systems", "jobs", "services", "routes", "calendars", "rules", "rotas", "checks", "pools", "views")
SINGLE_FILE_TABLES = ("estate", "alerts", "acting", "retention", "console")
LISTS = {
    "dependencies": "each upstream and downstream",
    "permissions": "each who and role",
    "maintenance": "each why, what and when",
    "exceptions": "each why, which days and what they move",
    "policies": "each name and what it repairs",
}


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault of the config: where, what, and the fix."""

    file: Path
    line: int | None
    key: str
    problem: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.key}: {self.problem}" if self.key else f"{place}: {self.problem}"


class ConfigFaults(Exception):
    """All faults of an estate's config."""

    def __init__(self, faults: list[ConfigFault], profiles: Iterable[Path] = ()) -> None:
        """`profiles`: files of profiles that the config names."""
        super().__init__("\n".join(map(str, faults)))
        self.faults, self.profiles = faults, tuple(profiles)


@dataclass(slots=True)
class ConfigDocument:
    """The files being read and the faults found so far."""

    texts: dict[Path, str] = field(default_factory=dict)
    instead: Mapping[Path, str] = field(default_factory=dict)
    """Texts to read instead of those of the files, for a change that is not written yet."""
    profiles: dict[Path, str] = field(default_factory=dict)
    """Text of each profile that a system names, in their order; empty for one that cannot be read."""
    kinds: dict[str, Path] = field(default_factory=dict)
    """Which of them makes a kind."""
    homes: dict[tuple[str, ...], Path] = field(default_factory=dict)
    """Which file a table came from."""
    before: dict[tuple[str, Path], int] = field(default_factory=dict)
    """Number of tables of a list in the files before that one."""
    faults: list[ConfigFault] = field(default_factory=list)
    unread: bool = False
    """A file could not be read, so that references to its content cannot be checked."""
    default: Path = Path()
    find_line: Callable[[str, tuple[str, ...]], int | None] = field(default_factory=lambda: line_of)

    def fault(self, key: tuple[str, ...], problem: str) -> None:
        file, line, key = self._locate(key)
        self.faults.append(ConfigFault(file, line, dotted(key), problem))

    def report(self, file: Path, problem: str, line: int | None = None, key: str = "") -> None:
        """Adds a fault whose line is not looked up by its key."""
        self.faults.append(ConfigFault(file, line, key, problem))

    def place(self, key: tuple[str, ...]) -> str:
        """ "headway.toml:12", for a fault that concerns more places than its own."""
        file, line, key = self._locate(key)
        return f"{file}:{line}" if line else f"{file} ({dotted(key)})"

    def folder(self, key: tuple[str, ...]) -> Path:
        """The folder of the file that the table came from, for relative paths in it."""
        return self._file(key).absolute().parent

    def _file(self, key: tuple[str, ...]) -> Path:
        return next((self.homes[key[:n]] for n in (2, 1) if key[:n] in self.homes), self.default)

    def _locate(self, key: tuple[str, ...]) -> tuple[Path, int | None, tuple[str, ...]]:
        """File, line, and the key as counted there: lists of tables continue across files."""
        file = self._file(key)
        if len(key) > 1 and key[0] in LISTS:
            key = (key[0], str(int(key[1]) - self.before.get((key[0], file), 0)), *key[2:])
        return file, self.find_line(self.texts.get(file, ""), key), key


def names_at(files: list[Path]) -> dict[str, str]:
    """Each quoted text of the files, such as a job's name -> its first line: "headway.toml:12: services.supply"."""
    places: dict[str, str] = {}
    for file in files:
        section = ""
        for number, line in enumerate(read_config(file).splitlines(), 1):
            if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
                section = header[1]
            for double, single in _QUOTED.findall(line.partition(" #")[0]):
                places.setdefault(double or single, f"{file}:{number}: {section}")
    return places


_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")


NO_CONFIG = (
    '"headway init" writes one from what runs here, "headway demo" needs none, and --config names another; '
    "config.example.toml has every setting"
)


def read_files(path: Path, reading: ConfigDocument) -> Table:
    document: Table = {}
    files = sorted({*config_files(path), *reading.instead})
    if not files:
        reading.unread = True
        reading.report(path, f"no *.toml file in this folder. Fix: {NO_CONFIG}.")
    read = [file for file in files if file not in reading.instead and (file.is_file() or not file.exists())]
    for fault in dict.fromkeys(filter(None, map(write_access_fault, [path, *read]))):
        reading.unread = True
        reading.report(path, f"is not used, because {fault}.")
    for file in () if reading.unread else files:
        _merge(document, _read_one(file, reading), file, reading)
    return document


def _text_of(file: Path, reading: ConfigDocument) -> str:
    """Text of the file. Bytes that are not UTF-8 are reported and replaced, so that its other faults are found too.
    Raises OSError."""
    if file in reading.instead:
        return reading.instead[file]
    try:
        return read_config(file)
    except UnicodeDecodeError as error:
        line, problem = encoding_fault(error)
        reading.report(file, problem, line)
        return error.object.decode("utf-8-sig", errors="replace")


def _read_one(file: Path, reading: ConfigDocument) -> Table:
    try:
        reading.texts[file] = _text_of(file, reading)
        return parse_toml(reading.texts[file] + "\n")  # faults of the last line have a line then
    except FileNotFoundError:
        reading.report(file, f"no such file. Fix: {NO_CONFIG}.")
    except OSError as error:
        reading.report(file, unreadable_text(error))
    except (ValueError, RecursionError) as error:
        fault = toml_fault(file, reading.texts[file], error)
        reading.faults.append(replace(fault, problem=f"{fault.problem} The rest was not read."))
    reading.unread = True
    return {}


def toml_fault(file: Path, text: str, error: Exception) -> ConfigFault:
    """The fault of a text that is not TOML: its line, and the key that is there twice."""
    if isinstance(error, RecursionError):
        lines = text.split("\n")
        line = bisect_left(range(1, len(lines)), True, key=lambda count: _is_too_deep("\n".join(lines[:count]))) + 1
        return ConfigFault(file, line, "", f"{NESTED_TOO_DEEP}. Fix: remove levels.")
    if isinstance(error, KeyTooLong):
        problem = f"has a key of more than {MAX_KEY_PARTS} parts. Fix: shorten it."
        return ConfigFault(file, error.line, "", problem)
    if not isinstance(error, tomllib.TOMLDecodeError):
        return ConfigFault(file, None, "", "has a number that is too long. Fix: shorten it.")
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error), re.DOTALL)
    if match is None:
        return ConfigFault(file, None, "", f"is not valid TOML: {error}. Fix that line.")
    line, lines = int(match[2]), text.split("\n")
    if not match[1].startswith(("Cannot ", "Duplicate ")):
        fix = _value_fix(lines[line - 1] if line <= len(lines) else "")
        return ConfigFault(file, line, "", f"is not valid TOML: {match[1]} at column {match[3]}. {fix}")
    starts = [*takewhile(lambda start: start <= line, _starts(text))]
    line = starts[-1]  # where a long value begins
    headers = [header[1] for start in starts if (header := _HEADER.match(lines[start - 1]))]
    key = "" if _HEADER.match(lines[line - 1]) else lines[line - 1].partition("=")[0]
    inline = match[1].removeprefix("Duplicate inline table key ") if match[1].startswith("Duplicate ") else ""
    names = [name.strip(" \t\"'") for name in (*headers[-1:], key, inline)]
    problem = "is defined twice. Fix: remove one of the two definitions."
    return ConfigFault(file, line, ".".join(filter(None, names)), problem)


_BARE_VALUE = re.compile(r"""\s*(?P<key>[\w.-]+)\s*=\s*(?P<value>[^\s"'#\[\]{},]+)\s*(?:#.*)?$""")
_BARE_PART = re.compile(r"""[\[{,=]\s*(?P<value>[^\s"'#\[\]{},=]+)\s*(?=[\]},])""")
"""A value within an array or an inline table."""
_YAML_LINE = re.compile(r"\s*(?:(?P<key>[\w.-]+)\s*:\s*(?P<value>[^\s#]?)|---|%YAML|- )")
_BOOLEANS = {"True": "true", "False": "false"}
_YAML_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def _value_fix(line: str) -> str:
    """Fix of a line that a person who knows YAML wrote; else no more than to fix it."""
    if match := _YAML_LINE.match(line):
        key, value = match["key"], match["value"]
        table = _table_form(key) if key and not value else ""
        written = table or (f"{key} = …" if key else "[services.NAME] for a table and KEY = VALUE below it")
        return f"Fix: the config is TOML, not YAML: write {written}."
    match = _BARE_VALUE.match(line)
    if match is None:
        parts = (part["value"] for part in _BARE_PART.finditer(line))
        bare = next((part for part in parts if not _is_toml_value(part)), "")
        return f'Fix: write "{bare}".' if bare else "Fix that line."
    key, value = match["key"], match["value"]
    if value in _YAML_BOOLEANS:
        return f"Fix: write {_YAML_BOOLEANS[value]} if {key} takes true or false, else one of its texts in quotes."
    written = _BOOLEANS.get(value, f'"{value}"')
    return f"Fix: write {key} = {written}."


def _is_toml_value(text: str) -> bool:
    try:
        tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return False
    return True


_HEADER = re.compile(r"\s*\[+([^\[\]]+)\]")
_TOKEN = re.compile(
    r"""(?s)\"{3}(?:\\.|[^\\])*?(?:\"{3,5}|\Z)|'{3}.*?(?:'{3,5}|\Z)|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|#[^\n]*|[\[\]{}\n]"""
)


def toml_tokens(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each comment, string, bracket and line end of a TOML text."""
    line = 1
    for match in _TOKEN.finditer(text):
        yield line, match[0]
        line += match[0].count("\n")


def _starts(text: str) -> Iterator[int]:
    """The lines on which no value of an earlier line continues."""
    yield 1
    depth = 0
    for line, part in toml_tokens(text):
        depth += (part in ("[", "{")) - (part in ("]", "}"))
        if part == "\n" and depth == 0:
            yield line + 1


def _is_too_deep(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        return isinstance(error, RecursionError)
    return False


def _merge(document: Table, part: Table, file: Path, reading: ConfigDocument) -> None:
    for top, value in part.items():
        reading.homes.setdefault((top,), file)
        wrong = _shape_fault(top, value)
        if wrong:
            reading.report(file, wrong, _line_of_value(reading.texts[file], top), top)
            document.setdefault(top, [] if top in LISTS else {})
        elif isinstance(value, list):
            _append(document.setdefault(top, []), top, value, file, reading)
        elif isinstance(value, dict) and top not in SINGLE_FILE_TABLES:
            _merge_named(document.setdefault(top, {}), top, value, file, reading)
        elif top in document:
            reading.report(file, f"is declared in {reading.homes[(top,)]} too. Keep one.", key=top)
        else:
            document[top] = value


def _shape_fault(top: str, value: Any) -> str:
    if top in LISTS and not isinstance(value, list):
        return f"is not a list of tables. Write {_table_form(top)}."
    if top in NAMED and not isinstance(value, dict):
        return f"is not a table of names. Write {_table_form(top)}."
    if top in SINGLE_FILE_TABLES and not isinstance(value, dict):
        return f"is not a table. Write {_table_form(top)}."
    return ""


def _table_form(top: str) -> str:
    """The header of that table and where its keys go; empty for another key."""
    if top in LISTS:
        return f"[[{top}]] above {LISTS[top]}"
    name = f"[{top}.NAME]" if top in NAMED else f"[{top}]" if top in SINGLE_FILE_TABLES else ""
    return f"{name} with its keys below" if name else ""


def _line_of_value(text: str, top: str) -> int | None:
    at = _first_line(text.splitlines(), rf"\s*(\[\[\s*)?[\"']?{re.escape(top)}[\"']?\s*(\]\]|=)")
    return None if at is None else at + 1


def _append(into: list[Any], top: str, tables: list[Any], file: Path, reading: ConfigDocument) -> None:
    reading.before[top, file] = len(into)
    reading.homes.update({(top, str(len(into) + number)): file for number in range(1, len(tables) + 1)})
    into.extend(tables)


def _merge_named(into: Table, top: str, named: Table, file: Path, reading: ConfigDocument) -> None:
    for name, value in named.items():
        if name in into:
            reading.report(file, f"is declared in {reading.homes[(top, name)]} too. Keep one.", key=f"{top}.{name}")
        else:
            reading.homes[(top, name)] = file
            into[name] = value


def dotted(key: tuple[str, ...]) -> str:
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else f'"{part}"' for part in key)


def line_of(text: str, key: tuple[str, ...]) -> int | None:
    """The line of `key` in a TOML text, found by headers and names; None if not found."""
    headers = _headers(text)
    lines = headers.lines
    if not key or not lines:
        return None
    if key[0] in LISTS and len(key) > 1:
        start = headers.nth(key[:1], int(key[1]))
        rest = key[2:]
    else:
        start, rest = _header(headers, key)
    if start is None:
        return _line_of_value(text, key[0]) if key[0] in LISTS else None
    return _key_line(lines, start, rest) or start + 1


def line_in_tables(text: str, key: tuple[str, ...]) -> int:
    """The same in a file whose tables are not those of an estate: the line of `key`, else of its innermost table, else
    the first."""
    lines = text.splitlines()
    for depth in range(len(key), 0, -1):
        start = _first_line(lines, rf"\s*\[{{1,2}}\s*{_dotted(key[:depth])}\s*\]")
        if start is not None:
            return _key_line(lines, start, key[depth:]) or start + 1
    below = _first_line(lines, rf"\s*\[{{1,2}}\s*{_dotted(key)}\s*\.") if key else None
    return (_key_line(lines, -1, key) or 1) if below is None else below + 1


@dataclass(frozen=True, slots=True)
class _Headers:
    """The lines of a TOML text, and which of them are table headers, from 0."""

    lines: list[str]
    exact: Mapping[tuple[str, ...], list[int]]
    within: Mapping[tuple[str, ...], int]
    """Key -> the first header that begins with it."""

    def nth(self, key: tuple[str, ...], number: int) -> int | None:
        lines = self.exact.get(key, [])
        return lines[number - 1] if len(lines) >= number else None


_HEADER_LINE = re.compile(r"\s*\[{1,2}([^\]]*)\]")
_HEADER_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^\s.\"']+)")


@lru_cache(maxsize=16)
def _headers(text: str) -> _Headers:
    """Read once for all faults of a text."""
    exact: dict[tuple[str, ...], list[int]] = {}
    within: dict[tuple[str, ...], int] = {}
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if (match := _HEADER_LINE.match(line)) and (key := tuple(map("".join, _HEADER_PART.findall(match[1])))):
            exact.setdefault(key, []).append(number)
            for depth in range(1, len(key) + 1):
                within.setdefault(key[:depth], number)
    return _Headers(lines, exact, within)


def _header(headers: _Headers, key: tuple[str, ...]) -> tuple[int | None, tuple[str, ...]]:
    """The line of the innermost table with the key, from 0, and the keys within it."""
    for depth in range(len(key), 1 if key[0] in SINGLE_FILE_TABLES else 2, -1):
        counted, number = (key[: depth - 1], int(key[depth - 1])) if key[depth - 1].isdigit() else (key[:depth], 1)
        start = headers.nth(counted, number)
        if start is not None:
            return start, key[depth:]
    for depth in range(min(2, len(key)) if key[0] not in SINGLE_FILE_TABLES else 1, 0, -1):
        if key[:depth] in headers.within:
            return headers.within[key[:depth]], key[depth:]
    return None, key


def _dotted(key: tuple[str, ...]) -> str:
    """A pattern for these keys in a table header."""
    return r"\s*\.\s*".join(rf"[\"']?{re.escape(part)}[\"']?" for part in key)


def _first_line(lines: list[str], pattern: str) -> int | None:
    return next((at for at, line in enumerate(lines) if re.match(pattern, line)), None)


def _key_line(lines: list[str], start: int, rest: tuple[str, ...]) -> int | None:
    for at in range(start + 1, len(lines)):
        if lines[at].lstrip().startswith("["):
            return None
        if rest and re.match(rf"\s*[\"']?{re.escape(rest[0])}[\"']?\s*[=.]", lines[at]):
            return at + 1
    return None
