"""The visitor at a browser, passed by the server to the console process that it starts for them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlencode

NAME, ADDRESS = "HEADWAY_VISITOR", "HEADWAY_VISITOR_FROM"
_VALID_NAME = re.compile(r"(?!headway\Z)[a-z0-9][a-z0-9._@+\\-]{0,63}", re.ASCII | re.IGNORECASE)
_NOT_THE_VISITORS = ("user", "password", "passfile", "service", "sslpassword", "options")
"""Settings of libpq with the login, credentials or role of another user."""


class Visitor(NamedTuple):
    """A person at a browser, and where that is."""

    name: str
    address: str

    def to_environment(self) -> dict[str, str]:
        return {NAME: self.name, ADDRESS: self.address}


def is_valid_name(name: str) -> bool:
    """Whether the audit can record the name: a login or a mail address, and not Headway itself."""
    return _VALID_NAME.fullmatch(name) is not None


def from_environment(environment: Mapping[str, str] = os.environ) -> Visitor:
    """The visitor set by the server. Used only by a console that a server has started."""
    return Visitor(environment.get(NAME, ""), environment.get(ADDRESS, ""))


def login_url(url: str, name: str) -> str:
    """A shared store's URL with this login and no credentials: the database itself authenticates the user."""
    if not url.startswith(("postgresql://", "postgres://")):
        return url
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - an extra, only for a shared store

    settings = {key: value for key, value in conninfo_to_dict(url).items() if key not in _NOT_THE_VISITORS and value}
    database = quote(str(settings.pop("dbname", "")), safe="")
    query = urlencode(settings, safe="/,", quote_via=quote)
    return f"postgresql://{quote(name, safe='')}@/{database}{'?' if query else ''}{query}"
