"""Whether a terminal accepts UTF-8, by the locale of the person, which Python may not follow."""

from __future__ import annotations

from collections.abc import Mapping

PLAIN_LOCALES = ("C", "POSIX")
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
"""What Python sets LC_CTYPE to where it finds the locale C (PEP 538), before anybody can look at the environment."""


def takes_utf8(encoding: str | None, environ: Mapping[str, str]) -> bool:
    """`encoding`: what Python would send. Under the locale C, where its UTF-8 mode turns itself on (PEP 540), the
    environment is believed. Where no locale is set at all, what Python found is."""
    return _is_utf8(encoding or "") and not _is_plain(environ)


def _is_plain(environ: Mapping[str, str]) -> bool:
    names = [environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if not names[0] and names[1] in COERCED and names[2] in PLAIN_LOCALES:
        return True
    said = next(filter(None, names), "")
    charset = said.partition(".")[2].partition("@")[0]
    return said in PLAIN_LOCALES or (bool(charset) and not _is_utf8(charset))


def _is_utf8(name: str) -> bool:
    return name.lower().replace("-", "").replace("_", "").startswith("utf8")
