"""Who sits at a browser, handed from the server to the console that it starts for them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

NAME = "HEADWAY_VISITOR"
PLACE = "HEADWAY_VISITOR_FROM"
RESERVED = ("headway",)
"""Headway itself, in the audit."""
_BEARABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+\\-]{0,63}", re.ASCII)
_LOGIN = re.compile(r"^(?P<scheme>postgres(?:ql)?://)(?:[^/?#]*@)?(?P<rest>.*)$", re.DOTALL)


class Visitor(NamedTuple):
    """`name` is empty where it is whoever runs the server; `place` is where the browser is."""

    name: str
    place: str


def is_bearable(name: str) -> bool:
    """Whether the audit can tell who that is: a login, or an address of mail, and not Headway itself."""
    return _BEARABLE.fullmatch(name) is not None and name.lower() not in RESERVED


def handed_on(visitor: Visitor) -> dict[str, str]:
    """What the server adds to the environment of that visitor's console."""
    return {NAME: visitor.name, PLACE: visitor.place}


def handed_over(environment: Mapping[str, str] = os.environ) -> Visitor:
    """Who the server says sits at the browser. Asked only by a console that a server has started."""
    return Visitor(environment.get(NAME, ""), environment.get(PLACE, ""))


def login_url(url: str, name: str) -> str:
    """A shared store's URL with this login and no password: the database itself says who may sign in as whom."""
    found = _LOGIN.match(url)
    return url if found is None else f"{found['scheme']}{quote(name, safe='')}@{found['rest']}"
