"""The one way of outside text to the store, a mail, a log or a screen: decoded, cleaned, joined, masked, cut.

Secrets that the config refers to are known. Others are recognized by their shape, so this is a guess: paths, hosts,
dates and run ids stay readable. Masking never lengthens a text, doing it twice changes nothing more, and the time is
linear in the length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from unicodedata import normalize

from console.text.cleaning import REPLACED, clean, cut, joined
from console.text.secret_shapes import MASK, SIGN_IN, is_secret_name, mask_shapes, mask_shapes_strictly

__all__ = ["MASK", "NONE_KNOWN", "SIGN_IN", "Mask", "holds_secret", "is_secret_name", "sanitize"]

Mask = Callable[[str], str]
"""Masks known secrets (`SecretStore.mask`)."""
NONE_KNOWN: Mask = str
"""The mask of a process or a rule that knows no secret; tests/text/test_one_way.py lists who may use it, and why."""
PASSES = 8


def sanitize(
    text: str | bytes, known: Mask, limit: int | None = None, *, on_one_line: bool = False,
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
    after = _single(_compatible(_SPLITS.sub("", after)))
    masked = _masked(known(after + cleaned), mask_shapes_strictly if strictly else mask_shapes)
    return cut(masked.removeprefix(after), limit)


def holds_secret(text: str) -> bool:
    """Returns whether a text has the shape of a secret in it."""
    return sanitize(text, NONE_KNOWN) != clean(text)


_SPLITS = re.compile(rf"{REPLACED}|(?:\\x1b|\\u001b|\\033|\\e|\^\[)\[[0-9;]{{0,20}}m", re.IGNORECASE)
"""Splitters of a secret in clean text: characters that were replaced, colors that are written out."""
_OVERSTRIKES = re.compile(rf"{REPLACED}(.)(?<=\1{REPLACED}.)")
"""Letters that a printer makes bold: each is written twice, with a backspace between."""
_DOUBLED = re.compile(r'(\\{0,7}")\1([^"\\\n]{1,200})\1\1')
"""A text in doubled quotes: within a field of CSV."""
_NOT_ASCII = re.compile("[^\x00-\x7f]")


def _masked(text: str, mask: Mask) -> str:
    """The masked text, in a form without splitters, doubled quotes and compatibility characters where that reveals a
    secret."""
    for splitters in (_SPLITS, _OVERSTRIKES):
        plain = _compatible(splitters.sub("", text))
        for form in (plain, _single(plain)):
            if form != text and (masked := _settled(mask, form)) != form:
                return masked
    return _settled(mask, text)


def _single(text: str) -> str:
    """The text with one quote for two, as a field of CSV doubles them."""
    return _DOUBLED.sub(r"\1\2\1", text)


def _compatible(text: str) -> str:
    """The text with letters and marks for their wide, styled or circled forms (NFKC), each as long as before."""
    return _NOT_ASCII.sub(lambda match: form if len(form := normalize("NFKC", match[0])) == 1 else match[0], text)


def _settled(mask: Mask, text: str) -> str:
    """Repeats the mask until nothing changes: stars may complete another shape beside them."""
    for _ in range(PASSES):
        before, text = text, mask(text)
        if text == before:
            break
    return text
