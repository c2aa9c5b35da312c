"""One person's own file, `console.toml` in the config folder: keys, signals and views, edited by hand or by
the console.

What is written changes only the part that it is about: comments and everything else stay as a person wrote them. A file
that cannot be read is never written over.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from console.model.frozen import dataclass
from console.paths import user_folder
from console.personal.signals import read_signals
from console.personal.views import SavedView, read_view

TABLES = ("keys", "views", "signals")
_FIRST = (
    "# Yours alone: keys, signals and saved views of the Headway console. docs/console.md tells what may stand here.\n"
    "# The console writes the views that you save; all else stays as you leave it.\n"
)


class NotSaved(Exception):
    """The file was not written; the message says where, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Personal:
    """What the file says. `faults`: what is wrong with it, each with its place."""

    path: Path
    keys: Mapping[str, Any] = field(default_factory=dict)
    views: Mapping[str, SavedView] = field(default_factory=dict)
    signals: Mapping[str, bool] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    text: str = ""

    def place(self, *key: str) -> str:
        """ "console.toml:12", of a key in it."""
        return f"{self.path}:{_line(self.text, key)}"


def own_file() -> Path:
    return user_folder() / "console.toml"


def read_personal(path: Path | None = None) -> Personal:
    """What is there; without a file nothing, and no fault."""
    path = path or own_file()
    try:
        text = path.read_text("utf-8-sig")
        document = _parsed(text)
    except FileNotFoundError:
        return Personal(path)
    except OSError as error:
        return Personal(path, faults=(f"{path}: cannot be read: {error.strerror}. Make it readable for you.",))
    except UnicodeDecodeError as error:
        return Personal(path, faults=(f"{path}: is not UTF-8 at byte {error.start}. Save it as UTF-8.",))
    except ValueError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line[1]}" if line else f"{path}"
        return Personal(path, faults=(f"{place}: is not valid TOML: {error}. Mend that line; nothing of it is used.",))
    return _checked(Personal(path, text=text), document)


def _parsed(text: str) -> dict[str, Any]:
    """Raises ValueError for what is no TOML."""
    import tomllib  # noqa: PLC0415 - most have no such file, and start quicker

    return tomllib.loads(text)


def _checked(found: Personal, document: Mapping[str, Any]) -> Personal:
    faults = [
        f"{found.place(top)}: {top}: unknown. There are [keys], [signals] and [views.NAME]."
        for top in document
        if top not in TABLES
    ]
    keys, tables = document.get("keys", {}), document.get("views", {})
    for name, table in (("keys", keys), ("views", tables)):
        if not isinstance(table, dict):
            faults.append(f"{found.place(name)}: {name}: is no table. Write [{name}{'.NAME' * (name == 'views')}].")
    views: dict[str, SavedView] = {}
    for name, table in tables.items() if isinstance(tables, dict) else ():
        view, wrong = read_view(name, table, mine=True)
        if view is not None:
            views[name] = view
        faults += [
            f"{found.place('views', name, one.field)}: views.{name}{'.' * bool(one.field)}{one.field}: {one.problem}"
            for one in wrong
        ]
    signals, odd = read_signals(document.get("signals", {}))
    faults += [
        f"{found.place('signals', one.name)}: {'.'.join(filter(None, ('signals', one.name)))}: {one.problem}"
        for one in odd
    ]
    return Personal(found.path, keys if isinstance(keys, dict) else {}, views, signals, tuple(faults), found.text)


def save_view(view: SavedView, path: Path | None = None) -> None:
    """Writes a view, in place of the one of that name. Raises NotSaved."""
    _change(path or own_file(), view.name, view.fields())


def forget_view(name: str, path: Path | None = None) -> None:
    """Takes a view out of the file. Raises NotSaved."""
    _change(path or own_file(), name, None)


def _change(path: Path, name: str, fields: Mapping[str, Any] | None) -> None:
    text, before = _as_it_is(path)
    wanted = {top: value for top, value in before.items() if top != "views"}
    views = {one: value for one, value in before.get("views", {}).items() if one != name}
    views |= {name: dict(fields)} if fields is not None else {}
    after = _without(text, name)
    if fields is not None:
        block = "\n".join((_header(name), *(f"{one} = {_toml(value)}" for one, value in fields.items())))
        after = f"{after.rstrip()}\n\n{block}\n" if after.strip() else f"{_FIRST}\n{block}\n"
    try:
        found = _parsed(after)
    except ValueError:
        found = {}
    if {**found, "views": found.get("views", {})} != {**wanted, "views": views}:
        raise NotSaved(f"{path}: [views.{name}] is written in a way that only you can change: edit it there")
    _write(path, after)


def _as_it_is(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text("utf-8-sig")
        document = _parsed(text)
    except FileNotFoundError:
        return "", {}
    except (OSError, ValueError) as error:
        raise NotSaved(f"nothing was written over {path}: {error}. Mend it first") from None
    if not isinstance(document.get("views", {}), dict):
        raise NotSaved(f"{path}: views is no table; write [views.NAME] there first")
    return text, document


def _without(text: str, name: str) -> str:
    """The text without the lines of `[views.NAME]`, up to the next header or the comment above that."""
    lines = text.splitlines(keepends=True)
    pattern = rf"\s*\[\s*[\"']?views[\"']?\s*\.\s*[\"']?{re.escape(name)}[\"']?\s*\]"
    start = next((at for at, line in enumerate(lines) if re.match(pattern, line)), None)
    if start is None:
        return text
    end = next((at for at in range(start + 1, len(lines)) if re.match(r"\s*\[", lines[at])), len(lines))
    while end > start + 1 and re.match(r"\s*(#|$)", lines[end - 1]):
        end -= 1
    return "".join((*lines[:start], *lines[end:]))


def _header(name: str) -> str:
    return f"[views.{name if re.fullmatch(r'[A-Za-z0-9_-]+', name) else _toml(name)}]"


def _toml(value: Any) -> str:
    """A text or a truth as TOML has it: JSON's letters are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a new file takes the place of the old one, where a link leads to too."""
    real = path.resolve()
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, real.stat().st_mode & 0o777 if real.exists() else 0o600)
            Path(name).replace(real)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise NotSaved(f"{path}: cannot be written: {error.strerror}. What it said before is still there") from None


def _line(text: str, key: tuple[str, ...]) -> int:
    """The line of a key, as near as headers and names tell."""
    lines, inside = text.splitlines(), 0
    for at, line in enumerate(lines, 1):
        if re.match(rf"\s*\[.*{re.escape(key[1] if len(key) > 2 else key[0])}", line):
            inside = at
        elif (inside or len(key) == 1) and key[-1] and re.match(rf"\s*[\"']?{re.escape(key[-1])}[\"']?\s*=", line):
            return at
    return inside or 1
