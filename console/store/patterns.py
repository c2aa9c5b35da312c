"""How config names jobs: "system/native-id", with `*` for any text. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Protocol


class Names(Iterable[str], Container[str], Protocol):
    """Names of jobs: a mapping or a set of them."""


def matching(pattern: str, names: Names) -> list[str]:
    """The names that a pattern means; without a `*` only that name itself."""
    if "*" not in pattern:
        return [pattern] if pattern in names else []
    fits = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL).fullmatch
    return [name for name in names if fits(name)]
