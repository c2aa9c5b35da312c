"""Preferences: a person's own `console.toml` over what the config shares: keys, theme and saved views.

The file is edited by hand or by the console. A change touches only its own part: comments and everything else stay as
they were written. A file that cannot be read is never overwritten.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from console.config.key_table import NO_REMAP, Remap
from console.config.keymap import read_layers
from console.config.paths import NESTED_TOO_DEEP, encoding_fault, parse_toml, read_config, user_folder
from console.config.saved_views import SavedView, read_view

TABLES = ("keys", "views")
THEMES = (
    "dark", "light",
    "atom-one-dark", "atom-one-light", "catppuccin-frappe", "catppuccin-latte", "catppuccin-macchiato",
    "catppuccin-mocha", "dracula", "flexoki", "gruvbox", "monokai", "nord", "rose-pine", "rose-pine-dawn",
    "rose-pine-moon", "solarized-dark", "solarized-light", "textual-dark", "textual-light", "tokyo-night",
)  # fmt: skip
"""Ours, then Textual's."""
_FIRST = (
    "# Yours alone: keys, theme and saved views of the Headway console. docs/console.md lists the settings.\n"
    "# The console writes the theme that you choose and the views that you save; all else stays as you leave it.\n"
)


class PreferencesNotSaved(Exception):
    """The file was not written; the message says where, why, and how to fix it."""


class PersonalPreferences(NamedTuple):
    """The content of the file. `faults`: its faults with their places."""

    path: Path
    keys: Mapping[str, Any] = NO_REMAP
    views: Mapping[str, SavedView] = {}
    faults: tuple[str, ...] = ()
    text: str = ""
    theme: str = ""
    """One of `THEMES`; empty for the default."""

    def place(self, *key: str) -> str:
        """ "console.toml:12", of a key in it."""
        return f"{self.path}:{_line(self.text, key)}"


def preferences_file() -> Path:
    return user_folder() / "console.toml"


def read_preferences(path: Path | None = None) -> PersonalPreferences:
    """The preferences; without a file defaults, and no fault."""
    path = path or preferences_file()
    try:
        text = read_config(path)
        document = _parsed(text)
    except FileNotFoundError:
        return PersonalPreferences(path)
    except OSError as error:
        fault = f"{path}: cannot be read: {error.strerror}. Make it readable for you."
    except UnicodeDecodeError as error:
        number, problem = encoding_fault(error)
        fault = f"{path}:{number}: {problem}"
    except ValueError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line[1]}" if line else f"{path}"
        fault = f"{place}: is not valid TOML: {error}. Fix that line; nothing of it is used."
    else:
        return _checked(PersonalPreferences(path, text=text), document)
    return PersonalPreferences(path, faults=(fault,))


