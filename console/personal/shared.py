"""What the estate's config says of keys and views, as the store keeps it; and one person's own over it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from console.model.frozen import dataclass
from console.personal.file import Personal
from console.personal.keymap import read_layers
from console.personal.signals import Signals, read_signals
from console.personal.views import SavedView, read_view
from console.tui.keys import NO_REMAP, Remap


@dataclass(frozen=True, slots=True)
class Own:
    """Keys and views as they are in force for one person, and what of his file is not used."""

    remap: Remap = field(default_factory=lambda: NO_REMAP)
    views: tuple[SavedView, ...] = ()
    """His own first, each kind by name; one of his hides a shared one of the same name."""
    faults: tuple[str, ...] = ()
    signals: Signals = field(default_factory=Signals)

    def view(self, name: str) -> SavedView | None:
        return next((one for one in self.views if one.name == name), None)


def own_of(text: str, personal: Personal) -> Own:
    """Both together. `text`: what the store keeps of config; of it, what this version does not know is left out."""
    shared = _read(text)
    remap, faults = read_layers(shared.get("keys", {}), personal.keys)
    told = tuple(f"{personal.place('keys', one.name)}: keys.{one.name}: {one.problem}" for one in faults)
    views = (read_view(name, table)[0] for name, table in sorted(shared.get("views", {}).items()))
    theirs = (one for one in views if one is not None and one.name not in personal.views)
    mine = (personal.views[name] for name in sorted(personal.views))
    signals = Signals(**{**read_signals(shared.get("signals", {}))[0], **personal.signals})
    return Own(remap, (*mine, *theirs), personal.faults + told, signals)


def _read(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
