"""Sanitizing of text from outside: names, logs, messages and errors become harmless to a terminal.

Control sequences (ECMA-48) and bidirectional controls (Unicode UAX 9, CVE-2021-42574) are replaced; visible text stays.
A line that is written over itself becomes lines; of a progress bar only the last state stays.
Markup is left alone: screens and senders never parse outside text as markup.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, partial
from itertools import groupby

REPLACED = "\ufffd"
"""Replaces each character that could act on a terminal or on the order of the letters."""

CUT = "…"

TAB_SIZE = 4

# Each is compiled with the first text that is not plain letters.
# Whole control sequences: strings (OSC, DCS, SOS, PM, APC) with their end, CSI, and two-character escapes. A body never
# holds another introducer, so that hostile text is read in linear time; a string that never ends stays visible.
_SEQUENCE = (
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\n]*+(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|\x1b[ -/]*+[0-Z\\`-~]"
)
_TO_COLUMN_1 = r"(?:\x1b\[|\x9b)(?:[01]?G|[0-9]{3,6}D)"
"""Sequences that begin a line again. Without a backspace: within a secret it would show the other letters."""
_BARS = r"[\W_]++"
_NUMBERS_AND_BARS = r"(?:\d\w*+|[\W_])++"
"""All but words; a number has its unit."""
_PROGRESS = r"%|([^\w\s.])\1\1|(?<![\w/])\d[\d.,]{0,20}\w{0,3} ?/ ?(?:\d[\d.,]{0,20}\w{0,3}|s)(?![\w/])"
"""A percentage, a bar, a part of a number or a rate; elsewhere a number may be the code of an error."""
_COUNTED = 5
"""Lines with the same words, one written over the other, that are the states of a counter."""
_UNSAFE = (
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 less tab and newline, DEL, C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # shown as nothing
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width, line ends, bidi
    "\U000e0000-\U000e007f"  # tags
    "]"
)
_VARIATION_SELECTORS = "[\ufe00-\ufe0f\U000e0100-\U000e01ef]"  # shown as nothing, after a character that they alter
_JOINERS = "[\u200c\u200d]"
_JOINER_CONTEXT = 16
"""Characters on either side that decide about a joiner."""
_EMOJI_FROM = "\u2600"
_SKIN_TONES = ("\U0001f3fb", "\U0001f3ff")
_SURROGATE = "[\ud800-\udfff]"


def clean(text: str | bytes, limit: int | None = None) -> str:
    """The text without control sequences; newlines stay, tabs become spaces, unsafe characters become U+FFFD. A
    carriage return begins a line; of lines that it separates, those are dropped that are blank or have the words of the
    next one, as those of a progress bar or a counter.
    Variation selectors, which may split a secret or carry hidden text, are removed, and the joiners of emoji, of whose
    width terminals differ. A joiner stays where it alters the letters next to it, by the rule for domain names (RFC
    5892, CONTEXTJ).

    Bytes that are not UTF-8 become `\\xNN`. At most `limit` characters, the last of them "…" when something was cut.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if not (text.isascii() and text.isprintable()):
        text = _compiled(_VARIATION_SELECTORS).sub("", text)
        text = _compiled(_TO_COLUMN_1).sub("\r", text).replace("\r\n", "\n")
        text = _compiled(_SEQUENCE).sub("", text)
        if "\r" in text:
            text = "\n".join(map(_rewritten, text.split("\n")))
        text = _compiled(_UNSAFE).sub(REPLACED, text)
        text = _compiled(_JOINERS).sub(_joiner, text)
        if "\t" in text:
            text = text.expandtabs(TAB_SIZE)
        text = _compiled(_SURROGATE).sub(_escaped, text)
    return cut(text, limit)


def cut(text: str, limit: int | None) -> str:
    """At most `limit` characters, the last of them "…" when something was cut."""
    return text if limit is None or len(text) <= limit else text[: max(limit - 1, 0)] + CUT[:limit]


def clean_line(text: str | bytes, limit: int | None = None) -> str:
    """Like `clean`, on one line: a newline or a carriage return inside a name becomes U+FFFD."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return clean(text.replace("\r\n", "\n").replace("\r", "\n"), limit).replace("\n", REPLACED)


def joined(text: str) -> str:
    """The lines of a clean text, next to each other."""
    return " · ".join(filter(None, map(str.strip, text.split("\n"))))


def one_line(text: str, limit: int | None = None) -> str:
    return cut(joined(clean(text)), limit)


def _rewritten(line: str) -> str:
    """The lines of one that is written over itself, without blank ones and the earlier states of a progress bar or a
    counter."""
    if "\r" not in line:
        return line
    result: list[str] = []
    lines = filter(None, map(str.rstrip, line.split("\r")))
    for _, group in groupby(lines, partial(_without, _NUMBERS_AND_BARS)):
        states = list(group)
        is_progress = len(states) >= _COUNTED or any(map(_compiled(_PROGRESS).search, states))
        repeated = groupby(states, partial(_without, _BARS))
        result += states[-1:] if is_progress else [list(same)[-1] for _, same in repeated]
    return "\n".join(result)


def _without(between: str, text: str) -> str:
    return _compiled(between).sub(" ", text).strip()


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _joiner(match: re.Match[str]) -> str:
    """The joiner; nothing between emoji, and its replacement where it alters nothing that is displayed."""
    from idna.core import valid_contextj  # noqa: PLC0415 - its tables are large, and few texts have a joiner

    text, at = match.string, match.start()
    before, after = text[max(0, at - _JOINER_CONTEXT) : at], text[at + 1 : at + 1 + _JOINER_CONTEXT]
    if match[0] == "\u200d" and _is_emoji(before[-1:]) and _is_emoji(after[:1]):
        return ""
    try:
        is_valid = valid_contextj(before + match[0] + after, len(before))
    except ValueError:  # next to a character that Unicode does not know
        is_valid = False
    return match[0] if is_valid else REPLACED


def _is_emoji(character: str) -> bool:
    is_symbol = character >= _EMOJI_FROM and character != REPLACED and unicodedata.category(character) == "So"
    return is_symbol or _SKIN_TONES[0] <= character <= _SKIN_TONES[1]


def _escaped(match: re.Match[str]) -> str:
    """`\\xNN` for a byte that was not UTF-8, `\\udNNN` for a lone surrogate from JSON."""
    point = ord(match[0])
    return f"\\x{point - 0xDC00:02x}" if 0xDC80 <= point <= 0xDCFF else f"\\u{point:04x}"
