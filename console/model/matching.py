"""What a person types to narrow a short list: words that must stand somewhere, `-word` that must not."""

from __future__ import annotations


def is_wanted(text: str, wanted: str) -> bool:
    """Whether every word of `wanted` is part of the text, and none that has "-" or "!" before it."""
    lower = text.lower()
    return all((word.lstrip("-!") in lower) != (word[0] in "-!" and len(word) > 1) for word in wanted.lower().split())
