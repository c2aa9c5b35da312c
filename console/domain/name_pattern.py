"""Patterns of names: `*` is any text, `[*]` a star; nothing else is special. Matching takes linear time."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

_STAR = "[*]"


def literal(name: str) -> str:
    """The pattern that matches this name alone."""
    return name.replace("*", _STAR)


def exact_name(pattern: str) -> str | None:
    """The only name that the pattern matches; None if it may match others."""
    parts = _parts(pattern)
    return parts[0] if len(parts) == 1 else None


def matches_name(pattern: str, name: str) -> bool:
    return name_matcher(pattern).fullmatch(name) is not None


def matching_names(pattern: str, names: Collection[str]) -> list[str]:
    """The names that match a pattern; without a wildcard only that name itself."""
    exact = exact_name(pattern)
    if exact is not None:
        return [exact] if exact in names else []
    return [*filter(name_matcher(pattern).fullmatch, names)]


@lru_cache(maxsize=4096)
def name_matcher(pattern: str) -> re.Pattern[str]:
    """Each part is matched where it first occurs, which no later part has to repeat."""
    first, *parts = map(re.escape, _parts(pattern))
    between = "".join(f"(?>.*?{part})" for part in parts[:-1])
    return re.compile(first + between + "".join(f".*{part}" for part in parts[-1:]), re.DOTALL)


def _parts(pattern: str) -> list[str]:
    """The texts between the stars."""
    parts = [""]
    for number, text in enumerate(pattern.split(_STAR)):
        begin, *following = text.split("*")
        parts[-1] += ("*" if number else "") + begin
        parts += following
    return parts
