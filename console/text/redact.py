"""The one way of outside text to the store, a mail, a log or a screen: decoded, cleaned, joined, masked, cut.

Secrets that the config refers to are known. Others are recognized by their shape, so this is a guess: paths, hosts,
dates and run ids stay readable. Masking never lengthens a text, doing it twice changes nothing more, and the time is
linear in the length.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from console.text.cleaning import REPLACED, clean, cut, joined
from console.text.secret_shapes import MASK, SIGN_IN, is_secret_name, mask_shapes, mask_shapes_strictly

__all__ = ["MASK", "SIGN_IN", "Mask", "holds_secret", "is_secret_name", "sanitize"]

Mask = Callable[[str], str]
"""Masks known secrets (`SecretStore.mask`)."""
PASSES = 8


def sanitize(
    text: str | bytes, known: Mask = str, limit: int | None = None, *, on_one_line: bool = False,
    after: str = "", strictly: bool = False,
) -> str:  # fmt: skip
    """Text from outside without control sequences and secrets, at most `limit` characters of it.

    Masked are the `known` secrets, PEM blocks, tokens, passwords in URLs and commands, and values that follow names
    such as password, token or api_key, or that are random after any name. `strictly`, for texts that a model reads
    (MCP), also mail addresses, card and account numbers, and random words anywhere; hosts and paths stay.
    `after`: clean text before it, which may reveal a secret and is left out of the result.
    """
    cleaned = joined(clean(text)) if on_one_line else clean(text)
    if not cleaned:
        return ""
    after = _SPLITS.sub("", after)
    masked = _masked(known(after + cleaned), mask_shapes_strictly if strictly else mask_shapes)
    return cut(masked.removeprefix(after), limit)


def holds_secret(text: str) -> bool:
    """Whether a text has the shape of a secret in it."""
    return sanitize(text) != clean(text)


_SPLITS = re.compile(rf"{REPLACED}|(?:\\x1b|\\u001b|\\033|\\e|\^\[)\[[0-9;]{{0,20}}m", re.IGNORECASE)
"""Splitters of a secret in clean text: characters that were replaced, colors that are written out."""


def _masked(text: str, mask: Mask) -> str:
    """The masked text, without what may split a secret where one is found then."""
    if _SPLITS.search(text):
        whole = _SPLITS.sub("", text)
        if (masked := _settled(mask, whole)) != whole:
            return masked
    return _settled(mask, text)


def _settled(mask: Mask, text: str) -> str:
    """Repeats the mask until nothing changes: stars may complete another shape beside them."""
    for _ in range(PASSES):
        before, text = text, mask(text)
        if text == before:
            break
    return text
