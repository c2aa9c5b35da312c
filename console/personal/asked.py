"""A saved view by its name, for a command: found, or why not with what is near."""

from __future__ import annotations

from difflib import get_close_matches

from console.personal.file import Personal, read_personal
from console.personal.shared import own_of
from console.personal.views import SavedView


class NoView(Exception):
    """There is none of that name for that table; the message names what there is."""


def view_for(table: str, name: str, shared: str, personal: Personal | None = None) -> SavedView:
    """The view of that name. `shared`: what the store keeps of config. Raises NoView."""
    personal = personal or read_personal()
    own = own_of(shared, personal)
    view = own.view(name)
    if view is not None and view.table == table:
        return view
    if view is not None:
        raise NoView(f'view "{name}" is of {view.table}: headway {view.table} --view {name}')
    known = [one.name for one in own.views if one.table == table]
    close = get_close_matches(name, known, n=1)
    faults = "".join(f"\n{one}" for one in personal.faults)
    there = f'did you mean "{close[0]}"?' if close else f"there are {', '.join(known)}" if known else "there is none"
    raise NoView(f'no view "{name}" of {table}: {there}{faults}')
