"""Other keys than the table's: which act has which on which screen, and every fault of such a table at once. Pure."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from console.tui import keys, where
from console.tui.keys import Act, Remap

NAMED = (
    "enter", "space", "tab", "escape", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown", "up",
    "down", "left", "right", *(f"f{number}" for number in range(1, 21)),
)  # fmt: skip
MODIFIERS = ("ctrl", "shift", "alt")
FIXED = "leave"
"""Ctrl-C leaves, whatever else is remapped."""
TYPED_IN = ("pick", "ask")
"""Boxes in which one types: a letter is no key there."""
_ALIASES = {"minus": "-", "plus": "+", "comma": ",", "full_stop": ".", "underscore": "_", "slash": "/", "at": "@",
            "backslash": "\\"}  # fmt: skip


class KeyFault(NamedTuple):
    """What is wrong with the line of one act: value and mend."""

    name: str
    problem: str


def read_keys(table: Mapping[str, Any]) -> tuple[Remap, list[KeyFault]]:
    """The keys that a table `ACT = "key"` or `"SCREEN.ACT" = ["key", …]` gives, and what is wrong with it. What is
    faulty is left out of them."""
    faults: list[KeyFault] = []
    given: dict[str, tuple[str, ...]] = {}
    for name, value in table.items():
        wanted, problem = _keys_of(name, value)
        if problem:
            faults.append(KeyFault(name, problem))
        else:
            given[name] = wanted
    found = list(_collisions(given))
    while found:
        faults += found
        given = {name: wanted for name, wanted in given.items() if name not in {one.name for one in found}}
        found = list(_collisions(given))
    return _spread(given), faults


def read_layers(shared: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Remap, list[KeyFault]]:
    """One person's keys over the team's; the faults are those of the person's lines. What cannot be had beside the
    team's keys is left out."""
    below, faulty = read_keys(shared)
    wanted = {name: value for name, value in shared.items() if name not in {one.name for one in faulty}}
    both, faults = read_keys({**wanted, **own})
    mine = [one for one in faults if one.name in own]
    if len(mine) == len(faults):
        return both, mine
    return below, mine or [KeyFault(name, "collides with the team's keys; nothing of yours is used") for name in own]


@cache
def ids() -> Mapping[str, tuple[str, ...]]:
    """What may be remapped: the act's name, for each screen that has it; and SCREEN.ACT, for one alone."""
    found: dict[str, tuple[str, ...]] = {}
    for act in (*keys.TABLE, *keys.MOVES):
        if act.name != FIXED:
            places = tuple(f"{screen}.{act.id}" for screen in act.where)
            found[act.id] = tuple(dict.fromkeys((*found.get(act.id, ()), *places)))
            found.update({place: (place,) for place in places})
    return found


def _keys_of(name: str, value: Any) -> tuple[tuple[str, ...], str]:
    if name.rpartition(".")[2] == FIXED:
        return (), "Ctrl-C always leaves and cannot be moved. Take the line out."
    if name not in ids():
        return (), f"no such act. {_near(name)} docs/keys.md names all."
    wanted = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not wanted or not all(isinstance(one, str) for one in wanted):
        return (), f'{value!r} is no key. Write {name} = "x", or ["x", "ctrl+x"].'
    fault = next((words for one in wanted if (words := _key_fault(one, ids()[name]))), "")
    return tuple(map(written, wanted)), fault


def _near(name: str) -> str:
    close = get_close_matches(name, ids(), n=1)
    return f'Did you mean "{close[0]}"?' if close else 'It is as in "rerun", or on one screen as in "jobs.rerun".'


def _key_fault(key: str, places: tuple[str, ...]) -> str:
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    if normal(key) == "ctrl+c":
        return "Ctrl-C always leaves. Take another key."
    known = normal(last) if last not in NAMED else last
    if (len(known) != 1 and known not in NAMED) or not known.isprintable() or set(modifiers) - set(MODIFIERS):
        meant = "+".join((*map(_modifier, modifiers), _named(last)))
        meant = f'did you mean "{meant}"?' if meant != key else 'a key is a letter, or as in "ctrl+x", "f5", "space".'
        return f'no key "{key}": {meant}'
    if len(normal(key)) == 1 and any(place.split(".")[0] in TYPED_IN for place in places if len(places) == 1):
        return f'one types there, so "{key}" would be a letter. Take one as in "ctrl+x" or "f5".'
    return ""


def _modifier(word: str) -> str:
    return (get_close_matches(word.lower(), MODIFIERS, n=1) or [word])[0]


def _named(word: str) -> str:
    return word if len(word) == 1 else (get_close_matches(word.lower(), NAMED, n=1) or [word])[0]


def normal(key: str) -> str:
    """One name for one key: "$" for "dollar_sign" too."""
    if len(key) == 1 or key in NAMED:
        return key
    if key in _ALIASES:
        return _ALIASES[key]
    if "+" in key:
        return "+".join((*sorted(key.lower().split("+")[:-1]), key.lower().split("+")[-1]))
    try:
        return unicodedata.lookup(key.replace("_", " ").upper())
    except KeyError:
        return key


def written(key: str) -> str:
    """The key as the screens bind it."""
    return {",": "comma"}.get(key, key) if len(key) == 1 else normal(key)


def _spread(given: Mapping[str, tuple[str, ...]]) -> Remap:
    """For each screen by itself; what is said of one screen goes before what is said of all."""
    wide = sorted(given, key=lambda name: "." in name)
    found = {place: given[name] for name in wide for place in ids()[name]}
    typed = {place for place in found if place.split(".")[0] in TYPED_IN}
    return {place: wanted for place, wanted in found.items() if place not in typed or place in given}


def _collisions(given: Mapping[str, tuple[str, ...]]) -> Iterator[KeyFault]:
    """The remapped acts whose key has another meaning on a screen, each told once."""
    if not given:
        return
    remap, told = _spread(given), set[str]()
    for screen, title in {**where.SCREENS, **where.OVERLAYS}.items():
        holders: dict[str, list[tuple[str, Act]]] = defaultdict(list)
        for place in (screen, keys.widget_of(screen)):
            for act in keys.acts(place, remap):
                for key in set(map(normal, act.keys)):
                    holders[key].append((place, act))
        for key, acts in holders.items():
            names = [name for place, act in acts for name in (f"{place}.{act.id}", act.id) if name in given]
            if len(acts) > 1 and names and names[0] not in told:
                told.add(names[0])
                other = next(act for place, act in acts if names[0] not in (f"{place}.{act.id}", act.id))
                yield KeyFault(
                    names[0],
                    f'"{key}" is "{other.word}" on {title} already. Take another key, or move that one too: '
                    f'{other.id} = "…".',
                )
