"""A parser in a process of its own gives a value, or says which limit ended it."""

from __future__ import annotations

import operator

import pytest

from connectors.sdk.parser_process import OUTPUT_BYTES, ParserEnded, parse_apart


def test_a_value_that_is_too_large_for_the_process_that_asked_is_refused() -> None:
    assert "ab" * 3 == parse_apart(operator.mul, "ab", 3)
    with pytest.raises(ParserEnded, match="gives more than 16 MiB"):
        parse_apart(operator.mul, "a", OUTPUT_BYTES)
