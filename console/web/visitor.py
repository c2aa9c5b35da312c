"""The visitor at a browser, passed by the server to the console process that it starts for them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

NAME = "HEADWAY_VISITOR"
PLACE = "HEADWAY_VISITOR_FROM"
RESERVED = ("headway",)
_VALID_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+\\-]{0,63}", re.ASCII)
_LOGIN = re.compile(r"^(?P<scheme>postgres(?:ql)?://)(?:[^/?#]*@)?(?P<rest>.*)$", re.DOTALL)


class Visitor(NamedTuple):
    """A person at a browser. `name` is empty for the user who runs the server; `place` is the browser's address."""

    name: str
    place: str


def is_valid_name(name: str) -> bool:
    """Whether the audit can record the name: a login or a mail address, and not Headway itself."""
    return _VALID_NAME.fullmatch(name) is not None and name.lower() not in RESERVED


def to_environment(visitor: Visitor) -> dict[str, str]:
    """The variables that the server adds to the environment of that visitor's console."""
    return {NAME: visitor.name, PLACE: visitor.place}


def from_environment(environment: Mapping[str, str] = os.environ) -> Visitor:
    """The visitor set by the server. Used only by a console that a server has started."""
    return Visitor(environment.get(NAME, ""), environment.get(PLACE, ""))


def login_url(url: str, name: str) -> str:
    """A shared store's URL with this login and no password: the database itself authenticates the user."""
    match = _LOGIN.match(url)
    return url if match is None else f"{match['scheme']}{quote(name, safe='')}@{match['rest']}"
