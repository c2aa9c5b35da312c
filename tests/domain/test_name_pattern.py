"""A pattern of names has one wildcard; a name that has a star becomes a pattern of itself alone."""

from __future__ import annotations

from time import process_time

import pytest

from console.domain.name_pattern import exact_name, literal, matches_name
from console.timing.maintenance import matches_any
from tests.rows import each_row


@each_row("name", ["sysa/*", "sysa/[*]", "[[*]]", "*", "a*b", "[a]", "a\\*", "\0*"])
def test_a_name_is_a_pattern_of_itself_alone(name: str) -> None:
    """A button in Slack silenced the system of a job that is called `*`."""
    pattern = literal(name)
    assert (name, True) == (exact_name(pattern), matches_name(pattern, name))
    assert not matches_any((pattern,), "sysa/load")


@each_row(
    "pattern, name, is_match",
    [
        ("*", "", True), ("a*", "abc", True), ("*c", "abc", True), ("a*c", "ac", True), ("a*b*b", "ab", False),
        ("a*b*b", "abb", True), ("*b*", "abc", True), ("a.c", "abc", False), ("a*\n", "a\n\n", True),
        ("ab*b", "ab", False), ("*ab*abc", "abxabc", True), ("[*]*", "*x", True), ("a*a", "a", False),
    ],
)  # fmt: skip
def test_a_star_is_any_text(pattern: str, name: str, is_match: bool) -> None:
    assert is_match is matches_name(pattern, name)


@pytest.mark.quiet
def test_many_stars_take_linear_time() -> None:
    """Anyone who may silence a job could stop the evaluation: 12 stars took hours."""
    began = process_time()
    assert not matches_name("*a" * 12 + "b", "a" * 500)
    assert process_time() - began < 1
