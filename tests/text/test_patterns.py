"""Regular expressions that read the same in every Python that Headway runs on."""

from __future__ import annotations

import re
from pathlib import Path

from tests.rows import each_row

ROOT = Path(__file__).parents[1]

GROUP_REPEATED = re.compile(r"\)(?:[+*?]|\{[0-9,]+\})\+|\(\?>")
"""A possessive repeat of a group, or an atomic one: re of Python 3.11.0 to 3.11.4 misses matches there."""
SOURCES = sorted(file for folder in ("console", "connectors") for file in (ROOT / folder).rglob("*.py"))


def test_no_pattern_repeats_a_group_possessively() -> None:
    results = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in SOURCES
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if GROUP_REPEATED.search(line)
    ]
    assert [] == results


@each_row("text", [r"(?:a|b){1,9}+", r"(?:\s)*+x", "(a)++", "(?>a)"])
def test_such_patterns_are_found(text: str) -> None:
    assert GROUP_REPEATED.search(text)