def _parsed(text: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except RecursionError:
        raise ValueError(NESTED_TOO_DEEP) from None


def _checked(preferences: PersonalPreferences, document: Mapping[str, Any]) -> PersonalPreferences:
    faults: list[str] = []

    def report(problem: str, *keys: str) -> None:
        faults.append(f"{preferences.place(*keys)}: {'.'.join(filter(None, keys))}: {problem}")

    for top in document:
        if top not in (*TABLES, "theme"):
            report("unknown. There are theme, [keys] and [views.NAME].", top)
    keys, tables = document.get("keys", {}), document.get("views", {})
    for name, table in (("keys", keys), ("views", tables)):
        if not isinstance(table, dict):
            report(f"is not a table. Write [{name}{'.NAME' * (name == 'views')}].", name)
    views: dict[str, SavedView] = {}
    for name, table in tables.items() if isinstance(tables, dict) else ():
        view, view_faults = read_view(name, table, mine=True)
        if view is not None:
            views[name] = view
        for field, problem in view_faults:
            report(problem, "views", name, field)
    theme = document.get("theme", "")
    if theme and theme not in THEMES:
        near = get_close_matches(str(theme), THEMES, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(THEMES)}."
        report(f"unknown theme; {hint}", "theme")
        theme = ""
    return PersonalPreferences(
        preferences.path, keys if isinstance(keys, dict) else {}, views, tuple(faults), preferences.text, theme
    )


def save_view(view: SavedView, path: Path | None = None) -> None:
    """Writes a view, in place of the one of that name. Raises PreferencesNotSaved."""
    _change(path or preferences_file(), view.name, view.fields())


def delete_view(name: str, path: Path | None = None) -> None:
    """Raises PreferencesNotSaved."""
    _change(path or preferences_file(), name, None)


def save_theme(name: str, path: Path | None = None) -> None:
    """Writes the theme, in place of the one before. Raises PreferencesNotSaved."""
    path = path or preferences_file()
    text, before = _read_unchanged(path)
    lines = text.splitlines(keepends=True)
    head = next((at for at, line in enumerate(lines) if re.match(r"\s*\[", line)), len(lines))
    at = next((at for at in range(head) if re.match(r"\s*[\"']?theme[\"']?\s*=", lines[at])), None)
    line = f"theme = {_toml(name)}\n"
    if at is not None:
        lines[at] = line
    else:
        lines[:0] = [line, "\n"] if lines else [_FIRST, "\n", line]
    _write(path, "".join(lines), {**before, "theme": name}, "theme")


def _change(path: Path, name: str, fields: Mapping[str, Any] | None) -> None:
    text, before = _read_unchanged(path)
    views = {key: value for key, value in before.get("views", {}).items() if key != name}
    views |= {name: dict(fields)} if fields is not None else {}
    after = _without(text, name)
    if fields is not None:
        block = "\n".join((_header(name), *(f"{key} = {_toml(value)}" for key, value in fields.items())))
        after = f"{after.rstrip()}\n\n{block}\n" if after.strip() else f"{_FIRST}\n{block}\n"
    _write(path, after, {**before, "views": views}, f"[views.{name}]")


def _read_unchanged(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = read_config(path)
        document = _parsed(text)
    except FileNotFoundError:
        return "", {}
    except (OSError, ValueError) as error:
        raise PreferencesNotSaved(f"nothing was written over {path}: {error}. Fix it first") from None
    if not isinstance(document.get("views", {}), dict):
        raise PreferencesNotSaved(f"{path}: views is not a table; write [views.NAME] there first")
    return text, document


def _without(text: str, name: str) -> str:
    """The text without `[views.NAME]`, up to the next header or its comment."""
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
    """JSON's escapes are TOML's, except for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, text: str, settings: Mapping[str, Any], what: str) -> None:
    """Writes the text if these are all of its settings. Atomic: a new file replaces the old one, also behind a link."""
    try:
        written = _parsed(text)
    except ValueError:
        written = {}
    if {"views": {}, **written} != {"views": {}, **settings}:
        raise PreferencesNotSaved(f"{path}: {what} is written in a way that only you can change: edit it there")
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
        raise PreferencesNotSaved(
            f"{path}: cannot be written: {error.strerror}. Its former content is unchanged"
        ) from None


def _line(text: str, key: tuple[str, ...]) -> int:
    lines, inside = text.splitlines(), 0
    for at, line in enumerate(lines, 1):
        if re.match(rf"\s*\[.*{re.escape(key[1] if len(key) > 2 else key[0])}", line):
            inside = at
        elif (inside or len(key) == 1) and key[-1] and re.match(rf"\s*[\"']?{re.escape(key[-1])}[\"']?\s*=", line):
            return at
    return inside or 1


class EffectivePreferences(NamedTuple):
    """A person's keys and views in effect, and the faults of the file."""

    remap: Remap = NO_REMAP
    views: tuple[SavedView, ...] = ()
    """Own ones first, each kind by name; an own view hides a shared one of the same name."""
    faults: tuple[str, ...] = ()

    def view(self, name: str) -> SavedView | None:
        return next((view for view in self.views if view.name == name), None)


def effective_preferences(text: str, personal: PersonalPreferences) -> EffectivePreferences:
    """Shared and personal preferences together. `text`: the console settings of the config, as stored; unknown ones are
    ignored."""
    shared = _parse_shared(text)
    remap, faults = read_layers(shared.get("keys", {}), personal.keys)
    fault_texts = tuple(f"{personal.place('keys', fault.name)}: keys.{fault.name}: {fault.problem}" for fault in faults)
    parsed_views = (read_view(name, table)[0] for name, table in sorted(shared.get("views", {}).items()))
    shared_views = (view for view in parsed_views if view is not None and view.name not in personal.views)
    personal_views = (personal.views[name] for name in sorted(personal.views))
    return EffectivePreferences(remap, (*personal_views, *shared_views), personal.faults + fault_texts)


def _parse_shared(text: str) -> Mapping[str, Any]:
    try:
        settings = json.loads(text) if text else {}
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


class UnknownView(Exception):
    """A view that does not exist for that table; the message names the existing ones."""


LIST_COMMANDS = {"jobs": "job list", "incidents": "incident list"}
"""Commands that list a table, where that is more than the noun."""


def find_view(table: str, name: str, shared: str, personal: PersonalPreferences | None = None) -> SavedView:
    """The view of that name. `shared`: the console settings of the config, as stored. Raises UnknownView."""
    personal = personal or read_preferences()
    own = effective_preferences(shared, personal)
    view = own.view(name)
    if view is not None and view.table == table:
        return view
    if view is not None:
        command = LIST_COMMANDS.get(view.table, view.table.removesuffix("s"))
        raise UnknownView(f'view "{name}" is of {view.table}: headway {command} --view {name}')
    known = [view.name for view in own.views if view.table == table]
    close = get_close_matches(name, known, n=1)
    faults = "".join(f"\n{fault}" for fault in personal.faults)
    fix = "save one with V in the console, or write it under [views.NAME] in the config"
    if known:
        fix = f"name one of {', '.join(known)}"
    if close:
        fix = f'did you mean "{close[0]}"?'
    raise UnknownView(f'no saved view "{name}" for {table}. Fix: {fix}{faults}')
