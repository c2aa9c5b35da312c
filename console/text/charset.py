"""Whether a terminal accepts UTF-8, by the user's locale, which Python may not follow."""

from __future__ import annotations

from collections.abc import Mapping

PLAIN_LOCALES = ("C", "POSIX")
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
"""Values that Python gives LC_CTYPE under the locale C (PEP 538), before the environment can be read."""


def takes_utf8(encoding: str | None, environ: Mapping[str, str]) -> bool:
    """True if the terminal accepts UTF-8. `encoding` is the one of Python's output; under the locale C, where Python
    turns its UTF-8 mode on by itself (PEP 540), the environment decides."""
    return _is_utf8(encoding or "") and not _is_plain(environ)


def _is_plain(environ: Mapping[str, str]) -> bool:
    names = [environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if not names[0] and names[1] in COERCED and names[2] in PLAIN_LOCALES:
        return True
    locale = next(filter(None, names), "")
    charset = locale.partition(".")[2].partition("@")[0]
    return locale in PLAIN_LOCALES or (bool(charset) and not _is_utf8(charset))


def _is_utf8(name: str) -> bool:
    return name.lower().replace("-", "").replace("_", "").startswith("utf8")
