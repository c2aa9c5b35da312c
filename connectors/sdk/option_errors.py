"""Validators for option texts: the error shows an example of a valid value, never the regular expression."""

from __future__ import annotations

import re

from pydantic import AfterValidator


def formatted_like(pattern: str, example: str) -> AfterValidator:
    """Validates a text by the whole regular expression `pattern`; the error shows `example`."""
    matches = re.compile(pattern).fullmatch
    if not matches(example):
        raise ValueError(f"{example!r} is not an example of {pattern!r}")

    def checked(text: str) -> str:
        if not matches(text):
            raise ValueError(f"is not written like {example}")
        return text

    return AfterValidator(checked)
