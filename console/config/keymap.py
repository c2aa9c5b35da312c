"""Key remapping: which action has which key on which screen, and every fault of such a table at once. Pure."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from console.config import key_table
from console.config.key_table import KeyAction, Remap

NAMED_KEYS = (
    "enter", "space", "tab", "escape", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown", "up",
    "down", "left", "right", *(f"f{number}" for number in range(1, 21)),
)  # fmt: skip
MODIFIERS = ("ctrl", "shift", "alt")
FIXED = "leave"
"""Ctrl-C leaves, whatever else is remapped."""
TEXT_INPUTS = ("pick", "ask")
"""Text inputs, where a letter is text."""
_ALIASES = {"minus": "-", "plus": "+", "comma": ",", "full_stop": ".", "underscore": "_", "slash": "/", "at": "@",
            "backslash": "\\"}  # fmt: skip


class KeyFault(NamedTuple):
    """A fault of one action's keys: value and fix."""

    name: str
    problem: str


def read_keys(table: Mapping[str, Any]) -> tuple[Remap, list[KeyFault]]:
    """The keys of a table `ACT = "key"` or `"SCREEN.ACT" = ["key", …]`, and its faults; faulty entries are left out."""
    faults: list[KeyFault] = []
    given: dict[str, tuple[str, ...]] = {}
    for name, value in table.items():
        keys, problem = _keys_of(name, value)
        if problem:
            faults.append(KeyFault(name, problem))
        else:
            given[name] = keys
    collisions = list(_collisions(given))
    while collisions:
        faults += collisions
        given = {name: keys for name, keys in given.items() if name not in {fault.name for fault in collisions}}
        collisions = list(_collisions(given))
    return _spread(given), faults


def read_layers(shared: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Remap, list[KeyFault]]:
    """A person's keys over the team's, and the faults of the person's lines. Keys that collide with the team's are
    dropped."""
    below, faulty = read_keys(shared)
    valid_shared = {name: value for name, value in shared.items() if name not in {fault.name for fault in faulty}}
    both, faults = read_keys({**valid_shared, **own})
    own_faults = [fault for fault in faults if fault.name in own]
    if len(own_faults) == len(faults):
        return both, own_faults
    return below, own_faults or [
        KeyFault(name, "collides with the team's keys; nothing of yours is used") for name in own
    ]


@cache
def action_ids() -> Mapping[str, tuple[str, ...]]:
    """Names that may be remapped -> their places: an action on each screen that has it; SCREEN.ACT on one."""
    places_by_name: dict[str, tuple[str, ...]] = {}
    for act in (*key_table.KEY_TABLE, *key_table.CURSOR_MOVES):
        if act.name != FIXED:
            places = tuple(f"{screen}.{act.id}" for screen in act.where)
            places_by_name[act.id] = tuple(dict.fromkeys((*places_by_name.get(act.id, ()), *places)))
            places_by_name.update({place: (place,) for place in places})
    return places_by_name


def _keys_of(name: str, value: Any) -> tuple[tuple[str, ...], str]:
    if name.rpartition(".")[2] == FIXED:
        return (), "Ctrl-C always leaves and cannot be moved. Take the line out."
    if name not in action_ids():
        return (), f"unknown action. {_suggestion(name)} docs/keys.md names all."
    keys = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not keys or not all(isinstance(key, str) for key in keys):
        return (), f'{value!r} is not a key. Write {name} = "x", or ["x", "ctrl+x"].'
    fault = next((problem for key in keys if (problem := _key_fault(key, action_ids()[name]))), "")
    return tuple(map(key_text, keys)), fault


def _suggestion(name: str) -> str:
    close = get_close_matches(name, action_ids(), n=1)
    return f'Did you mean "{close[0]}"?' if close else 'It is as in "rerun", or on one screen as in "jobs.rerun".'


def _key_fault(key: str, places: tuple[str, ...]) -> str:
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    if normalize_key(key) == "ctrl+c":
        return "Ctrl-C always leaves. Take another key."
    known = normalize_key(last) if last not in NAMED_KEYS else last
    if (len(known) != 1 and known not in NAMED_KEYS) or not known.isprintable() or set(modifiers) - set(MODIFIERS):
        meant = "+".join((*map(_modifier, modifiers), _named(last)))
        meant = f'did you mean "{meant}"?' if meant != key else 'a key is a letter, or as in "ctrl+x", "f5", "space".'
        return f'no key "{key}": {meant}'
    if len(normalize_key(key)) == 1 and any(place.split(".")[0] in TEXT_INPUTS for place in places if len(places) == 1):
        return f'one types there, so "{key}" would be a letter. Take one as in "ctrl+x" or "f5".'
    return ""


def _modifier(name: str) -> str:
    return (get_close_matches(name.lower(), MODIFIERS, n=1) or [name])[0]


def _named(key: str) -> str:
    return key if len(key) == 1 else (get_close_matches(key.lower(), NAMED_KEYS, n=1) or [key])[0]


def normalize_key(key: str) -> str:
    """One name for one key: "$" for "dollar_sign" too."""
    if len(key) == 1 or key in NAMED_KEYS:
        return key
    if key in _ALIASES:
        return _ALIASES[key]
    if "+" in key:
        return "+".join((*sorted(key.lower().split("+")[:-1]), key.lower().split("+")[-1]))
    try:
        return unicodedata.lookup(key.replace("_", " ").upper())
    except KeyError:
        return key


def key_text(key: str) -> str:
    """The key as the screens bind it."""
    return {",": "comma"}.get(key, key) if len(key) == 1 else normalize_key(key)


def _spread(given: Mapping[str, tuple[str, ...]]) -> Remap:
    wide = sorted(given, key=lambda name: "." in name)
    keys_by_place = {place: given[name] for name in wide for place in action_ids()[name]}
    typed = {place for place in keys_by_place if place.split(".")[0] in TEXT_INPUTS}
    return {place: keys for place, keys in keys_by_place.items() if place not in typed or place in given}


def _collisions(given: Mapping[str, tuple[str, ...]]) -> Iterator[KeyFault]:
    """Remapped actions whose key has another meaning on a screen, each once."""
    if not given:
        return
    remap, reported = _spread(given), set[str]()
    for screen, title in {**key_table.SCREENS, **key_table.OVERLAYS}.items():
        holders: dict[str, list[tuple[str, KeyAction]]] = defaultdict(list)
        for place in (screen, key_table.focus_widget(screen)):
            for act in key_table.key_actions(place, remap):
                for key in set(map(normalize_key, act.keys)):
                    holders[key].append((place, act))
        for key, acts in holders.items():
            names = [name for place, act in acts for name in (f"{place}.{act.id}", act.id) if name in given]
            if len(acts) > 1 and names and names[0] not in reported:
                reported.add(names[0])
                holder = next(act for place, act in acts if names[0] not in (f"{place}.{act.id}", act.id))
                yield KeyFault(
                    names[0],
                    f'"{key}" is "{holder.label}" on {title} already. Take another key, or move that one too: '
                    f'{holder.id} = "…".',
                )
