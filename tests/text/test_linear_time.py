"""Every regular expression of the program takes linear time on the text that is worst for it, to 1 MiB."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import connectors
import console
from connectors.checks.queries import refuse_no_condition
from connectors.sql.options import SqlListQuery
from tests.rows import each_row

LIMITS = {2**12: 0.05, 2**14: 0.2, 2**16: 0.8, 2**20: 12.8}
"""Seconds per size: 12 µs a character. A quadratic pattern is found at the first sizes; at the last one each pattern is
timed on the text and with the method that took longest at the size before."""
METHODS = ("search", "match", "fullmatch", "sub", "subn", "findall", "finditer", "split")
CHARACTERS = "a1 x-=.:/\t" + "".join(map(chr, range(32, 127))) + "\n\x1bé\x80"


@cache
def patterns() -> dict[str, re.Pattern[str]]:
    """Every compiled pattern by the name that it has in its module."""
    results: dict[str, re.Pattern[str]] = {}
    for package in (console, connectors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "conformance" not in module.name and not module.name.endswith("__main__"):
                for name, value in vars(importlib.import_module(module.name)).items():
                    results |= {f"{module.name}.{name}": pattern for pattern in patterns_in(value)}
    return results


def patterns_in(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif isinstance(value, list | tuple | frozenset):
        for item in value:
            yield from patterns_in(item)


def uses(name: str) -> list[str]:
    """The methods that its module calls on a pattern; `match` where another one does."""
    module, _, own_name = name.rpartition(".")
    source = Path(str(importlib.import_module(module).__file__)).read_text("utf-8")
    return sorted({*re.findall(rf"\b{own_name}\.(\w+)\(", source)} & {*METHODS}) or ["match"]


def fitting(items: Any) -> str:
    """A character of a set."""
    negated = items[0][0] is codes.NEGATE
    kinds = {
        codes.CATEGORY_DIGIT: r"\d",
        codes.CATEGORY_SPACE: r"\s",
        codes.CATEGORY_WORD: r"\w",
        codes.CATEGORY_NOT_DIGIT: r"\D",
        codes.CATEGORY_NOT_SPACE: r"\S",
        codes.CATEGORY_NOT_WORD: r"\W",
    }

    def is_in(character: str) -> bool:
        return any(
            (code is codes.LITERAL and value == ord(character))
            or (code is codes.RANGE and value[0] <= ord(character) <= value[1])
            or (code is codes.CATEGORY and re.match(kinds[value], character) is not None)
            for code, value in items
        )

    others = "".join(chr(value if code is codes.LITERAL else value[0]) for code, value in items
                     if code in (codes.LITERAL, codes.RANGE))  # fmt: skip
    return next((character for character in CHARACTERS + others if is_in(character) != negated), "a")


REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)


def example(parsed: Any) -> str:
    """The shortest text that the pattern takes, roughly."""
    text = ""
    for code, value in parsed:
        if code is codes.LITERAL:
            text += chr(value)
        elif code in (codes.ANY, codes.NOT_LITERAL):
            text += "b" if value == ord("a") else "a"
        elif code is codes.IN:
            text += fitting(value)
        elif code is codes.BRANCH:
            text += example(value[1][0])
        elif code is codes.SUBPATTERN:
            text += example(value[3])
        elif code in REPEATS:
            text += example(value[2]) * value[0]
        elif code is codes.ATOMIC_GROUP:
            text += example(value)
    return text


def repeats(parsed: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """(prefix, one repetition) of each part that may be repeated without limit."""
    for code, value in parsed:
        if code in REPEATS:
            if value[1] > 20:
                yield before, example(value[2]) or "a"
            yield from repeats(value[2], before)
        elif code is codes.BRANCH:
            for branch in value[1]:
                yield from repeats(branch, before)
        elif code in (codes.SUBPATTERN, codes.ATOMIC_GROUP):
            yield from repeats(value[3] if code is codes.SUBPATTERN else value, before)
        before += example([(code, value)])


def slowest(pattern: re.Pattern[str], methods: list[str], sizes: list[int]) -> str:
    """The first text on which it takes too long; empty if there is none."""
    parsed = parser.parse(pattern.pattern, pattern.flags)
    pairs = set(repeats(parsed))
    whole = example(parsed) or "a"
    texts = {*pairs, *(("", before + piece) for before, piece in pairs), ("", whole), ("", whole[:-1] or "a")}
    cases = [(method, before, piece) for before, piece in sorted(texts) for method in methods]
    for size in sizes:
        took = {case: seconds(pattern, *case, size) for case in (cases if size < max(LIMITS) else cases[:1])}
        cases.sort(key=lambda case: -took.get(case, 0.0))
        method, before, piece = cases[0]
        if took[cases[0]] > LIMITS[size]:
            return f"{method} of {before!r} + {piece!r} * n: {took[cases[0]]:.2f} s for {size} characters"
    return ""


def seconds(pattern: re.Pattern[str], method: str, before: str, piece: str, size: int) -> float:
    """Processor time of one call on the piece repeated to this size, with an end that does not fit."""
    text = before + piece * (size // len(piece)) + "\0!"
    called, begun = getattr(pattern, method), time.process_time()
    result = called("", text) if method.startswith("sub") else called(text)
    if method == "finditer":
        list(result)
    return time.process_time() - begun


@pytest.mark.quiet
def test_every_pattern_takes_linear_time_to_a_megabyte() -> None:
    assert len(patterns()) > 150
    results = {name: slowest(pattern, uses(name), [*LIMITS]) for name, pattern in patterns().items()}
    assert {} == {name: fault for name, fault in results.items() if fault}


@pytest.mark.quiet
@each_row("read", [refuse_no_condition, lambda sql: SqlListQuery(query=f"select {sql}")])
@each_row("piece", ["/*", "$a$b", "$", "e'\\'", "'", '"', "("])
def test_sql_is_read_in_linear_time(piece: str, read: Callable[[str], object]) -> None:
    repeated = piece * (2**16 // len(piece))
    numbered = "".join(f"{piece}{number}" for number in range(2**13))
    for text in (repeated, numbered, repeated + repeated.replace("(", ")")):
        begun = time.process_time()
        with suppress(ValueError):
            read(text)
        assert time.process_time() - begun < LIMITS[2**16]


@pytest.mark.parametrize("pattern", [r"#\s*headway:\s*(\S.*?)\s*$", r"\s+$", r"\w+_attempt"])
def test_a_slow_pattern_is_found(pattern: str) -> None:
    assert slowest(re.compile(pattern), ["search"], [2**12, 2**14])
