"""Where somebody asks from, and the mark that a hold bears of them."""

from __future__ import annotations

import os
import socket

from console.store import permissions

_browser = ""


def visited(name: str, place: str) -> None:
    """From now on this process asks for somebody at a browser whom `headway serve` let in; an empty name is its own
    user. On a shared store the login says who asks."""
    global _browser
    _browser = place
    permissions.speak_for(name)


def where_from() -> str:
    """The far end of an SSH line, or a browser's, else this host."""
    if _browser:
        return _browser
    line = os.environ.get("SSH_CONNECTION", "").split()
    return line[0] if line else socket.gethostname()


def mark_name(person: str = "") -> str:
    """A person, else this process's user, as the mark of a hold can bear it (`HoldMark.by`)."""
    name = person or permissions.os_user()
    return "".join(one if one.isascii() and (one.isalnum() or one in "_.@+-") else "-" for one in name)[:64]
