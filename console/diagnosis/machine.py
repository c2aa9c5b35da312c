"""Checks of this machine: versions, connector kinds, terminal and time zone data."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.sdk.registry import entries
from console.diagnosis.installation import Installation, Level, Problem


def connector_kinds(_: Installation) -> Iterator[Problem]:
    """Yields the versions with the usable kinds of connectors, and each kind that cannot be loaded."""
    kinds = entries()
    python = ".".join(map(str, sys.version_info[:3]))
    usable = ", ".join(kind.kind for kind in kinds if not kind.error)
    text = f"headway {version('headway')}, Python {python}; kinds: {usable}"
    yield Problem(Level.OK, "installation", text)
    yield from (Problem(Level.NOTE, "installation", kind.error) for kind in kinds if kind.error)


def terminal(_: Installation) -> Iterator[Problem]:
    """Yields a note for an output that is not UTF-8."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding != "utf8":
        text = f"uses {encoding or 'an unknown encoding'}, not UTF-8: symbols are replaced"
        yield Problem(Level.NOTE, "terminal", text, "export LANG=C.UTF-8")


def time_zone_data(_: Installation) -> Iterator[Problem]:
    """Yields a problem if no time zone can be loaded."""
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        yield Problem(Level.PROBLEM, "installation", "time zone data is missing", "pip install tzdata")
