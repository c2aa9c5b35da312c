"""Where a shared store is: its URL, checked before libpq may say parts of a password that it took for something else.

Standard library only: the console's first paint goes through here.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from console.store.errors import StoreUnusable

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[\w.%-]*)(?::\d+)?"
_URL = re.compile(
    rf"postgres(?:ql)?://(?:[^:@/?#\[\]\s]*(?::(?P<password>[^:@/?#\[\]\s]*))?@)?{_HOST}(?:,{_HOST})*"
    r"(?:/[^/@?#\s]*)?(?:\?(?P<more>[^?#\s]*))?"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OPEN = ("sslmode", "host", "port", "dbname", "user", "connect_timeout", "application_name", "target_session_attrs")
"""Parameters of libpq whose values anybody may read."""
MEND = (
    "the URL of the store on PostgreSQL cannot be read. Write postgresql://user:password@host:5432/database, in the "
    "password %40 for @, %2F for /, %3A for :, %3F for ?, %23 for #, %25 for %"
)


def checked(url: str) -> str:
    """The URL. Raises StoreUnusable, without repeating a part of it, for one that means something else to libpq."""
    if _URL.fullmatch(url) is None or _BAD_ESCAPE.search(url):
        raise StoreUnusable(MEND)
    return url


def without_secrets(url: str, text: str) -> str:
    """A text about the store in which neither the password nor a value after "?" is repeated."""
    if not url.startswith(("postgresql://", "postgres://")):
        return text
    found = _URL.fullmatch(url)
    if found is None:
        return MEND
    values = [value for key, value in parse_qsl(found["more"] or "") if key not in _OPEN]
    for secret in filter(None, [found["password"], *values]):
        for form in {secret, unquote(secret)}:
            text = text.replace(form, "•••") if len(form) > 3 else text
    return text


def which_file(path: Path) -> tuple[int, int]:
    """Which file it is, whatever its name. Raises OSError where there is none."""
    found = path.stat()
    return found.st_dev, found.st_ino
