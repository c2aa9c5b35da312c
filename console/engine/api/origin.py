"""Where a request comes from, and the owner that a hold placed by this process carries."""

from __future__ import annotations

import os
import re
import socket

from console.store import access

_browser = ""


def set_visitor(name: str, address: str) -> None:
    """Sets the person for all later requests of this process: a visitor of `headway console serve`. On a shared store
    the database login decides."""
    global _browser
    _browser = address
    access.act_for(name)


def request_origin() -> str:
    """The address of the SSH or browser client, else this host."""
    if _browser:
        return _browser
    line = os.environ.get("SSH_CONNECTION", "").split()
    return line[0] if line else socket.gethostname()


def hold_owner(person: str = "") -> str:
    """The owner of a hold in a form that a scheduler can store (`HoldMark.by`): the person, else this process's
    user."""
    name = person or access.os_user()
    return re.sub(r"[^A-Za-z0-9_.@+-]", "-", name)[:64]
